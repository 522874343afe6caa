/* The invariants of a pipeline at rest, from nothing but what the store answers. */
#include "common/json/json.h"
#include "jidoka/governor/governor.h"
#include "support/pipeline.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

/* One body under an identity. */
struct sent_identity {
    UT_hash_handle hh;
    struct span tenant_id, entitlement_id, id;
    uint32_t redrive;
    uint8_t sha256[SHA256_SIZE];
    unsigned copies, endings;
    uint64_t outcomes[SIGNAL_OUTCOMES_MAX]; /* their numbers */
    unsigned outcome_count;
    char key[];
};

struct folded { /* a governor rebuilt from its outcomes */
    UT_hash_handle hh;
    struct governor_record record;
    char state[32];
    struct span tenant_id, entitlement_id;
    char key[];
};

struct checking {
    struct pipeline *p;
    struct json_doc doc;
    struct buf scratch, canonical;
    struct folded *governors;
    uint64_t *next; /* outcome number per (partition, shard) */
    unsigned problems;
};

static void problem(struct checking *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void problem(struct checking *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (c->problems++ < 20) {
        fprintf(stderr, "pipeline_check: ");
        vfprintf(stderr, format, args);
        fprintf(stderr, "\n");
    }
    va_end(args);
}

/* --- what was sent ------------------------------------------------------------------------------------------------ */

static size_t sent_key(struct span tenant_id, struct span entitlement_id, struct span id, uint32_t redrive,
                       const uint8_t *sha256, struct buf *out)
{
    buf_clear(out);
    buf_add_span(out, tenant_id);
    buf_add_char(out, '\n');
    buf_add_span(out, entitlement_id);
    buf_add_char(out, '\n');
    buf_add_span(out, id);
    buf_addf(out, "\n%u\n", redrive);
    buf_add(out, sha256, SHA256_SIZE);
    return out->len;
}

void pipeline_sent(struct pipeline *p, const struct signal *signal)
{
    struct buf key;
    struct sent_identity *sent;
    buf_init(&key, 1024);
    size_t len = sent_key(signal->tenant_id, signal->entitlement_id, signal->id, signal->redrive, signal->sha256, &key);
    HASH_FIND(hh, p->sent, key.data, len, sent);
    if (!sent) {
        sent = xcalloc(1, sizeof(*sent) + len);
        sent->tenant_id = signal->tenant_id;
        sent->entitlement_id = signal->entitlement_id;
        sent->id = signal->id;
        sent->redrive = signal->redrive;
        memcpy(sent->sha256, signal->sha256, SHA256_SIZE);
        memcpy(sent->key, key.data, len);
        HASH_ADD_KEYPTR(hh, p->sent, sent->key, len, sent);
    }
    sent->copies++;
    buf_done(&key);
}

void pipeline_sent_free(struct pipeline *p)
{
    struct sent_identity *sent = p->sent;
    HASH_CLEAR(hh, p->sent);
    for (struct sent_identity *next; sent; sent = next) {
        next = sent->hh.next;
        free(sent);
    }
}

/* --- outcomes ----------------------------------------------------------------------------------------------------- */

static struct span member(struct checking *c, const char *name)
{
    return json_text(&c->doc, json_get(&c->doc, c->doc.nodes, name), &c->scratch);
}

static void note_outcome(struct checking *c, struct sent_identity *sent, const struct outcome *outcome)
{
    if (json_get(&c->doc, c->doc.nodes, "ending"))
        sent->endings++;
    if (sent->outcome_count < SIGNAL_OUTCOMES_MAX)
        sent->outcomes[sent->outcome_count++] = outcome->number;
    else
        problem(c, "too many outcomes: %.*s", (int)outcome->text.len, outcome->text.ptr);
}

static void check_signal(struct checking *c, const struct outcome *outcome)
{
    if (!json_get(&c->doc, c->doc.nodes, "signal_id") && !json_get(&c->doc, c->doc.nodes, "ending"))
        return;
    if (span_is(member(c, "type"), "refusal") && !json_get(&c->doc, c->doc.nodes, "ending"))
        return; /* ingress refused it: it never was in the queue */
    struct buf key;
    struct sent_identity *sent;
    uint8_t sha256[SHA256_SIZE];
    int64_t redrive = -1;
    buf_init(&key, 1024);
    const struct json_node *node = json_get(&c->doc, c->doc.nodes, "redrive");
    if (!node || json_int(&c->doc, node, 0, UINT32_MAX, &redrive) < 0 ||
        !hex_decode(member(c, "signal_sha256"), sha256, SHA256_SIZE)) {
        problem(c, "a signal without its identity: %.*s", (int)outcome->text.len, outcome->text.ptr);
    } else {
        size_t len = sent_key(member(c, "tenant_id"), member(c, "entitlement_id"), member(c, "signal_id"),
                              (uint32_t)redrive, sha256, &key);
        HASH_FIND(hh, c->p->sent, key.data, len, sent);
        if (sent)
            note_outcome(c, sent, outcome);
        else if (!span_is(member(c, "tenant_id"), "_system"))
            problem(c, "this was never sent: %.*s", (int)outcome->text.len, outcome->text.ptr);
    }
    buf_done(&key);
}

static struct folded *fold_of(struct checking *c)
{
    struct folded *folded;
    struct span tenant_id = member(c, "tenant_id"), entitlement_id = member(c, "entitlement_id");
    char key[300];
    int len = snprintf(key, sizeof(key), "%.*s\n%.*s", (int)tenant_id.len, tenant_id.ptr, (int)entitlement_id.len,
                       entitlement_id.ptr);
    HASH_FIND(hh, c->governors, key, (size_t)len, folded);
    if (folded)
        return folded;
    folded = xcalloc(1, sizeof(*folded) + (size_t)len + 1);
    memcpy(folded->key, key, (size_t)len + 1);
    folded->tenant_id = (struct span){folded->key, tenant_id.len};
    folded->entitlement_id = (struct span){folded->key + tenant_id.len + 1, entitlement_id.len};
    HASH_ADD_KEYPTR(hh, c->governors, folded->key, (size_t)len, folded);
    return folded;
}

static void check_governor_step(struct checking *c, const struct outcome *outcome)
{
    struct error err = {0};
    struct span before = member(c, "state_before"), after = member(c, "state_after");
    if (!after.len)
        return;
    struct folded *folded = fold_of(c);
    if (folded->state[0] && !span_is(before, folded->state))
        problem(c, "%s was %s, not as in %.*s", folded->key, folded->state, (int)outcome->text.len, outcome->text.ptr);
    snprintf(folded->state, sizeof(folded->state), "%.*s", (int)after.len, after.ptr);
    const struct json_node *body = json_get(&c->doc, c->doc.nodes, "body");
    const struct json_node *delta = body ? json_get(&c->doc, body, "governor") : NULL;
    if (delta && governor_apply(&folded->record, json_raw(&c->doc, delta), &err) < 0)
        problem(c, "%s: %s in %.*s", folded->key, err.text, (int)outcome->text.len, outcome->text.ptr);
}

static void check_outcome(void *ctx, uint32_t shard, const struct outcome *outcome)
{
    struct checking *c = ctx;
    struct error err;
    uint64_t *next = &c->next[outcome->partition * (uint32_t)c->p->config.shards + shard];
    if (outcome->number != ++*next)
        problem(c, "outcome %llu of partition %u, shard %u follows %llu", (unsigned long long)outcome->number,
                outcome->partition, shard, (unsigned long long)*next - 1);
    *next = outcome->number;
    buf_clear(&c->canonical);
    if (json_parse(&c->doc, outcome->text, &err) < 0) {
        problem(c, "no JSON (%s): %.*s", err.text, (int)outcome->text.len, outcome->text.ptr);
        return;
    }
    if (json_canonical(&c->doc, c->doc.nodes, &c->canonical) < 0 || !span_eq(buf_span(&c->canonical), outcome->text))
        problem(c, "not canonical: %.*s", (int)outcome->text.len, outcome->text.ptr);
    if (!span_eq(outcome->tenant_id, member(c, "tenant_id")))
        problem(c, "of another tenant: %.*s", (int)outcome->text.len, outcome->text.ptr);
    check_signal(c, outcome);
    check_governor_step(c, outcome);
}

/* --- rows and governors ------------------------------------------------------------------------------------------- */

static void check_sent(struct checking *c, const struct sent_identity *sent, const struct lookup_signal *row)
{
    bool is_open = row->status == SIGNAL_WAITING || row->status == SIGNAL_ACTING;
    unsigned expected = is_open ? 0 : 1;
    if (!row->found || !row->same_hash)
        problem(c, "%.*s of %.*s was lost", (int)sent->id.len, sent->id.ptr, (int)sent->tenant_id.len,
                sent->tenant_id.ptr);
    else if (sent->endings != expected)
        problem(c, "%.*s of %.*s is %s and has %u endings", (int)sent->id.len, sent->id.ptr, (int)sent->tenant_id.len,
                sent->tenant_id.ptr, signal_status_names[row->status], sent->endings);
}

/* The row names the outcomes; a conflict's row cannot be asked for. */
static void check_row(struct checking *c, const struct sent_identity *sent)
{
    struct store_signal signal = {.tenant_id = sent->tenant_id, .entitlement_id = sent->entitlement_id, .id = sent->id};
    pipeline_signal(c->p, &signal);
    const struct signal_row *row = &signal.row;
    if (signal.found && row->identity.redrive == sent->redrive && !row->conflict &&
        memcmp(row->sha256, sent->sha256, SHA256_SIZE) == 0 &&
        (row->outcome_count != sent->outcome_count ||
         memcmp(row->outcomes, sent->outcomes, row->outcome_count * sizeof(*row->outcomes)) != 0))
        problem(c, "%.*s of %.*s has %u outcomes, its row names %u others", (int)sent->id.len, sent->id.ptr,
                (int)sent->tenant_id.len, sent->tenant_id.ptr, sent->outcome_count, row->outcome_count);
    arena_done(&signal.req.arena);
}

static void check_rows(struct checking *c)
{
    size_t count = HASH_COUNT(c->p->sent), at = 0;
    struct store_lookup lookup = {.signals = xcalloc(count, sizeof(*lookup.signals)), .signal_count = count};
    for (struct sent_identity *sent = c->p->sent; sent; sent = sent->hh.next)
        lookup.signals[at++] = (struct lookup_signal){
            .identity = {sent->tenant_id, sent->entitlement_id, sent->id, sent->redrive}, .sha256 = sent->sha256};
    pipeline_lookup(c->p, &lookup);
    at = 0;
    for (struct sent_identity *sent = c->p->sent; sent; sent = sent->hh.next)
        check_sent(c, sent, &lookup.signals[at++]);
    for (struct sent_identity *sent = c->p->sent; sent; sent = sent->hh.next)
        check_row(c, sent);
    free(lookup.signals);
    arena_done(&lookup.req.arena);
}

static void check_folded(struct checking *c, const struct folded *folded)
{
    struct governor_record stored;
    struct buf one, other;
    char tenant[80], entitlement[160];
    snprintf(tenant, sizeof(tenant), "%.*s", (int)folded->tenant_id.len, folded->tenant_id.ptr);
    snprintf(entitlement, sizeof(entitlement), "%.*s", (int)folded->entitlement_id.len, folded->entitlement_id.ptr);
    if (!pipeline_governor(c->p, tenant, entitlement, &stored)) {
        problem(c, "%s has outcomes but no record", folded->key);
        return;
    }
    buf_init(&one, 1 << 16);
    buf_init(&other, 1 << 16);
    governor_delta(NULL, &folded->record, &one);
    governor_delta(NULL, &stored, &other);
    if (!span_eq(buf_span(&one), buf_span(&other)))
        problem(c, "%s is %s, its receipts make %s", folded->key, buf_cstr(&other), buf_cstr(&one));
    buf_done(&one);
    buf_done(&other);
    governor_record_done(&stored);
}

static void check_governors(struct checking *c)
{
    struct folded *folded = c->governors;
    HASH_CLEAR(hh, c->governors); /* they stay linked */
    for (struct folded *next; folded; folded = next) {
        next = folded->hh.next;
        check_folded(c, folded);
        governor_record_done(&folded->record);
        free(folded);
    }
}

static void check_totals(struct checking *c)
{
    struct store_totals t = pipeline_totals(c->p);
    if (t.taken + t.requeued != t.ended + t.duplicates + t.waiting + t.acting)
        problem(c, "taken %llu + requeued %llu are not ended %llu + duplicates %llu + waiting %llu + acting %llu",
                (unsigned long long)t.taken, (unsigned long long)t.requeued, (unsigned long long)t.ended,
                (unsigned long long)t.duplicates, (unsigned long long)t.waiting, (unsigned long long)t.acting);
    if (t.taken < c->p->published)
        problem(c, "%llu published, %llu taken", (unsigned long long)c->p->published, (unsigned long long)t.taken);
    if (t.governors != HASH_COUNT(c->governors))
        problem(c, "%llu governors, %u with outcomes", (unsigned long long)t.governors, HASH_COUNT(c->governors));
}

bool pipeline_check(struct pipeline *p)
{
    struct checking c = {.p = p};
    for (struct sent_identity *sent = p->sent; sent; sent = sent->hh.next)
        sent->endings = sent->outcome_count = 0;
    json_init(&c.doc);
    buf_init(&c.scratch, 1 << 16);
    buf_init(&c.canonical, 1 << 20);
    c.next = xcalloc((size_t)(p->config.partitions * p->config.shards), sizeof(*c.next));
    pipeline_outcomes(p, check_outcome, &c);
    check_rows(&c);
    check_totals(&c);
    check_governors(&c);
    free(c.next);
    json_done(&c.doc);
    buf_done(&c.scratch);
    buf_done(&c.canonical);
    return c.problems == 0;
}
