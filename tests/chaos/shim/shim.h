/* What tai-chaos adds to tai by the linker (--wrap) and by a default SQLite VFS; the product's code is untouched. The
 * environment selects:
 *
 *   TAI_CHAOS_VFS=volatile    unsynced writes of database and log stay in this process and die with it
 *   TAI_CHAOS_FILES=volatile  the same for the signer's memory
 *   TAI_CHAOS_NOSYNC=MS       with these: MS after the start and later, syncs are acknowledged and not done
 *   TAI_CHAOS_WRITEBACK=N     with these: one write in N goes through at once, as a kernel may
 *   TAI_CHAOS_FULL=MS         the disk is full for the last MS of every 4 × MS
 *   TAI_CHAOS_CLOCK=FILE      the wall clock is off by the milliseconds in that file, an int64
 *   TAI_CHAOS_SLOW=MS         commits of jidoka wait so long before they are begun
 *   TAI_CHAOS_BUG=name        a planted bug (bugs_….c)
 *
 * State at file level is what a shim is made of: the wrapped functions have no context of ours. */
#ifndef TAI_CHAOS_SHIM_H
#define TAI_CHAOS_SHIM_H

#include <stdbool.h>
#include <stdint.h>

bool shim_bug(const char *name); /* that one is planted */
int64_t shim_number(const char *variable, int64_t otherwise);
/* One call in n, whichever thread asks: the bug shows now. */
bool shim_sometimes(unsigned n);
/* Whether this sync is only pretended. */
bool shim_skips_sync(void);
/* Whether the disk is pretended to be full at this instant. */
bool shim_disk_full(void);

struct event_base;
/* run(arg) on that loop, ms later. */
void shim_later(struct event_base *base, int64_t ms, void (*run)(void *arg), void *arg);

#endif
