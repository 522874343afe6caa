/* The signal table as code: one row per field, each with a function that checks and takes the value. Works on spans of
 * the request's body; only an escaped text or a new id is written to the arena. Refuses with the field, its byte offset
 * and the rule. Runs on the ingress loop, in tests and in the fuzzer. */
#include "ingress/signal.h"

#include "common/charset.h"
#include "common/suggest.h"

#include <errno.h>

enum {
    ID_MAX = 128,
    TENANT_MAX = 64,
    TYPE_MAX = 128,
    SOURCE_MAX = 256,
    NAME_SHOWN = 64, /* bytes of an unknown field's name in a message */
    UUID_RANDOM = 10,
};

/* One signal being read. */
struct reading {
    const struct signal_reader *reader;
    const struct json_doc *doc;
    struct signal *signal;
};

/* The contents of a string, in the body or, if it was escaped, in the arena; ptr NULL if it is none, or escaped and
 * longer than any field may be. */
static struct span string_of(const struct reading *r, const struct json_node *value)
{
    struct buf *scratch = r->reader->scratch;
    struct span text = json_text(r->doc, value, scratch);
    if (value->type != JSON_STRING || !value->escaped)
        return text;
    if (scratch->failed)
        return (struct span){NULL, 0};
    return (struct span){arena_copy(r->reader->arena, text.ptr, text.len), text.len};
}

static bool take_name(const struct reading *r, const struct json_node *value, struct span *ret, size_t max,
                      enum charset set)
{
    *ret = string_of(r, value);
    return charset_made_of(*ret, max, set);
}

static bool take_id(struct reading *r, const struct json_node *value)
{
    return take_name(r, value, &r->signal->id, ID_MAX, CHARSET_ID);
}

static bool take_entitlement(struct reading *r, const struct json_node *value)
{
    return take_name(r, value, &r->signal->entitlement_id, ID_MAX, CHARSET_ID);
}

static bool take_sku(struct reading *r, const struct json_node *value)
{
    return take_name(r, value, &r->signal->sku_id, ID_MAX, CHARSET_ID);
}

static bool take_tenant(struct reading *r, const struct json_node *value)
{
    struct span *tenant = &r->signal->tenant_id;
    return take_name(r, value, tenant, TENANT_MAX, CHARSET_NAME) && tenant->ptr && tenant->ptr[0] != '_';
}

static bool take_type(struct reading *r, const struct json_node *value)
{
    return take_name(r, value, &r->signal->type, TYPE_MAX, CHARSET_LOWER);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* RFC 3986 by its characters: well-formed escapes, at most one fragment, and what stands before the first colon of a
 * first segment is a scheme. */
static bool is_uri_reference(struct span text)
{
    if (text.len == 0 || text.len > SOURCE_MAX)
        return false;
    bool fragment = false;
    bool segment = true; /* still in what may be a scheme */
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            if (text.len - i < 3 || !is_hex(text.ptr[i + 1]) || !is_hex(text.ptr[i + 2]))
                return false;
            i += 2;
        } else if (!(charset_table[(unsigned char)c] & CHARSET_URI) || (c == '#' && fragment)) {
            return false;
        }
        fragment |= c == '#';
        if (c == ':' && segment && (i == 0 || !((text.ptr[0] | 0x20) >= 'a' && (text.ptr[0] | 0x20) <= 'z')))
            return false;
        segment &= c != ':' && c != '/' && c != '?' && c != '#';
    }
    return true;
}

static bool take_source(struct reading *r, const struct json_node *value)
{
    r->signal->source = string_of(r, value);
    return is_uri_reference(r->signal->source);
}

static bool take_time(struct reading *r, const struct json_node *value)
{
    struct span text = string_of(r, value);
    return text.ptr && time_parse_rfc3339(text, &r->signal->time_ms);
}

static bool take_severity(struct reading *r, const struct json_node *value)
{
    static const char *const names[] = {
        [SEVERITY_INFO] = "info", [SEVERITY_WARNING] = "warning", [SEVERITY_CRITICAL] = "critical"};
    struct span text = string_of(r, value);
    for (enum severity s = SEVERITY_INFO; s <= SEVERITY_CRITICAL; s++) {
        if (span_is(text, names[s])) {
            r->signal->severity = s;
            return true;
        }
    }
    return false;
}

