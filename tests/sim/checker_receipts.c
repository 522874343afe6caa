/* The receipts of every shard, read once in log order. */
#include "sim/checker.h"

#include "common/json/json.h"
#include "jidoka/governor/governor.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE = 1000 };

struct chain {
    UT_hash_handle hh;
    uint64_t seq;
    uint8_t hash[SHA256_SIZE];
    char key[];
};

struct folded { /* a governor rebuilt from its receipts */
    UT_hash_handle hh;
    struct governor_record record;
    bool created, compared;
    char key[];
};

struct reading {
    struct world *world;
    struct drill *drill;
    struct json_doc doc;
    struct buf scratch;
    struct arena arena;
    struct chain *chains;
    struct folded *governors;
    uint32_t shard;
    uint64_t position; /* within the shard */
    struct merkle tree;
    uint64_t numbers[SIM_PARTITIONS_MAX]; /* last outcome of each partition in this shard */
    const struct receipt *receipt;
};

static struct span text(struct reading *r, const char *name)
{
    return json_text(&r->doc, json_get(&r->doc, r->doc.nodes, name), &r->scratch);
}

static int64_t integer(struct reading *r, const char *name)
{
    int64_t value = -1;
    const struct json_node *node = json_get(&r->doc, r->doc.nodes, name);
    if (!node || json_int(&r->doc, node, 0, INT64_MAX, &value))
        return -1;
    return value;
}

#define BAD(r, invariant, format, ...)                                                                                 \
    world_violation((r)->world, invariant, format ": %.*s", ##__VA_ARGS__, (int)(r)->receipt->body.len,                \
                    (r)->receipt->body.ptr)

/* --- chain, number, log ------------------------------------------------------------------------------------------- */

static struct chain *chain_of(struct reading *r, struct span name)
{
    struct chain *chain;
    HASH_FIND(hh, r->chains, name.ptr, name.len, chain);
    if (chain)
        return chain;
    chain = arena_alloc(&r->arena, sizeof(*chain) + name.len);
    *chain = (struct chain){0};
    memcpy(chain->key, name.ptr, name.len);
    HASH_ADD_KEYPTR(hh, r->chains, chain->key, name.len, chain);
    return chain;
}

static void check_link(struct reading *r)
{
    const struct receipt *receipt = r->receipt;
    struct chain *chain = chain_of(r, receipt->chain);
    uint8_t hash[SHA256_SIZE], previous[SHA256_SIZE];
    hasher_sha256(r->world->hasher, receipt->body, hash);
    if (memcmp(hash, receipt->hash, SHA256_SIZE) != 0)
        BAD(r, "chain", "the hash is not that of the body");
    if (!hex_decode(text(r, "previous_hash"), previous, SHA256_SIZE) || memcmp(previous, chain->hash, SHA256_SIZE) != 0)
        BAD(r, "chain", "previous_hash is not the hash of the receipt before");
    if (receipt->seq != chain->seq + 1 || integer(r, "seq") != (int64_t)receipt->seq)
        BAD(r, "chain", "seq does not follow %llu", (unsigned long long)chain->seq);
    if (!span_eq(text(r, "chain"), receipt->chain) || !span_eq(text(r, "tenant_id"), receipt->chain))
        BAD(r, "chain", "not the chain of its tenant");
    chain->seq = receipt->seq;
    memcpy(chain->hash, hash, SHA256_SIZE);
}

static void check_number(struct reading *r)
{
    const struct receipt *receipt = r->receipt;
    char id[UUID_TEXT + 1];
    uint64_t *last = &r->numbers[receipt->partition % SIM_PARTITIONS_MAX];
    if (receipt->number != *last + 1)
        BAD(r, "number", "outcome %llu of partition %u follows %llu", (unsigned long long)receipt->number,
            receipt->partition, (unsigned long long)*last);
    *last = receipt->number;
    receipt_id_of(r->world->hasher, receipt->partition, r->shard, receipt->number, id);
    if (strcmp(id, receipt->receipt_id) != 0 || !span_is(text(r, "receipt_id"), id))
        BAD(r, "number", "the id is not %s", id);
}

static void check_log(struct reading *r)
{
    uint8_t leaf[SHA256_SIZE], root[SHA256_SIZE];
    const struct evidence *evidence = r->world->evidence;
    if (r->receipt->index != r->tree.size)
        BAD(r, "log", "index %llu follows %llu receipts", (unsigned long long)r->receipt->index,
            (unsigned long long)r->tree.size);
    merkle_leaf(r->world->hasher, r->receipt->body, leaf);
    merkle_append(&r->tree, r->world->hasher, leaf);
    for (size_t i = 0; i < evidence->checkpoint_count; i++) {
        const struct checkpoint_seen *seen = &evidence->checkpoints[i];
        if (seen->shard != r->shard || seen->size != r->tree.size)
            continue;
        merkle_root(&r->tree, r->world->hasher, root);
        if (memcmp(root, seen->root, SHA256_SIZE) != 0)
            BAD(r, "checkpoint", "the checkpoint of size %llu is no prefix of the log", (unsigned long long)seen->size);
    }
}

