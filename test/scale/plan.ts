/** What a run is like: its size from the environment, which nodes and volumes there are. Pure. */
import { LocalClusterError } from '../../tools/local/errors.ts';

export type ScaleSettings = {
  nodes: number;
  volumes: number;
  agentsPerProcess: number;
  idleMs: number;
  /** No more volumes are asked for after this; what stands by then is what the rest is measured with. */
  placeMs: number;
  operatorNodeOptions: string;
  fleetNodeOptions: string;
  steps: readonly Step[];
};
export type Step = (typeof STEPS)[number];
export type NodePlan = { node: string; zone: string; labels: Record<string, string>; capacityBytes: number };
export type VolumePlan = { name: string; size: string; attachTo: string; nodeSelector: Record<string, string> | null };

/** What is measured when all volumes stand. */
export const STEPS = ['idle', 'leader', 'start', 'node', 'crowded', 'replace'] as const;
/** As agents have it where nothing is configured. */
export const AGENT_LEASE_SECONDS = 3;
export const CROWDED_LABEL = { crowded: 'yes' };

const ZONES = 3;
/** Nodes on which far more replicas lie than on others: a volume asked for them by a selector, each has three of the four. */
const CROWDED_NODES = 4;
const CROWDED_VOLUMES_MAX = 667;
const CROWDED_SHARE = 1 / 3;
const REPLICAS = 3;
const VOLUME_GIB = 10;
const GIB = 2 ** 30;
/** So that a node is about half promised. */
const ROOM_RATIO = 2;

export function scaleSettings(environment: NodeJS.ProcessEnv): ScaleSettings {
  const whole = (name: string, fallback: number, min: number, max: number): number => {
    const text = environment[name] || String(fallback); // make hands on what was not given as the empty string
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new LocalClusterError(`${name}=${text} is not a whole number from ${min} to ${max}.`);
  };
  const steps = (environment.STEPS || STEPS.join(' ')).split(/\s+/).map((word) => {
    const step = STEPS.find((one) => one === word);
    if (step === undefined) throw new LocalClusterError(`STEPS=${word}: there are ${STEPS.join(', ')}.`);
    return step;
  });
  return {
    nodes: whole('NODES', 50, 8, 2_000),
    volumes: whole('VOLUMES', 500, 1, 50_000),
    agentsPerProcess: whole('AGENTS_PER_PROCESS', 100, 1, 1_000),
    idleMs: whole('IDLE_SECONDS', 20, 5, 600) * 1_000,
    placeMs: whole('PLACE_SECONDS', 1_200, 10, 3_600) * 1_000,
    operatorNodeOptions: environment.OPERATOR_NODE_OPTIONS ?? '',
    fleetNodeOptions: environment.FLEET_NODE_OPTIONS ?? '',
    steps,
  };
}

const crowdedVolumes = (volumes: number): number => Math.min(CROWDED_VOLUMES_MAX, Math.floor(volumes * CROWDED_SHARE));

export function planNodes({ nodes, volumes }: Pick<ScaleSettings, 'nodes' | 'volumes'>): NodePlan[] {
  const bytes = (count: number, among: number): number => Math.ceil((count * REPLICAS * VOLUME_GIB * GIB * ROOM_RATIO) / among);
  const crowded = bytes(crowdedVolumes(volumes), CROWDED_NODES);
  const usual = bytes(volumes, nodes);
  return Array.from({ length: nodes }, (_, index) => {
    const isCrowded = index < CROWDED_NODES;
    return {
      node: nodeName(index),
      zone: `zone-${index % ZONES}`,
      labels: isCrowded ? CROWDED_LABEL : {},
      capacityBytes: isCrowded ? crowded + usual : usual,
    };
  });
}

/** Each is attached, to nodes in turn. */
export function planVolumes({ nodes, volumes }: Pick<ScaleSettings, 'nodes' | 'volumes'>): VolumePlan[] {
  const crowded = crowdedVolumes(volumes);
  return Array.from({ length: volumes }, (_, index) => ({
    name: `volume-${index}`,
    size: `${VOLUME_GIB}Gi`,
    attachTo: nodeName(index < crowded ? index % CROWDED_NODES : CROWDED_NODES + (index % (nodes - CROWDED_NODES))),
    nodeSelector: index < crowded ? CROWDED_LABEL : null,
  }));
}

const nodeName = (index: number): string => `node-${index}`;
/** One that is lost alone. */
export const USUAL_NODE = nodeName(CROWDED_NODES + 1);
export const CROWDED_NODE = nodeName(0);
