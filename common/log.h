/* JSON-lines log: one object a line on one descriptor, `ts`, `level`, `event`, then fields. Libraries return errors;
 * only the top logs. Thread-safe (one write(2) a line); lines beyond 8 KiB are cut with "truncated":true. */
#ifndef TAI_COMMON_LOG_H
#define TAI_COMMON_LOG_H

#include "common/clock.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
    int fd;
    _Atomic(enum log_level) level; /* may be set from any thread */
    const struct clock *clock;
    const char *component; /* "ingress", …; written as "component" when set */
};

enum log_field_type { LOG_END, LOG_TEXT, LOG_INT, LOG_SPAN };

struct log_field {
    enum log_field_type type;
    const char *name;
    union {
        const char *text;
        int64_t integer;
        struct span span; /* invalid UTF-8 is replaced by U+FFFD */
    };
};

#define LOG_S(n, v) ((struct log_field){.type = LOG_TEXT, .name = (n), .text = (v)})
#define LOG_I(n, v) ((struct log_field){.type = LOG_INT, .name = (n), .integer = (v)})
#define LOG_B(n, v) ((struct log_field){.type = LOG_SPAN, .name = (n), .span = (v)})

/* event is a short snake_case word such as "lease_lost". */
void log_write(const struct log *log, enum log_level level, const char *event, const struct log_field *fields);
#define log_event(log, level, event, ...)                                                                              \
    log_write((log), (level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){LOG_END}})

#endif