/* --- canaries ----------------------------------------------------------------------------------------------------- */

static void check_canary(struct reading *r)
{
    static const char *const canaries[] = {"acme", "bolt", "crux"};
    struct span body = r->receipt->body;
    for (size_t i = 0; i < sizeof(canaries) / sizeof(*canaries); i++)
        if (!span_is(r->receipt->chain, canaries[i]) && memmem(body.ptr, body.len, canaries[i], strlen(canaries[i])))
            BAD(r, "canary", "%s shows in another's chain", canaries[i]);
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

static void copy_text(char *ret, size_t size, struct span value)
{
    snprintf(ret, size, "%.*s", (int)value.len, value.ptr ? value.ptr : "");
}

static void note_operation(struct reading *r, struct sent *resolved)
{
    const struct json_node *body = json_get(&r->doc, r->doc.nodes, "body");
    const struct json_node *id = body ? json_get(&r->doc, body, "command_id") : NULL;
    if (id)
        check_operation(r->world, json_text(&r->doc, id, &r->scratch),
                        json_text(&r->doc, json_get(&r->doc, body, "command"), &r->scratch), resolved);
}

static void note_signal(struct reading *r)
{
    uint8_t sha256[SHA256_SIZE];
    struct span id = text(r, "signal_id"), ending = text(r, "ending");
    if (!id.len) {
        note_operation(r, NULL);
        return;
    }
    if (!hex_decode(text(r, "signal_sha256"), sha256, SHA256_SIZE)) {
        BAD(r, "invention", "a signal without its hash");
        return;
    }
    struct sent *sent = history_find(&r->world->history, text(r, "tenant_id"), text(r, "entitlement_id"), id,
                                     (uint32_t)integer(r, "redrive"), sha256);
    if (!sent) {
        BAD(r, "invention", "nobody sent that signal");
        return;
    }
    if (!sent->decided)
        sent->decided = r->position + 1;
    note_operation(r, sent);
    if (!ending.len)
        return;
    sent->endings++;
    memcpy(sent->receipt_id, r->receipt->receipt_id, sizeof(sent->receipt_id));
    copy_text(sent->ending, sizeof(sent->ending), ending);
    copy_text(sent->reason, sizeof(sent->reason), text(r, "reason"));
}

/* --- governors ---------------------------------------------------------------------------------------------------- */

static size_t folded_key(struct span tenant_id, struct span entitlement_id, char ret[HISTORY_KEY_MAX])
{
    return (size_t)snprintf(ret, HISTORY_KEY_MAX, "%.*s\n%.*s", (int)tenant_id.len, tenant_id.ptr,
                            (int)entitlement_id.len, entitlement_id.ptr);
}

static struct folded *folded_find(struct reading *r, struct span tenant_id, struct span entitlement_id)
{
    char key[HISTORY_KEY_MAX];
    struct folded *folded;
    HASH_FIND(hh, r->governors, key, folded_key(tenant_id, entitlement_id, key), folded);
    return folded;
}

static struct folded *folded_of(struct reading *r)
{
    struct span tenant_id = text(r, "tenant_id"), entitlement_id = text(r, "entitlement_id");
    struct folded *folded = folded_find(r, tenant_id, entitlement_id);
    if (folded)
        return folded;
    char key[HISTORY_KEY_MAX];
    size_t len = folded_key(tenant_id, entitlement_id, key);
    folded = arena_alloc(&r->arena, sizeof(*folded) + len);
    *folded = (struct folded){0};
    memcpy(folded->key, key, len);
    HASH_ADD_KEYPTR(hh, r->governors, folded->key, len, folded);
    return folded;
}

/* A decision that allows adds one, within the limit, or is the first of a new period; nothing else adds, a reset sets
 * it to 0. */
static void check_quota(struct reading *r, const struct governor_record *record, int64_t used, int64_t period_start)
{
    int64_t before = record->period_start > period_start ? 0 : used;
    bool intent = span_is(text(r, "type"), "action_intent");
    bool executed = span_is(text(r, "type"), "action_success") && !text(r, "action_id").len;
    bool allows = intent || executed;
    if (allows && record->quota_used != before + 1)
        BAD(r, "quota", "the quota used went from %lld to %lld", (long long)used, (long long)record->quota_used);
    if (allows && record->quota_limit != QUOTA_NONE && record->quota_used > record->quota_limit)
        BAD(r, "quota", "%lld used of %lld", (long long)record->quota_used, (long long)record->quota_limit);
    if (!allows && record->quota_used != used && record->quota_used != 0)
        BAD(r, "quota", "the quota used went from %lld to %lld without a decision", (long long)used,
            (long long)record->quota_used);
}

static void fold(struct reading *r)
{
    struct error err;
    struct span before = text(r, "state_before"), after = text(r, "state_after");
    if (!after.len)
        return;
    struct folded *folded = folded_of(r);
    bool creates = span_is(text(r, "reason"), "created") && !text(r, "signal_id").len;
    if (creates == folded->created)
        BAD(r, "fold", "%s", creates ? "created again" : "not created yet");
    if (!creates && !span_is(before, governor_state_names[folded->record.state]))
        BAD(r, "fold", "the state was %s", governor_state_names[folded->record.state]);
    folded->created = true;
    int64_t used = folded->record.quota_used, period_start = folded->record.period_start;
    const struct json_node *body = json_get(&r->doc, r->doc.nodes, "body");
    const struct json_node *delta = body ? json_get(&r->doc, body, "governor") : NULL;
    if (delta && governor_apply(&folded->record, json_raw(&r->doc, delta), &err))
        BAD(r, "fold", "%s", err.text);
    /* The end of the signal that was acting comes before the receipt of the halt, which carries the fields. */
    bool halt_follows = span_is(text(r, "reason"), "halted_in_action") && text(r, "ending").len;
    if (!halt_follows && !span_is(after, governor_state_names[folded->record.state]))
        BAD(r, "fold", "the fields lead to %s", governor_state_names[folded->record.state]);
    check_quota(r, &folded->record, used, period_start);
}

static void compare(struct reading *r, const struct governor_item *item)
{
    struct folded *folded = folded_find(r, item->tenant_id, item->entitlement_id);
    struct buf stored, rebuilt;
    if (!folded) {
        world_violation(r->world, "fold", "%.*s has a record, but no receipt", (int)item->entitlement_id.len,
                        item->entitlement_id.ptr);
        return;
    }
    folded->compared = true;
    buf_init(&stored, 1 << 16);
    buf_init(&rebuilt, 1 << 16);
    governor_delta(NULL, &item->record, &stored);
    governor_delta(NULL, &folded->record, &rebuilt);
    if (!span_eq(buf_span(&stored), buf_span(&rebuilt)))
        world_violation(r->world, "fold", "%.*s is %s, its receipts lead to %s", (int)item->entitlement_id.len,
                        item->entitlement_id.ptr, buf_cstr(&stored), buf_cstr(&rebuilt));
    buf_done(&stored);
    buf_done(&rebuilt);
}

static void compare_governors(struct reading *r)
{
    struct awaited awaited = {0};
    struct store_governors request = {.req = {.done = awaited_done, .ctx = &awaited}, .state = -1, .limit = PAGE};
    store_governors(drill_store(r->drill), &request);
    if (drill_answered(r->world, r->drill, &awaited, "governors"))
        for (size_t i = 0; i < request.governor_count; i++) {
            compare(r, &request.governors[i]);
            governor_record_done(&request.governors[i].record);
        }
    arena_done(&request.req.arena);
    for (struct folded *folded = r->governors; folded; folded = folded->hh.next)
        if (!folded->compared)
            world_violation(r->world, "fold", "%.*s has receipts, but no record", (int)folded->hh.keylen, folded->key);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void read_one(struct reading *r, const struct receipt *receipt)
{
    struct error err;
    r->receipt = receipt;
    if (json_parse(&r->doc, receipt->body, &err)) {
        BAD(r, "chain", "%s", err.text);
        return;
    }
    world_trace(r->world, "receipt %.*s", (int)receipt->body.len, receipt->body.ptr);
    check_link(r);
    check_number(r);
    check_log(r);
    check_canary(r);
    note_signal(r);
    fold(r);
    r->position++;
}

static void read_shard(struct reading *r)
{
    uint64_t after = 0;
    bool more = true;
    while (more) {
        struct awaited awaited = {0};
        struct store_receipts page = {
            .req = {.done = awaited_done, .ctx = &awaited}, .shard = r->shard, .after = after, .limit = PAGE};
        store_receipts(drill_store(r->drill), &page);
        more = drill_answered(r->world, r->drill, &awaited, "receipts") && page.more;
        for (size_t i = 0; awaited.status == 0 && i < page.receipt_count; i++)
            read_one(r, &page.receipts[i]);
        after = page.next;
        arena_done(&page.req.arena);
    }
}

static void check_checkpoint_sizes(const struct reading *r)
{
    const struct evidence *evidence = r->world->evidence;
    for (size_t i = 0; i < evidence->checkpoint_count; i++)
        if (evidence->checkpoints[i].shard == r->shard && evidence->checkpoints[i].size > r->tree.size)
            world_violation(r->world, "checkpoint", "a checkpoint of size %llu was published, the log has %llu",
                            (unsigned long long)evidence->checkpoints[i].size, (unsigned long long)r->tree.size);
}

void check_receipts(struct world *world, struct drill *drill)
{
    struct reading r = {.world = world, .drill = drill};
    json_init(&r.doc);
    buf_init(&r.scratch, 1 << 16);
    for (r.shard = 0; r.shard < (uint32_t)world->config.shards; r.shard++) {
        r.position = 0;
        r.tree = (struct merkle){0};
        memset(r.numbers, 0, sizeof(r.numbers));
        read_shard(&r);
        check_checkpoint_sizes(&r);
    }
    compare_governors(&r);
    for (struct folded *folded = r.governors; folded; folded = folded->hh.next)
        governor_record_done(&folded->record);
    HASH_CLEAR(hh, r.governors);
    HASH_CLEAR(hh, r.chains);
    arena_done(&r.arena);
    json_done(&r.doc);
    buf_done(&r.scratch);
}
