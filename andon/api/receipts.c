/* GET /v1/receipts and /v1/receipts/{id}: the ledger as it was hashed, byte for byte. */
#include "andon/api/internal.h"

#include "andon/ledger/merkle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void add_item(struct buf *out, const struct receipt *receipt)
{
    char hex[SHA256_HEX];
    hex_encode(receipt->hash, SHA256_SIZE, hex);
    buf_add_char(out, '{');
    json_add_member_u64(out, "index", receipt->index);
    json_add_member_raw(out, "receipt", receipt->body);
    json_add_member(out, "receipt_hash", (struct span){hex, sizeof(hex)});
    buf_add_char(out, '}');
}

/* Another tenant's: enough for the tree, and nothing of what it says. */
static void add_leaf(struct api_call *call, const struct receipt *receipt)
{
    uint8_t leaf[SHA256_SIZE];
    char hex[SHA256_HEX];
    merkle_leaf(call->api->hasher, receipt->body, leaf);
    hex_encode(leaf, SHA256_SIZE, hex);
    buf_add_char(&call->out, '{');
    json_add_member_u64(&call->out, "index", receipt->index);
    json_add_member(&call->out, "leaf_hash", (struct span){hex, sizeof(hex)});
    buf_add_char(&call->out, '}');
}

/* What is served is what was hashed; true if it is not: answered. */
static bool altered(struct api_call *call, const struct receipt *receipt)
{
    uint8_t hash[SHA256_SIZE];
    char what[128];
    hasher_sha256(call->api->hasher, receipt->body, hash);
    if (memcmp(hash, receipt->hash, SHA256_SIZE) == 0)
        return false;
    metric_inc(call->api->options.metrics->corruptions);
    snprintf(what, sizeof(what), "table receipts, receipt %s: its bytes do not have its hash", receipt->receipt_id);
    api_call_damaged(call, what);
    return true;
}

static void on_receipts(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (api_call_failed(call, request, status))
        return;
    const struct store_receipts *page = &call->receipts;
    struct buf *out = &call->out;
    buf_add_char(out, '{');
    json_add_member_u64(out, "shard", page->shard);
    json_add_key(out, "receipts");
    buf_add_char(out, '[');
    size_t i = 0;
    for (; i < page->receipt_count && (i == 0 || out->len + page->receipts[i].body.len < API_PAGE_BYTES); i++) {
        if (altered(call, &page->receipts[i]))
            return;
        if (i)
            buf_add_char(out, ',');
        if (call->only.len && !span_eq(page->receipts[i].chain, call->only))
            add_leaf(call, &page->receipts[i]);
        else
            add_item(out, &page->receipts[i]);
    }
    buf_add_char(out, ']');
    if (i < page->receipt_count)
        api_add_next_number(call, page->chain.len    ? page->receipts[i - 1].seq
                                  : page->descending ? page->receipts[i - 1].index
                                                     : page->receipts[i].index);
    else if (page->more)
        api_add_next_number(call, page->next);
    buf_add_char(out, '}');
    api_call_reply(call, 200);
}

/* What is asked for: a tenant's chain; a shard's log (the first shard's when nothing is named); or the log with the
 * receipts of one tenant only. */
struct log_choice {
    struct span chain, only;
    uint32_t shard;
};

/* A filter would tell which receipts of others it matches. */
static bool unfiltered(struct http_request *req)
{
    static const char *const filters[] = {"entitlement_id", "signal_id", "type", "since", "before"};
    struct span value;
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        if (!http_query(req, filters[i], &value))
            continue;
        http_problem(req, 400, NULL,
                     "\"%s\" cannot be given with \"shard\" for the receipts of one tenant: leave "
                     "\"shard\" out",
                     filters[i]);
        return false;
    }
    return true;
}

static bool choose_log(struct api *api, struct http_request *req, struct log_choice *ret)
{
    struct span tenant_id;
    bool by_shard;
    *ret = (struct log_choice){0};
    if (!api_param_tenant(api, req, false, &tenant_id) || !api_param_shard(req, api, &by_shard, &ret->shard) ||
        (by_shard && tenant_id.len && !unfiltered(req)))
        return false;
    *(by_shard ? &ret->only : &ret->chain) = tenant_id;
    if (ret->chain.len && !span_is(ret->chain, RECEIPT_SYSTEM_CHAIN))
        ret->shard = shard_of(ret->chain, (uint32_t)api->options.config->ledger.shards);
    return true;
}

