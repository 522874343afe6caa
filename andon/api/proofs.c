/* What proves a receipt, or the log: inclusion proofs, consistency proofs, and the receipt as JWS.
 *
 * A proof leads to a tree that a published checkpoint signs, at once or by way of a larger tree: before it is served it
 * is verified, up to the root this process has signed. So damage of the stored tree is found here, never served. */
#include "andon/api/internal.h"
#include "andon/ledger/note.h"
#include "andon/ledger/tile_source.h"
#include "andon/ledger/tlog_proof.h"

#include <inttypes.h>
#include <stdlib.h>

enum { JWS_PER_S = 500 };

struct api_proof {
    struct store_tiles read;
    struct tile_source tiles;
    uint8_t open[TILE_WIDTH][SHA256_SIZE]; /* as they were when the proof was asked for: the log goes on */
    struct buf note;                       /* the checkpoint, likewise */
    struct checkpoint latest;              /* what it says */
    uint64_t size;                         /* of the tree proved to */
    uint8_t root[SHA256_SIZE];             /* its root */
    struct merkle_proof bridge;            /* from that tree to the latest */
    struct merkle_proof proof;
    bool consistency;
    uint64_t old_size; /* consistency: from there */
    uint8_t old_root[SHA256_SIZE];
    uint8_t leaf[SHA256_SIZE]; /* inclusion: of call->receipt */
};

void api_proof_free(struct api_proof *proof)
{
    if (!proof)
        return;
    arena_done(&proof->read.req.arena);
    buf_done(&proof->note);
    free(proof);
}

/* --- answers -------------------------------------------------------------------------------------------------------
 */

static void add_base64(struct buf *out, const char *name, const uint8_t hash[SHA256_SIZE])
{
    char base64[4 * ((SHA256_SIZE + 2) / 3) + 1];
    base64_encode(hash, SHA256_SIZE, base64);
    json_add_member(out, name, span_of(base64));
}

static void add_hashes(struct buf *out, const struct merkle_proof *proof)
{
    char base64[4 * ((SHA256_SIZE + 2) / 3) + 1];
    json_add_key(out, "hashes");
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < proof->count; i++) {
        base64_encode(proof->hashes[i], SHA256_SIZE, base64);
        buf_addf(out, "%s\"%s\"", i ? "," : "", base64);
    }
    buf_add_char(out, ']');
}

static void add_checkpoint(struct buf *out, const struct api_proof *proof)
{
    if (proof->size == proof->latest.size)
        json_add_member(out, "checkpoint", buf_span(&proof->note));
}

static void reply_consistency(struct api_call *call)
{
    const struct api_proof *proof = call->proof;
    struct buf *out = &call->out;
    buf_add_char(out, '{');
    json_add_member_u64(out, "shard", proof->read.shard);
    json_add_member_u64(out, "old", proof->old_size);
    json_add_member_u64(out, "new", proof->size);
    add_base64(out, "old_root", proof->old_root);
    add_base64(out, "new_root", proof->root);
    add_hashes(out, &proof->proof);
    add_checkpoint(out, proof);
    buf_add_char(out, '}');
    api_call_reply(call, 200);
}

static void reply_inclusion(struct api_call *call)
{
    const struct api_proof *proof = call->proof;
    const struct receipt *receipt = &call->receipt.receipt;
    struct buf *out = &call->out;
    buf_add_char(out, '{');
    json_add_member(out, "receipt_id", span_of(receipt->receipt_id));
    json_add_member_u64(out, "shard", proof->read.shard);
    json_add_member_u64(out, "index", receipt->index);
    json_add_member_u64(out, "size", proof->size);
    add_base64(out, "leaf_hash", proof->leaf);
    add_base64(out, "root", proof->root);
    add_hashes(out, &proof->proof);
    add_checkpoint(out, proof);
    buf_add_char(out, '}');
    api_call_reply(call, 200);
}

