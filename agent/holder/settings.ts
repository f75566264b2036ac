/** The holder's configuration. Pure. */
import { COMMON_PARAMETERS } from '../../core/common-parameters.ts';
import { absolutePath, choice, name, wholeNumber } from '../../core/parameter-kinds.ts';
import { ConfigurationError, type Environment, type ParametersOf, parseParameters, row } from '../../core/parameters.ts';

export const HOLDER_PARAMETERS = {
  logLevel: COMMON_PARAMETERS.logLevel,
  nodeName: row('NODE_NAME', name, null, "this machine's name in Kubernetes"),
  socket: row('HOLDER_SOCKET', absolutePath, '/run/holdfast-holder/holder.sock', 'where the agent of this node asks'),
  directory: row(
    'HOLDER_DIR',
    absolutePath,
    '/run/holdfast-holder/devices',
    'what is attached, and the sockets between the processes that carry it; lost at a reboot, as they are',
  ),
  way: row(
    'ATTACH_WAY',
    choice('auto', 'nbd', 'fuse'),
    'auto',
    "how devices are made; auto: by the kernel's nbd where there is one, else by FUSE",
  ),
  deadConnectionSeconds: row(
    'DEAD_CONNECTION_SECONDS',
    wholeNumber('s', 60, 31_536_000),
    '86400',
    "how long I/O on a device of the kernel's nbd waits for its volume before it is an error",
  ),
} as const;

export type HolderParameters = ParametersOf<typeof HOLDER_PARAMETERS>;

/** Throws ConfigurationError with every problem. */
export function holderSettings(environment: Environment): HolderParameters {
  const { parameters, problems } = parseParameters(HOLDER_PARAMETERS, environment, () => []);
  if (parameters === null || problems.length > 0) throw new ConfigurationError(problems);
  return parameters;
}
