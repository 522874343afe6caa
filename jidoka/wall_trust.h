/* How far the wall clock may be trusted when the age of a signal is judged. The partition clock advances with the
 * owner's monotonic clock and stands still while nobody owns the partition; how far the wall clock is ahead of it
 * changes by jumps and outages only. Trusted is the least distance seen on this day of the partition clock and on the
 * one before: a jump back, or a clock that was ahead and has been set right, counts at once; a jump ahead and the time
 * of an outage count once they have lasted for a day or two. So no jump makes what was just accepted look old. Pure. */
#ifndef TAI_JIDOKA_WALL_TRUST_H
#define TAI_JIDOKA_WALL_TRUST_H

#include "store/records.h"

/* The owner sees both clocks: with each batch and at least every second. */
void wall_trust_note(struct wall_trust *trust, int64_t clock_ms, int64_t wall_ms);
/* The trusted wall time, never later than any noted with that clock. Only after a note. */
int64_t wall_trust_ms(const struct wall_trust *trust, int64_t clock_ms);

#endif
