/** What clients hear when a primary closes: an error where going on would be over a loss, else nothing, for somebody answers them next. Holds no state. */
import { IoError } from '../ports.ts';

/** Said as an error: no client of this epoch may go on as if nothing had happened. */
export const LOST = new IoError('io', 'every in-sync replica lost power: what was not flushed may be gone');

/** Not said at all: the connection ends, and whoever serves next is asked again. What is in flight here is settled, or fenced, before that one begins. */
export const GIVEN_AWAY = new IoError('shutdown', 'the volume is served here no more');
