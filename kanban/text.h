/* The strings of a frame's envelope: bytes that stand in JSON as they are. Used once per string and signal on both
 * sides, hence eight bytes at a time. */
#ifndef TAI_KANBAN_TEXT_H
#define TAI_KANBAN_TEXT_H

#include "common/utf8.h"

#define TEXT_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* High bits where a byte of word is zero; exact as long as only "is there one" is asked. */
static inline uint64_t text_zero(uint64_t word)
{
    return (word - TEXT_EACH(0x01)) & ~word & TEXT_EACH(0x80);
}

/* High bits if one of eight bytes is a control character, a quote or a backslash. */
static inline uint64_t text_special(uint64_t word)
{
    return ((word - TEXT_EACH(0x20)) & ~word & TEXT_EACH(0x80)) | text_zero(word ^ TEXT_EACH('"')) |
           text_zero(word ^ TEXT_EACH('\\'));
}

/* True if text needs no escape in JSON and is UTF-8. */
static inline bool text_plain(struct span text)
{
    uint64_t special = 0;
    uint64_t all = 0;
    size_t i = 0;
    for (; i + 8 <= text.len; i += 8) {
        uint64_t word;
        memcpy(&word, text.ptr + i, 8);
        special |= text_special(word);
        all |= word;
    }
    if (i < text.len) {
        uint64_t word = TEXT_EACH(' ');
        memcpy(&word, text.ptr + i, text.len - i);
        special |= text_special(word);
        all |= word;
    }
    return !special && (!(all & TEXT_EACH(0x80)) || utf8_valid(text));
}

#endif
