/** The types of the Container Storage Interface, made from csi.proto by tools/generate/csi.ts. Of what is sent, everything may be left out. */

export type Loose<Type> = Type extends Buffer | readonly string[] ? Type : Type extends readonly (infer One)[] ? Loose<One>[] : Type extends object ? string extends keyof Type ? Type : { [Key in keyof Type]?: Loose<Type[Key]> } : Type;

export type Handler<Call, Request, Response> = (request: Request, call: Call) => Promise<Loose<Response>>;

export type IdentityService<Call> = {
  getPluginInfo: Handler<Call, GetPluginInfoRequest, GetPluginInfoResponse>;
  getPluginCapabilities: Handler<Call, GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse>;
  probe: Handler<Call, ProbeRequest, ProbeResponse>;
};

export type ControllerService<Call> = {
  createVolume: Handler<Call, CreateVolumeRequest, CreateVolumeResponse>;
  deleteVolume: Handler<Call, DeleteVolumeRequest, DeleteVolumeResponse>;
  controllerPublishVolume: Handler<Call, ControllerPublishVolumeRequest, ControllerPublishVolumeResponse>;
  controllerUnpublishVolume: Handler<Call, ControllerUnpublishVolumeRequest, ControllerUnpublishVolumeResponse>;
  validateVolumeCapabilities: Handler<Call, ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse>;
  listVolumes: Handler<Call, ListVolumesRequest, ListVolumesResponse>;
  getCapacity: Handler<Call, GetCapacityRequest, GetCapacityResponse>;
  controllerGetCapabilities: Handler<Call, ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse>;
  createSnapshot: Handler<Call, CreateSnapshotRequest, CreateSnapshotResponse>;
  deleteSnapshot: Handler<Call, DeleteSnapshotRequest, DeleteSnapshotResponse>;
  listSnapshots: Handler<Call, ListSnapshotsRequest, ListSnapshotsResponse>;
  getSnapshot: Handler<Call, GetSnapshotRequest, GetSnapshotResponse>;
  controllerExpandVolume: Handler<Call, ControllerExpandVolumeRequest, ControllerExpandVolumeResponse>;
  controllerGetVolume: Handler<Call, ControllerGetVolumeRequest, ControllerGetVolumeResponse>;
  controllerModifyVolume: Handler<Call, ControllerModifyVolumeRequest, ControllerModifyVolumeResponse>;
};

export type GroupControllerService<Call> = {
  groupControllerGetCapabilities: Handler<Call, GroupControllerGetCapabilitiesRequest, GroupControllerGetCapabilitiesResponse>;
  createVolumeGroupSnapshot: Handler<Call, CreateVolumeGroupSnapshotRequest, CreateVolumeGroupSnapshotResponse>;
  deleteVolumeGroupSnapshot: Handler<Call, DeleteVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotResponse>;
  getVolumeGroupSnapshot: Handler<Call, GetVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotResponse>;
};

export type NodeService<Call> = {
  nodeStageVolume: Handler<Call, NodeStageVolumeRequest, NodeStageVolumeResponse>;
  nodeUnstageVolume: Handler<Call, NodeUnstageVolumeRequest, NodeUnstageVolumeResponse>;
  nodePublishVolume: Handler<Call, NodePublishVolumeRequest, NodePublishVolumeResponse>;
  nodeUnpublishVolume: Handler<Call, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse>;
  nodeGetVolumeStats: Handler<Call, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse>;
  nodeExpandVolume: Handler<Call, NodeExpandVolumeRequest, NodeExpandVolumeResponse>;
  nodeGetCapabilities: Handler<Call, NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse>;
  nodeGetInfo: Handler<Call, NodeGetInfoRequest, NodeGetInfoResponse>;
};

export type GetPluginInfoRequest = Record<never, never>;

export type GetPluginInfoResponse = {
  name: string;
  vendorVersion: string;
  manifest: Record<string, string>;
};

export type GetPluginCapabilitiesRequest = Record<never, never>;

export type GetPluginCapabilitiesResponse = {
  capabilities: PluginCapability[];
};

export type PluginCapabilityServiceType = 'UNKNOWN' | 'CONTROLLER_SERVICE' | 'VOLUME_ACCESSIBILITY_CONSTRAINTS' | 'GROUP_CONTROLLER_SERVICE' | 'SNAPSHOT_METADATA_SERVICE';

export type PluginCapabilityService = {
  type: PluginCapabilityServiceType;
};

export type PluginCapabilityVolumeExpansionType = 'UNKNOWN' | 'ONLINE' | 'OFFLINE';

