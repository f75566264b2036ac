/** The API's kinds as JSON Schema, made from crds/ by tools/generate/types.ts: change them there. */
export const SCHEMAS = {
  "Snapshot": {
    "type": "object",
    "description": "A volume's content at one moment. Other volumes can start from it (spec.source.snapshot).",
    "required": [
      "spec"
    ],
    "properties": {
      "apiVersion": {
        "type": "string",
        "description": "holdfast.dev/v1alpha1"
      },
      "kind": {
        "type": "string",
        "description": "Snapshot"
      },
      "metadata": {
        "type": "object"
      },
      "spec": {
        "type": "object",
        "description": "What to take a snapshot of.",
        "required": [
          "volume"
        ],
        "properties": {
          "volume": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "description": "The name of the Volume. May not change."
          }
        },
        "additionalProperties": false
      },
      "status": {
        "type": "object",
        "description": "What the leading operator saw last. Never written by people.",
        "properties": {
          "phase": {
            "description": "Pending: it cannot be taken now, error says why. Taking. Ready: it exists, on nodes. Failed: taking it failed and is tried again. Deleting.",
            "type": "string",
            "enum": [
              "Pending",
              "Taking",
              "Ready",
              "Failed",
              "Deleting"
            ]
          },
          "ready": {
            "type": "boolean",
            "description": "It can be used as a volume's source."
          },
          "size": {
            "type": "string",
            "description": "Of the volume when the snapshot was taken."
          },
          "createdAt": {
            "type": "string",
            "format": "date-time",
            "description": "When it was taken."
          },
          "nodes": {
            "type": "array",
            "items": {
              "type": "string"
            },
            "description": "That hold a part of it."
          },
          "error": {
            "type": "string",
            "description": "In words, why it is not ready."
          },
          "observedGeneration": {
            "type": "integer",
            "format": "int64"
          }
        },
        "additionalProperties": false
      }
    }
  },
  "StorageNode": {
    "type": "object",
    "description": "A node that keeps replicas in its pools. Made when the node's agent registers, never deleted by itself. Deleted by people, the node is removed for good: what it held is made anew elsewhere.",
    "required": [
      "spec"
    ],
    "properties": {
      "apiVersion": {
        "type": "string",
        "description": "holdfast.dev/v1alpha1"
      },
      "kind": {
        "type": "string",
        "description": "StorageNode"
      },
      "metadata": {
        "type": "object"
      },
      "spec": {
        "type": "object",
        "description": "What people want of the node.",
        "properties": {
          "schedulable": {
            "description": "New replicas may be placed here.",
            "type": "boolean",
            "default": true
          },
          "maintenance": {
            "description": "The node is down on purpose, or will be: nothing is placed here, and nothing is replaced because it is away.",
            "type": "boolean",
            "default": false
          },
          "evict": {
            "description": "Replicas shall leave this node: each is made elsewhere first. Nothing new is placed here.",
            "type": "boolean",
            "default": false
          }
        },
        "additionalProperties": false
      },
      "status": {
        "type": "object",
        "description": "What the leading operator saw last. Never written by people.",
        "properties": {
          "zone": {
            "type": "string"
          },
          "version": {
            "type": "string",
            "description": "Of the agent."
          },
          "labels": {
            "description": "Of the agent: placement.nodeSelector sees them as those of this object, which win.",
            "type": "object",
            "additionalProperties": {
              "type": "string"
            }
          },
          "replicas": {
            "type": "integer",
            "format": "int32",
            "description": "How many replicas are kept here."
          },
          "used": {
            "type": "string",
            "description": "Bytes used on the file systems of its pools, by anybody."
          },
          "capacity": {
            "type": "string",
            "description": "Bytes of the file systems of its pools."
          },
          "evicting": {
            "type": "object",
            "description": "What is left of emptying the node, while that is asked for (spec.evict) or the node is removed.",
            "required": [
              "replicasLeft",
              "blocked"
            ],
            "properties": {
              "replicasLeft": {
                "type": "integer",
                "format": "int32",
                "description": "Replicas that are still here, whether in sync or leaving."
              },
              "blocked": {
                "type": "array",
                "description": "Volumes whose replica cannot leave now, and why; the first few. They are tried again.",
                "items": {
                  "type": "object",
                  "required": [
                    "volume",
                    "reason"
                  ],
                  "properties": {
                    "volume": {
                      "type": "string"
                    },
                    "reason": {
                      "type": "string",
                      "description": "A sentence for people."
                    }
                  },
                  "additionalProperties": false
                }
              }
            },
            "additionalProperties": false
          },
          "pools": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "name",
                "state",
                "capacity",
                "used",
                "allocated"
              ],
              "properties": {
                "name": {
                  "type": "string"
                },
                "state": {
                  "type": "string",
                  "enum": [
                    "Ready",
                    "Quarantined"
                  ]
                },
                "reason": {
                  "type": "string",
                  "description": "In words, where it is not ready."
                },
                "capacity": {
                  "type": "string",
                  "description": "Exact, as the next two: drain --dry-run reckons with them."
                },
                "used": {
                  "type": "string",
                  "description": "On the file system, by anybody."
                },
                "allocated": {
                  "type": "string",
                  "description": "Sum of the sizes promised to replicas; may exceed the capacity (thin)."
                },
                "tags": {
                  "type": "array",
                  "items": {
                    "type": "string"
                  }
                },
                "snapshots": {
                  "type": "boolean",
                  "description": "Whether its file system can share blocks between files."
                }
              },
              "additionalProperties": false
            }
          },
          "conditions": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "type",
                "status",
                "reason",
                "message",
                "lastTransitionTime"
              ],
              "properties": {
                "type": {
                  "type": "string"
                },
                "status": {
                  "type": "string",
                  "enum": [
                    "True",
                    "False",
                    "Unknown"
                  ]
                },
                "reason": {
                  "type": "string",
                  "description": "One word for programs."
                },
                "message": {
                  "type": "string",
                  "description": "A sentence for people."
                },
                "lastTransitionTime": {
                  "type": "string",
                  "format": "date-time",
                  "description": "When status last changed."
                },
                "observedGeneration": {
                  "type": "integer",
                  "format": "int64"
                }
              },
              "additionalProperties": false
            }
          }
        },
        "additionalProperties": false
      }
    }
  },
  "Volume": {
    "type": "object",
    "description": "A replicated block device. The same bytes are kept on several nodes; one node at a time serves it.",
    "required": [
      "spec"
    ],
    "properties": {
      "apiVersion": {
        "type": "string",
        "description": "holdfast.dev/v1alpha1"
      },
      "kind": {
        "type": "string",
        "description": "Volume"
      },
      "metadata": {
        "type": "object"
      },
      "spec": {
        "type": "object",
        "description": "What the volume should be.",
        "required": [
          "size"
        ],
        "properties": {
          "size": {
            "description": "How many bytes the volume holds, as a quantity: 10Gi, 500G. More than 0, at most 16Ti; rounded up to whole blocks of 4096 bytes. May grow, never shrinks.",
            "anyOf": [
              {
                "type": "integer"
              },
              {
                "type": "string"
              }
            ],
            "maxLength": 32
          },
          "replicas": {
            "description": "How many full copies are kept, each on another node, 1 to 9. May change later.",
            "type": "integer",
            "format": "int32",
            "default": 3
          },
          "minInSync": {
            "description": "With fewer replicas in sync than this, writes wait. Left out: more than half of the replicas (2 of 3). A higher value counts once that many are in sync.",
            "type": "integer",
            "format": "int32"
          },
          "shards": {
            "description": "Into how many independently replicated parts the volume is striped, 1 to 64: of several, each is kept on nodes of its own, so that the volume may be larger than any node and a lost node is made anew by many. May not change later.",
            "type": "integer",
            "format": "int32",
            "default": 1
          },
          "placement": {
            "description": "Where replicas may be kept. Two replicas (of one shard) are never on one node.",
            "type": "object",
            "default": {},
            "properties": {
              "nodeSelector": {
                "description": "Labels that a node must carry (of its agent, or of its StorageNode).",
                "type": "object",
                "maxProperties": 32,
                "additionalProperties": {
                  "type": "string",
                  "maxLength": 63
                },
                "default": {}
              },
              "poolTags": {
                "description": "Tags that a pool must carry, all of them.",
                "type": "array",
                "maxItems": 32,
                "items": {
                  "type": "string",
                  "maxLength": 63,
                  "minLength": 1
                },
                "default": []
              },
              "zones": {
                "description": "Require: every replica in a zone of its own, or the volume stays Pending. Prefer: spread over zones as far as they go. Ignore: zones do not matter.",
                "type": "string",
                "enum": [
                  "Require",
                  "Prefer",
                  "Ignore"
                ],
                "default": "Prefer"
              }
            },
            "additionalProperties": false
          },
          "limits": {
            "description": "What the volume may take; 0 is no limit. May change while it is in use.",
            "type": "object",
            "default": {},
            "properties": {
              "iops": {
                "description": "Reads and writes a second.",
                "type": "integer",
                "format": "int64",
                "default": 0
              },
              "bytesPerSecond": {
                "description": "Bytes read and written a second.",
                "type": "integer",
                "format": "int64",
                "default": 0
              }
            },
            "additionalProperties": false
          },
          "source": {
            "description": "What the volume starts from, fixed at its making: as large or larger, with as many shards. Left out, it starts empty. Its first replicas share blocks with those of the source, in the same pools.",
            "type": "object",
            "properties": {
              "snapshot": {
                "type": "string",
                "minLength": 1,
                "maxLength": 253,
                "description": "A Snapshot's name."
              },
              "volume": {
                "type": "string",
                "minLength": 1,
                "maxLength": 253,
                "description": "A Volume's name: as that is now."
              }
            },
            "additionalProperties": false
          },
          "attachTo": {
            "description": "The node that shall serve the volume. Empty or left out, nobody does.",
            "type": "string",
            "maxLength": 253
          }
        },
        "additionalProperties": false
      },
      "status": {
        "type": "object",
        "description": "What the leading operator saw last. Never written by people.",
        "properties": {
          "phase": {
            "description": "Pending: no place for its replicas. Creating: they are being made. Healthy: all in sync, and served where it shall be. Degraded: works, with fewer replicas in sync than asked for. Unavailable: not served although it shall be, or too few replicas reachable. Deleting. Failed: somebody has to look.",
            "type": "string",
            "enum": [
              "Pending",
              "Creating",
              "Healthy",
              "Degraded",
              "Unavailable",
              "Deleting",
              "Failed"
            ]
          },
          "observedGeneration": {
            "type": "integer",
            "format": "int64",
            "description": "The metadata.generation that this status speaks of."
          },
          "size": {
            "type": "string",
            "description": "What it offers its clients now; what is asked, until it is placed."
          },
          "inSync": {
            "type": "string",
            "description": "Replicas in sync, of those asked for: 3/3. Of several shards, the one with the fewest."
          },
          "epoch": {
            "type": "integer",
            "format": "int64",
            "description": "Rises with every change of the serving agent."
          },
          "primary": {
            "type": "string",
            "description": "The node whose agent may write to the replicas now, with or without a socket."
          },
          "attachment": {
            "description": "Where the volume is served.",
            "type": "object",
            "required": [
              "node",
              "socket",
              "since"
            ],
            "properties": {
              "node": {
                "type": "string"
              },
              "socket": {
                "type": "string",
                "description": "Path of the NBD socket on that node."
              },
              "since": {
                "type": "string",
                "format": "date-time"
              }
            },
            "additionalProperties": false
          },
          "replicas": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "name",
                "node",
                "pool",
                "shard",
                "state"
              ],
              "properties": {
                "name": {
                  "type": "string",
                  "description": "The replica's id."
                },
                "node": {
                  "type": "string"
                },
                "pool": {
                  "type": "string"
                },
                "shard": {
                  "type": "integer",
                  "format": "int32"
                },
                "state": {
                  "type": "string",
                  "enum": [
                    "Creating",
                    "InSync",
                    "Learner",
                    "Out",
                    "Leaving",
                    "Failed"
                  ],
                  "description": "Creating: its files are being made. InSync: holds every acknowledged write. Learner: catches up. Out: not reached. Leaving: is being taken out. Failed: its node refuses to serve it."
                },
                "reason": {
                  "type": "string",
                  "description": "In words, where it is not in sync."
                },
                "progress": {
                  "description": "How far a learner is.",
                  "type": "object",
                  "required": [
                    "doneBytes",
                    "totalBytes"
                  ],
                  "properties": {
                    "doneBytes": {
                      "type": "integer",
                      "format": "int64"
                    },
                    "totalBytes": {
                      "type": "integer",
                      "format": "int64"
                    },
                    "secondsLeft": {
                      "type": "integer",
                      "format": "int64",
                      "description": "At the present pace. Left out while it is not known."
                    }
                  },
                  "additionalProperties": false
                }
              },
              "additionalProperties": false
            }
          },
          "scrub": {
            "description": "The last comparing of all replicas with each other.",
            "type": "object",
            "required": [
              "position",
              "repaired",
              "unresolved"
            ],
            "properties": {
              "position": {
                "type": "string",
                "description": "How much is compared of the one under way, or of the last: 42%."
              },
              "lastCompleted": {
                "type": "string",
                "format": "date-time"
              },
              "repaired": {
                "type": "integer",
                "format": "int64",
                "description": "Blocks that differed and were made like the majority's."
              },
              "unresolved": {
                "type": "integer",
                "format": "int64",
                "description": "Blocks that differ where no majority says how they should be: somebody has to look."
              }
            },
            "additionalProperties": false
          },
          "unschedulable": {
            "description": "For every known node, why it takes no replica of this volume; of more than 100 nodes, every reason with some of its nodes.",
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "node",
                "reason"
              ],
              "properties": {
                "node": {
                  "type": "string"
                },
                "reason": {
                  "type": "string"
                }
              },
              "additionalProperties": false
            }
          },
          "conditions": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "type",
                "status",
                "reason",
                "message",
                "lastTransitionTime"
              ],
              "properties": {
                "type": {
                  "type": "string"
                },
                "status": {
                  "type": "string",
                  "enum": [
                    "True",
                    "False",
                    "Unknown"
                  ]
                },
                "reason": {
                  "type": "string",
                  "description": "One word for programs."
                },
                "message": {
                  "type": "string",
                  "description": "A sentence for people."
                },
                "lastTransitionTime": {
                  "type": "string",
                  "format": "date-time",
                  "description": "When status last changed."
                },
                "observedGeneration": {
                  "type": "integer",
                  "format": "int64"
                }
              },
              "additionalProperties": false
            }
          }
        },
        "additionalProperties": false
      }
    }
  }
} as const;
