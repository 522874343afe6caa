/* Allocation helpers and the arena. */
#include "common/mem.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

Test(mem, copies)
{
    _cleanup_free_ char *a = xstrdup("text");
    cr_assert_str_eq(a, "text");
    _cleanup_free_ char *b = xstrndup("text", 2);
    cr_assert_str_eq(b, "te");
    _cleanup_free_ char *c = xstrndup("te", 5);
    cr_assert_str_eq(c, "te", "no further than the NUL");
    _cleanup_free_ char *d = xstrndup(NULL, 0);
    cr_assert_str_eq(d, "");
    _cleanup_free_ void *none = xmalloc(0);
    cr_assert_not_null(none);
    _cleanup_free_ int *zero = xcalloc(4, sizeof(int));
    cr_assert(zero[0] == 0 && zero[3] == 0);
    zero = xrealloc(zero, 100 * sizeof(int));
    cr_assert_eq(zero[3], 0);
}

Test(mem, grow)
{
    int *items = NULL;
    size_t cap = 0;
    for (int i = 0; i < 10000; i++) {
        mem_grow(&items, &cap, (size_t)i + 1, sizeof(*items));
        cr_assert_gt(cap, (size_t)i);
        items[i] = i;
    }
    for (int i = 0; i < 10000; i++)
        cr_assert_eq(items[i], i);
    int *before = items;
    size_t cap_before = cap;
    mem_grow(&items, &cap, 5, sizeof(*items));
    cr_assert(items == before && cap == cap_before, "never shrinks");
    mem_grow(&items, &cap, 1000000, sizeof(*items));
    cr_assert_eq(cap, 1000000);
    free(items);
}

Test(mem, aborts_when_the_size_overflows, .signal = SIGABRT)
{
    int *items = NULL;
    size_t cap = 0;
    mem_grow(&items, &cap, SIZE_MAX / 2, sizeof(*items));
}

Test(mem, arena)
{
    struct arena arena = {0};
    char *all[200];
    for (int round = 0; round < 3; round++) {
        size_t handed_out = 0;
        for (size_t i = 0; i < 200; i++) {
            size_t size = i * i % 5000;
            all[i] = arena_alloc(&arena, size);
            cr_assert_eq((uintptr_t)all[i] % 16, 0);
            memset(all[i], (int)i, size);
            handed_out += size;
        }
        for (size_t i = 0; i < 200; i++)
            for (size_t k = 0; k < i * i % 5000; k++)
                cr_assert_eq((unsigned char)all[i][k], i, "allocations do not overlap");
        cr_assert_geq(arena.used, handed_out);
        cr_assert_lt(arena.used, handed_out + 200 * 16);
        arena_reset(&arena);
        cr_assert_eq(arena.used, 0);
    }
    char *big = arena_alloc(&arena, 3000000);
    memset(big, 1, 3000000);
    char *copy = arena_copy(&arena, "abcdef", 3);
    cr_assert_str_eq(copy, "abc");
    cr_assert_str_eq((char *)arena_copy(&arena, NULL, 0), "");
    arena_done(&arena);
    cr_assert_null(arena.head);
    arena_done(&arena);
    arena_reset(&arena);
}
