/** Asks the primary for snapshots at any moment, and has each that is said to be made compared with what clients saw. */
import { snapshotUid } from '../../core/ids.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { SnapshotChecker } from './checkers/snapshots.ts';
import { Platter } from './platter.ts';
import { pick } from './seeds.ts';
import type { World } from './world.ts';

export class SimulatedSnapshots {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #checker: SnapshotChecker;
  #attempts = 0;

  constructor(world: World, random: SeededRandom, checker: SnapshotChecker) {
    this.#world = world;
    this.#random = random;
    this.#checker = checker;
  }

  take(): void {
    const serving = pick(this.#random, this.#world.openSockets());
    if (!serving) return;
    const request = { snapshot: snapshotUid('snapshot'), attempt: ++this.#attempts };
    const id = this.#world.nextId();
    this.#checker.asked(id);
    let isOpen = true;
    const end = (values: ReadonlyMap<number, number> | null) => {
      if (isOpen) this.#checker.made(id, values);
      isOpen = false;
    };
    serving.process.run('snapshot', () => {
      if (serving.isOver) return end(null);
      serving.primary.snapshot(request, (outcome) => {
        // It exists from the moment when it is recorded, which compares the config.
        const { config } = this.#world.register;
        const isRecorded =
          outcome.problem === null && config.epoch === outcome.epoch && config.primary?.instance === serving.process.instance;
        this.#world.tally.count(isRecorded ? 'snapshot made' : 'snapshot failed');
        if (!isRecorded) return end(null);
        const name = `${request.snapshot}.${request.attempt}`;
        for (const { replica } of outcome.replicas) this.#checkWhole(replica, name);
        end(
          this.#valuesOf(
            outcome.replicas.map(({ replica }) => replica),
            name,
          ),
        );
      });
    });
    // A process that dies asks for nothing any more.
    this.#world.schedule.after(60_000, 'snapshot', () => end(null));
  }

  #kept(replica: string, name: string): ReadonlyMap<number, number> | undefined {
    const files = this.#world.scene().replicas.get(replica)?.files;
    return files instanceof Platter ? files.kept.get(name) : undefined;
  }

  #checkWhole(replica: string, name: string): void {
    if (!this.#kept(replica, name)) throw new Error(`${replica} has no ${name}`);
  }

  /** Of any replica of each shard: all of them must have kept the same. */
  #valuesOf(replicas: readonly string[], name: string): Map<number, number> {
    const { layout, clients } = this.#world;
    const values = new Map<number, number>();
    for (const piece of clients.pieces.keys()) {
      const shard = layout.shardOfPiece(piece);
      const holders = replicas.filter((replica) => this.#world.scene().replicas.get(replica)?.files.shard === shard);
      const holder = pick(this.#random, holders) ?? '';
      values.set(piece, this.#kept(holder, name)?.get(layout.pieceInShard(piece)) ?? 0);
    }
    return values;
  }
}
