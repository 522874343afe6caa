/* The table of charset.h. */
#include "common/charset.h"

#define ALL    (CHARSET_ID | CHARSET_NAME | CHARSET_LOWER | CHARSET_URI)
#define UPPER  (CHARSET_ID | CHARSET_NAME | CHARSET_URI)
#define ID_URI (CHARSET_ID | CHARSET_URI)

const uint8_t charset_table[256] = {
    ['a' ... 'z'] = ALL,   ['0' ... '9'] = ALL, ['.'] = ALL,         ['_'] = ALL,         ['-'] = ALL,
    ['A' ... 'Z'] = UPPER, [':'] = ID_URI,      ['@'] = ID_URI,      ['/'] = ID_URI,      ['+'] = ID_URI,
    ['='] = ID_URI,        ['~'] = ID_URI,      ['?'] = CHARSET_URI, ['#'] = CHARSET_URI, ['['] = CHARSET_URI,
    [']'] = CHARSET_URI,   ['!'] = CHARSET_URI, ['$'] = CHARSET_URI, ['&'] = CHARSET_URI, ['\''] = CHARSET_URI,
    ['('] = CHARSET_URI,   [')'] = CHARSET_URI, ['*'] = CHARSET_URI, [','] = CHARSET_URI, [';'] = CHARSET_URI,
};