static bool type_known(struct http_request *req, struct span type)
{
    size_t count = 0;
    int index;
    while (receipt_types[count])
        count++;
    return api_name_parse(req, "type", type, receipt_types, count, &index);
}

void api_receipt_list(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct span entitlement_id, signal_id, type;
    struct api_range range;
    struct log_choice log;
    if (!choose_log(api, req, &log) || !api_param_text(req, "entitlement_id", false, API_ID_MAX, &entitlement_id) ||
        !api_param_text(req, "signal_id", false, API_ID_MAX, &signal_id) ||
        !api_param_text(req, "type", false, API_ID_MAX, &type) || !type_known(req, type) ||
        !api_range_read(req, &range))
        return;
    const struct span parts[] = {log.chain,      log.only,  {(const char *)&log.shard, sizeof(log.shard)},
                                 entitlement_id, signal_id, type};
    struct api_call *call = api_call_new(api, req, on_receipts);
    struct store_receipts *page = &call->receipts;
    call->query = api_range_query(api_query_hash('r', parts, sizeof(parts) / sizeof(parts[0])), &range);
    if (!api_position_read(req, call->query, &call->request.arena, &page->after)) {
        api_call_free(call);
        return;
    }
    page->shard = log.shard;
    page->chain = api_keep(call, log.chain);
    call->only = api_keep(call, log.only);
    page->entitlement_id = api_keep(call, entitlement_id);
    page->signal_id = api_keep(call, signal_id);
    page->type = api_keep(call, type);
    page->limit = range.limit;
    page->descending = range.descending;
    page->since_ms = range.since_ms;
    page->before_ms = range.before_ms;
    store_receipts(api->options.store, page);
}

const struct store_receipt *api_receipt_found(struct api_call *call, struct store_request *request, int status)
{
    if (api_call_failed(call, request, status))
        return NULL;
    const struct store_receipt *found = &call->receipt;
    if (!found->found || !api_sees(call, found->receipt.chain)) {
        http_problem(call->req, 404, NULL, "no receipt with this id is in the ledger");
        api_call_free(call);
        return NULL;
    }
    return altered(call, &found->receipt) ? NULL : found;
}

static void on_receipt(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct store_receipt *found = api_receipt_found(call, request, status);
    if (!found)
        return;
    char hex[SHA256_HEX], index[21], shard[11];
    hex_encode(found->receipt.hash, SHA256_SIZE, hex);
    snprintf(index, sizeof(index), "%" PRIu64, found->receipt.index);
    snprintf(shard, sizeof(shard), "%" PRIu32, found->shard);
    http_add_header(call->req, "X-Receipt-Hash", (struct span){hex, sizeof(hex)});
    http_add_header(call->req, "X-Ledger-Index", span_of(index));
    http_add_header(call->req, "X-Ledger-Shard", span_of(shard));
    http_reply(call->req, 200, "application/json", found->receipt.body);
    api_call_free(call);
}

struct api_call *api_receipt_call(struct api *api, struct http_request *req, store_done *done)
{
    struct span id = http_param(req, "id");
    bool uuid = id.len == UUID_TEXT;
    for (size_t i = 0; uuid && i < UUID_TEXT; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        uuid =
            dash ? id.ptr[i] == '-' : (id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'f');
    }
    if (!uuid) {
        http_problem(req, 400, NULL, "a receipt id is a UUID in lower case, 36 characters");
        return NULL;
    }
    struct api_call *call = api_call_new(api, req, done);
    memcpy(call->receipt.receipt_id, id.ptr, UUID_TEXT);
    call->receipt.receipt_id[UUID_TEXT] = '\0';
    return call;
}

void api_receipt_get(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct api_call *call = api_receipt_call(api, req, on_receipt);
    if (call)
        store_receipt(api->options.store, &call->receipt);
}
