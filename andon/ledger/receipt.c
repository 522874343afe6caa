/* An outcome's text holds all members of the receipt but four. As both are sorted, the receipt is the text with the
 * four let in at their places: no tree is built and nothing is formatted again. Pure; any thread. */
#include "andon/ledger/receipt.h"

#include <errno.h>
#include <inttypes.h>

enum kind { KIND_TEXT, KIND_TYPE, KIND_ENDING, KIND_SHA256, KIND_UUID, KIND_NUMBER, KIND_ANY };

enum field {
    ACTION_ID,
    BODY,
    CHAIN,
    CONFIG_SHA256,
    ENDING,
    ENTITLEMENT_ID,
    POLICY,
    PREVIOUS_HASH,
    REASON,
    RECEIPT_ID,
    REDRIVE,
    SEQ,
    SIGNAL_ID,
    SIGNAL_SHA256,
    STATE_AFTER,
    STATE_BEFORE,
    TENANT_ID,
    TIMESTAMP,
    TYPE,
    FIELDS
};

static const struct field_rule {
    struct span name;
    enum kind kind;
    bool required;
    bool added; /* by andon: not in an outcome's text */
    bool plain; /* never needs an escape: its bytes are its value */
} rules[FIELDS] = {
    [ACTION_ID] = {SPAN("action_id"), KIND_TEXT},
    [BODY] = {SPAN("body"), KIND_ANY},
    [CHAIN] = {SPAN("chain"), KIND_TEXT, .required = true, .added = true, .plain = true},
    [CONFIG_SHA256] = {SPAN("config_sha256"), KIND_SHA256},
    [ENDING] = {SPAN("ending"), KIND_ENDING},
    [ENTITLEMENT_ID] = {SPAN("entitlement_id"), KIND_TEXT, .plain = true},
    [POLICY] = {SPAN("policy"), KIND_TEXT},
    [PREVIOUS_HASH] = {SPAN("previous_hash"), KIND_SHA256, .required = true, .added = true},
    [REASON] = {SPAN("reason"), KIND_TEXT},
    [RECEIPT_ID] = {SPAN("receipt_id"), KIND_UUID, .required = true, .added = true},
    [REDRIVE] = {SPAN("redrive"), KIND_NUMBER},
    [SEQ] = {SPAN("seq"), KIND_NUMBER, .required = true, .added = true},
    [SIGNAL_ID] = {SPAN("signal_id"), KIND_TEXT, .plain = true},
    [SIGNAL_SHA256] = {SPAN("signal_sha256"), KIND_SHA256},
    [STATE_AFTER] = {SPAN("state_after"), KIND_TEXT},
    [STATE_BEFORE] = {SPAN("state_before"), KIND_TEXT},
    [TENANT_ID] = {SPAN("tenant_id"), KIND_TEXT, .plain = true},
    [TIMESTAMP] = {SPAN("timestamp"), KIND_NUMBER, .required = true},
    [TYPE] = {SPAN("type"), KIND_TYPE, .required = true, .plain = true},
};

const char *const receipt_types[RECEIPT_TYPES + 1] = {"action_intent", "action_success",  "action_failure",
                                                      "state_change",  "refusal",         "deadletter",
                                                      "operator",      "refusal_summary", NULL};

/* Integers JSON programs agree on (I-JSON). */
static const int64_t integer_max = (INT64_C(1) << 53) - 1;

enum { SCRATCH_MAX = 17 << 20, ADDED_MAX = 320, EXACT_DIGITS = 15 };

void receipt_builder_init(struct receipt_builder *builder, struct hasher *hasher)
{
    builder->hasher = hasher;
    json_init(&builder->doc);
    buf_init(&builder->scratch, SCRATCH_MAX);
}

void receipt_builder_done(struct receipt_builder *builder)
{
    json_done(&builder->doc);
    buf_done(&builder->scratch);
}

struct span receipt_chain_of(const struct outcome *outcome)
{
    return outcome->tenant_id.len ? outcome->tenant_id : SPAN(RECEIPT_SYSTEM_CHAIN);
}

