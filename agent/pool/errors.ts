/** Why a pool cannot be worked on at all, in one sentence that names it. */
import { StorageError } from '../replica/store/storageError.ts';

export class PoolError extends StorageError {
  override readonly name = 'PoolError';
  readonly pool: string;

  constructor(pool: string, problem: string, options?: ErrorOptions) {
    super(`pool ${pool}: ${problem}`, options);
    this.pool = pool;
  }
}