static bool take_data(struct reading *r, const struct json_node *value)
{
    r->signal->data = json_raw(r->doc, value);
    return true;
}

static bool take_traceparent(struct reading *r, const struct json_node *value)
{
    r->signal->traceparent = string_of(r, value);
    return traceparent_valid(r->signal->traceparent);
}

static const char id_rule[] = "must be a string of 1 to 128 characters of A-Z a-z 0-9 . _ : @ / + = ~ -";

static const struct field {
    const char *name;
    size_t len;
    bool (*take)(struct reading *r, const struct json_node *value);
    const char *rule;
} fields[] = {
#define FIELD(name, take, rule)                                                                                        \
    {                                                                                                                  \
        name, sizeof(name) - 1, take, rule                                                                             \
    }
    FIELD("id", take_id, id_rule),
    FIELD("tenant_id", take_tenant,
          "must be a string of 1 to 64 characters of A-Z a-z 0-9 . _ -, the first of them not _"),
    FIELD("entitlement_id", take_entitlement, id_rule),
    FIELD("sku_id", take_sku, id_rule),
    FIELD("type", take_type, "must be a string of 1 to 128 characters of a-z 0-9 . _ -"),
    FIELD("data", take_data, ""),
    FIELD("source", take_source, "must be a string with a URI reference (RFC 3986) of 1 to 256 characters"),
    FIELD("time", take_time, "must be a string with an RFC 3339 time, like 2026-01-31T12:00:00Z"),
    FIELD("severity", take_severity, "must be \"info\", \"warning\" or \"critical\""),
    FIELD("traceparent", take_traceparent,
          "must be a W3C trace context 00-<32 hex>-<16 hex>-<2 hex>, lower case, ids not all zero"),
#undef FIELD
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

const char *signal_field(size_t index)
{
    return index < FIELDS ? fields[index].name : NULL;
}

static const struct field *find_field(struct span name)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].len == name.len && memcmp(fields[i].name, name.ptr, name.len) == 0)
            return &fields[i];
    return NULL;
}

/* The name as written is shown, cut at a whole character. */
static int unknown_field(const struct json_doc *doc, const struct json_node *value, struct span name, struct error *err)
{
    struct suggestion nearest;
    struct span shown = json_key(doc, value);
    bool cut = shown.len > NAME_SHOWN;
    if (cut) {
        shown.len = NAME_SHOWN;
        while (shown.len > 0 && ((unsigned char)shown.ptr[shown.len] & 0xc0) == 0x80)
            shown.len--;
    }
    suggestion_init(&nearest, name);
    for (size_t i = 0; i < FIELDS; i++)
        suggestion_offer(&nearest, fields[i].name);
    if (nearest.best)
        return error_set(err, -EINVAL, "byte %u: unknown field \"%.*s%s\", did you mean \"%s\"?", value->key_start,
                         (int)shown.len, shown.ptr, cut ? "..." : "", nearest.best);
    return error_set(err, -EINVAL,
                     "byte %u: unknown field \"%.*s%s\"; a signal has id, tenant_id, entitlement_id, sku_id, type, "
                     "source, time, severity, data and traceparent (put what is yours into data)",
                     value->key_start, (int)shown.len, shown.ptr, cut ? "..." : "");
}

static int take_member(struct reading *r, const struct json_node *value, struct error *err)
{
    struct span name = json_key(r->doc, value);
    if (value->key_escaped) {
        struct buf *scratch = r->reader->scratch;
        buf_clear(scratch);
        if (json_key_string(r->doc, value, scratch) == 0)
            name = buf_span(scratch);
    }
    const struct field *field = find_field(name);
    if (!field)
        return unknown_field(r->doc, value, name, err);
    if (!field->take(r, value))
        return error_set(err, -EINVAL, "byte %u: %s %s", value->start, field->name, field->rule);
    return 0;
}

