/* For plain-main tests: CHECK prints what failed and counts it; check_main runs named cases and returns main's value.
 * Include it in one file per program. */
#ifndef TAI_TESTS_CHECK_H
#define TAI_TESTS_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static atomic_int check_failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: in %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition);                 \
            atomic_fetch_add(&check_failures, 1);                                                                      \
        }                                                                                                              \
    } while (0)

#define CHECK_INT(actual, expected)                                                                                    \
    do {                                                                                                               \
        long long check_actual = (long long)(actual);                                                                  \
        long long check_expected = (long long)(expected);                                                              \
        if (check_actual != check_expected) {                                                                          \
            fprintf(stderr, "%s:%d: in %s: %s is %lld, not %lld\n", __FILE__, __LINE__, __func__, #actual,             \
                    check_actual, check_expected);                                                                     \
            atomic_fetch_add(&check_failures, 1);                                                                      \
        }                                                                                                              \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                                                   \
    do {                                                                                                               \
        const char *check_actual = (actual);                                                                           \
        const char *check_expected = (expected);                                                                       \
        if (strcmp(check_actual, check_expected) != 0) {                                                               \
            fprintf(stderr, "%s:%d: in %s: %s is\n  %s\nand not\n  %s\n", __FILE__, __LINE__, __func__, #actual,       \
                    check_actual, check_expected);                                                                     \
            atomic_fetch_add(&check_failures, 1);                                                                      \
        }                                                                                                              \
    } while (0)

struct check_case {
    const char *name;
    void (*run)(void);
};

static inline int check_main(const struct check_case *cases)
{
    for (; cases->name; cases++) {
        int before = atomic_load(&check_failures);
        cases->run();
        printf("%s %s\n", atomic_load(&check_failures) == before ? "ok    " : "FAILED", cases->name);
        fflush(stdout);
    }
    return atomic_load(&check_failures) ? 1 : 0;
}

#endif
