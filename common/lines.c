/* Lines and the numbers in them. */
#include "common/lines.h"

bool line_take(struct span *rest, struct span *ret)
{
    const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (!end)
        return false;
    *ret = (struct span){rest->ptr, (size_t)(end - rest->ptr)};
    rest->ptr = end + 1;
    rest->len -= ret->len + 1;
    return true;
}

bool line_behind(struct span line, const char *prefix, struct span *ret)
{
    size_t len = strlen(prefix);
    if (line.len < len || memcmp(line.ptr, prefix, len) != 0)
        return false;
    *ret = (struct span){line.ptr + len, line.len - len};
    return true;
}

bool decimal_parse(struct span text, uint64_t max, uint64_t *ret)
{
    if (text.len == 0 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value))
            return false;
    *ret = value;
    return value <= max;
}
