/* The receipted fields of a record as canonical JSON, and back: one table, in the order RFC 8785 sorts the names. A
 * record is the fold of its receipts but for times that run (next_due, boot_due, breaker_due, pending's attempt and
 * deadline) and last_signal_at, updated_at. Pure, any thread. */
#include "common/json/json.h"
#include "common/mem.h"
#include "jidoka/governor/internal.h"

#include <errno.h>
#include <stdlib.h>

enum form { FORM_NUMBER, FORM_NULLABLE, FORM_FLAG, FORM_NAME, FORM_SKU, FORM_PENDING, FORM_POLICY_STATE };

struct field {
    const char *name;
    enum form form;
    int64_t (*get)(const struct governor_record *record);
    void (*set)(struct governor_record *record, int64_t value);
    int64_t min, max;
    const char *const *names; /* FORM_NAME; a NULL name is written null */
};

#define ACCESS(field)                                                                                                  \
    static int64_t get_##field(const struct governor_record *record)                                                   \
    {                                                                                                                  \
        return (int64_t)record->field;                                                                                 \
    }                                                                                                                  \
    static void set_##field(struct governor_record *record, int64_t value)                                             \
    {                                                                                                                  \
        record->field = value;                                                                                         \
    }
ACCESS(created_at)
ACCESS(entitlement)
ACCESS(failures)
ACCESS(halt_alert_at)
ACCESS(halt_alert_count)
ACCESS(last_entitlement_event_at)
ACCESS(last_refund_event_at)
ACCESS(opened_by)
ACCESS(period_start)
ACCESS(quota_limit)
ACCESS(quota_period)
ACCESS(quota_used)
ACCESS(refund_open)
ACCESS(state)
#undef ACCESS

static const char *const opener_names[] = {
    [OPENED_BY_NOBODY] = NULL, [OPENED_BY_BREAKER] = "breaker", [OPENED_BY_OPERATOR] = "operator"};

#define FIELD(field) #field, .get = get_##field, .set = set_##field
#define TIME(field)                                                                                                    \
    {                                                                                                                  \
        FIELD(field), .form = FORM_NUMBER, .min = -GOVERNOR_NUMBER_MAX, .max = GOVERNOR_NUMBER_MAX                     \
    }
#define COUNT(field, most)                                                                                             \
    {                                                                                                                  \
        FIELD(field), .form = FORM_NUMBER, .min = 0, .max = (most)                                                     \
    }
#define NAME(field, words, count)                                                                                      \
    {                                                                                                                  \
        FIELD(field), .form = FORM_NAME, .names = (words), .max = (count)-1                                            \
    }

static const struct field fields[] = {
    TIME(created_at),
    NAME(entitlement, entitlement_names, ENTITLEMENT_COUNT),
    COUNT(failures, UINT32_MAX),
    TIME(halt_alert_at),
    COUNT(halt_alert_count, UINT32_MAX),
    TIME(last_entitlement_event_at),
    TIME(last_refund_event_at),
    NAME(opened_by, opener_names, OPENED_BY_OPERATOR + 1),
    {"pending", FORM_PENDING},
    TIME(period_start),
    {"policy_state", FORM_POLICY_STATE},
    {FIELD(quota_limit), .form = FORM_NULLABLE, .min = 0, .max = GOVERNOR_NUMBER_MAX},
    NAME(quota_period, quota_period_names, PERIOD_COUNT),
    COUNT(quota_used, GOVERNOR_NUMBER_MAX),
    {FIELD(refund_open), .form = FORM_FLAG},
    {"sku_id", FORM_SKU},
    NAME(state, governor_state_names, GOVERNOR_STATE_COUNT),
};
enum { FIELD_COUNT = sizeof(fields) / sizeof(fields[0]) };

/* --- writing -------------------------------------------------------------------------------------------------------
 */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_pending(const struct governor_pending *a, const struct governor_pending *b)
{
    if (!a || !b)
        return a == b;
    return strcmp(a->action_id, b->action_id) == 0 && strcmp(a->policy, b->policy) == 0 &&
           strcmp(a->action, b->action) == 0 && a->probe == b->probe && strcmp(a->signal_id, b->signal_id) == 0 &&
           a->redrive == b->redrive;
}

