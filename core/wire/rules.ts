/** The rules that a peer's bytes can break: short names (for counters) and what a decoder answers with. Must never decide anything (decode.ts does). */

export type WireRule =
  /** The stream does not begin a frame where one must begin. */
  | 'magic'
  | 'headerChecksum'
  | 'protocolVersion'
  | 'frameType'
  /** A Seal first and only once; Sealed, Refused or failed first; nothing behind Refused and failed. */
  | 'order'
  | 'epoch'
  | 'instance'
  /** A flag, a reserved field, or a field without a meaning in this type is not zero. */
  | 'notZero'
  /** An integer is beyond what may be counted with, or a range beyond what the type allows. */
  | 'range'
  | 'bodyLength'
  | 'bodyChecksum'
  /** What stands in the body does not keep the rules of its type. */
  | 'body';

/** The rule that was broken, and a sentence with what was found. */
export class Violation {
  readonly rule: WireRule;
  readonly message: string;

  constructor(rule: WireRule, message: string) {
    this.rule = rule;
    this.message = message;
  }
}
