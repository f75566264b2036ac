/** Rules about tasks and leaders. */
import { type Mutant, mutant } from './mutant.ts';

export const TASKS: readonly Mutant[] = [
  mutant('endsUnclaimed', 50, 'an end counts only with the claim of that attempt', [
    'agent/control/tasks/taskRun.ts',
    "        { key: claim, is: 'value', value: this.#claim },\n        { key: task, is: 'revision', revision: this.#revision },",
    "        { key: task, is: 'revision', revision: this.#revision },",
  ]),
  mutant('claimsBlindly', 50, 'a task is claimed as it was seen, and by nobody else', [
    'agent/control/tasks/taskRun.ts',
    "        { key: task, is: 'revision', revision: this.#revision },\n        { key: claim, is: 'absent' },",
    '',
  ]),
  mutant('takesOverOwn', 50, 'a task that a former process has claimed is not gone on with', [
    'agent/control/tasks/taskRun.ts',
    'return claim?.instance === this.#environment.instance && claim.attempt === this.#task.attempt;',
    'return claim !== null;',
  ]),
  mutant('refilesClaimed', 50, 'a task is filed again only if nobody has its claim at that moment', [
    'operator/volume/tasks.ts',
    'conditions: [...part.conditions, claim]',
    'conditions: part.conditions',
  ]),
  mutant('overdueClaimed', 50, 'a task that is filed again because nothing comes of it loses its claim with that', [
    'operator/volume/tasks.ts',
    '...(observed.claim ? [{ delete: key }] : [])',
    '',
  ]),
  mutant('attemptKept', 50, 'a task that is filed again is another attempt', [
    'core/task.ts',
    "return { ...rest, state: 'filed', attempt: task.attempt + 1, filedBy };",
    "return { ...rest, state: 'filed', attempt: task.attempt, filedBy };",
  ]),
  mutant('leaderUnfenced', 50, 'a leader writes only while nobody leads under a higher generation', [
    'operator/election/generation.ts',
    'this.#store.commit([fence, ...conditions], changes)',
    'this.#store.commit(conditions, changes)',
  ]),
];
