/**
 * Who is who in a local cluster: which authority vouches for whom, under which name. Holds no secret beyond the authorities' keys that lie in the
 * cluster's directory.
 */
import path from 'node:path';
import type { TlsFiles } from '../../edge/tls.ts';
import { Authority, makeKeyPair } from './certificates.ts';
import { ETCD_COMMON_NAME } from './launches.ts';
import { API_SERVER, ETCD, lastPart, type ProcessName } from './layout.ts';
import { ADDRESS } from './ports.ts';

/** The user that the operators are to the API server; `bindings.yaml` gives it the roles that the chart gives to its service account. */
const OPERATOR_USER = 'holdfast-operator';
const API_SERVER_NAMES = [ADDRESS, 'localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];

export type TokenKeys = { publicFile: string; privateFile: string };

export class Identities {
  readonly #directory: string;
  /** Vouches for the API server and its users. */
  readonly #kubernetes: Authority;
  /** Vouches for both ends of every hop between etcd, agents and operators. */
  readonly #holdfast: Authority;

  private constructor(directory: string, kubernetes: Authority, holdfast: Authority) {
    this.#directory = directory;
    this.#kubernetes = kubernetes;
    this.#holdfast = holdfast;
  }

  static async open(directory: string): Promise<Identities> {
    const authority = (name: string): Promise<Authority> =>
      Authority.open(path.join(directory, 'authority', name), `holdfast local ${name}`);
    return new Identities(directory, await authority('kubernetes'), await authority('holdfast'));
  }

  etcd(): Promise<TlsFiles> {
    return this.#holdfast.issue(this.#of(ETCD), { commonName: ETCD_COMMON_NAME, organizations: ['holdfast:etcd'] }, [
      ADDRESS,
      'localhost',
      'etcd-0',
    ]);
  }

  apiServer(): Promise<TlsFiles> {
    return this.#kubernetes.issue(this.#of(API_SERVER), { commonName: 'kube-apiserver', organizations: [] }, API_SERVER_NAMES);
  }

  /** The API server as etcd's client. */
  apiServerToEtcd(): Promise<TlsFiles> {
    return this.#holdfast.issue(
      this.#of(API_SERVER),
      { commonName: 'kube-apiserver', organizations: ['holdfast:apiservers'] },
      [],
      'etcd-',
    );
  }

  async tokenKeys(): Promise<TokenKeys> {
    const keys = { publicFile: path.join(this.#of(API_SERVER), 'tokens.pub'), privateFile: path.join(this.#of(API_SERVER), 'tokens.key') };
    await makeKeyPair(keys.publicFile, keys.privateFile);
    return keys;
  }

  /** An agent or operator, as server and as client of the others. */
  program(name: ProcessName): Promise<TlsFiles> {
    const role = name.startsWith('agent/') ? 'agent' : 'operator';
    const own = lastPart(name);
    return this.#holdfast.issue(this.#of(name), { commonName: `${role}:${own}`, organizations: [`holdfast:${role}s`] }, [
      ADDRESS,
      'localhost',
      own,
    ]);
  }

  /** An operator as the API server's client. */
  operatorToApi(name: ProcessName): Promise<TlsFiles> {
    return this.#kubernetes.issue(this.#of(name), { commonName: OPERATOR_USER, organizations: [] }, [], 'api-');
  }

  /** Whoever works with the cluster from outside, as the API server's client. */
  administratorToApi(): Promise<TlsFiles> {
    return this.#kubernetes.issue(
      this.#administrator(),
      { commonName: 'holdfast-administrator', organizations: ['system:masters'] },
      [],
      'api-',
    );
  }

  /** The same, as a client of etcd, agents and operators. */
  administrator(): Promise<TlsFiles> {
    return this.#holdfast.issue(this.#administrator(), { commonName: 'operator:administrator', organizations: ['holdfast:operators'] });
  }

  #of(name: ProcessName): string {
    return path.join(this.#directory, name);
  }

  #administrator(): string {
    return path.join(this.#directory, 'administrator');
  }
}