static void reply_text(struct api_call *call)
{
    const struct api_proof *proof = call->proof;
    const struct tlog_proof text = {
        .index = call->receipt.receipt.index, .proof = proof->proof, .checkpoint = buf_span(&proof->note)};
    tlog_proof_write(&text, &call->out);
    http_reply(call->req, 200, "text/plain; charset=utf-8", buf_span(&call->out));
    api_call_free(call);
}

/* --- the proof -----------------------------------------------------------------------------------------------------
 */

/* Once to learn which tiles it takes, once with them. */
static void make(struct api_call *call)
{
    struct api_proof *proof = call->proof;
    const struct merkle_source *source = &proof->tiles.source;
    if (proof->size == proof->latest.size)
        memcpy(proof->root, proof->latest.root, SHA256_SIZE);
    else
        merkle_source_root(source, proof->size, proof->root);
    merkle_prove_consistency(source, proof->size, proof->latest.size, &proof->bridge);
    if (proof->consistency) {
        merkle_source_root(source, proof->old_size, proof->old_root);
        merkle_prove_consistency(source, proof->old_size, proof->size, &proof->proof);
    } else {
        merkle_prove_inclusion(source, call->receipt.receipt.index, proof->size, &proof->proof);
    }
}

static bool holds(const struct api_call *call)
{
    struct hasher *hasher = call->api->hasher;
    const struct api_proof *proof = call->proof;
    if (!merkle_verify_consistency(hasher, proof->size, proof->root, proof->latest.size, proof->latest.root,
                                   &proof->bridge))
        return false;
    if (proof->consistency)
        return merkle_verify_consistency(hasher, proof->old_size, proof->old_root, proof->size, proof->root,
                                         &proof->proof);
    return merkle_verify_inclusion(hasher, proof->leaf, call->receipt.receipt.index, proof->size, &proof->proof,
                                   proof->root);
}

static void on_tiles(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (api_call_failed(call, request, status))
        return;
    call->proof->tiles.read = true;
    make(call);
    if (!holds(call)) {
        char what[128];
        snprintf(what, sizeof(what), "table tiles: the tree of shard %u does not lead to the root that was signed",
                 call->proof->read.shard);
        metric_inc(call->api->options.metrics->corruptions);
        api_call_damaged(call, what);
    } else if (call->proof->consistency) {
        reply_consistency(call);
    } else if (call->as_text) {
        reply_text(call);
    } else {
        reply_inclusion(call);
    }
}

static void start(struct api_call *call)
{
    struct api_proof *proof = call->proof;
    tile_source_init(&proof->tiles, proof->tiles.tiled, (const uint8_t(*)[SHA256_SIZE])proof->open, call->api->hasher,
                     &proof->read.req.arena);
    make(call);
    proof->read.req.done = on_tiles;
    proof->read.req.ctx = call;
    proof->read.tiles = proof->tiles.tiles;
    proof->read.tile_count = proof->tiles.tile_count;
    store_tiles(call->api->options.store, &proof->read);
}

/* What the proof starts from, as it is now; false: answered. */
static bool take_log(struct api_call *call, uint32_t number)
{
    const struct shard *shard = tail_shard(call->api->options.tail, number);
    struct api_proof *proof = call->proof = xcalloc(1, sizeof(*proof));
    struct error err;
    buf_init(&proof->note, API_BODY_MAX);
    if (!shard || !shard->note.len || !shard->checked) {
        api_no_checkpoint(call->req, shard);
        api_call_free(call);
        return false;
    }
    buf_add_span(&proof->note, buf_span(&shard->note));
    if (checkpoint_parse(buf_span(&proof->note), &proof->latest, &err)) {
        http_problem(call->req, 500, NULL, "%s", err.text);
        api_call_free(call);
        return false;
    }
    proof->size = proof->latest.size;
    proof->read.shard = number;
    proof->tiles.tiled = shard->tiles.tiled;
    memcpy(proof->open, shard->tiles.open, sizeof(proof->open));
    return true;
}

/* --- requests ------------------------------------------------------------------------------------------------------
 */

