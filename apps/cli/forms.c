/* The forms of values. They are the rules of the HTTP API, which has the last word. Constant data. */
#include "apps/cli/forms.h"
#include "andon/ledger/receipt.h"
#include "common/charset.h"
#include "common/clock.h"
#include "common/hash.h"
#include "store/triage.h"

#include <stdio.h>

enum { TENANT_MAX = 64, ID_MAX = 128, TEXT_MAX = 500 };

static bool is_tenant(struct span text)
{
    return charset_made_of(text, TENANT_MAX, CHARSET_NAME);
}

static bool is_id(struct span text)
{
    return charset_made_of(text, ID_MAX, CHARSET_ID);
}

static bool is_uuid(struct span text)
{
    if (text.len != UUID_TEXT)
        return false;
    for (size_t i = 0; i < UUID_TEXT; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = text.ptr[i];
        if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

static bool is_command_id(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    return text.len > 0 && text.len <= COMMAND_ID_MAX;
}

static bool is_text(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return false;
    return text.len > 0 && text.len <= TEXT_MAX;
}

/* "15m": how long ago. */
static bool read_ago(struct span text, int64_t *ret_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    int64_t count = 0;
    if (text.len < 2 || text.len > 8)
        return false;
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        count = count * 10 + (text.ptr[i] - '0');
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (text.ptr[text.len - 1] != units[i].unit)
            continue;
        *ret_ms = count * units[i].ms;
        return true;
    }
    return false;
}

bool form_read_time(struct span text, int64_t now_ms, int64_t *ret_ms)
{
    char day[32];
    int64_t ago;
    if (time_parse_rfc3339(text, ret_ms))
        return true;
    if (read_ago(text, &ago)) {
        *ret_ms = now_ms - ago;
        return true;
    }
    int len = snprintf(day, sizeof(day), "%.*sT00:00:00Z", text.len < 11 ? (int)text.len : 0, text.ptr);
    return time_parse_rfc3339((struct span){day, (size_t)len}, ret_ms);
}

static bool is_time(struct span text)
{
    int64_t ignored;
    return form_read_time(text, 0, &ignored);
}

#define ID_WANTED "1 to 128 characters of A-Z a-z 0-9 . _ - : @ / + = ~"
const struct cli_form form_tenant = {"tenant", "1 to 64 characters of A-Z a-z 0-9 . _ -", is_tenant, NULL};
const struct cli_form form_entitlement = {"entitlement", ID_WANTED, is_id, NULL};
const struct cli_form form_sku = {"SKU", ID_WANTED, is_id, NULL};
const struct cli_form form_signal_id = {"signal id", ID_WANTED, is_id, NULL};
const struct cli_form form_uuid = {"id", "a UUID in lower case, as 9d2723df-eaf1-503e-ad93-b9acd6003f24", is_uuid,
                                   NULL};
const struct cli_form form_command_id = {"command id", "1 to 64 printable ASCII characters without spaces",
                                         is_command_id, NULL};
const struct cli_form form_time = {
    "time", "a time as 2026-11-20T12:00:00Z or 2026-11-20, or how long ago, as 15m, 2h, 7d", is_time, NULL};
const struct cli_form form_text = {"text", "1 to 500 bytes without control characters", is_text, NULL};
const struct cli_form form_state = {.noun = "state", .choices = governor_state_names};
const struct cli_form form_class = {.noun = "class", .choices = deadletter_class_names};
const struct cli_form form_receipt_type = {.noun = "type", .choices = receipt_types};
const struct cli_form form_command = {.noun = "command", .choices = command_kind_names};
const struct cli_form form_command_status = {.noun = "status", .choices = command_status_names};
const struct cli_form form_period = {.noun = "period", .choices = quota_period_names};
