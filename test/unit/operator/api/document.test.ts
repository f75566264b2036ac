/** The document, the table of routes and the server are one: what one of them has, all have. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import type { Express } from 'express';
import { silentLog } from '../../../../core/log.ts';
import { createMetrics } from '../../../../edge/metrics.ts';
import { COMPONENTS, openApiDocument } from '../../../../operator/api/openapi.ts';
import { ROUTES, type Route } from '../../../../operator/api/routes.ts';
import type { Server } from '../../../../operator/api/serve.ts';
import { createRestApp } from '../../../../operator/edge/restServer.ts';

type Layer = { route?: { path: string; methods: Record<string, boolean> } };

function served(): string[] {
  const app: Express = createRestApp({} as Server, createMetrics({ processMetrics: false }), silentLog);
  const layers = (app.router as unknown as { stack: Layer[] }).stack;
  const routes = layers.flatMap(({ route }) => route ?? []);
  // What answers every method says only that others are not taken.
  return routes
    .map(({ path, methods }) => ({ path, methods: Object.keys(methods) }))
    .flatMap(({ path, methods }) => (methods.length === 1 ? `${methods[0]} ${path}` : []));
}

const document = openApiDocument('1.2.3') as {
  info: { version: string };
  paths: Record<string, Record<string, { operationId: string; parameters: { name: string; in: string; required?: boolean }[] }>>;
};
const documented = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => ({ method, path })));

describe("operator: the REST API's document", () => {
  it('has each route that the server has, and no other', () => {
    const said = documented.map(({ method, path }) => `${method} ${path.replace(/\{(\w+)\}/g, ':$1')}`);
    expect(served().sort()).to.deep.equal(said.sort());
    expect(said).to.have.length(Object.keys(ROUTES).length);
  });

  it('names every parameter of every path, and nothing that it does not explain', () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const operation of Object.values(methods)) {
        const named = operation.parameters.filter((one) => one.in === 'path');
        expect(
          named.map(({ name }) => name),
          operation.operationId,
        ).to.deep.equal(inPath);
        expect(named.every(({ required }) => required)).to.equal(true);
      }
    }
    const used = JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g);
    for (const [, component] of used) expect(COMPONENTS).to.have.property(component ?? '');
  });

  it('holds schemas that can be held against an answer, and are closed', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema({ $id: 'api', ...document });
    const component = (name: string) => ajv.getSchema(`api#/components/schemas/${name}`);
    for (const name of Object.keys(COMPONENTS)) expect(component(name), name).to.be.a('function');
    const volume = { apiVersion: 'a', kind: 'Volume', metadata: {}, spec: { size: '1Gi' } };
    expect(component('Volume')?.(volume)).to.equal(true);
    expect(component('Volume')?.({ ...volume, spec: { size: '1Gi', color: 'red' } })).to.equal(false);
    expect(component('VolumePatch')?.({ spec: { attachTo: null } })).to.equal(true);
    expect(component('VolumePatch')?.({ spec: { attachTo: 7 } })).to.equal(false);
    expect(component('Error')?.({ error: { code: 'a', message: 'b', traceId: 'c' }, more: 1 })).to.equal(false);
  });

  it('lets nobody in without a token but to itself', () => {
    const open = Object.entries<Route>(ROUTES).filter(([, { isOpen }]) => isOpen);
    expect(open.map(([name]) => name)).to.deep.equal(['document']);
  });
});