static int fill_tenant(struct signal *signal, const struct sender *sender, struct error *err)
{
    if (!signal->tenant_id.ptr)
        signal->tenant_id = sender->tenant_id;
    if (!signal->tenant_id.ptr)
        return error_set(err, -EINVAL, "tenant_id is missing%s",
                         sender->is_signed ? ": the key may send for any tenant, so the signal must name it" : "");
    if (sender->tenant_id.ptr && !span_eq(signal->tenant_id, sender->tenant_id))
        return error_set(err, -EACCES, "tenant_id is %.*s, but the key may only send for %.*s",
                         (int)signal->tenant_id.len, signal->tenant_id.ptr, (int)sender->tenant_id.len,
                         sender->tenant_id.ptr);
    return 0;
}

const uint8_t *entropy_take(struct entropy *entropy, size_t len)
{
    if (entropy->left < len) {
        random_bytes(entropy->bytes, sizeof(entropy->bytes));
        entropy->left = sizeof(entropy->bytes);
    }
    entropy->left -= len;
    return entropy->bytes + sizeof(entropy->bytes) - entropy->left - len;
}

static void new_id(const struct signal_reader *reader, struct signal *signal)
{
    char *id = arena_alloc(reader->arena, UUID_TEXT + 1);
    uuid7(reader->now_ms, entropy_take(reader->entropy, UUID_RANDOM), id);
    signal->id = (struct span){id, UUID_TEXT};
}

static bool is_event(struct span type)
{
    static const char prefix[] = "tai.entitlement.";
    static const char *const events[] = {"activated", "suspended", "cancelled", "refund_started", "refund_completed"};
    if (type.len < sizeof(prefix) - 1 || memcmp(type.ptr, prefix, sizeof(prefix) - 1) != 0)
        return false;
    struct span event = {type.ptr + sizeof(prefix) - 1, type.len - (sizeof(prefix) - 1)};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (span_is(event, events[i]))
            return true;
    return false;
}

/* Defaults, and what no field can judge alone. */
static int complete(const struct signal_reader *reader, struct signal *signal, struct error *err)
{
    const struct sender *sender = &reader->sender;
    int rc = fill_tenant(signal, sender, err);
    if (rc)
        return rc;
    if (!signal->entitlement_id.ptr)
        signal->entitlement_id = signal->sku_id;
    if (!signal->entitlement_id.ptr)
        return error_set(err, -EINVAL, "entitlement_id is missing: a signal names entitlement_id, sku_id or both");
    if (!signal->type.ptr)
        return error_set(err, -EINVAL, "type is missing: what kind of event it is, like \"usage.report\"");
    if (!signal->id.ptr && sender->is_signed)
        return error_set(err, -EINVAL, "id is missing: a sender that signs must name each signal");
    if (!sender->may_event && is_event(signal->type))
        return error_set(err, -EACCES,
                         "type %.*s is an entitlement event: only a key with role marketplace may send it",
                         (int)signal->type.len, signal->type.ptr);
    if (!signal->id.ptr)
        new_id(reader, signal);
    if (!signal->source.ptr)
        signal->source = sender->source;
    if (!signal->traceparent.ptr)
        signal->traceparent = reader->traceparent;
    signal->may_event = sender->may_event;
    return 0;
}

int signal_read(const struct signal_reader *reader, const struct json_doc *doc, const struct json_node *node,
                struct span bytes, struct signal *ret, struct error *err)
{
    struct signal signal = {
        .bytes = bytes, .data = SPAN("null"), .time_ms = reader->now_ms, .accepted_at_ms = reader->now_ms};
    struct reading reading = {reader, doc, &signal};
    if (node->type != JSON_OBJECT)
        return error_set(err, -EINVAL, "byte %u: a signal must be a JSON object", node->start);
    if (bytes.len > reader->max_signal)
        return error_set(err, -EMSGSIZE, "the signal has %zu bytes, at most %zu are taken", bytes.len,
                         reader->max_signal);
    for (const struct json_node *member = json_first(doc, node); member; member = json_next(doc, node, member)) {
        int rc = take_member(&reading, member, err);
        if (rc)
            return rc;
    }
    int rc = complete(reader, &signal, err);
    if (rc)
        return rc;
    hasher_sha256(reader->hasher, bytes, signal.sha256);
    *ret = signal;
    return 0;
}
