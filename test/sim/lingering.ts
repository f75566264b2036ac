/**
 * Whether extents linger in the logs of a run. Runs are hardly longer than `LINGER_MS`, and every promotion touches what is logged anew: with what is hot kept, no log
 * is ever empty in them, and what shows only where nothing is logged never does: nothing could rot. So in some runs an extent leaves as soon as it may, as after a pause
 * longer than any run. Must never change what may leave: that is said by `mayLeave`, never by the heat.
 */
import { Heat } from '../../agent/replica/heat.ts';

const usual = Heat.prototype.isCool;

/** For all replicas of this process: one run at a time. */
export function setLingering(lingers: boolean): void {
  Heat.prototype.isCool = lingers ? usual : () => true;
}
