/* The receipted fields of a record as JSON and back, and texts that are none. */
#include "jidoka/governor/governor.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

static char *delta(const struct governor_record *before, const struct governor_record *after)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    governor_delta(before, after, &out);
    cr_assert(!out.failed);
    return buf_take(&out);
}

static int apply(struct governor_record *record, const char *text)
{
    struct error err = {0};
    int rc = governor_apply(record, span_of(text), &err);
    cr_assert_eq(rc != 0, err.text[0] != '\0', "%s: %s", text, err.text);
    return rc;
}

static const char full[] =
    "{\"created_at\":1,\"entitlement\":\"cancelled\",\"failures\":4294967295,\"halt_alert_at\":2,\"halt_alert_count\":"
    "3,"
    "\"last_entitlement_event_at\":4,\"last_refund_event_at\":-5,\"opened_by\":\"breaker\","
    "\"pending\":{\"action\":\"revoke\",\"action_id\":\"00000000-0000-5000-8000-000000000001\",\"policy\":\"p\","
    "\"probe\":true,\"redrive\":4294967295,\"signal_id\":\"s:1/2=~\"},\"period_start\":6,"
    "\"policy_state\":{\"a\":{\"n\":1}},\"quota_limit\":9007199254740991,\"quota_period\":\"month\","
    "\"quota_used\":9007199254740990,\"refund_open\":true,\"sku_id\":\"gold\",\"state\":\"action_pending\"}";

Test(governor_delta, all_fields_there_and_back)
{
    struct governor_record record = {0};
    cr_assert_eq(apply(&record, full), 0);
    char *text = delta(NULL, &record);
    cr_assert_str_eq(text, full);
    cr_assert_eq(record.pending->attempt, 0);
    cr_assert_eq(record.pending->deadline_ms, 0);
    free(text);
    governor_record_done(&record);
}

Test(governor_delta, only_what_differs_and_no_running_times)
{
    struct governor_record before = {0}, after;
    cr_assert_eq(apply(&before, full), 0);
    governor_record_copy(&after, &before);
    after.boot_due = after.breaker_due = after.last_signal_at = after.updated_at = 7;
    after.pending->attempt = 2;
    after.pending->deadline_ms = 9;
    char *text = delta(&before, &after);
    cr_assert_str_eq(text, "{}");
    free(text);
    after.pending->redrive = 0;
    after.quota_limit = QUOTA_NONE;
    after.opened_by = OPENED_BY_NOBODY;
    free(after.sku_id);
    after.sku_id = NULL;
    free(after.policy_state);
    after.policy_state = NULL;
    text = delta(&before, &after);
    cr_assert_str_eq(text, "{\"opened_by\":null,\"pending\":{\"action\":\"revoke\",\"action_id\":"
                           "\"00000000-0000-5000-8000-000000000001\",\"policy\":\"p\",\"probe\":true,\"redrive\":0,"
                           "\"signal_id\":\"s:1/2=~\"},\"policy_state\":null,\"quota_limit\":null,\"sku_id\":null}");
    cr_assert_eq(apply(&before, text), 0);
    free(text);
    text = delta(&after, &before);
    cr_assert_str_eq(text, "{}");
    free(text);
    governor_record_done(&before);
    governor_record_done(&after);
}

Test(governor_delta, text_is_canonical)
{
    struct governor_record record = {0};
    cr_assert_eq(apply(&record, "{ \"sku_id\" : \"a\\u0022\\u000ab\", \"policy_state\": { \"b\": 1.50, \"a\": [ ] } }"),
                 0);
    char *text = delta(&(struct governor_record){0}, &record);
    cr_assert_str_eq(text, "{\"policy_state\":{\"a\":[],\"b\":1.5},\"sku_id\":\"a\\\"\\nb\"}");
    free(text);
    governor_record_done(&record);
}

#define PENDING(id, probe, redrive, signal)                                                                            \
    ("{\"pending\":{\"action\":\"a\",\"action_id\":\"" id "\",\"policy\":\"p\",\"probe\":" probe                       \
     ",\"redrive\":" redrive ",\"signal_id\":" signal "}}")

static const char *const bad[] = {
    "",
    "null",
    "[]",
    "{",
    "{}x",
    "{\"stat\":\"active\"}",
    "{\"state\":\"Active\"}",
    "{\"state\":1}",
    "{\"state\":null}",
    "{\"state\":\"active\",\"state\":\"active\"}",
    "{\"opened_by\":\"nobody\"}",
    "{\"entitlement\":null}",
    "{\"failures\":-1}",
    "{\"failures\":4294967296}",
    "{\"failures\":1.5}",
    "{\"failures\":\"1\"}",
    "{\"quota_used\":null}",
    "{\"quota_used\":9007199254740992}",
    "{\"quota_limit\":-1}",
    "{\"refund_open\":null}",
    "{\"refund_open\":1}",
    "{\"created_at\":99999999999999999999}",
    "{\"sku_id\":7}",
    "{\"policy_state\":[]}",
    "{\"policy_state\":\"{}\"}",
    "{\"pending\":[]}",
    "{\"pending\":{}}",
    PENDING("i", "1", "0", "\"s\""),
    PENDING("i", "true", "-1", "\"s\""),
    PENDING("i", "true", "0", "null"),
    PENDING("i", "true", "0", "\"s\",\"more\":1"),
    PENDING("i", "true", "0", "\"s\\u0000\""),
    PENDING("00000000-0000-5000-8000-0000000000012", "true", "0", "\"s\""),
    "{\"next_due\":1}",
};

/* A bad text changes nothing, not even by the good fields before the bad one. */
Test(governor_delta, bad_texts)
{
    struct governor_record record = {0};
    cr_assert_eq(apply(&record, full), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(apply(&record, bad[i]), -EINVAL, "%s", bad[i]);
    cr_assert_eq(apply(&record, "{\"state\":\"halted\",\"pending\":null,\"sku_id\":null,\"failures\":-1}"), -EINVAL);
    char *text = delta(NULL, &record);
    cr_assert_str_eq(text, full);
    free(text);
    governor_record_done(&record);
}

Test(governor_delta, too_long_texts)
{
    struct governor_record record = {0};
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_addf(&text, "{\"sku_id\":\"%0129d\"}", 1);
    cr_assert_eq(apply(&record, buf_cstr(&text)), -EINVAL);
    buf_clear(&text);
    buf_addf(&text, "{\"sku_id\":\"%0128d\"}", 1);
    cr_assert_eq(apply(&record, buf_cstr(&text)), 0);
    buf_clear(&text);
    buf_addf(&text, "{\"policy_state\":{\"a\":\"%0*d\"}}", POLICY_STATE_MAX - 7, 1);
    cr_assert_eq(apply(&record, buf_cstr(&text)), -EINVAL);
    buf_clear(&text);
    buf_addf(&text, "{\"policy_state\":{\"a\":\"%0*d\"}}", POLICY_STATE_MAX - 8, 1);
    cr_assert_eq(apply(&record, buf_cstr(&text)), 0);
    cr_assert_eq(strlen(record.policy_state), POLICY_STATE_MAX);
    buf_done(&text);
    governor_record_done(&record);
}
