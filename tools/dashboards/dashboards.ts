/**
 * The dashboards, the worst first in each. Every panel answers a question that somebody has who was called, or who plans; what none needs is not drawn. Made into
 * helm/holdfast/dashboards by `make generate`; that every query has an answer is asked by `make test-monitoring`.
 */
import type { Dashboard } from './describe.ts';
import { BAD, bars, graph, NODE, NONE, of, p99, phases, RATE, stat, table, VOLUME } from './words.ts';

const cluster: Dashboard = {
  file: 'cluster',
  title: 'Cluster',
  about: 'What is wrong now, what is asked of the cluster, and how much room is left.',
  variables: [],
  rows: [
    {
      title: 'What is wrong now',
      panels: [
        stat(
          'Volumes that cannot be used',
          'none',
          'Unavailable or Failed: somebody waits for them.',
          [of(phases('Failed|Unavailable'))],
          BAD,
        ),
        stat(
          'Volumes with too few replicas',
          'none',
          'Degraded, and not only because a node is in maintenance.',
          [of(`${phases('Degraded')} - max(holdfast_volumes_planned_count)`)],
          BAD,
        ),
        stat(
          'Volumes without a place',
          'none',
          'Some replica of them fits on no node.',
          [of('max(holdfast_volumes_unschedulable_count)')],
          BAD,
        ),
        stat('Nodes away', 'none', 'Not heard of, and not in maintenance.', [of('max(holdfast_nodes_count{state="away"})')], BAD),
        stat(
          'Operators that lead',
          'none',
          'One must; two for a moment when another takes over.',
          [of(`sum(holdfast_leader_count) ${NONE}`)],
          { badFrom: 2 },
        ),
        stat(
          'Alerts that fire',
          'none',
          'Those of helm/holdfast/rules.',
          [of(`count(ALERTS{alertname=~"Holdfast.*",alertstate="firing"}) ${NONE}`)],
          BAD,
        ),
        table('Volumes that are not well', 'none', 'Empty is good. Why each is not: kubectl holdfast explain VOLUME.', [
          of('max by (volume, phase, reason, node) (holdfast_volume_state_info{phase!="Healthy"})'),
        ]),
        table('Alerts, also those that still wait for their time', 'none', 'Empty is good.', [
          of('max by (alertname, alertstate, severity, volume, node, pool) (ALERTS{alertname=~"Holdfast.*"})'),
        ]),
      ],
    },
    {
      title: 'What is asked of it',
      panels: [
        graph('Requests a second', 'ops', 'Of all clients of all volumes.', [
          of(`sum by (operation) (rate(holdfast_nbd_requests_total${RATE}))`, '{{operation}}'),
        ]),
        graph('Bytes a second', 'Bps', 'Of the requests that succeeded.', [
          of(`sum by (operation) (rate(holdfast_nbd_bytes_total${RATE}))`, '{{operation}}'),
        ]),
        graph('Time to an answer (99 of 100)', 's', 'From a request read to its answer. A write waits for every replica in sync.', [
          of(p99('holdfast_nbd_request_duration_seconds', 'operation'), '{{operation}}'),
        ]),
        graph('Requests answered with an error a second', 'ops', 'Each reached a file system: none is normal.', [
          of(`sum by (result) (rate(holdfast_nbd_requests_total{result!="none"}${RATE})) ${NONE}`, '{{result}}'),
        ]),
      ],
    },
    {
      title: 'Room',
      panels: [
        bars(
          'The fullest pools',
          'percentunit',
          'Used of the file system, by whatever. From 85 % on nothing new is placed there.',
          [of('topk(10, max by (node, pool) (holdfast_pool_used_bytes / holdfast_pool_capacity_bytes))', '{{node}}/{{pool}}')],
          { badFrom: 0.85 },
        ),
        graph('Room of all pools', 'bytes', 'Volumes are thin: promised may be more than there is.', [
          of('sum(holdfast_pool_capacity_bytes)', 'there is'),
          of('sum(holdfast_pool_used_bytes)', 'used'),
          of('sum(holdfast_pool_allocated_bytes)', 'promised'),
        ]),
        graph('Volumes by phase', 'none', 'All of them.', [of('max by (phase) (holdfast_volumes_count)', '{{phase}}')]),
        graph('Nodes by state', 'none', 'In maintenance is on purpose, away is not.', [
          of('max by (state) (holdfast_nodes_count)', '{{state}}'),
        ]),
      ],
    },
    {
      title: 'What it stands on',
      panels: [
        graph('etcd: how much of its quota is used', 'percentunit', 'At 100 % etcd takes no writes, and nothing fails over.', [
          of('max(holdfast_etcd_quota_ratio)', 'fullest member'),
        ]),
        graph('etcd: members', 'none', 'More than half must answer.', [of('max by (state) (holdfast_etcd_members_count)', '{{state}}')]),
        graph('Operators that see too little', 'none', '1: what it knows of etcd or the API server may be old.', [
          of('max by (source) (holdfast_source_behind_count)', '{{source}}'),
        ]),
        graph('Agents by version', 'none', 'Two versions: an upgrade is under way.', [
          of('count by (version) (max by (node, version) (holdfast_node_state_info{version!=""}))', '{{version}}'),
        ]),
      ],
    },
  ],
};