static bool same_field(const struct field *field, const struct governor_record *a, const struct governor_record *b)
{
    switch (field->form) {
    case FORM_SKU:
        return same_text(a->sku_id, b->sku_id);
    case FORM_POLICY_STATE:
        return same_text(a->policy_state, b->policy_state);
    case FORM_PENDING:
        return same_pending(a->pending, b->pending);
    default:
        return field->get(a) == field->get(b);
    }
}

static void add_text_or_null(struct buf *out, const char *text)
{
    if (text)
        json_add_string(out, span_of(text));
    else
        buf_add_str(out, "null");
}

static void add_pending(struct buf *out, const struct governor_pending *pending)
{
    if (!pending) {
        buf_add_str(out, "null");
        return;
    }
    buf_add_char(out, '{');
    json_add_member(out, "action", span_of(pending->action));
    json_add_member(out, "action_id", span_of(pending->action_id));
    json_add_member(out, "policy", span_of(pending->policy));
    json_add_member_raw(out, "probe", pending->probe ? SPAN("true") : SPAN("false"));
    json_add_member_u64(out, "redrive", pending->redrive);
    json_add_member(out, "signal_id", span_of(pending->signal_id));
    buf_add_char(out, '}');
}

static void add_value(struct buf *out, const struct field *field, const struct governor_record *record)
{
    int64_t value = field->get ? field->get(record) : 0;
    switch (field->form) {
    case FORM_NUMBER:
        buf_add_i64(out, value);
        return;
    case FORM_NULLABLE:
        if (value == QUOTA_NONE)
            buf_add_str(out, "null");
        else
            buf_add_i64(out, value);
        return;
    case FORM_FLAG:
        buf_add_str(out, value ? "true" : "false");
        return;
    case FORM_NAME:
        add_text_or_null(out, field->names[value]);
        return;
    case FORM_SKU:
        add_text_or_null(out, record->sku_id);
        return;
    case FORM_PENDING:
        add_pending(out, record->pending);
        return;
    case FORM_POLICY_STATE:
        buf_add_str(out, record->policy_state ? record->policy_state : "null");
        return;
    }
}

void governor_delta(const struct governor_record *before, const struct governor_record *after, struct buf *out)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (before && same_field(&fields[i], before, after))
            continue;
        json_add_key(out, fields[i].name);
        add_value(out, &fields[i], after);
    }
    buf_add_char(out, '}');
}

/* --- reading -------------------------------------------------------------------------------------------------------
 */

static int read_text(const struct json_doc *doc, const struct json_node *node, char *ret, size_t size)
{
    struct buf text;
    if (!node || node->type != JSON_STRING)
        return -EINVAL;
    buf_init(&text, size - 1);
    int rc = json_string(doc, node, &text);
    if (rc == 0 && memchr(buf_cstr(&text), '\0', text.len))
        rc = -EINVAL;
    if (rc == 0)
        memcpy(ret, buf_cstr(&text), text.len + 1);
    buf_done(&text);
    return rc;
}

static int read_pending(const struct json_doc *doc, const struct json_node *node, struct governor_pending *ret)
{
    int64_t redrive;
    const struct json_node *probe = json_get(doc, node, "probe"), *number = json_get(doc, node, "redrive");
    if (node->count != 6 || !probe || (probe->type != JSON_TRUE && probe->type != JSON_FALSE) || !number)
        return -EINVAL;
    if (json_int(doc, number, 0, UINT32_MAX, &redrive) != 0 ||
        read_text(doc, json_get(doc, node, "action"), ret->action, sizeof(ret->action)) != 0 ||
        read_text(doc, json_get(doc, node, "action_id"), ret->action_id, sizeof(ret->action_id)) != 0 ||
        read_text(doc, json_get(doc, node, "policy"), ret->policy, sizeof(ret->policy)) != 0 ||
        read_text(doc, json_get(doc, node, "signal_id"), ret->signal_id, sizeof(ret->signal_id)) != 0)
        return -EINVAL;
    ret->probe = probe->type == JSON_TRUE;
    ret->redrive = (uint32_t)redrive;
    return 0;
}

