/* andon's HTTP API: signals, receipts, governors, the ledger's public side, health. On the loop's thread. */
#ifndef TAI_ANDON_API_API_H
#define TAI_ANDON_API_API_H

#include "andon/andon.h"
#include "andon/ledger/keys.h"
#include "andon/ledger/tail.h"
#include "config/config.h"

struct api;

struct api_options {
    struct event_base *base;
    const struct andon_config *config;
    struct store *store; /* borrowed; dispatched by the owner */
    const struct tail *tail;
    const struct ledger_keys *keys;
    struct andon_metrics *metrics;
    bool (*accepted)(void *ctx, struct span tenant_id, struct span entitlement_id, struct span id); /* or NULL */
    void *accepted_ctx;
    int (*edit)(void *ctx, struct andon_edit *edit, struct error *err); /* or NULL */
    void *edit_ctx;
    uint64_t (*depth)(void *ctx, uint32_t partition); /* or NULL */
    void *depth_ctx;
    const struct andon_backup *backup; /* or NULL */
    const struct clock *clock;
};

must_check int api_new(const struct api_options *options, struct api **ret, struct error *err);
/* From the next request on those of config are taken. */
void api_set_tokens(struct api *api, const struct andon_config *config);
uint16_t api_port(const struct api *api);
void api_refuse_ready(struct api *api); /* draining: not ready from now on */
void api_drain(struct api *api, void (*done)(void *ctx), void *ctx);
void api_free(struct api *api); /* the store must be closed */

#endif
