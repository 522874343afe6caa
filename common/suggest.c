/* The nearest known word to a mistyped one: edit distance that counts a swap of neighbours as one (optimal string
 * alignment). Pure; words beyond 63 bytes are near to nothing. */
#include "common/suggest.h"

enum { WORD_MAX = 63 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

static size_t distance(struct span a, struct span b)
{
    size_t rows[3][WORD_MAX + 1]; /* two back, one back, this one */
    size_t *before = rows[0];
    size_t *above = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        above[j] = before[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t cost = a.ptr[i - 1] != b.ptr[j - 1];
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b.len];
}

void suggestion_init(struct suggestion *suggestion, struct span text)
{
    /* Up to a third of the word may be wrong, and never more than three letters. */
    size_t limit = text.len / 3 < 3 ? text.len / 3 : 3;
    *suggestion = (struct suggestion){text, NULL, limit + 1};
}

void suggestion_offer(struct suggestion *suggestion, const char *candidate)
{
    struct span text = span_of(candidate);
    if (suggestion->text.len > WORD_MAX || text.len > WORD_MAX)
        return;
    size_t d = distance(suggestion->text, text);
    if (d < suggestion->distance) {
        suggestion->distance = d;
        suggestion->best = candidate;
    }
}

const char *suggest(struct span typed, const char *const *words)
{
    struct suggestion nearest;
    suggestion_init(&nearest, typed);
    for (; *words; words++)
        suggestion_offer(&nearest, *words);
    return nearest.best;
}