/* A tree size from 1 up to that of the latest checkpoint; *ret stays if it is not given. false: answered. */
static bool take_size(struct api_call *call, const char *name, uint64_t *ret)
{
    struct span text;
    uint64_t latest = call->proof->latest.size;
    if (!http_query(call->req, name, &text) || (api_parse_number(text, latest, ret) && *ret > 0))
        return true;
    http_problem(call->req, 400, NULL,
                 "\"%s\" must be the size of a tree: from 1 to %" PRIu64 ", which the latest checkpoint covers", name,
                 latest);
    api_call_free(call);
    return false;
}

/* Whether a checkpoint covers the receipt; false: answered. */
static bool covered(struct api_call *call)
{
    if (call->receipt.receipt.index < call->proof->size)
        return true;
    if (call->proof->size < call->proof->latest.size)
        http_problem(call->req, 400, NULL, "the receipt has index %" PRIu64 ": a tree of size %" PRIu64 " is too small",
                     call->receipt.receipt.index, call->proof->size);
    else
        http_problem(call->req, 503, NULL, "no checkpoint covers the receipt yet: it will within a second");
    api_call_free(call);
    return false;
}

static void on_receipt(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct store_receipt *found = api_receipt_found(call, request, status);
    if (!found || !take_log(call, found->shard) || !take_size(call, "size", &call->proof->size) || !covered(call))
        return;
    merkle_leaf(call->api->hasher, found->receipt.body, call->proof->leaf);
    start(call);
}

void api_receipt_proof(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct api_call *call = api_receipt_call(api, req, on_receipt);
    if (call)
        store_receipt(api->options.store, &call->receipt);
}

void api_receipt_tlog_proof(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct api_call *call = api_receipt_call(api, req, on_receipt);
    if (!call)
        return;
    call->as_text = true;
    store_receipt(api->options.store, &call->receipt);
}

void api_consistency(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct span text;
    bool given;
    uint32_t number;
    if (!api_param_shard(req, api, &given, &number))
        return;
    if (!http_query(req, "old", &text)) {
        http_problem(req, 400, NULL, "\"old\" is missing: the size of the tree you know");
        return;
    }
    struct api_call *call = api_call_new(api, req, on_tiles);
    if (!take_log(call, number) || !take_size(call, "new", &call->proof->size) ||
        !take_size(call, "old", &call->proof->old_size))
        return;
    call->proof->consistency = true;
    if (call->proof->old_size <= call->proof->size) {
        start(call);
        return;
    }
    http_problem(req, 400, NULL, "\"old\" must not be larger than \"new\"");
    api_call_free(call);
}

/* --- JWS -----------------------------------------------------------------------------------------------------------
 */

static void on_jws(void *ctx, int code, struct span jws)
{
    struct api_call *call = ctx;
    if (code)
        http_problem(call->req, 500, NULL, "the receipt cannot be signed: %s", error_text(code));
    else
        http_reply(call->req, 200, "application/jose", jws);
    api_call_free(call);
}

static void on_receipt_to_sign(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct store_receipt *found = api_receipt_found(call, request, status);
    if (!found || !take_log(call, found->shard) || !covered(call))
        return;
    if (signing_jws(tail_signing(call->api->options.tail), found->receipt.body, on_jws, call)) {
        http_problem(call->req, 503, NULL, "too many receipts wait to be signed");
        api_call_free(call);
    }
}

void api_receipt_jws(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    int64_t now_s = clock_mono_us(api->options.clock) / 1000000;
    api->jws_count = api->jws_s == now_s ? api->jws_count + 1 : 1;
    api->jws_s = now_s;
    if (api->jws_count > JWS_PER_S) {
        http_problem(req, 429, NULL, "at most %d receipts a second are signed: a proof costs less than a signature",
                     JWS_PER_S);
        return;
    }
    struct api_call *call = api_receipt_call(api, req, on_receipt_to_sign);
    if (call)
        store_receipt(api->options.store, &call->receipt);
}
