/* Which requests are at work. The store reads for everybody on one thread, and goes on with a request whose client has
 * gone: so only some are handed to it at once, the rest wait here, where one nobody waits for any more costs nothing.
 * Whoever is named has a share of the room, and is served in turn with the others. A request waits as http has it; its
 * handler runs when its turn comes. On andon's loop. */
#include "andon/api/internal.h"
#include "common/mem.h"

#include <event2/event.h>
#include <stdlib.h>

enum { AT_WORK_MAX = 16, WAITING_MAX = 1024, WAITING_EACH_MAX = 256 };

struct api_waiting {
    struct api_waiting *next;
    struct http_request *req;
    struct api_access access;
};

static bool same_name(const struct api_access *a, const struct api_access *b)
{
    return a->named == b->named && strcmp(a->name, b->name) == 0;
}

/* Out of the list: the first of whoever was not served last, or the first of all. */
static struct api_waiting *take(struct api_turns *turns)
{
    struct api_waiting **link = &turns->first;
    while (*link && same_name(&(*link)->access, &turns->served))
        link = &(*link)->next;
    if (!*link)
        link = &turns->first;
    struct api_waiting *waiting = *link;
    *link = waiting->next;
    if (turns->last == &waiting->next)
        turns->last = link;
    turns->count--;
    turns->served = waiting->access;
    return waiting;
}

static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
    struct api *api = ctx;
    (void)fd;
    (void)what;
    while (api->turns.first && api->turns.at_work < AT_WORK_MAX) {
        struct api_waiting *waiting = take(&api->turns);
        struct http_request *req = waiting->req;
        api->access = waiting->access;
        free(waiting);
        if (http_client_gone(req))
            http_reply(req, 503, NULL, (struct span){0});
        else
            api_route(api, req)->handler(api, req);
    }
}

static uint32_t count_own(const struct api *api)
{
    uint32_t count = 0;
    for (const struct api_waiting *waiting = api->turns.first; waiting; waiting = waiting->next)
        count += same_name(&waiting->access, &api->access);
    return count;
}

bool api_turn_now(struct api *api, struct http_request *req)
{
    struct api_turns *turns = &api->turns;
    if (turns->at_work < AT_WORK_MAX && !turns->first)
        return true;
    if (turns->count == WAITING_MAX) {
        http_problem(req, 503, NULL, "%d requests are waiting for the store: send it again later", WAITING_MAX);
    } else if (api->access.named && count_own(api) >= WAITING_EACH_MAX) {
        http_problem(req, 429, NULL, "%d requests of %s are waiting: send it again when some are answered",
                     WAITING_EACH_MAX, api->access.name);
    } else {
        struct api_waiting *waiting = xmalloc(sizeof(*waiting));
        *waiting = (struct api_waiting){.req = req, .access = api->access};
        *turns->last = waiting;
        turns->last = &waiting->next;
        turns->count++;
    }
    return false;
}

void api_turn_over(struct api_call *call)
{
    struct api_turns *turns = &call->api->turns;
    if (!call->at_work)
        return;
    call->at_work = false;
    turns->at_work--;
    if (turns->first)
        event_active(turns->event, EV_TIMEOUT, 0);
}

void api_turns_init(struct api *api)
{
    api->turns.last = &api->turns.first;
    api->turns.event = event_new(api->options.base, -1, 0, on_turn, api);
    if (!api->turns.event)
        abort(); /* out of memory */
}

void api_turns_done(struct api *api)
{
    while (api->turns.first) {
        struct api_waiting *waiting = take(&api->turns);
        http_problem(waiting->req, 503, NULL, "this process is about to exit");
        free(waiting);
    }
    event_free(api->turns.event);
}
