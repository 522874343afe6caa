/* The alphabets, byte by byte against their rules. */
#include "common/charset.h"

#include <criterion/criterion.h>

static bool in(enum charset set, char c)
{
    static const char *const others[] = {[CHARSET_ID] = "._:@/+=~-",
                                         [CHARSET_NAME] = "._-",
                                         [CHARSET_LOWER] = "._-",
                                         [CHARSET_URI] = "-._~:/?#[]@!$&'()*+,;="};
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return true;
    if (c >= 'A' && c <= 'Z')
        return set != CHARSET_LOWER;
    return c && strchr(others[set], c);
}

Test(charset, every_byte)
{
    for (int set = CHARSET_ID; set <= CHARSET_URI; set *= 2) {
        for (int c = 0; c < 256; c++) {
            char text[] = {'a', (char)c, '0'};
            cr_expect_eq(charset_made_of((struct span){text, 3}, 3, (enum charset)set), in((enum charset)set, (char)c),
                         "set %d, byte %d", set, c);
        }
    }
}

Test(charset, length)
{
    cr_expect_not(charset_made_of(SPAN(""), 8, CHARSET_ID));
    cr_expect_not(charset_made_of((struct span){NULL, 0}, 8, CHARSET_ID));
    cr_expect(charset_made_of(SPAN("12345678"), 8, CHARSET_ID));
    cr_expect_not(charset_made_of(SPAN("123456789"), 8, CHARSET_ID));
}
