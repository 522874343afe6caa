/* What verifying data at rest reports to: problems by table and row, with what to do about them, notes of what is no
 * problem but worth knowing, and how far it is. One thread. */
#ifndef TAI_COMMON_CHECK_H
#define TAI_COMMON_CHECK_H

#include <stdint.h>

struct check_problem {
    const char *table; /* or file */
    const char *row;   /* its key, "" if it concerns the table */
    const char *what;
    const char *todo;
};

struct check {
    void (*problem)(void *ctx, const struct check_problem *problem);
    void (*note)(void *ctx, const char *text);
    /* doing: "rows of signals"; total 0: unknown */
    void (*step)(void *ctx, const char *doing, uint64_t done, uint64_t total);
    void *ctx;
    uint64_t pages, rows; /* looked at */
};

#define CHECK_RESTORE "restore a backup"

/* Texts are cleaned of control characters: what a damaged row holds may be anything. */
void check_problem(struct check *check, const char *table, const char *row, const char *todo, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void check_note(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_step(struct check *check, const char *doing, uint64_t done, uint64_t total);

#endif