/* The bytes between the quotes. */
static struct span inside(const struct json_doc *doc, const struct json_node *node)
{
    struct span raw = node ? json_raw(doc, node) : (struct span){0};
    return raw.len >= 2 && raw.ptr[0] == '"' ? (struct span){raw.ptr + 1, raw.len - 2} : (struct span){0};
}

static bool lower_hex(struct span text, size_t len)
{
    if (text.len != len)
        return false;
    unsigned bad = 0; /* no branch per digit: there are 192 in a receipt */
    for (size_t i = 0; i < len; i++) {
        unsigned c = (unsigned char)text.ptr[i];
        bad |= (unsigned)(c - '0' > 9) & (unsigned)(c - 'a' > 5);
    }
    return !bad;
}

static bool is_uuid(struct span text)
{
    if (text.len != UUID_TEXT)
        return false;
    static const size_t groups[] = {8, 4, 4, 4, 12};
    for (size_t i = 0, at = 0; i < 5; at += groups[i++] + 1)
        if (!lower_hex((struct span){text.ptr + at, groups[i]}, groups[i]) ||
            (i < 4 && text.ptr[at + groups[i]] != '-'))
            return false;
    return true;
}

static bool one_of(struct span text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (span_is(text, names[i]))
            return true;
    return false;
}

static bool value_valid(const struct json_doc *doc, const struct json_node *node, const struct field_rule *rule)
{
    struct span text = inside(doc, node);
    int64_t number;
    if (rule->kind == KIND_ANY)
        return true;
    if (rule->kind == KIND_NUMBER)
        return json_int(doc, node, 0, integer_max, &number) == 0;
    if (node->type != JSON_STRING || (rule->plain && (text.len == 0 || node->escaped)))
        return false;
    switch (rule->kind) {
    case KIND_TYPE:
        return one_of(text, receipt_types, RECEIPT_TYPES);
    case KIND_ENDING:
        return one_of(text, signal_status_names + SIGNAL_EXECUTED, SIGNAL_STATUS_COUNT - SIGNAL_EXECUTED);
    case KIND_SHA256:
        return lower_hex(text, SHA256_HEX);
    case KIND_UUID:
        return is_uuid(text);
    default:
        return true;
    }
}

/* Finds the members by their sorted places: unknown names, a wrong order and wrong values are refused. */
static int read_members(const struct json_doc *doc, bool stored, const struct json_node *ret[FIELDS], struct error *err)
{
    const struct json_node *root = &doc->nodes[0], *node;
    memset(ret, 0, FIELDS * sizeof(ret[0]));
    if (root->type != JSON_OBJECT)
        return error_set(err, -EBADMSG, "it is no JSON object");
    size_t at = 0;
    for (node = json_first(doc, root); node; node = json_next(doc, root, node)) {
        struct span key = json_key(doc, node);
        while (at < FIELDS && !span_eq(key, rules[at].name))
            at++;
        if (at == FIELDS || (rules[at].added && !stored))
            return error_set(err, -EBADMSG, "the member \"%.*s\" is unknown or not in its sorted place",
                             (int)(key.len < 64 ? key.len : 64), key.ptr);
        ret[at] = node;
        if (!value_valid(doc, node, &rules[at]))
            return error_set(err, -EBADMSG, "the member \"%s\" has a value it cannot have", rules[at].name.ptr);
        at++;
    }
    for (at = 0; at < FIELDS; at++)
        if (rules[at].required && !ret[at] && (stored || !rules[at].added))
            return error_set(err, -EBADMSG, "the member \"%s\" is missing", rules[at].name.ptr);
    return 0;
}

/* Whether one value is written as RFC 8785 does, given that its children are. May say no to what is: strings with
 * escapes, long numbers and names beyond ASCII. */
