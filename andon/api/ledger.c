/* What anybody needs to check the ledger (checkpoint, vkey, JWKS), and the sums for `tai status`. */
#include "andon/api/internal.h"

#include "andon/ledger/note_key.h"

void api_no_checkpoint(struct http_request *req, const struct shard *shard)
{
    http_problem(req, 503, NULL, "no checkpoint of shard %u has been signed by this process yet: %s", shard->number,
                 shard->state == SHARD_FREE ? "another process holds the shard"
                 : shard->why.text[0]       ? shard->why.text
                                            : "its log is still being checked");
}

void api_checkpoint(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    bool given;
    uint32_t number;
    if (!api_param_shard(req, api, &given, &number))
        return;
    const struct shard *shard = tail_shard(api->options.tail, number);
    if (shard->note.len)
        http_reply(req, 200, "text/plain; charset=utf-8", buf_span(&shard->note));
    else
        api_no_checkpoint(req, shard);
}

void api_vkey(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct buf out;
    buf_init(&out, API_BODY_MAX);
    for (size_t i = 0; ledger_keys_at(api->options.keys, i); i++)
        buf_addf(&out, "%s\n", note_key_vkey(ledger_keys_at(api->options.keys, i)));
    http_reply(req, 200, "text/plain; charset=utf-8", buf_span(&out));
    buf_done(&out);
}

static void add_jwk(struct buf *out, const struct note_key *key)
{
    char x[4 * ((ED25519_PUBLIC + 2) / 3) + 1], kid[2 * NOTE_KEY_ID];
    base64url_encode(key->public_key, ED25519_PUBLIC, x);
    hex_encode(key->id, NOTE_KEY_ID, kid);
    buf_add_char(out, '{');
    json_add_member(out, "alg", SPAN("EdDSA"));
    json_add_member(out, "crv", SPAN("Ed25519"));
    json_add_member(out, "kid", (struct span){kid, sizeof(kid)});
    json_add_member(out, "kty", SPAN("OKP"));
    json_add_member(out, "use", SPAN("sig"));
    json_add_member(out, "x", span_of(x));
    buf_add_char(out, '}');
}

void api_jwks(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct buf out;
    buf_init(&out, API_BODY_MAX);
    buf_add_str(&out, "{\"keys\":[");
    for (size_t i = 0; ledger_keys_at(api->options.keys, i); i++) {
        if (i)
            buf_add_char(&out, ',');
        add_jwk(&out, ledger_keys_at(api->options.keys, i));
    }
    buf_add_str(&out, "]}");
    http_reply(req, 200, "application/jwk-set+json", buf_span(&out));
    buf_done(&out);
}

/* --- status --------------------------------------------------------------------------------------------------------
 */

static void add_totals(struct buf *out, const struct store_totals *totals)
{
    json_add_key(out, "signals");
    buf_add_char(out, '{');
    json_add_member_u64(out, "taken", totals->taken);
    json_add_member_u64(out, "requeued", totals->requeued);
    json_add_member_u64(out, "ended", totals->ended);
    json_add_member_u64(out, "duplicates", totals->duplicates);
    json_add_member_u64(out, "waiting", totals->waiting);
    json_add_member_u64(out, "acting", totals->acting);
    buf_add_char(out, '}');
    json_add_member_u64(out, "governors", totals->governors);
    json_add_key(out, "governors_in");
    buf_add_char(out, '{');
    for (int i = 0; i < GOVERNOR_STATE_COUNT; i++)
        json_add_member_u64(out, governor_state_names[i], totals->governors_in[i]);
    buf_add_char(out, '}');
    json_add_member_u64(out, "receipts", totals->receipts);
    json_add_member_u64(out, "chains", totals->chains);
    json_add_member_u64(out, "outcomes_open", totals->outcomes_open);
}

static void add_deadletters(struct buf *out, const struct store_totals *totals)
{
    uint64_t open = 0;
    for (int i = 0; i < CLASS_COUNT; i++)
        open += totals->deadletters[i];
    json_add_key(out, "deadletters");
    buf_add_char(out, '{');
    json_add_member_u64(out, "open", open);
    for (int i = 0; i < CLASS_COUNT; i++)
        json_add_member_u64(out, deadletter_class_names[i], totals->deadletters[i]);
    buf_add_char(out, '}');
}

/* Both are 0 unless something was lost or counted twice. */
static void add_conservation(struct buf *out, const struct store_totals *totals)
{
    uint64_t in = totals->taken + totals->requeued;
    json_add_key(out, "conservation");
    buf_add_char(out, '{');
    json_add_member_u64(out, "gap", totals->missing);
    api_add_i64(out, "balance", (int64_t)(in - totals->ended - totals->duplicates - totals->waiting - totals->acting));
    buf_add_char(out, '}');
}

static void add_ledger(struct buf *out, const struct api *api)
{
    json_add_member_u64(out, "lag_ms", (uint64_t)andon_metrics_lag_ms(api->options.metrics));
    const char *trouble = tail_trouble(api->options.tail);
    if (trouble)
        json_add_member(out, "trouble", span_of(trouble));
    json_add_member(out, "vkey", span_of(note_key_vkey(api->options.keys->current)));
    json_add_key(out, "ledger");
    buf_add_char(out, '[');
    const struct shard *shard;
    for (uint32_t i = 0; (shard = tail_shard(api->options.tail, i)); i++) {
        buf_add_str(out, i ? ",{" : "{");
        json_add_member_u64(out, "shard", i);
        json_add_member(out, "state", span_of(shard_state_names[shard->state]));
        json_add_member_u64(out, "size", shard->head.size);
        json_add_member_u64(out, "checkpoint_size", shard->signed_size);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void on_totals(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (api_call_failed(call, request, status))
        return;
    struct buf *out = &call->out;
    buf_add_char(out, '{');
    json_add_member(out, "status", call->api->draining ? SPAN("draining") : SPAN("serving"));
    json_add_member(out, "version", SPAN(TAI_VERSION));
    add_totals(out, &call->totals);
    add_ledger(out, call->api);
    add_deadletters(out, &call->totals);
    add_conservation(out, &call->totals);
    buf_add_char(out, '}');
    api_call_reply(call, 200);
}

void api_status(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct api_call *call = api_call_new(api, req, on_totals);
    store_totals(api->options.store, &call->totals);
}
