/* The publisher's bookkeeping of sequences; sequence.h says what it promises. */
#include "kanban/sequence.h"

#include "common/mem.h"

#include <stdlib.h>

enum sequence_state { UNDER_WAY, CONFIRMED, VOID };

struct sequence_entry {
    enum sequence_state state;
    uint64_t told; /* `confirmed` its header carried */
};

void sequence_init(struct sequence *seq)
{
    *seq = (struct sequence){0};
}

void sequence_done(struct sequence *seq)
{
    free(seq->entries);
    free(seq->voided);
    sequence_init(seq);
}

static struct sequence_entry *entry(struct sequence *seq, uint64_t sequence)
{
    return &seq->entries[sequence & (seq->cap - 1)];
}

static void ring_double(struct sequence *seq)
{
    struct sequence_entry *old = seq->entries;
    size_t old_cap = seq->cap;
    seq->cap = old_cap ? 2 * old_cap : 16;
    seq->entries = xcalloc(seq->cap, sizeof(*seq->entries));
    for (uint64_t s = seq->resolved + 1; old_cap && s <= seq->last; s++)
        *entry(seq, s) = old[s & (old_cap - 1)];
    free(old);
}

/* Names the void sequences up to what is resolved, as many as there is room for. */
static void fill_voids(const struct sequence *seq, struct frame_header *header)
{
    header->confirmed = seq->resolved;
    header->void_count = 0;
    for (size_t i = 0; i < seq->void_count; i++) {
        for (uint64_t s = seq->voided[i].first; s <= seq->voided[i].last; s++) {
            if (header->void_count == FRAME_VOID_MAX) {
                header->confirmed = s - 1;
                return;
            }
            header->voided[header->void_count++] = s;
        }
    }
}

void sequence_next(struct sequence *seq, struct frame_header *header)
{
    if (seq->last - seq->resolved == seq->cap)
        ring_double(seq);
    fill_voids(seq, header);
    header->sequence = ++seq->last;
    *entry(seq, seq->last) = (struct sequence_entry){.state = UNDER_WAY, .told = header->confirmed};
    seq->sent = header->confirmed;
}

void sequence_cancel(struct sequence *seq)
{
    /* sent may then be too high for what was really sent; told, which decides about voids, is not touched. */
    seq->last--;
    seq->sent = seq->told;
}

static void add_void(struct sequence *seq, uint64_t sequence)
{
    if (seq->void_count && seq->voided[seq->void_count - 1].last + 1 == sequence) {
        seq->voided[seq->void_count - 1].last = sequence;
        return;
    }
    mem_grow(&seq->voided, &seq->void_cap, seq->void_count + 1, sizeof(*seq->voided));
    seq->voided[seq->void_count++] = (struct sequence_range){sequence, sequence};
}

/* A header with this `confirmed` has arrived: what it named need not be named again. */
static void forget_voids(struct sequence *seq, uint64_t told)
{
    if (told <= seq->told)
        return;
    seq->told = told;
    size_t kept = 0;
    for (size_t i = 0; i < seq->void_count; i++) {
        struct sequence_range range = seq->voided[i];
        if (range.last <= told)
            continue;
        if (range.first <= told)
            range.first = told + 1;
        seq->voided[kept++] = range;
    }
    seq->void_count = kept;
}

void sequence_answer(struct sequence *seq, uint64_t sequence, bool confirmed, bool empty)
{
    if (sequence <= seq->resolved || sequence > seq->last || entry(seq, sequence)->state != UNDER_WAY)
        return;
    entry(seq, sequence)->state = confirmed ? CONFIRMED : VOID;
    if (confirmed && !empty && sequence > seq->owed)
        seq->owed = sequence;
    if (confirmed)
        forget_voids(seq, entry(seq, sequence)->told);
    else
        seq->sent = seq->told; /* what its header said may be known to nobody */
    while (seq->resolved < seq->last && entry(seq, seq->resolved + 1)->state != UNDER_WAY) {
        seq->resolved++;
        if (entry(seq, seq->resolved)->state == VOID)
            add_void(seq, seq->resolved);
    }
}

bool sequence_owes(const struct sequence *seq)
{
    return seq->owed > seq->sent && seq->resolved > seq->sent;
}