static bool plainly_canonical(const struct json_doc *doc, const struct json_node *node)
{
    const char *text = doc->text.ptr + node->start;
    if (node->type == JSON_STRING)
        return !node->escaped;
    if (node->type == JSON_NUMBER) {
        bool digits = node->len <= EXACT_DIGITS;
        for (uint32_t i = 0; digits && i < node->len; i++)
            digits = text[i] >= '0' && text[i] <= '9';
        return digits;
    }
    if (node->type != JSON_OBJECT && node->type != JSON_ARRAY)
        return true;
    size_t len = 2 + (node->count ? node->count - 1 : 0); /* without white space */
    struct span last = {0};
    for (const struct json_node *child = json_first(doc, node); child; child = json_next(doc, node, child)) {
        len += child->len;
        if (node->type == JSON_ARRAY)
            continue;
        struct span key = json_key(doc, child);
        if (child->key_escaped || (last.ptr && span_cmp(last, key) >= 0))
            return false;
        for (size_t i = 0; i < key.len; i++)
            if (key.ptr[i] & 0x80)
                return false;
        len += key.len + 3;
        last = key;
    }
    return len == node->len;
}

/* I-JSON lets through what RFC 8785 writes otherwise. */
static int check_canonical(struct receipt_builder *builder, struct error *err)
{
    bool plain = builder->doc.nodes[0].len == builder->doc.text.len;
    for (size_t i = 0; plain && i < builder->doc.count; i++)
        plain = plainly_canonical(&builder->doc, &builder->doc.nodes[i]);
    if (plain)
        return 0;
    buf_clear(&builder->scratch);
    int r = json_canonical(&builder->doc, &builder->doc.nodes[0], &builder->scratch);
    if (r || !span_eq(buf_span(&builder->scratch), builder->doc.text))
        return error_set(err, -EBADMSG, "it is not canonical JSON (RFC 8785)");
    return 0;
}

/* The text's members, if it is canonical JSON. Nearly every text is so at first sight. */
static int parse_text(struct receipt_builder *builder, struct span text, bool stored,
                      const struct json_node *ret[FIELDS], struct error *err)
{
    bool plain = json_plain_object(&builder->doc, text);
    int r = plain ? 0 : json_parse(&builder->doc, text, err);
    if (r)
        return error_prefix(err, -EBADMSG, "it is not JSON");
    r = read_members(&builder->doc, stored, ret, err);
    return r || plain ? r : check_canonical(builder, err);
}

/* Where in an outcome's text a member that is let in goes: before the first one that sorts behind it. TYPE is always
 * there and sorts last. */
static size_t place_of(enum field field, const struct json_node *const nodes[FIELDS])
{
    size_t at = field + 1;
    while (!nodes[at])
        at++;
    return nodes[at]->key_start - 1;
}

static char *put(char *out, struct span text)
{
    memcpy(out, text.ptr, text.len);
    return out + text.len;
}

static char *put_member(char *out, struct span name, struct span value)
{
    out = put(out, name);
    out = put(out, value);
    return put(out, SPAN("\","));
}

static char *put_number(char *out, uint64_t value)
{
    char digits[20], *at = digits + sizeof(digits);
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    return put(out, (struct span){at, (size_t)(digits + sizeof(digits) - at)});
}

static struct span merge(struct span text, const struct json_node *const nodes[FIELDS], const struct receipt *receipt,
                         const uint8_t previous[SHA256_SIZE], struct arena *arena)
{
    char hex[SHA256_HEX];
    hex_encode(previous, SHA256_SIZE, hex);
    static const enum field added[] = {CHAIN, PREVIOUS_HASH, RECEIPT_ID, SEQ};
    char *start = arena_alloc(arena, text.len + receipt->chain.len + ADDED_MAX), *out = start;
    size_t from = 0;
    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
        size_t to = place_of(added[i], nodes);
        out = put(out, (struct span){text.ptr + from, to - from});
        from = to;
        if (added[i] == CHAIN)
            out = put_member(out, SPAN("\"chain\":\""), receipt->chain);
        else if (added[i] == PREVIOUS_HASH)
            out = put_member(out, SPAN("\"previous_hash\":\""), (struct span){hex, sizeof(hex)});
        else if (added[i] == RECEIPT_ID)
            out = put_member(out, SPAN("\"receipt_id\":\""), (struct span){receipt->receipt_id, UUID_TEXT});
        else
            out = put(put_number(put(out, SPAN("\"seq\":")), receipt->seq), SPAN(","));
    }
    out = put(out, (struct span){text.ptr + from, text.len - from});
    return (struct span){start, (size_t)(out - start)};
}

