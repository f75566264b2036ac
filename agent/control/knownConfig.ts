/**
 * How this agent reads the config in force of a volume, and what a change of it compares: both keys' revisions (core/inForce.ts), and their texts. Must never read a key of a
 * config by itself.
 */
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import { type ConfigInForce, sameTexts, unchangedConfig } from '../../core/inForce.ts';
import type { Keys } from '../../core/keys.ts';
import type { Condition, Store } from '../../core/store.ts';
import { type FoundConfig, readConfig } from '../../edge/configs.ts';

export type KnownConfig = ConfigInForce;

/** What stands in a volume's keys. A refusal of what a primary wrote is no problem: what the leader wrote stands. */
export type Found = FoundConfig;

/** `known`: the latest that was seen. */
export const readKnown = (ports: { store: Store; keys: Keys }, uid: VolumeUid, node: NodeName, known: KnownConfig | null): Promise<Found> =>
  readConfig(ports, uid, [node, known?.config.primary?.node]);

export const unchangedKnown = (known: KnownConfig): Condition[] => [...unchangedConfig(known), ...sameTexts(known)];
