/**
 * The rules that a client can break, as short names (for counters) and sentences (for people; sent in error replies where the protocol has room).
 * Must never decide anything: who finds a rule broken is decode.ts, negotiate.ts or request.ts.
 */

/** Broken by a connection: it ends. */
export type ConnectionRule =
  | 'clientFlags'
  | 'optionMagic'
  | 'optionsMax'
  | 'exportName'
  | 'requestMagic'
  | 'connectionsMax'
  | 'handshakeTimeout';

export const CONNECTION_RULES: Record<ConnectionRule, string> = {
  clientFlags: 'client flags must be of those that the server offered',
  optionMagic: 'an option must begin with IHAVEOPT',
  optionsMax: 'a handshake must end after 256 options',
  exportName: 'EXPORT_NAME must name the volume (its only way to be refused is this)',
  requestMagic: 'a request must begin with the magic 0x25609513',
  connectionsMax: 'a volume must have no more connections than its server allows',
  handshakeTimeout: 'a handshake must end in time',
};

/** Broken by a request: it fails, the connection lives. */
export type RequestRule =
  | 'unknownCommand'
  | 'unknownFlag'
  | 'emptyRange'
  | 'beyondEnd'
  | 'tooLong'
  | 'flushRange'
  | 'contextNotSelected'
  | 'fastZero';

export const REQUEST_RULES: Record<RequestRule, string> = {
  unknownCommand: 'the command is not one that this server knows',
  unknownFlag: 'a command flag is set that does not go with the command',
  emptyRange: 'the length must be at least 1',
  beyondEnd: 'the range must end within the volume',
  tooLong: 'a read or write must be at most 32 MiB long',
  flushRange: 'offset and length of a flush must be 0',
  contextNotSelected: 'block status needs structured replies and the context base:allocation, selected in the handshake',
  fastZero: 'zeroes that must stay allocated are no faster than a write',
};