/* The texts the API filters by, as spans into the outcome, whose lifetime is the batch's like the body's. */
static void fill_filters(const struct json_doc *doc, const struct json_node *const nodes[FIELDS], struct receipt *ret)
{
    ret->tenant_id = inside(doc, nodes[TENANT_ID]);
    ret->entitlement_id = inside(doc, nodes[ENTITLEMENT_ID]);
    ret->signal_id = inside(doc, nodes[SIGNAL_ID]);
    ret->type = inside(doc, nodes[TYPE]);
    if (json_int(doc, nodes[TIMESTAMP], 0, integer_max, &ret->timestamp_ms))
        ret->timestamp_ms = 0; /* read_members has checked it */
}

int receipt_build(struct receipt_builder *builder, const struct outcome *outcome, uint32_t shard,
                  struct chain_head *head, struct arena *arena, struct receipt *ret, struct error *err)
{
    const struct json_node *nodes[FIELDS];
    int r = parse_text(builder, outcome->text, false, nodes, err);
    if (!r && !span_eq(inside(&builder->doc, nodes[TENANT_ID]), outcome->tenant_id))
        r = error_set(err, -EBADMSG, "its tenant_id is not that of its outcome");
    if (r)
        return error_prefix(err, r, "outcome %" PRIu32 "/%" PRIu32 "/%" PRIu64, outcome->partition, shard,
                            outcome->number);
    *ret = (struct receipt){.chain = receipt_chain_of(outcome),
                            .seq = head->seq + 1,
                            .partition = outcome->partition,
                            .number = outcome->number};
    receipt_id_of(builder->hasher, outcome->partition, shard, outcome->number, ret->receipt_id);
    fill_filters(&builder->doc, nodes, ret);
    ret->body = merge(outcome->text, nodes, ret, head->hash, arena);
    hasher_sha256(builder->hasher, ret->body, ret->hash);
    head->seq = ret->seq;
    memcpy(head->hash, ret->hash, SHA256_SIZE);
    return 0;
}

static int check_links(const struct receipt_fields *fields, struct error *err)
{
    if (fields->seq == 0)
        return error_set(err, -EBADMSG, "its seq is 0");
    if (fields->chain.len > RECEIPT_CHAIN_MAX)
        return error_set(err, -EBADMSG, "its chain is longer than %d characters", RECEIPT_CHAIN_MAX);
    struct span expected = fields->tenant_id.len ? fields->tenant_id : SPAN(RECEIPT_SYSTEM_CHAIN);
    if (!span_eq(fields->chain, expected))
        return error_set(err, -EBADMSG, "its chain is not that of its tenant_id");
    return 0;
}

int receipt_parse(struct receipt_builder *builder, struct span body, struct receipt_fields *ret, struct error *err)
{
    const struct json_doc *doc = &builder->doc;
    const struct json_node *nodes[FIELDS] = {0};
    *ret = (struct receipt_fields){0};
    int r = parse_text(builder, body, true, nodes, err);
    bool object = doc->count && doc->nodes[0].type == JSON_OBJECT;
    const struct json_node *id = object ? json_get(doc, &doc->nodes[0], "receipt_id") : NULL;
    ret->receipt_id = id && value_valid(doc, id, &rules[RECEIPT_ID]) ? inside(doc, id) : (struct span){0};
    if (r)
        return r;
    int64_t seq = 0;
    ret->chain = inside(doc, nodes[CHAIN]);
    ret->tenant_id = inside(doc, nodes[TENANT_ID]);
    ret->type = inside(doc, nodes[TYPE]);
    if (json_int(doc, nodes[SEQ], 0, integer_max, &seq) ||
        json_int(doc, nodes[TIMESTAMP], 0, integer_max, &ret->timestamp_ms) ||
        !hex_decode(inside(doc, nodes[PREVIOUS_HASH]), ret->previous_hash, SHA256_SIZE))
        return error_set(err, -EBADMSG, "a number or hash cannot be read"); /* read_members has checked them */
    ret->seq = (uint64_t)seq;
    return check_links(ret, err);
}