static int apply_pending(const struct json_doc *doc, const struct json_node *node, struct governor_record *record)
{
    struct governor_pending *pending = NULL;
    if (node->type != JSON_NULL) {
        if (node->type != JSON_OBJECT)
            return -EINVAL;
        pending = xcalloc(1, sizeof(*pending));
        int rc = read_pending(doc, node, pending);
        if (rc != 0) {
            free(pending);
            return rc;
        }
    }
    free(record->pending);
    record->pending = pending;
    return 0;
}

static int apply_sku(const struct json_doc *doc, const struct json_node *node, struct governor_record *record)
{
    char text[129];
    bool none = node->type == JSON_NULL;
    if (!none && read_text(doc, node, text, sizeof(text)) != 0)
        return -EINVAL;
    free(record->sku_id);
    record->sku_id = none ? NULL : xstrdup(text);
    return 0;
}

static int apply_policy_state(const struct json_doc *doc, const struct json_node *node, struct governor_record *record)
{
    char *text = NULL;
    if (node->type != JSON_NULL) {
        struct buf canonical;
        if (node->type != JSON_OBJECT)
            return -EINVAL;
        buf_init(&canonical, POLICY_STATE_MAX);
        int rc = json_canonical(doc, node, &canonical);
        if (rc == 0 && !canonical.failed)
            text = buf_take(&canonical);
        buf_done(&canonical);
        if (!text)
            return -EINVAL;
    }
    free(record->policy_state);
    record->policy_state = text;
    return 0;
}

static int read_name(const struct json_doc *doc, const struct json_node *node, const struct field *field, int64_t *ret)
{
    char text[32];
    bool none = node->type == JSON_NULL;
    if (!none && read_text(doc, node, text, sizeof(text)) != 0)
        return -EINVAL;
    for (int64_t i = 0; i <= field->max; i++) {
        if (none ? !field->names[i] : field->names[i] && strcmp(field->names[i], text) == 0) {
            *ret = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int apply_field(const struct json_doc *doc, const struct json_node *node, const struct field *field,
                       struct governor_record *record)
{
    int64_t value = 0;
    int rc = 0;
    switch (field->form) {
    case FORM_SKU:
        return apply_sku(doc, node, record);
    case FORM_PENDING:
        return apply_pending(doc, node, record);
    case FORM_POLICY_STATE:
        return apply_policy_state(doc, node, record);
    case FORM_NAME:
        rc = read_name(doc, node, field, &value);
        break;
    case FORM_FLAG:
        value = node->type == JSON_TRUE;
        rc = value || node->type == JSON_FALSE ? 0 : -EINVAL;
        break;
    case FORM_NULLABLE:
    case FORM_NUMBER:
        if (field->form == FORM_NULLABLE && node->type == JSON_NULL)
            value = QUOTA_NONE;
        else
            rc = json_int(doc, node, field->min, field->max, &value);
        break;
    }
    if (rc == 0)
        field->set(record, value);
    return rc;
}

static const struct field *find_field(struct span name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (span_is(name, fields[i].name))
            return &fields[i];
    return NULL;
}

static int apply_members(const struct json_doc *doc, struct governor_record *record, struct error *err)
{
    const struct json_node *root = &doc->nodes[0];
    if (root->type != JSON_OBJECT)
        return error_set(err, -EINVAL, "not the fields of a governor: an object is expected");
    for (const struct json_node *node = json_first(doc, root); node; node = json_next(doc, root, node)) {
        struct span name = json_key(doc, node);
        const struct field *field = find_field(name);
        if (!field)
            return error_set(err, -EINVAL, "a governor has no field %.*s", (int)(name.len < 64 ? name.len : 64),
                             name.ptr);
        if (apply_field(doc, node, field, record) != 0)
            return error_set(err, -EINVAL, "bad value of the governor's field %s", field->name);
    }
    return 0;
}

int governor_apply(struct governor_record *record, struct span delta, struct error *err)
{
    struct json_doc doc;
    struct governor_record changed;
    json_init(&doc);
    int rc = json_parse(&doc, delta, err);
    if (rc == 0) {
        governor_record_copy(&changed, record);
        rc = apply_members(&doc, &changed, err);
        governor_record_done(rc == 0 ? record : &changed);
        if (rc == 0)
            *record = changed;
    }
    json_done(&doc);
    return rc;
}
