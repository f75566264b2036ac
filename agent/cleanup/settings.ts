/** The cleaner's configuration: one table. Pure. Must never start anything. */
import { absolutePath, list } from '../../core/parameter-kinds.ts';
import { type Environment, type ParametersOf, requireParameters, row } from '../../core/parameters.ts';

const paths = list('/path,...', 0, (part) => absolutePath.parse(part));

export const CLEANUP_PARAMETERS = {
  host: row('HOST', absolutePath, '/host', "where the node's root is mounted"),
  own: row('OWN', paths, '', "directories and files of the node's that are Holdfast's alone: they go, whatever is in them"),
  pools: row('POOLS', paths, '', 'pools: they go when they hold neither a replica nor a snapshot'),
  done: row('DONE', absolutePath, '/tmp/done', 'the file that says that all is done'),
} as const;

export type CleanupParameters = ParametersOf<typeof CLEANUP_PARAMETERS>;

/** Throws ConfigurationError with every problem. */
export const cleanupSettings = (environment: Environment): CleanupParameters => requireParameters(CLEANUP_PARAMETERS, environment);