export type PluginCapabilityVolumeExpansion = {
  type: PluginCapabilityVolumeExpansionType;
};

export type PluginCapability = {
  service: PluginCapabilityService | null;
  volumeExpansion: PluginCapabilityVolumeExpansion | null;
  /** Which of them was sent. */
  type?: string;
};

export type ProbeRequest = Record<never, never>;

export type ProbeResponse = {
  ready: { value: boolean } | null;
};

export type CreateVolumeRequest = {
  name: string;
  capacityRange: CapacityRange | null;
  volumeCapabilities: VolumeCapability[];
  parameters: Record<string, string>;
  secrets: Record<string, string>;
  volumeContentSource: VolumeContentSource | null;
  accessibilityRequirements: TopologyRequirement | null;
  mutableParameters: Record<string, string>;
};

export type VolumeContentSourceSnapshotSource = {
  snapshotId: string;
};

export type VolumeContentSourceVolumeSource = {
  volumeId: string;
};

export type VolumeContentSource = {
  snapshot: VolumeContentSourceSnapshotSource | null;
  volume: VolumeContentSourceVolumeSource | null;
  /** Which of them was sent. */
  type?: string;
};

export type CreateVolumeResponse = {
  volume: Volume | null;
};

export type VolumeCapabilityBlockVolume = Record<never, never>;

export type VolumeCapabilityMountVolume = {
  fsType: string;
  mountFlags: string[];
  volumeMountGroup: string;
};

export type VolumeCapabilityAccessModeMode = 'UNKNOWN' | 'SINGLE_NODE_WRITER' | 'SINGLE_NODE_READER_ONLY' | 'MULTI_NODE_READER_ONLY' | 'MULTI_NODE_SINGLE_WRITER' | 'MULTI_NODE_MULTI_WRITER' | 'SINGLE_NODE_SINGLE_WRITER' | 'SINGLE_NODE_MULTI_WRITER';

export type VolumeCapabilityAccessMode = {
  mode: VolumeCapabilityAccessModeMode;
};

export type VolumeCapability = {
  block: VolumeCapabilityBlockVolume | null;
  mount: VolumeCapabilityMountVolume | null;
  accessMode: VolumeCapabilityAccessMode | null;
  /** Which of them was sent. */
  accessType?: string;
};

export type CapacityRange = {
  requiredBytes: number;
  limitBytes: number;
};

export type Volume = {
  capacityBytes: number;
  volumeId: string;
  volumeContext: Record<string, string>;
  contentSource: VolumeContentSource | null;
  accessibleTopology: Topology[];
};

export type TopologyRequirement = {
  requisite: Topology[];
  preferred: Topology[];
};

export type Topology = {
  segments: Record<string, string>;
};

export type DeleteVolumeRequest = {
  volumeId: string;
  secrets: Record<string, string>;
};

export type DeleteVolumeResponse = Record<never, never>;

export type ControllerPublishVolumeRequest = {
  volumeId: string;
  nodeId: string;
  volumeCapability: VolumeCapability | null;
  readonly: boolean;
  secrets: Record<string, string>;
  volumeContext: Record<string, string>;
};

export type ControllerPublishVolumeResponse = {
  publishContext: Record<string, string>;
};

export type ControllerUnpublishVolumeRequest = {
  volumeId: string;
  nodeId: string;
  secrets: Record<string, string>;
};

export type ControllerUnpublishVolumeResponse = Record<never, never>;

export type ValidateVolumeCapabilitiesRequest = {
  volumeId: string;
  volumeContext: Record<string, string>;
  volumeCapabilities: VolumeCapability[];
  parameters: Record<string, string>;
  secrets: Record<string, string>;
  mutableParameters: Record<string, string>;
};

export type ValidateVolumeCapabilitiesResponseConfirmed = {
  volumeContext: Record<string, string>;
  volumeCapabilities: VolumeCapability[];
  parameters: Record<string, string>;
  mutableParameters: Record<string, string>;
};

export type ValidateVolumeCapabilitiesResponse = {
  confirmed: ValidateVolumeCapabilitiesResponseConfirmed | null;
  message: string;
};

export type ListVolumesRequest = {
  maxEntries: number;
  startingToken: string;
};

export type ListVolumesResponseVolumeStatus = {
  publishedNodeIds: string[];
  volumeCondition: VolumeCondition | null;
};

export type ListVolumesResponseEntry = {
  volume: Volume | null;
  status: ListVolumesResponseVolumeStatus | null;
};

export type ListVolumesResponse = {
  entries: ListVolumesResponseEntry[];
  nextToken: string;
};