const own = '{volume=~"$volume"}';
const volume: Dashboard = {
  file: 'volume',
  title: 'Volume',
  about: 'One volume, or a few: is it well, what do its clients do, what do they feel.',
  variables: [VOLUME],
  rows: [
    {
      title: 'Is it well',
      panels: [
        table('State', 'none', 'The reason is that of the condition Ready; node: where it is served or shall be.', [
          of(`max by (volume, phase, reason, node) (holdfast_volume_state_info${own})`),
        ]),
        graph('Replicas in sync', 'none', 'Below the line of those asked for: Degraded.', [
          of(`max by (volume) (holdfast_volume_in_sync_count${own})`, '{{volume}}'),
          of(`max by (volume) (holdfast_volume_replicas_count${own})`, '{{volume}}: asked for'),
        ]),
        graph('Left to copy', 'bytes', 'What replicas that catch up still miss.', [
          of(`max by (volume) (holdfast_volume_resync_left_bytes${own})`, '{{volume}}'),
        ]),
        stat(
          'Blocks that differ',
          'none',
          'A scrub found them, and no majority says which are right.',
          [of(`sum(max by (volume) (holdfast_volume_unresolved_blocks_count${own}))`)],
          BAD,
        ),
        stat(
          'Longest since all was compared',
          's',
          'Of the volumes chosen; never compared ones are not counted.',
          [of(`max(time() - max by (volume) (holdfast_volume_scrub_ended_timestamp_seconds${own})) ${NONE}`)],
          { width: 8 },
        ),
        stat(
          'Size',
          'bytes',
          'What clients are offered, all volumes chosen.',
          [of(`sum(max by (volume) (holdfast_volume_size_bytes${own}))`)],
          { width: 6 },
        ),
      ],
    },
    {
      title: 'What its clients do, and feel',
      panels: [
        graph('Requests a second', 'ops', 'As the node that serves it counts them.', [
          of(`sum by (volume, operation) (rate(holdfast_volume_requests_total${own}${RATE}))`, '{{volume}} {{operation}}'),
        ]),
        graph('Bytes a second', 'Bps', 'Of the requests that succeeded.', [
          of(`sum by (volume, operation) (rate(holdfast_volume_bytes_total${own}${RATE}))`, '{{volume}} {{operation}}'),
        ]),
        graph('Time to an answer (mean)', 's', 'Of a whole node there is a distribution, of one volume a mean.', [
          of(
            `sum by (volume, operation) (rate(holdfast_volume_request_seconds_total${own}${RATE})) / sum by (volume, operation) (rate(holdfast_volume_requests_total${own}${RATE}))`,
            '{{volume}} {{operation}}',
          ),
        ]),
        graph('Requests answered with an error a second', 'ops', 'Each reached a file system: none is normal.', [
          of(`sum by (volume) (rate(holdfast_volume_errors_total${own}${RATE}))`, '{{volume}}'),
        ]),
      ],
    },
  ],
};

