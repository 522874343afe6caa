/* What the governor's tests share: an environment whose policies answer what the test says, and a fixed "now". */
#ifndef TAI_TESTS_GOVERNOR_FIXTURE_H
#define TAI_TESTS_GOVERNOR_FIXTURE_H

#include "jidoka/governor/governor.h"

#include <stdio.h>
#include <string.h>

#define FIXTURE_HOUR ((int64_t)3600000)
#define FIXTURE_DAY  (24 * FIXTURE_HOUR)
/* 2026-11-20T14:56:00Z */
#define FIXTURE_WALL ((int64_t)1795186560000)

struct fixture {
    struct governor_env env;
    struct governor_now now;
    struct verdict verdict; /* what the policies say next */
    unsigned asked;
    unsigned actions; /* action ids given out */
    bool busy;        /* what actions call cannot take them; for 700 ms */
};

static inline struct verdict fixture_decide(void *ctx, const struct governor_record *record, struct governor_now now)
{
    struct fixture *fixture = ctx;
    (void)record;
    (void)now;
    fixture->asked++;
    return fixture->verdict;
}

static inline void fixture_action_id(void *ctx, struct span action, char ret[UUID_TEXT + 1])
{
    struct fixture *fixture = ctx;
    (void)action;
    snprintf(ret, UUID_TEXT + 1, "00000000-0000-5000-8000-%012u", ++fixture->actions);
}

static inline bool fixture_ready(void *ctx, struct span action, int64_t *ret_wait_ms)
{
    (void)action;
    *ret_wait_ms = 700;
    return !((struct fixture *)ctx)->busy;
}

static inline void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){.env = {.max_failures = 5,
                                        .boot_timeout_ms = 30000,
                                        .breaker_reset_ms = 60000,
                                        .action_timeout_ms = 20000,
                                        .quota_limit = QUOTA_NONE,
                                        .quota_period = PERIOD_NONE,
                                        .decide = fixture_decide,
                                        .action_id = fixture_action_id,
                                        .ready = fixture_ready},
                                .now = {.wall_ms = FIXTURE_WALL, .clock_ms = 100000}};
    fixture->env.ctx = fixture;
}

static inline const char *fixture_disposition(enum disposition disposition)
{
    static const char *const names[] = {[SIGNAL_KEEPS] = "-",
                                        [SIGNAL_WAITS] = "waits",
                                        [SIGNAL_IS_DEFERRED] = "deferred",
                                        [SIGNAL_ACTS] = "acts",
                                        [SIGNAL_ENDS_EXECUTED] = "executed",
                                        [SIGNAL_ENDS_FAILED] = "failed",
                                        [SIGNAL_ENDS_DENIED] = "denied",
                                        [SIGNAL_ENDS_REFUSED] = "refused",
                                        [SIGNAL_ENDS_DEADLETTERED] = "deadlettered"};
    return names[disposition];
}

static inline const char *fixture_opener(enum breaker_opener opener)
{
    return opener == OPENED_BY_BREAKER ? "breaker" : opener == OPENED_BY_OPERATOR ? "operator" : "-";
}

/* "name/severity*count …" */
static inline void fixture_alerts(const struct governor_result *result, char *ret, size_t size)
{
    size_t len = 0;
    ret[0] = '\0';
    for (unsigned i = 0; i < result->alert_count; i++)
        len += (size_t)snprintf(ret + len, size - len, "%s%s/%s*%u", i ? " " : "", result->alerts[i].name,
                                result->alerts[i].severity, result->alerts[i].count);
}

#endif
