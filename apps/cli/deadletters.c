/* Many dead letters: first the list as it is now, then one command each. What comes in meanwhile, also from what was
 * requeued and failed again, is not touched. */
#include "apps/cli/deadletters.h"
#include "apps/cli/command.h"
#include "apps/cli/progress.h"
#include "common/clock.h"
#include "common/mem.h"

#include <stdlib.h>
#include <time.h>

enum { WAIT_MS = 30000, PATH_BYTES = 512 };

bool deadletters_filtered(const struct cli *cli)
{
    for (int i = 0; i < DEADLETTER_FILTERS; i++)
        if (cli->values[i])
            return true;
    return false;
}

void deadletter_set_add(struct deadletter_set *set, struct span id)
{
    mem_grow(&set->items, &set->cap, set->count + 1, sizeof(*set->items));
    struct deadletter_item *item = &set->items[set->count++];
    *item = (struct deadletter_item){.given = false};
    snprintf(item->id, sizeof(item->id), "%.*s", (int)id.len, id.ptr);
}

void deadletter_set_done(struct deadletter_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->items[i].reason);
    free(set->items);
    *set = (struct deadletter_set){0};
}

static void take_end(struct deadletter_item *item, const struct given_command *command)
{
    item->ended = command->end != COMMAND_NOT_YET;
    item->failed = command->end == COMMAND_REFUSED;
    if (item->failed)
        item->reason = xstrdup(command->reason);
}

static int give(const struct deadletter_run *run, struct deadletter_item *item)
{
    struct given_command command;
    struct buf path;
    buf_init(&path, PATH_BYTES);
    buf_add_str(&path, "/v1/deadletters");
    url_segment(&path, span_of(item->id));
    buf_addf(&path, "/%s", run->action);
    int code = command_give(run->session, buf_cstr(&path), run->members, run->operator, & command);
    buf_done(&path);
    if (code)
        return code;
    item->given = true;
    memcpy(item->command_id, command.id, sizeof(item->command_id));
    take_end(item, &command);
    return 0;
}

static int await(const struct deadletter_run *run, struct deadletter_item *item)
{
    struct given_command command = {.end = COMMAND_NOT_YET};
    if (!item->given || item->ended)
        return 0;
    memcpy(command.id, item->command_id, sizeof(command.id));
    int code = command_wait(run->session, WAIT_MS, &command);
    if (!code)
        take_end(item, &command);
    return code;
}

/* Until the instant at which number `at` may begin. */
static void pace(const struct deadletter_run *run, int64_t began_us, size_t at)
{
    int64_t left = began_us + (int64_t)at * 1000000 / run->rate - clock_mono_us(&clock_system);
    struct timespec pause = {left / 1000000, left % 1000000 * 1000};
    if (left > 0)
        (void)nanosleep(&pause, NULL);
}

int deadletters_resolve(const struct deadletter_run *run, struct deadletter_set *set)
{
    struct progress progress;
    int64_t began_us = clock_mono_us(&clock_system);
    int code = 0;
    progress_begin(&progress, run->action, PROGRESS_ITEMS, set->count);
    for (size_t i = 0; !code && i < set->count; i++) {
        pace(run, began_us, i);
        code = give(run, &set->items[i]);
        progress_update(&progress, i + 1);
    }
    progress_hide(&progress);
    progress_begin(&progress, "waiting", PROGRESS_ITEMS, set->count);
    for (size_t i = 0; !code && run->wait && i < set->count; i++) {
        code = await(run, &set->items[i]);
        progress_update(&progress, i + 1);
    }
    progress_hide(&progress);
    return code;
}