export type ControllerGetVolumeRequest = {
  volumeId: string;
};

export type ControllerGetVolumeResponseVolumeStatus = {
  publishedNodeIds: string[];
  volumeCondition: VolumeCondition | null;
};

export type ControllerGetVolumeResponse = {
  volume: Volume | null;
  status: ControllerGetVolumeResponseVolumeStatus | null;
};

export type ControllerModifyVolumeRequest = {
  volumeId: string;
  secrets: Record<string, string>;
  mutableParameters: Record<string, string>;
};

export type ControllerModifyVolumeResponse = Record<never, never>;

export type GetCapacityRequest = {
  volumeCapabilities: VolumeCapability[];
  parameters: Record<string, string>;
  accessibleTopology: Topology | null;
};

export type GetCapacityResponse = {
  availableCapacity: number;
  maximumVolumeSize: { value: number } | null;
  minimumVolumeSize: { value: number } | null;
};

export type ControllerGetCapabilitiesRequest = Record<never, never>;

export type ControllerGetCapabilitiesResponse = {
  capabilities: ControllerServiceCapability[];
};

export type ControllerServiceCapabilityRPCType = 'UNKNOWN' | 'CREATE_DELETE_VOLUME' | 'PUBLISH_UNPUBLISH_VOLUME' | 'LIST_VOLUMES' | 'GET_CAPACITY' | 'CREATE_DELETE_SNAPSHOT' | 'LIST_SNAPSHOTS' | 'CLONE_VOLUME' | 'PUBLISH_READONLY' | 'EXPAND_VOLUME' | 'LIST_VOLUMES_PUBLISHED_NODES' | 'VOLUME_CONDITION' | 'GET_VOLUME' | 'SINGLE_NODE_MULTI_WRITER' | 'MODIFY_VOLUME' | 'GET_SNAPSHOT';

export type ControllerServiceCapabilityRPC = {
  type: ControllerServiceCapabilityRPCType;
};

export type ControllerServiceCapability = {
  rpc: ControllerServiceCapabilityRPC | null;
  /** Which of them was sent. */
  type?: string;
};

export type CreateSnapshotRequest = {
  sourceVolumeId: string;
  name: string;
  secrets: Record<string, string>;
  parameters: Record<string, string>;
};

export type CreateSnapshotResponse = {
  snapshot: Snapshot | null;
};

export type Snapshot = {
  sizeBytes: number;
  snapshotId: string;
  sourceVolumeId: string;
  creationTime: { seconds: number; nanos: number } | null;
  readyToUse: boolean;
  groupSnapshotId: string;
};

export type DeleteSnapshotRequest = {
  snapshotId: string;
  secrets: Record<string, string>;
};

export type DeleteSnapshotResponse = Record<never, never>;

export type ListSnapshotsRequest = {
  maxEntries: number;
  startingToken: string;
  sourceVolumeId: string;
  snapshotId: string;
  secrets: Record<string, string>;
};

export type ListSnapshotsResponseEntry = {
  snapshot: Snapshot | null;
};

export type ListSnapshotsResponse = {
  entries: ListSnapshotsResponseEntry[];
  nextToken: string;
};

export type GetSnapshotRequest = {
  snapshotId: string;
  secrets: Record<string, string>;
};

export type GetSnapshotResponse = {
  snapshot: Snapshot | null;
};

export type ControllerExpandVolumeRequest = {
  volumeId: string;
  capacityRange: CapacityRange | null;
  secrets: Record<string, string>;
  volumeCapability: VolumeCapability | null;
};

export type ControllerExpandVolumeResponse = {
  capacityBytes: number;
  nodeExpansionRequired: boolean;
};

export type NodeStageVolumeRequest = {
  volumeId: string;
  publishContext: Record<string, string>;
  stagingTargetPath: string;
  volumeCapability: VolumeCapability | null;
  secrets: Record<string, string>;
  volumeContext: Record<string, string>;
};

export type NodeStageVolumeResponse = Record<never, never>;

export type NodeUnstageVolumeRequest = {
  volumeId: string;
  stagingTargetPath: string;
};

export type NodeUnstageVolumeResponse = Record<never, never>;

export type NodePublishVolumeRequest = {
  volumeId: string;
  publishContext: Record<string, string>;
  stagingTargetPath: string;
  targetPath: string;
  volumeCapability: VolumeCapability | null;
  readonly: boolean;
  secrets: Record<string, string>;
  volumeContext: Record<string, string>;
};

export type NodePublishVolumeResponse = Record<never, never>;

