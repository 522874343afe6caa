/* A progress bar on standard error, drawn only when that is a terminal. */
#ifndef TAI_APPS_CLI_PROGRESS_H
#define TAI_APPS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_unit { PROGRESS_ITEMS, PROGRESS_BYTES };

struct progress {
    const char *label; /* borrowed: "sending" */
    enum progress_unit unit;
    uint64_t total; /* 0: unknown, only what is done is shown */
    bool enabled;
    bool drawn;
    int64_t next_us; /* monotonic: not redrawn before */
};

void progress_begin(struct progress *progress, const char *label, enum progress_unit unit, uint64_t total);
void progress_update(struct progress *progress, uint64_t done);
/* Removes the bar: before anything else is written to the terminal, and at the end. */
void progress_hide(struct progress *progress);

#endif