const on = '{node=~"$node"}';
const node: Dashboard = {
  file: 'node',
  title: 'Node',
  about: 'One machine, or a few: its disks, what its clients feel, what its agent needs.',
  variables: [NODE],
  rows: [
    {
      title: 'Is it well',
      panels: [
        table('State', 'none', 'away: not heard of, and nobody said that it is in maintenance.', [
          of(`max by (node, state, version) (holdfast_node_state_info${on})`),
        ]),
        graph('Replicas that have failed', 'none', 'Each is made anew elsewhere; what stays was not.', [
          of(`max by (node) (holdfast_replicas_count{state="failed",node=~"$node"})`, '{{node}}'),
        ]),
        graph('Disks that are quarantined', 'none', '1: it failed or hangs, nothing new is placed there.', [
          of(`max by (node, pool) (holdfast_pool_quarantined_count${on})`, '{{node}}/{{pool}}'),
        ]),
        graph('Disks: how long without an answer', 's', 'From 20 s on the pool is quarantined.', [
          of(`max by (node, pool) (holdfast_pool_silent_seconds${on})`, '{{node}}/{{pool}}'),
        ]),
        graph('Its lease in etcd: how long not known to live', 's', 'Beyond 3 s others take the node for gone.', [
          of(`max by (node) (holdfast_lease_lost_seconds${on})`, '{{node}}'),
        ]),
      ],
    },
    {
      title: 'What it does',
      panels: [
        graph('Volumes served, and replicas held', 'none', 'Serving costs processor time, holding costs room.', [
          of(`max by (node) (holdfast_primaries_count${on})`, '{{node}} serves'),
          of(`max by (node) (holdfast_replicas_count{state="served",node=~"$node"})`, '{{node}} holds'),
        ]),
        graph('Requests a second', 'ops', 'Of the clients of the volumes that it serves.', [
          of(`sum by (node, operation) (rate(holdfast_nbd_requests_total${on}${RATE}))`, '{{node}} {{operation}}'),
        ]),
        graph('Time to an answer (99 of 100)', 's', 'From a request read to its answer.', [
          of(p99('holdfast_nbd_request_duration_seconds', 'node, operation', on), '{{node}} {{operation}}'),
        ]),
        graph('Pools: used', 'percentunit', 'Of the file system, by whatever.', [
          of(`max by (node, pool) (holdfast_pool_used_bytes${on} / holdfast_pool_capacity_bytes${on})`, '{{node}}/{{pool}}'),
        ]),
        graph('Pools: promised of what there is', 'short', '2 is where placement ends (OVER_PROVISIONING_PERCENT).', [
          of(`max by (node, pool) (holdfast_pool_allocated_bytes${on} / holdfast_pool_capacity_bytes${on})`, '{{node}}/{{pool}}'),
        ]),
        graph('Clients connected', 'none', 'Holders of devices, mostly: one a volume and connection.', [
          of(`sum by (node) (holdfast_nbd_connections_count${on})`, '{{node}}'),
        ]),
      ],
    },
    {
      title: 'What its agent needs',
      panels: [
        graph('Processors', 'short', 'Cores that the agent keeps busy, all its threads.', [
          of(`sum by (node) (rate(holdfast_process_cpu_seconds_total${on}${RATE}))`, '{{node}}'),
        ]),
        graph('Memory', 'bytes', 'Resident, of the whole process.', [
          of(`max by (node) (holdfast_process_resident_memory_bytes${on})`, '{{node}}'),
        ]),
        graph('How late its control loop comes (99 of 100)', 's', 'A machine that is short of processor time shows here first.', [
          of(p99('holdfast_event_loop_delay_seconds', 'node', on), '{{node}}'),
        ]),
        graph('Calls to etcd (99 of 100)', 's', 'With all attempts. No read or write of a volume waits for them.', [
          of(p99('holdfast_etcd_call_seconds', 'node, kind', on), '{{node}} {{kind}}'),
        ]),
        graph('Connections refused a second', 'ops', 'Wrong certificates, wrong words, too many.', [
          of(`sum by (node, port, rule) (rate(holdfast_connections_refused_total${on}${RATE})) ${NONE}`, '{{node}} {{port}}: {{rule}}'),
        ]),
        graph('Certificate: time left', 's', 'Renewed at two thirds of its life.', [
          of(`min by (node) (holdfast_certificate_ends_timestamp_seconds${on} - time())`, '{{node}}'),
        ]),
      ],
    },
  ],
};