export type NodeUnpublishVolumeRequest = {
  volumeId: string;
  targetPath: string;
};

export type NodeUnpublishVolumeResponse = Record<never, never>;

export type NodeGetVolumeStatsRequest = {
  volumeId: string;
  volumePath: string;
  stagingTargetPath: string;
};

export type NodeGetVolumeStatsResponse = {
  usage: VolumeUsage[];
  volumeCondition: VolumeCondition | null;
};

export type VolumeUsageUnit = 'UNKNOWN' | 'BYTES' | 'INODES';

export type VolumeUsage = {
  available: number;
  total: number;
  used: number;
  unit: VolumeUsageUnit;
};

export type VolumeCondition = {
  abnormal: boolean;
  message: string;
};

export type NodeGetCapabilitiesRequest = Record<never, never>;

export type NodeGetCapabilitiesResponse = {
  capabilities: NodeServiceCapability[];
};

export type NodeServiceCapabilityRPCType = 'UNKNOWN' | 'STAGE_UNSTAGE_VOLUME' | 'GET_VOLUME_STATS' | 'EXPAND_VOLUME' | 'VOLUME_CONDITION' | 'SINGLE_NODE_MULTI_WRITER' | 'VOLUME_MOUNT_GROUP';

export type NodeServiceCapabilityRPC = {
  type: NodeServiceCapabilityRPCType;
};

export type NodeServiceCapability = {
  rpc: NodeServiceCapabilityRPC | null;
  /** Which of them was sent. */
  type?: string;
};

export type NodeGetInfoRequest = Record<never, never>;

export type NodeGetInfoResponse = {
  nodeId: string;
  maxVolumesPerNode: number;
  accessibleTopology: Topology | null;
};

export type NodeExpandVolumeRequest = {
  volumeId: string;
  volumePath: string;
  capacityRange: CapacityRange | null;
  stagingTargetPath: string;
  volumeCapability: VolumeCapability | null;
  secrets: Record<string, string>;
};

export type NodeExpandVolumeResponse = {
  capacityBytes: number;
};

export type GroupControllerGetCapabilitiesRequest = Record<never, never>;

export type GroupControllerGetCapabilitiesResponse = {
  capabilities: GroupControllerServiceCapability[];
};

export type GroupControllerServiceCapabilityRPCType = 'UNKNOWN' | 'CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT';

export type GroupControllerServiceCapabilityRPC = {
  type: GroupControllerServiceCapabilityRPCType;
};

export type GroupControllerServiceCapability = {
  rpc: GroupControllerServiceCapabilityRPC | null;
  /** Which of them was sent. */
  type?: string;
};

export type CreateVolumeGroupSnapshotRequest = {
  name: string;
  sourceVolumeIds: string[];
  secrets: Record<string, string>;
  parameters: Record<string, string>;
};

export type CreateVolumeGroupSnapshotResponse = {
  groupSnapshot: VolumeGroupSnapshot | null;
};

export type VolumeGroupSnapshot = {
  groupSnapshotId: string;
  snapshots: Snapshot[];
  creationTime: { seconds: number; nanos: number } | null;
  readyToUse: boolean;
};

export type DeleteVolumeGroupSnapshotRequest = {
  groupSnapshotId: string;
  snapshotIds: string[];
  secrets: Record<string, string>;
};

export type DeleteVolumeGroupSnapshotResponse = Record<never, never>;

export type GetVolumeGroupSnapshotRequest = {
  groupSnapshotId: string;
  snapshotIds: string[];
  secrets: Record<string, string>;
};

export type GetVolumeGroupSnapshotResponse = {
  groupSnapshot: VolumeGroupSnapshot | null;
};

export type BlockMetadata = {
  byteOffset: number;
  sizeBytes: number;
};

export type BlockMetadataType = 'UNKNOWN' | 'FIXED_LENGTH' | 'VARIABLE_LENGTH';

export type GetMetadataAllocatedRequest = {
  snapshotId: string;
  startingOffset: number;
  maxResults: number;
  secrets: Record<string, string>;
};

export type GetMetadataAllocatedResponse = {
  blockMetadataType: BlockMetadataType;
  volumeCapacityBytes: number;
  blockMetadata: BlockMetadata[];
};

export type GetMetadataDeltaRequest = {
  baseSnapshotId: string;
  targetSnapshotId: string;
  startingOffset: number;
  maxResults: number;
  secrets: Record<string, string>;
};

export type GetMetadataDeltaResponse = {
  blockMetadataType: BlockMetadataType;
  volumeCapacityBytes: number;
  blockMetadata: BlockMetadata[];
};
