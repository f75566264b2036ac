/** What an identity asks for and keeps, with an authority and a cluster that only the test plays. */
import { expect } from 'chai';
import { type Held, IdentityKeeper, type IdentityPorts } from '../../../../agent/identity/keeper.ts';
import { silentLog } from '../../../../core/log.ts';
import { certificatesIn, Issuer, isSignedBy, makeAuthority } from '../../../../edge/issuing.ts';

const HOUR_MS = 3_600_000;
const never = new AbortController().signal;

class World implements IdentityPorts {
  readonly log = silentLog;
  authorities: Issuer[] = [];
  kept: Held[] = [];
  requests: string[] = [];
  passedMs = 0;
  leafMs = HOUR_MS;
  isSilent = false;
  nowMs = () => Date.now() + this.passedMs;
  sleep = async (forMs: number) => {
    this.passedMs += forMs;
  };
  trust = async () => (this.authorities.length === 0 ? null : this.authorities.map(({ certificate }) => certificate).join(''));
  file = async (request: string) => `${this.requests.push(request) - 1}`;
  held = async () => this.kept.at(-1) ?? null;
  keep = async (held: Held) => {
    this.kept.push(held);
  };
  answer = async (name: string) => {
    const [issuer] = this.authorities;
    if (this.isSilent || issuer === undefined) return null;
    const leaf = { subject: { commonName: 'agent:node-a', organizations: [] }, names: [], lifeMs: this.leafMs };
    return issuer.answer(this.requests[Number(name)] ?? '', leaf);
  };
}

const issuer = async (name: string) => new Issuer(await makeAuthority(name, 100 * HOUR_MS));
const keeperOf = (world: World) => new IdentityKeeper(world, { node: 'node-a', addresses: ['10.0.0.5'], lookEveryMs: 1_000 });

describe('agent: identity', () => {
  it('asks nobody while there is no trust', async () => {
    const world = new World();
    expect(await keeperOf(world).look(never)).to.equal(false);
    expect([world.requests, world.kept]).to.deep.equal([[], []]);
  });

  it('takes a certificate for its own key, once, and another at two thirds of its life', async () => {
    const world = new World();
    world.authorities = [await issuer('one')];
    const keeper = keeperOf(world);
    await keeper.look(never);
    await keeper.look(never);
    expect([world.requests.length, world.kept.length]).to.deep.equal([1, 1]);
    world.passedMs = HOUR_MS * 0.7;
    await keeper.look(never);
    expect([world.requests.length, world.kept.length]).to.deep.equal([2, 2]);
    expect(world.kept[1]?.key).not.to.equal(world.kept[0]?.key);
  });

  it('trusts a second authority before it has a certificate of it, and takes one when that issues', async () => {
    const world = new World();
    const [one, two] = [await issuer('one'), await issuer('two')];
    world.authorities = [one];
    const keeper = keeperOf(world);
    await keeper.look(never);
    world.authorities = [one, two];
    await keeper.look(never);
    expect([world.requests.length, certificatesIn(world.kept.at(-1)?.ca ?? '').length]).to.deep.equal([1, 2]);
    world.authorities = [two, one];
    await keeper.look(never);
    expect(world.requests).to.have.length(2);
    expect(isSignedBy(world.kept.at(-1)?.certificate ?? '', two.certificate)).to.equal(true);
  });

  it('keeps what it has while nobody answers, and files another request after two minutes', async () => {
    const world = new World();
    world.authorities = [await issuer('one')];
    const keeper = keeperOf(world);
    await keeper.look(never);
    world.isSilent = true;
    world.passedMs = HOUR_MS * 0.7;
    const refusal = await keeper.look(never).catch((error: Error) => error.message);
    expect(refusal).to.contain('was not answered within 120 s');
    expect([world.requests.length, world.kept.length]).to.deep.equal([2, 1]);
  });
});
