/* Option values: text to number and back, one pair of functions per notation. Messages say what to write. Texts are
 * copied into the arena given; nothing else is allocated. */
#include "config/options.h"

#include "common/utf8.h"

#include <errno.h>
#include <inttypes.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first: formatting takes the first that divides. */
static const struct unit byte_units[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {NULL, 0}};
static const struct unit time_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                         {"s", 1000},     {"ms", 1},      {NULL, 0}};

enum { MICRO = 1000000, MICRO_DIGITS = 6, SHOWN_MAX = 60 };

/* What is shown of a refused value: its beginning, printable. */
struct shown {
    char text[SHOWN_MAX + 4];
};

static struct shown show(struct span text)
{
    struct shown shown;
    size_t len = text.len < SHOWN_MAX ? text.len : SHOWN_MAX;
    for (size_t i = 0; i < len; i++)
        shown.text[i] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
    memcpy(shown.text + len, text.len > len ? "..." : "\0\0\0", 4);
    return shown;
}

/* A whole number without leading zeros; *ret saturates. -EINVAL if it is none. */
static int parse_digits(struct span text, int64_t *ret)
{
    if (text.len == 0 || (text.len > 1 && text.ptr[0] == '0'))
        return -EINVAL;
    int64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text.ptr[i] - '0', &value))
            value = INT64_MAX; /* stays: every further digit overflows again */
    }
    *ret = value;
    return 0;
}

static int parse_int(struct span text, int64_t *ret)
{
    bool negative = text.len > 1 && text.ptr[0] == '-';
    if (negative)
        text = (struct span){text.ptr + 1, text.len - 1};
    int64_t value;
    if (parse_digits(text, &value) < 0)
        return -EINVAL;
    *ret = negative ? -value : value;
    return 0;
}

static int parse_units(struct span text, const struct unit *units, bool plain, int64_t *ret)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    int64_t value;
    if (parse_digits((struct span){text.ptr, digits}, &value) < 0)
        return -EINVAL;
    struct span suffix = {text.ptr + digits, text.len - digits};
    int64_t factor = plain && suffix.len == 0 ? 1 : 0;
    for (const struct unit *unit = units; unit->name; unit++) {
        if (span_is(suffix, unit->name))
            factor = unit->factor;
    }
    if (factor == 0)
        return -EINVAL;
    *ret = __builtin_mul_overflow(value, factor, &value) ? INT64_MAX : value;
    return 0;
}

static int parse_decimal(struct span text, int64_t *ret)
{
    bool negative = text.len > 1 && text.ptr[0] == '-';
    if (negative)
        text = (struct span){text.ptr + 1, text.len - 1};
    const char *point = text.len ? memchr(text.ptr, '.', text.len) : NULL;
    struct span whole = {text.ptr, point ? (size_t)(point - text.ptr) : text.len};
    struct span fraction = {point ? point + 1 : NULL, point ? text.len - whole.len - 1 : 0};
    int64_t value;
    if (parse_digits(whole, &value) < 0 || (point && (fraction.len == 0 || fraction.len > MICRO_DIGITS)))
        return -EINVAL;
    int64_t micro = 0;
    for (size_t i = 0; i < MICRO_DIGITS; i++) {
        char digit = i < fraction.len ? fraction.ptr[i] : '0';
        if (digit < '0' || digit > '9')
            return -EINVAL;
        micro = micro * 10 + (digit - '0');
    }
    if (__builtin_mul_overflow(value, MICRO, &value) || __builtin_add_overflow(value, micro, &value))
        value = INT64_MAX;
    *ret = negative ? -value : value;
    return 0;
}

static const char *number_rule(const struct option *option)
{
    switch (option->type) {
    case OPTION_BYTES:
        return "a size such as 4096, 64KiB or 1MiB";
    case OPTION_DURATION:
        return "a duration with its unit: 500ms, 10s, 5m, 24h or 7d";
    case OPTION_DECIMAL:
    case OPTION_RATIO:
        return "a decimal number such as 0.8, at most six digits behind the point";
    default:
        return option->flags & OPTION_NULLABLE ? "a whole number in digits, or null" : "a whole number in digits";
    }
}

static int parse_number(const struct option *option, struct span text, int64_t *ret, struct error *err)
{
    int code;
    switch (option->type) {
    case OPTION_BYTES:
        code = parse_units(text, byte_units, true, ret);
        break;
    case OPTION_DURATION:
        code = parse_units(text, time_units, false, ret);
        break;
    case OPTION_DECIMAL:
    case OPTION_RATIO:
        code = parse_decimal(text, ret);
        break;
    default:
        code = parse_int(text, ret);
        break;
    }
    if (code < 0)
        return error_set(err, code, "\"%s\" is not %s", show(text).text, number_rule(option));
    if (*ret >= option->min && *ret <= option->max)
        return 0;
    struct buf bounds;
    buf_init(&bounds, 256);
    option_format_number(option, option->min, &bounds);
    buf_add_str(&bounds, " to ");
    option_format_number(option, option->max, &bounds);
    code = error_set(err, -EINVAL, "%s is out of bounds: %s", show(text).text, buf_cstr(&bounds));
    buf_done(&bounds);
    return code;
}

