/** All that is fuzzed. */
import type { Target } from './engine.ts';
import { filesTarget } from './targets/files.ts';
import { nbdTarget } from './targets/nbd.ts';
import { primaryTarget } from './targets/primary.ts';
import { replicaTarget } from './targets/replica.ts';

export const TARGETS: readonly Target[] = [nbdTarget, replicaTarget, primaryTarget, filesTarget];
