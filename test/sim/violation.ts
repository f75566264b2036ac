/** What a checker throws. The run ends with it: what comes after a broken invariant says nothing. */
export type CheckerName =
  | 'linearizable'
  | 'onePrimary'
  | 'acknowledged'
  | 'inSync'
  | 'covers'
  | 'monotone'
  | 'atRest'
  | 'tasks'
  | 'bounded'
  | 'liveness'
  | 'contract';

export class Violation extends Error {
  override readonly name = 'Violation';
  readonly checker: CheckerName;
  constructor(checker: CheckerName, message: string) {
    super(message);
    this.checker = checker;
  }
}
