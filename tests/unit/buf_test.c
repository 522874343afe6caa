/* The capped buffer and error texts. */
#include "common/buf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

Test(buf, appends)
{
    struct buf b;
    buf_init(&b, 1000);
    cr_assert_str_eq(buf_cstr(&b), "");
    cr_assert_eq(buf_span(&b).len, 0);
    buf_add(&b, "ab", 2);
    buf_add_char(&b, 'c');
    buf_add_str(&b, "de");
    buf_add_span(&b, SPAN("f"));
    buf_add_span(&b, (struct span){NULL, 0});
    buf_add_u64(&b, 0);
    buf_add_char(&b, ' ');
    buf_add_u64(&b, UINT64_MAX);
    buf_add_i64(&b, INT64_MIN);
    buf_add_i64(&b, INT64_MAX);
    buf_add_i64(&b, -7);
    buf_addf(&b, " %d%s", 42, "!");
    cr_assert_not(b.failed);
    cr_assert_str_eq(buf_cstr(&b), "abcdef0 18446744073709551615-92233720368547758089223372036854775807-7 42!");
    cr_assert_eq(b.len, strlen(buf_cstr(&b)));
    buf_done(&b);
    cr_assert_null(b.data);
}

Test(buf, formats_long_texts)
{
    struct buf b;
    buf_init(&b, 2000);
    buf_add_char(&b, '<');
    buf_addf(&b, "%0*d", 1500, 7);
    buf_add_char(&b, '>');
    cr_assert_eq(b.len, 1502);
    cr_assert_eq(b.data[1500], '7');
    cr_assert_eq(b.data[1501], '>');
    buf_addf(&b, "%0*d", 499, 7);
    cr_assert(b.failed);
    cr_assert_eq(b.len, 1502);
    buf_done(&b);
}

Test(buf, holds_exactly_its_cap)
{
    for (size_t max = 0; max < 300; max++) {
        struct buf b;
        buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            buf_add_char(&b, 'x');
        cr_assert_not(b.failed, "cap %zu", max);
        cr_assert_eq(strlen(buf_cstr(&b)), max);
        buf_add_char(&b, 'y');
        cr_assert(b.failed);
        cr_assert_eq(b.len, max);
        buf_done(&b);
    }
}

Test(buf, failing_is_sticky_and_keeps_what_was_there)
{
    struct buf b;
    buf_init(&b, 4);
    buf_add_str(&b, "abc");
    buf_add_str(&b, "de");
    cr_assert(b.failed);
    buf_add_char(&b, 'd');
    buf_add_u64(&b, 1);
    cr_assert_null(buf_reserve(&b, 1));
    cr_assert_str_eq(buf_cstr(&b), "abc", "nothing more is taken, though one byte would fit");
    buf_clear(&b);
    cr_assert_not(b.failed);
    buf_add_str(&b, "wxyz");
    cr_assert_not(b.failed);
    cr_assert_str_eq(buf_cstr(&b), "wxyz");
    cr_assert_null(buf_reserve(&b, SIZE_MAX));
    buf_done(&b);
}

Test(buf, reserve)
{
    struct buf b;
    buf_init(&b, 100);
    buf_add_str(&b, "12");
    char *end = buf_reserve(&b, 98);
    cr_assert_not_null(end);
    memset(end, 'z', 98);
    b.len += 98;
    cr_assert_eq(strlen(buf_cstr(&b)), 100);
    cr_assert_null(buf_reserve(&b, 1));
    cr_assert(b.failed);
    buf_done(&b);
}

Test(buf, take)
{
    struct buf b;
    buf_init(&b, 8);
    char *empty = buf_take(&b);
    cr_assert_str_eq(empty, "");
    free(empty);
    buf_add_str(&b, "12345678");
    char *text = buf_take(&b);
    cr_assert_str_eq(text, "12345678");
    cr_assert(b.data == NULL && b.len == 0 && b.cap == 0);
    buf_add_str(&b, "again");
    cr_assert_str_eq(buf_cstr(&b), "again");
    cr_assert_str_eq(text, "12345678");
    free(text);
    buf_done(&b);
}

Test(buf, uncapped)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    for (int i = 0; i < 100000; i++)
        buf_add_str(&b, "0123456789");
    cr_assert_not(b.failed);
    cr_assert_eq(b.len, 1000000);
    buf_done(&b);
}

Test(error, texts)
{
    struct error err;
    cr_assert_eq(error_set(NULL, -EIO, "x %d", 1), -EIO);
    cr_assert_eq(error_set(&err, -ENOENT, "no %s", "file\nhere"), -ENOENT);
    cr_assert_str_eq(err.text, "no file here", "one line");
    cr_assert_eq(error_prefix(&err, -EINVAL, "line %d", 7), -EINVAL);
    cr_assert_str_eq(err.text, "line 7: no file here");
    cr_assert_eq(error_prefix(NULL, -EINVAL, "x"), -EINVAL);
    cr_assert_str_eq(error_text(-ENOENT), "No such file or directory");
    cr_assert_str_eq(error_text(-99999), "Unknown error");
}

Test(error, long_texts_are_cut)
{
    struct error err;
    error_set(&err, -EINVAL, "%0600d", 1);
    cr_assert_eq(strlen(err.text), sizeof(err.text) - 1);
    error_prefix(&err, -EINVAL, "here");
    cr_assert_eq(strncmp(err.text, "here: 000", 9), 0);
    cr_assert_eq(strlen(err.text), sizeof(err.text) - 1);
    for (int width = 505; width <= 515; width++) {
        error_set(&err, -EINVAL, "tail");
        error_prefix(&err, -EINVAL, "%0*d", width, 1);
        cr_assert_lt(strlen(err.text), sizeof(err.text));
    }
}
