/** What may go wrong in a correct program that works on disks. Everything else that is thrown is a programmer error and is never caught. */
export abstract class StorageError extends Error {}