static int parse_bool(struct span text, bool *ret, struct error *err)
{
    if (!span_is(text, "true") && !span_is(text, "false"))
        return error_set(err, -EINVAL, "\"%s\" is neither true nor false", show(text).text);
    *ret = span_is(text, "true");
    return 0;
}

static int parse_enum(const struct option *option, struct span text, unsigned *ret, struct error *err)
{
    struct suggestion near;
    suggestion_init(&near, text);
    struct buf words;
    buf_init(&words, 256);
    for (size_t i = (size_t)option->min; option->words[i]; i++) {
        if (span_is(text, option->words[i])) {
            *ret = (unsigned)i;
            buf_done(&words);
            return 0;
        }
        suggestion_offer(&near, option->words[i]);
        buf_addf(&words, "%s%s", words.len ? ", " : "", option->words[i]);
    }
    int code = near.best ? error_set(err, -EINVAL, "\"%s\" is none of: %s; did you mean %s?", show(text).text,
                                     buf_cstr(&words), near.best)
                         : error_set(err, -EINVAL, "\"%s\" is none of: %s", show(text).text, buf_cstr(&words));
    buf_done(&words);
    return code;
}

void option_format_number(const struct option *option, int64_t value, struct buf *out)
{
    const struct unit *units = option->type == OPTION_BYTES ? byte_units : time_units;
    switch (option->type) {
    case OPTION_BYTES:
    case OPTION_DURATION:
        while (units[1].name && (value == 0 || value % units->factor != 0))
            units++;
        buf_addf(out, "%" PRId64 "%s", value / units->factor, units->name);
        break;
    case OPTION_DECIMAL:
    case OPTION_RATIO:
        buf_addf(out, "%" PRId64, value / MICRO);
        if (value % MICRO != 0) {
            buf_addf(out, ".%06" PRId64, value % MICRO);
            while (!out->failed && out->data[out->len - 1] == '0')
                out->len--;
        }
        break;
    default:
        buf_add_i64(out, value);
        break;
    }
}

const char *option_type_name(enum option_type type)
{
    static const char *const names[] = {
        [OPTION_BOOL] = "bool",         [OPTION_INT] = "int",         [OPTION_BYTES] = "bytes",
        [OPTION_DURATION] = "duration", [OPTION_DECIMAL] = "decimal", [OPTION_RATIO] = "ratio",
        [OPTION_TEXT] = "text",         [OPTION_ADDRESS] = "address", [OPTION_ENUM] = "enum",
        [OPTION_SECRET] = "secret",     [OPTION_FILE] = "file",
    };
    return names[type];
}

int option_parse(const struct option *option, struct span text, void *base, struct arena *arena, struct error *err)
{
    void *field = option_field(option, base);
    int64_t number = 0;
    int code;
    switch (option->type) {
    case OPTION_BOOL:
        return parse_bool(text, field, err);
    case OPTION_ENUM:
        return parse_enum(option, text, field, err);
    case OPTION_ADDRESS:
        return address_parse(text, field, arena, err);
    case OPTION_TEXT:
    case OPTION_FILE:
        code = text_check(option->syntax, text, err);
        if (code == 0)
            *(const char **)field = arena_copy(arena, text.ptr, text.len);
        return code;
    case OPTION_SECRET:
        return error_set(err, -EINVAL,
                         "a secret is not written here: use secret_file: PATH, or the environment "
                         "variable TAI_KEYS_<ID>_SECRET");
    default:
        break;
    }
    if (option->flags & OPTION_NULLABLE && span_is(text, "null")) {
        *(int64_t *)field = -1;
        return 0;
    }
    code = parse_number(option, text, &number, err);
    if (code < 0)
        return code;
    if (option->type == OPTION_BYTES)
        *(size_t *)field = (size_t)number;
    else
        *(int64_t *)field = number;
    return 0;
}

void option_format(const struct option *option, const void *base, struct buf *out)
{
    const void *field = (const char *)base + option->offset;
    switch (option->type) {
    case OPTION_BOOL:
        buf_add_str(out, *(const bool *)field ? "true" : "false");
        break;
    case OPTION_ENUM:
        buf_add_str(out, option->words[*(const unsigned *)field]);
        break;
    case OPTION_ADDRESS:
        buf_add_str(out, ((const struct config_address *)field)->text);
        break;
    case OPTION_TEXT:
    case OPTION_FILE:
        buf_add_str(out, *(const char *const *)field);
        break;
    case OPTION_SECRET:
        buf_add_str(out, "***");
        break;
    case OPTION_BYTES:
        option_format_number(option, (int64_t) * (const size_t *)field, out);
        break;
    default:
        if (option->flags & OPTION_NULLABLE && *(const int64_t *)field < 0)
            buf_add_str(out, "null");
        else
            option_format_number(option, *(const int64_t *)field, out);
        break;
    }
}
