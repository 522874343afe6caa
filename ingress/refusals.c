/* The collector of refusals; refusals.h says what it promises. Singles are written as records when they come, sums when
 * they leave. What is under way keeps what it takes to be summed again. */
#include "ingress/refusals.h"

#include "common/json/json.h"
#include "common/mem.h"

#include <stdlib.h>

static const char system_chain[] = "_system";

/* What is in the table is others' choice: the seed is where this program was loaded, which they do not know. */
#define HASH_FUNCTION(key, len, ret)                                                                                   \
    ((ret) = (unsigned)hash_quick((struct span){(const char *)(key), (len)}, (uintptr_t)system_chain))
#include <uthash.h>

enum { RECORD_MAX = 4096 };

/* A refusal with a receipt of its own, or a sum. */
struct record {
    UT_hash_handle hh; /* of a sum */
    struct record *next;
    const char *reason;
    uint64_t count;
    int64_t from_ms, to_ms;
    bool single;
    char *json; /* heap; NULL until a sum leaves */
    size_t len;
    size_t tenant_len;
    char key[]; /* tenant_id \0 reason */
};

struct refusals {
    struct record *singles, **singles_tail;
    struct record *sums; /* hash, oldest first */
    struct record *flight;
    size_t single_count, sum_count;
    uint64_t waiting;
    int64_t second; /* that `used` counts for */
    unsigned used;
};

struct refusals *refusals_new(void)
{
    struct refusals *refusals = xcalloc(1, sizeof(*refusals));
    refusals->singles_tail = &refusals->singles;
    return refusals;
}

static void record_free(struct record *record)
{
    free(record->json);
    free(record);
}

static void free_list(struct record *record)
{
    for (struct record *next; record; record = next) {
        next = record->next;
        record_free(record);
    }
}

void refusals_free(struct refusals *refusals)
{
    if (!refusals)
        return;
    struct record *sum = refusals->sums;
    HASH_CLEAR(hh, refusals->sums); /* the entries stay linked */
    for (struct record *next; sum; sum = next) {
        next = sum->hh.next;
        record_free(sum);
    }
    free_list(refusals->singles);
    free_list(refusals->flight);
    free(refusals);
}

static struct record *record_new(struct span tenant_id, const char *reason)
{
    size_t reason_len = strlen(reason);
    struct record *record = xcalloc(1, sizeof(*record) + tenant_id.len + 1 + reason_len);
    record->reason = reason;
    record->tenant_len = tenant_id.len;
    if (tenant_id.len)
        memcpy(record->key, tenant_id.ptr, tenant_id.len);
    memcpy(record->key + tenant_id.len + 1, reason, reason_len);
    return record;
}

static void sum_add(struct refusals *refusals, struct span tenant_id, const char *reason, uint64_t count,
                    int64_t from_ms, int64_t to_ms)
{
    struct record *made = record_new(tenant_id, reason), *sum;
    size_t len = made->tenant_len + 1 + strlen(reason);
    HASH_FIND(hh, refusals->sums, made->key, len, sum);
    if (!sum && refusals->sum_count >= REFUSALS_SUMS_MAX && tenant_id.len) {
        record_free(made);
        sum_add(refusals, (struct span){0}, reason, count, from_ms, to_ms);
        return;
    }
    if (sum) {
        record_free(made);
    } else {
        sum = made;
        sum->from_ms = from_ms;
        sum->to_ms = to_ms;
        HASH_ADD_KEYPTR(hh, refusals->sums, sum->key, len, sum);
        refusals->sum_count++;
    }
    sum->count += count;
    sum->from_ms = from_ms < sum->from_ms ? from_ms : sum->from_ms;
    sum->to_ms = to_ms > sum->to_ms ? to_ms : sum->to_ms;
}

/* --- writing records ---------------------------------------------------------------------------------------------- */

static void add_optional(struct buf *out, const char *name, struct span text)
{
    if (text.len)
        json_add_member(out, name, text);
}

/* Not within a character. */
static struct span cut(struct span text)
{
    size_t len = text.len < REFUSALS_DETAIL_MAX ? text.len : REFUSALS_DETAIL_MAX;
    while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    return (struct span){text.ptr, len};
}

static void take_json(struct record *record, struct buf *out)
{
    record->len = out->len;
    record->json = buf_take(out);
}