const replication: Dashboard = {
  file: 'replication',
  title: 'Replication',
  about: 'Are all copies there, how fast do missing ones come, do they agree, who served what.',
  variables: [],
  rows: [
    {
      title: 'Are all copies there',
      panels: [
        stat(
          'Replicas missing',
          'none',
          'Asked for and not in sync, of all volumes.',
          [of('sum(max by (volume) (holdfast_volume_replicas_count)) - sum(max by (volume) (holdfast_volume_in_sync_count))')],
          BAD,
        ),
        stat(
          'Volumes with one good copy left',
          'none',
          'That shall have more: the next failure loses data.',
          [
            of(
              `count((max by (volume) (holdfast_volume_in_sync_count) == 1) and on (volume) (max by (volume) (holdfast_volume_replicas_count) > 1)) ${NONE}`,
            ),
          ],
          BAD,
        ),
        stat('Left to copy', 'bytes', 'What all learners still miss.', [of('sum(max by (volume) (holdfast_volume_resync_left_bytes))')]),
        stat(
          'Blocks that differ',
          'none',
          'Without a majority that says which are right.',
          [of('sum(max by (volume) (holdfast_volume_unresolved_blocks_count))')],
          BAD,
        ),
        stat('Failed replicas', 'none', 'Held somewhere and not served.', [of('sum(holdfast_replicas_count{state="failed"})')], BAD),
        graph('Left to copy, the most', 'bytes', 'It should fall; where it stands still, see the runbook rebuild-stuck.', [
          of('topk(10, max by (volume) (holdfast_volume_resync_left_bytes))', '{{volume}}'),
        ]),
        graph('Pace of copying', 'Bps', 'How fast it falls, all volumes.', [
          of(`sum(clamp_min(-max by (volume) (deriv(holdfast_volume_resync_left_bytes${RATE})), 0))`, 'copied'),
        ]),
        graph('Replicas in sync', 'none', 'All volumes.', [
          of('sum(max by (volume) (holdfast_volume_in_sync_count))', 'in sync'),
          of('sum(max by (volume) (holdfast_volume_replicas_count))', 'asked for'),
        ]),
        graph('Volumes compared longest ago', 's', 'All replicas of a volume are compared with each other by and by.', [
          of(`topk(10, time() - max by (volume) (holdfast_volume_scrub_ended_timestamp_seconds)) ${NONE}`, '{{volume}}'),
        ]),
      ],
    },
    {
      title: 'Who serves',
      panels: [
        graph('Primaries by node', 'none', 'How many volumes each node serves.', [
          of('max by (node) (holdfast_primaries_count)', '{{node}}'),
        ]),
        graph('Primaries that ended', 'none', 'Each is a move, a restart or a failover: why. Counted since the agent started.', [
          of(`sum by (why) (holdfast_primaries_ended_total) ${NONE}`, '{{why}}'),
        ]),
        graph('Connections of replication refused', 'ops', 'Certificates, epochs, addresses that are another.', [
          of(`sum by (rule) (rate(holdfast_connections_refused_total{port="replication"}${RATE})) ${NONE}`, '{{rule}}'),
        ]),
        graph('Frames that broke a rule', 'ops', 'None is normal: an agent of another make, or memory that fails.', [
          of(`sum by (port, rule) (rate(holdfast_protocol_errors_total${RATE})) ${NONE}`, '{{port}}: {{rule}}'),
        ]),
      ],
    },
  ],
};

const tasks: Dashboard = {
  file: 'tasks',
  title: 'Tasks and operators',
  about: 'What the leader has asked of nodes, whether it is done, and how the operators themselves are.',
  variables: [],
  rows: [
    {
      title: 'Tasks',
      panels: [
        graph('Oldest task that nothing happens to', 's', 'By node; none is a line at 0. Ten minutes are too long.', [
          of(`max by (node) (holdfast_node_oldest_task_seconds) ${NONE}`, '{{node}}'),
        ]),
        graph('Tasks by state', 'none', 'filed and running should fall to none.', [
          of('max by (state) (holdfast_tasks_count)', '{{state}}'),
        ]),
        graph('Tasks ended a second', 'ops', 'By the agents.', [
          of(`sum by (operation, result) (rate(holdfast_tasks_ended_total${RATE}))`, '{{operation}} {{result}}'),
        ]),
        graph('Time that a task takes (99 of 100)', 's', 'Each is a few calls of a disk.', [
          of(p99('holdfast_task_duration_seconds', 'operation'), '{{operation}}'),
        ]),
        graph('Snapshots by state', 'none', 'failing and blocked ones are tried again.', [
          of('max by (state) (holdfast_snapshots_count)', '{{state}}'),
        ]),
        graph('Tasks that could not be read', 'ops', 'None is normal: an operator much newer than an agent.', [
          of(`sum(rate(holdfast_tasks_refused_total${RATE}))`, 'refused'),
        ]),
      ],
    },
    {
      title: 'Operators',
      panels: [
        graph('Who leads', 'none', '1 for the one that does.', [of('max by (instance) (holdfast_leader_count)', '{{instance}}')]),
        graph('Time of a pass (99 of 100)', 's', 'Observe, decide, write. Every change waits for one.', [
          of(p99('holdfast_reconcile_duration_seconds', 'instance'), '{{instance}}'),
        ]),
        graph('Transactions of the leader a second', 'ops', 'conflict: somebody else wrote, decided anew. fenced: it led no more.', [
          of(`sum by (outcome) (rate(holdfast_etcd_transactions_total${RATE}))`, '{{outcome}}'),
        ]),
        graph('Calls of CSI (99 of 100)', 's', 'What claims and pods wait for.', [
          of(`${p99('holdfast_csi_call_seconds', 'method')} ${NONE}`, '{{method}}'),
        ]),
        graph('Requests of the REST API a second', 'ops', 'By operation and status.', [
          of(`sum by (operation, status) (rate(holdfast_api_requests_total${RATE})) ${NONE}`, '{{operation}} {{status}}'),
        ]),
        graph('Memory of operators', 'bytes', 'Resident.', [
          of('max by (instance) (holdfast_process_resident_memory_bytes and on (instance) holdfast_leader_count)', '{{instance}}'),
        ]),
      ],
    },
  ],
};

export const DASHBOARDS: readonly Dashboard[] = [cluster, volume, node, replication, tasks];
