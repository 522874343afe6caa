/* Wiring: one store handle, the tail and the API on one loop. */
#include "andon/andon.h"

#include "andon/api/api.h"
#include "andon/ledger/keys.h"
#include "andon/ledger/tail.h"

#include <errno.h>
#include <stdlib.h>

struct andon {
    struct andon_options options;
    struct ledger_keys *keys;
    struct store *store;
    struct event *store_event;
    struct andon_metrics metrics;
    struct tail *tail;
    struct api *api;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

static void on_store(evutil_socket_t fd, short what, void *arg)
{
    struct andon *andon = arg;
    (void)fd, (void)what;
    store_dispatch(andon->store);
}

static int open_store(struct andon *andon, struct error *err)
{
    int r = store_open(andon->options.store, &andon->store, err);
    if (r)
        return r;
    andon->store_event =
        event_new(andon->options.base, store_poll_fd(andon->store), EV_READ | EV_PERSIST, on_store, andon);
    if (!andon->store_event || event_add(andon->store_event, NULL))
        return error_set(err, -ENOMEM, "the store's events cannot be watched");
    return 0;
}

static int start(struct andon *andon, struct error *err)
{
    const struct andon_options *options = &andon->options;
    const struct ledger_config *ledger = &options->config->ledger;
    uint32_t shards = (uint32_t)ledger->shards;
    int r = ledger_keys_open(ledger, options->state_dir, &andon->keys, err);
    if (!r)
        r = open_store(andon, err);
    if (r)
        return r;
    andon_metrics_init(&andon->metrics, options->metrics, options->clock, shards);
    const struct tail_options tail = {.base = options->base,
                                      .store = andon->store,
                                      .worker = options->worker,
                                      .shards = shards,
                                      .state_dir = options->state_dir,
                                      .origin = ledger->origin,
                                      .key = andon->keys->current,
                                      .previous_key = andon->keys->previous,
                                      .clock = options->clock,
                                      .log = options->log,
                                      .metrics = &andon->metrics};
    r = tail_new(&tail, &andon->tail, err);
    if (r)
        return r;
    const struct api_options api = {.base = options->base,
                                    .config = options->config,
                                    .store = andon->store,
                                    .tail = andon->tail,
                                    .keys = andon->keys,
                                    .metrics = &andon->metrics,
                                    .accepted = options->accepted,
                                    .accepted_ctx = options->accepted_ctx,
                                    .edit = options->edit,
                                    .edit_ctx = options->edit_ctx,
                                    .depth = options->depth,
                                    .depth_ctx = options->depth_ctx,
                                    .backup = options->backup,
                                    .clock = options->clock};
    return api_new(&api, &andon->api, err);
}

int andon_new(const struct andon_options *options, struct andon **ret, struct error *err)
{
    const struct andon_config *config = options->config;
    if (config->tokens_count == 0 && !config->listen.loopback)
        return error_set(err, -EINVAL,
                         "andon.listen %s is reachable from other machines, but there are no tokens: configure "
                         "andon.tokens_file or listen on 127.0.0.1",
                         config->listen.text);
    struct andon *andon = xcalloc(1, sizeof(*andon));
    andon->options = *options;
    int r = start(andon, err);
    if (r) {
        andon_free(andon);
        return r;
    }
    *ret = andon;
    return 0;
}

void andon_reload(struct andon *andon, const struct andon_config *config)
{
    api_set_tokens(andon->api, config);
}

uint16_t andon_port(const struct andon *andon)
{
    return api_port(andon->api);
}

static void on_tail_drained(void *ctx)
{
    struct andon *andon = ctx;
    api_drain(andon->api, andon->drained, andon->drained_ctx);
}

void andon_drain(struct andon *andon, void (*done)(void *ctx), void *ctx)
{
    andon->drained = done;
    andon->drained_ctx = ctx;
    api_refuse_ready(andon->api);
    tail_drain(andon->tail, on_tail_drained, andon);
}

void andon_free(struct andon *andon)
{
    if (!andon)
        return;
    if (andon->store_event)
        event_free(andon->store_event);
    if (andon->store)
        store_close(andon->store);
    api_free(andon->api);
    tail_free(andon->tail);
    andon_metrics_done(&andon->metrics);
    ledger_keys_free(andon->keys);
    free(andon);
}
