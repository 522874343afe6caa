/* Redrawn at most ten times a second, on one line that is erased in the end. */
#include "apps/cli/progress.h"
#include "apps/cli/output.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { REDRAW_US = 100000, BAR = 30 };

void progress_begin(struct progress *progress, const char *label, enum progress_unit unit, uint64_t total)
{
    *progress = (struct progress){label, unit, total, isatty(STDERR_FILENO), false, 0};
}

static const char *amount(const struct progress *progress, uint64_t value, char ret[OUT_TIME])
{
    if (progress->unit == PROGRESS_BYTES)
        return out_bytes(value, ret);
    snprintf(ret, OUT_TIME, "%" PRIu64, value);
    return ret;
}

static void draw(const struct progress *progress, uint64_t done)
{
    static const char full[BAR + 1] = "##############################",
                                 empty[BAR + 1] = "                              ";
    char now[OUT_TIME];
    char all[OUT_TIME];
    if (!progress->total) {
        fprintf(stderr, "\r\033[K%s %s", progress->label, amount(progress, done, now));
        return;
    }
    double ratio = done < progress->total ? (double)done / (double)progress->total : 1;
    int filled = (int)(ratio * BAR);
    fprintf(stderr, "\r\033[K%s [%.*s%.*s] %3d%%  %s of %s", progress->label, filled, full, BAR - filled, empty,
            (int)(ratio * 100), amount(progress, done, now), amount(progress, progress->total, all));
}

void progress_update(struct progress *progress, uint64_t done)
{
    if (!progress->enabled)
        return;
    int64_t now = clock_mono_us(&clock_system);
    if (now < progress->next_us)
        return;
    progress->next_us = now + REDRAW_US;
    progress->drawn = true;
    draw(progress, done);
    fflush(stderr);
}

void progress_hide(struct progress *progress)
{
    if (!progress->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->drawn = false;
    progress->next_us = 0;
}