static void write_single(struct record *record, const struct refusal *refusal)
{
    struct buf out;
    char hex[SHA256_HEX];
    buf_init(&out, RECORD_MAX);
    buf_add_char(&out, '{');
    json_add_member(&out, "detail", cut(refusal->detail));
    add_optional(&out, "entitlement_id", refusal->entitlement_id);
    add_optional(&out, "key_id", refusal->key_id);
    json_add_member(&out, "reason", span_of(refusal->reason));
    add_optional(&out, "signal_id", refusal->signal_id);
    if (refusal->sha256) {
        hex_encode(refusal->sha256, SHA256_SIZE, hex);
        json_add_member(&out, "signal_sha256", (struct span){hex, sizeof(hex)});
    }
    json_add_member_u64(&out, "status", (uint64_t)refusal->status);
    buf_add_char(&out, '}');
    take_json(record, &out);
}

static void write_sum(struct record *record)
{
    struct buf out;
    buf_init(&out, RECORD_MAX);
    buf_add_char(&out, '{');
    json_add_member_u64(&out, "count", record->count);
    json_add_member_u64(&out, "from", (uint64_t)record->from_ms);
    json_add_member(&out, "reason", span_of(record->reason));
    json_add_member_u64(&out, "to", (uint64_t)record->to_ms);
    buf_add_char(&out, '}');
    take_json(record, &out);
}

/* --- collecting --------------------------------------------------------------------------------------------------- */

bool refusals_single(const struct refusals *refusals, int64_t mono_ms)
{
    bool same = mono_ms / 1000 == refusals->second;
    return (!same || refusals->used < REFUSALS_SINGLES_PER_S) && refusals->single_count < REFUSALS_SINGLES_MAX;
}

void refusals_add(struct refusals *refusals, const struct refusal *refusal, bool single, int64_t mono_ms)
{
    refusals->waiting++;
    if (!single) {
        sum_add(refusals, refusal->tenant_id, refusal->reason, 1, refusal->wall_ms, refusal->wall_ms);
        return;
    }
    if (mono_ms / 1000 != refusals->second) {
        refusals->second = mono_ms / 1000;
        refusals->used = 0;
    }
    refusals->used++;
    struct record *record = record_new(refusal->tenant_id, refusal->reason);
    record->single = true;
    record->count = 1;
    record->from_ms = record->to_ms = refusal->wall_ms;
    write_single(record, refusal);
    *refusals->singles_tail = record;
    refusals->singles_tail = &record->next;
    refusals->single_count++;
}

uint64_t refusals_waiting(const struct refusals *refusals)
{
    return refusals->waiting;
}

/* --- leaving ------------------------------------------------------------------------------------------------------ */

static struct record **take_sums(struct refusals *refusals, struct record **tail)
{
    for (size_t i = 0; i < REFUSALS_SUMS_PER_FLUSH && refusals->sums; i++) {
        struct record *sum = refusals->sums;
        HASH_DEL(refusals->sums, sum);
        refusals->sum_count--;
        write_sum(sum);
        *tail = sum;
        tail = &sum->next;
    }
    return tail;
}

static struct signal signal_of(const struct record *record)
{
    return (struct signal){
        .tenant_id = record->tenant_len ? (struct span){record->key, record->tenant_len} : SPAN("_system"),
        .entitlement_id = SPAN("_refusals"),
        .id = SPAN("_"),
        .type = record->single ? SPAN(REFUSAL_TYPE) : SPAN(REFUSAL_SUMMARY_TYPE),
        .data = SPAN("null"),
        .bytes = {record->json, record->len},
        .time_ms = record->to_ms,
        .accepted_at_ms = record->to_ms,
    };
}

size_t refusals_take(struct refusals *refusals, struct signal ret[REFUSALS_FLUSH_MAX])
{
    size_t count = 0;
    if (refusals->flight)
        return 0;
    refusals->flight = refusals->singles;
    struct record **tail = refusals->singles ? refusals->singles_tail : &refusals->flight;
    refusals->singles = NULL;
    refusals->singles_tail = &refusals->singles;
    refusals->single_count = 0;
    *take_sums(refusals, tail) = NULL;
    for (const struct record *record = refusals->flight; record; record = record->next)
        ret[count++] = signal_of(record);
    return count;
}

void refusals_answered(struct refusals *refusals, bool published)
{
    struct record *flight = refusals->flight;
    refusals->flight = NULL;
    for (const struct record *record = flight; record; record = record->next) {
        if (published)
            refusals->waiting -= record->count;
        else
            sum_add(refusals, (struct span){record->key, record->tenant_len}, record->reason, record->count,
                    record->from_ms, record->to_ms);
    }
    free_list(flight);
}
