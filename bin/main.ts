/** `kubectl holdfast`: the command line, and nothing else. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../core/clock.ts';
import { systemRandom } from '../core/random.ts';
import { formatTraceparent, newTrace } from '../core/trace.ts';
import { systemTimers } from '../operator/edge/timers.ts';
import { type DrainOptions, drain, explain, type MoveOptions, maintenance, move, rebuild, type Surroundings, status } from './commands.ts';
import { HttpKube } from './edge/kube.ts';
import { endWithReader, terminalOf } from './edge/terminal.ts';
import { CommandError, EXIT } from './errors.ts';
import { RECOVER_HELP, type RecoverOptions, recover } from './recover.ts';

type Shared = { kubeconfig?: string; context?: string; namespace: string; lease: string; output: 'text' | 'json' };

const TIMEOUT_SECONDS_DEFAULT = 3_600;
const EXIT_CODES = 'Exit codes: 0 done; 1 it could not be done; 2 the command is not understood; 3 --wait took longer than --timeout.';

const program = new Command('kubectl-holdfast')
  .usage('COMMAND [options]')
  .description('What Holdfast does in this cluster, what is wrong first. Works on the Kubernetes API alone, with your own rights.')
  .addOption(new Option('-o, --output <form>', 'how to print').choices(['text', 'json']).default('text'))
  .option('--kubeconfig <file>', 'as of kubectl; left out: $KUBECONFIG, ~/.kube/config')
  .option('--context <name>', 'of the kubeconfig')
  .option('--namespace <name>', "where the operators' Lease lies", 'holdfast-system')
  .option('--lease <name>', 'which Lease it is', 'operator.holdfast.dev')
  .addHelpText('after', `\n${EXIT_CODES}`)
  .showHelpAfterError()
  .exitOverride();

const seconds = (text: string): number => {
  const value = Number(text);
  if (!/^\d{1,7}$/.test(text) || value < 1) throw new InvalidArgumentError('must be a whole number of seconds, at least 1');
  return value;
};
/** May be given several times. */
const named = (flags: string, description: string) =>
  new Option(flags, description).argParser((value: string, before: string[]) => [...before, value]).default([], '');
const timeout = () => new Option('--timeout <seconds>', 'how long --wait waits').argParser(seconds).default(TIMEOUT_SECONDS_DEFAULT);

async function run(work: (around: Surroundings) => Promise<void>): Promise<void> {
  const { kubeconfig, context, namespace, lease, output } = program.opts<Shared>();
  const kube = new HttpKube({ kubeconfig, context });
  try {
    await work({
      kube,
      terminal: terminalOf(process.stdout, process.env),
      nowMs: () => systemClock.wallMs(),
      sleep: (forMs) => systemTimers.sleep(forMs),
      traceparent: formatTraceparent(newTrace(systemRandom)),
      place: { namespace, lease },
      isJson: output === 'json',
    });
  } finally {
    await kube.close();
  }
}

program
  .command('status')
  .description('what is wrong, and how many volumes are in which phase')
  .option('-a, --all', 'also every volume with its replicas')
  .action((options: { all?: boolean }) => run((around) => status(around, options)));
program
  .command('explain VOLUME')
  .description('why a volume is pending, degraded or not attached')
  .action((volume: string) => run((around) => explain(around, volume)));
program
  .command('rebuild')
  .description('how far replicas are that catch up; on a terminal, live until all have')
  .option('-w, --watch', 'until interrupted')
  .option('--once', 'once, also on a terminal')
  .action((options: { watch?: boolean; once?: boolean }) => run((around) => rebuild(around, options)));
program
  .command('drain NODE')
  .description('brings all replicas of a node elsewhere, each copied first, and places nothing there')
  .option('--dry-run', 'show what would go where, and what cannot leave; changes nothing')
  .option('--wait', 'until no replica is left')
  .option('--undo', 'let the node keep what is left, and take replicas again')
  .addOption(timeout())
  .action((node: string, options: DrainOptions) => run((around) => drain(around, node, options)));
program
  .command('maintenance NODE')
  .description('says that a node is down on purpose, or will be: nothing is replaced because of it')
  .addArgument(program.createArgument('STATE', 'on or off').choices(['on', 'off']))
  .action((node: string, state: string) => run((around) => maintenance(around, node, state === 'on')));
program
  .command('move VOLUME FROM TO')
  .description('makes a replica on TO (node, or node/pool), then takes away the one on FROM (node, or replica)')
  .option('--wait', 'until it is there')
  .addOption(timeout())
  .action((volume: string, from: string, to: string, options: MoveOptions) => run((around) => move(around, volume, from, to, options)));
program
  .command('recover')
  .description('rebuilds what etcd held of volumes from the disks, after etcd was lost; shows what it would write, and writes with --yes')
  .option('--yes', 'write it')
  .option('--amend', 'also where etcd holds something of volumes already')
  .addOption(named('--without <node>', 'a node that will not come back; volumes that cannot do without it are refused'))
  .addOption(
    named('--accept-loss <volume>', 'go on from what is there, also where writes may be missing; the plan says first what that means'),
  )
  .option('--here', "on this machine and with this environment, where no operator's pod runs")
  .addHelpText('after', RECOVER_HELP)
  .action((options: RecoverOptions) => run((around) => recover(around, options, program.opts<Shared>())));

endWithReader(process.stdout, () => process.exit());
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  else if (error instanceof CommandError) {
    process.stderr.write(`kubectl holdfast: ${error.message}\n`);
    process.exitCode = error.exitCode;
  } else throw error;
}
