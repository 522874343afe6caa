/* Writes the canonical text of an outcome by hand: the members stand in the order RFC 8785 sorts them, so nothing is
 * sorted at run time. */
#include "jidoka/receipt_text.h"
#include "common/json/json.h"

static void add_alerts(const struct receipt_fields *fields, struct buf *out)
{
    json_add_key(out, "alerts");
    buf_add_char(out, '[');
    for (unsigned i = 0; i < fields->alert_count; i++) {
        const struct governor_alert *alert = &fields->alerts[i];
        buf_add_str(out, i ? ",{" : "{");
        if (alert->count > 1)
            json_add_member_u64(out, "count", alert->count);
        json_add_member(out, "name", span_of(alert->name));
        json_add_member(out, "severity", span_of(alert->severity));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

/* The fields that changed, if any did. */
static void add_governor(const struct receipt_fields *fields, struct buf *out)
{
    size_t begin = out->len;
    if (!fields->after)
        return;
    json_add_key(out, "governor");
    size_t delta = out->len;
    governor_delta(fields->before, fields->after, out);
    if (out->len == delta + strlen("{}"))
        out->len = begin;
}

static void add_time(struct buf *out, const char *name, int64_t ms)
{
    json_add_key(out, name);
    buf_add_i64(out, ms);
}

static void add_sha256(struct buf *out, const char *name, const uint8_t sha256[SHA256_SIZE])
{
    char hex[SHA256_HEX];
    hex_encode(sha256, SHA256_SIZE, hex);
    json_add_member(out, name, (struct span){hex, sizeof(hex)});
}

static void add_operation(const struct receipt_operation *operation, struct buf *out)
{
    json_add_member(out, "command", span_of(operation->command));
    json_add_member(out, "command_id", operation->command_id);
    if (operation->deadletter_id)
        json_add_member(out, "deadletter_id", span_of(operation->deadletter_id));
    if (operation->edited_sha256)
        add_sha256(out, "edited_sha256", operation->edited_sha256);
}

static void add_refusal(const struct receipt_refusal *refusal, struct buf *out)
{
    if (refusal->status == 0) {
        json_add_member_u64(out, "count", refusal->count);
        add_time(out, "from", refusal->from);
        add_time(out, "to", refusal->to);
        return;
    }
    json_add_member(out, "detail", refusal->detail);
    if (refusal->key_id.len)
        json_add_member(out, "key_id", refusal->key_id);
    json_add_member_u64(out, "status", refusal->status);
}

static void add_body(const struct receipt_fields *fields, struct buf *out)
{
    json_add_key(out, "body");
    buf_add_char(out, '{');
    if (fields->action.len)
        json_add_member(out, "action", fields->action);
    if (fields->alert_count)
        add_alerts(fields, out);
    if (fields->operation)
        add_operation(fields->operation, out);
    if (fields->refusal)
        add_refusal(fields->refusal, out);
    add_governor(fields, out);
    if (fields->operation)
        json_add_member(out, "operator", fields->operation->operator);
    if (fields->signal_type.len) {
        json_add_key(out, "signal");
        buf_add_char(out, '{');
        add_time(out, "accepted_at", fields->accepted_at_ms);
        json_add_member(out, "type", fields->signal_type);
        buf_add_char(out, '}');
    }
    buf_add_char(out, '}');
}

static void add_optional(struct buf *out, const char *name, struct span value)
{
    if (value.len)
        json_add_member(out, name, value);
}

void receipt_text(const struct receipt_fields *fields, struct buf *out)
{
    buf_add_char(out, '{');
    add_optional(out, "action_id", fields->action_id);
    add_body(fields, out);
    add_optional(out, "config_sha256", fields->config_sha256);
    add_optional(out, "ending", span_of(fields->ending));
    add_optional(out, "entitlement_id", fields->entitlement_id);
    add_optional(out, "policy", fields->policy);
    add_optional(out, "reason", fields->reason);
    if (fields->signal_id.len) {
        json_add_member_u64(out, "redrive", fields->redrive);
        json_add_member(out, "signal_id", fields->signal_id);
    }
    if (fields->signal_sha256)
        add_sha256(out, "signal_sha256", fields->signal_sha256);
    add_optional(out, "state_after", span_of(fields->state_after));
    add_optional(out, "state_before", span_of(fields->state_before));
    add_optional(out, "tenant_id", fields->tenant_id);
    add_time(out, "timestamp", fields->timestamp_ms);
    json_add_member(out, "type", span_of(receipt_type_names[fields->type]));
    buf_add_char(out, '}');
}
