/* cost_governance: what a governor's signals cost within a window (UTC hour, day or month), against a budget.
 * `data.cost` is a JSON number or the same as text, read as an integer of micro-units without floating point. At
 * warn_ratio of the budget an alert, once a window; over the budget the configured action or deny. A signal without a
 * cost passes.
 *
 * State: {"spent":<micro-units>,"warned":<bool>,"window":<its begin, ms>}. Spend is what was allowed: a denied signal
 * leaves the state as it is. Pure, any thread. */
#include "jidoka/policies/policy.h"

#include <errno.h>

/* 2^53 - 1: what a JSON number holds exactly, 9 billion units. */
static const int64_t micro_max = 9007199254740991;
enum { MICRO_DECIMALS = 6, EXPONENT_MAX = 100000, COST_TEXT_MAX = 1 << 16 };

struct window {
    int64_t spent; /* micro-units */
    int64_t begin;
    bool warned;
};

/* The parts of a JSON number: sign, digits around the point, exponent. */
struct number {
    bool negative, has_exponent;
    struct span whole, fraction;
    int exponent;
};

static size_t digits(struct span text, size_t from)
{
    size_t i = from;
    while (i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9')
        i++;
    return i - from;
}

static bool scan_exponent(struct span text, size_t i, struct number *ret)
{
    bool negative = i < text.len && text.ptr[i] == '-';
    if (i < text.len && (text.ptr[i] == '-' || text.ptr[i] == '+'))
        i++;
    size_t n = digits(text, i);
    if (n == 0 || i + n != text.len)
        return false;
    int value = 0;
    for (; i < text.len; i++)
        if (value <= EXPONENT_MAX)
            value = value * 10 + (text.ptr[i] - '0');
    ret->exponent = negative ? -value : value;
    ret->has_exponent = true;
    return true;
}

/* Exactly the grammar of RFC 8259, also for text. */
static bool scan_number(struct span text, struct number *ret)
{
    size_t i = 0;
    *ret = (struct number){.negative = text.len > 0 && text.ptr[0] == '-'};
    if (ret->negative)
        i++;
    ret->whole = (struct span){text.ptr + i, digits(text, i)};
    i += ret->whole.len;
    if (ret->whole.len == 0 || (ret->whole.len > 1 && ret->whole.ptr[0] == '0'))
        return false;
    if (i < text.len && text.ptr[i] == '.') {
        ret->fraction = (struct span){text.ptr + i + 1, digits(text, i + 1)};
        i += 1 + ret->fraction.len;
        if (ret->fraction.len == 0)
            return false;
    }
    if (i == text.len)
        return true;
    return (text.ptr[i] == 'e' || text.ptr[i] == 'E') && scan_exponent(text, i + 1, ret);
}

static char digit_at(const struct number *number, size_t i)
{
    return i < number->whole.len ? number->whole.ptr[i] : number->fraction.ptr[i - number->whole.len];
}

static bool all_zero(const struct number *number, size_t from)
{
    for (size_t i = from; i < number->whole.len + number->fraction.len; i++)
        if (digit_at(number, i) != '0')
            return false;
    return true;
}

/* number * 10^6 as an integer. Decimals behind the sixth round half up; with an exponent they must be zero. */
static bool micro_of(const struct number *number, int64_t *ret)
{
    size_t count = number->whole.len + number->fraction.len;
    int64_t keep = (int64_t)number->whole.len + number->exponent + MICRO_DECIMALS, value = 0;
    bool zero = all_zero(number, 0);
    if (zero) {
        *ret = 0;
        return true;
    }
    if (number->negative)
        return false;
    for (int64_t i = 0; i < keep; i++) {
        int digit = (uint64_t)i < count ? digit_at(number, (size_t)i) - '0' : 0;
        if (value > (micro_max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    size_t cut = keep < 0 ? 0 : (size_t)keep;
    if (cut < count && number->has_exponent && !all_zero(number, cut))
        return false;
    if (keep >= 0 && cut < count && digit_at(number, cut) >= '5')
        value++;
    *ret = value;
    return value <= micro_max;
}

/* -ENOENT: there is none; -EINVAL: it is no cost. */
static int cost_of(const struct policy_signal *signal, int64_t *ret)
{
    struct number number;
    const struct json_node *node = NULL;
    if (signal->root && signal->root->type == JSON_OBJECT)
        node = json_get(signal->data, signal->root, "cost");
    if (!node || node->type == JSON_NULL)
        return -ENOENT;
    struct buf scratch;
    struct span text = {0};
    buf_init(&scratch, COST_TEXT_MAX);
    if (node->type == JSON_NUMBER)
        text = json_raw(signal->data, node);
    else if (node->type == JSON_STRING)
        text = json_text(signal->data, node, &scratch);
    bool valid = text.len > 0 && scan_number(text, &number) && micro_of(&number, ret);
    buf_done(&scratch);
    return valid ? 0 : -EINVAL;
}

static int read_state(struct span state, struct window *ret)
{
    struct json_doc doc;
    struct window window;
    json_init(&doc);
    int rc = json_parse(&doc, state, NULL);
    if (rc == 0 && doc.nodes[0].type == JSON_OBJECT) {
        const struct json_node *spent = json_get(&doc, doc.nodes, "spent"),
                               *begin = json_get(&doc, doc.nodes, "window"),
                               *warned = json_get(&doc, doc.nodes, "warned");
        rc = spent && begin && warned ? 0 : -EINVAL;
        if (rc == 0)
            rc = json_int(&doc, spent, 0, micro_max, &window.spent);
        if (rc == 0)
            rc = json_int(&doc, begin, -micro_max, micro_max, &window.begin);
        window.warned = warned && warned->type == JSON_TRUE;
    } else if (rc == 0) {
        rc = -EINVAL;
    }
    json_done(&doc);
    if (rc == 0)
        *ret = window;
    return rc;
}

static void write_state(const struct window *window, struct buf *out)
{
    buf_add_char(out, '{');
    json_add_member_u64(out, "spent", (uint64_t)window->spent);
    json_add_member_raw(out, "warned", window->warned ? SPAN("true") : SPAN("false"));
    json_add_key(out, "window");
    buf_add_i64(out, window->begin);
    buf_add_char(out, '}');
}

static int64_t window_begin(enum config_period window, int64_t wall_ms)
{
    static const enum quota_period periods[] = {[CONFIG_PERIOD_NONE] = PERIOD_NONE,
                                                [CONFIG_PERIOD_HOUR] = PERIOD_HOUR,
                                                [CONFIG_PERIOD_DAY] = PERIOD_DAY,
                                                [CONFIG_PERIOD_MONTH] = PERIOD_MONTH};
    return period_begin(periods[window], wall_ms);
}

static void deny(struct policy_answer *ret, const char *reason)
{
    *ret = (struct policy_answer){.kind = POLICY_DENY, .reason = reason};
}

static void decide(const struct policy_config *config, const struct policy_signal *signal,
                   const struct governor_record *record, struct governor_now now, struct span state,
                   struct buf *new_state, struct policy_answer *ret)
{
    (void)record;
    int64_t cost = 0, begin = window_begin(config->window, now.wall_ms);
    struct window window = {.begin = begin};
    *ret = (struct policy_answer){.kind = POLICY_PASS};
    int rc = cost_of(signal, &cost);
    if (rc == -EINVAL)
        deny(ret, "bad_cost");
    if (rc != 0 || cost == 0)
        return;
    if (state.len && read_state(state, &window) != 0) {
        deny(ret, "bad_state");
        return;
    }
    if (window.begin < begin)
        window = (struct window){0};
    window.begin = begin; /* also when the clock went back: what was spent is kept */
    bool countable = cost <= micro_max - window.spent;
    if (!countable || (window.spent + cost > config->budget_micro && config->on_exceeded == CONFIG_EXCEEDED_DENY)) {
        deny(ret, "over_budget");
        return;
    }
    window.spent += cost;
    if (window.spent > config->budget_micro) {
        ret->kind = POLICY_ACTION;
        ret->action = config->action->name;
    }
    __int128 warn_at = (__int128)config->budget_micro * config->warn_ratio_micro;
    if (!window.warned && (__int128)window.spent * 1000000 >= warn_at) {
        window.warned = true;
        ret->alert = "cost_budget_warning";
    }
    write_state(&window, new_state);
    ret->state_changed = true;
}

const struct policy_type policy_cost_governance = {.name = "cost_governance", .decide = decide};
