/** Where the two halves of the CSI driver of the emulated machine answer, and where the volumes of its controller lie. */
export const CONTROLLER_SOCKET = '/run/controller.sock';
export const NODE_SOCKET = '/run/node.sock';
export const fileOf = (id: string): string => `/tmp/${id}.volume`;
/** What is told of it: `{uid, sizeBytes}`. */
export const recordOf = (id: string): string => `/tmp/${id}.json`;
export const socketOf = (id: string): string => `/run/${id}.sock`;
