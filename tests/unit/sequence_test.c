/* A publisher's bookkeeping of sequences, and a reader's view of what the headers say. */
#include "kanban/sequence.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct frame_header next(struct sequence *seq)
{
    struct frame_header header = {0};
    sequence_next(seq, &header);
    return header;
}

Test(sequence, counts_from_one_and_confirms_in_order)
{
    struct sequence seq;
    sequence_init(&seq);
    cr_assert_eq(next(&seq).sequence, 1);
    struct frame_header second = next(&seq);
    cr_assert_eq(second.sequence, 2);
    cr_assert_eq(second.confirmed, 0);
    sequence_answer(&seq, 2, true, false);
    cr_assert_eq(next(&seq).confirmed, 0, "1 is still under way");
    sequence_answer(&seq, 1, true, false);
    struct frame_header fourth = next(&seq);
    cr_assert_eq(fourth.confirmed, 2);
    cr_assert_eq(fourth.void_count, 0);
    sequence_done(&seq);
}

Test(sequence, names_void_ones_until_a_frame_that_names_them_is_confirmed)
{
    struct sequence seq;
    sequence_init(&seq);
    for (int i = 0; i < 3; i++)
        next(&seq);
    sequence_answer(&seq, 1, true, false);
    sequence_answer(&seq, 2, false, false);
    struct frame_header four = next(&seq);
    cr_assert_eq(four.confirmed, 2);
    cr_assert_eq(four.void_count, 1);
    cr_assert_eq(four.voided[0], 2);
    sequence_answer(&seq, 4, false, false);
    struct frame_header five = next(&seq);
    cr_assert_eq(five.void_count, 1, "4 has not arrived, so 2 is named again; 4 itself lies above 3");
    cr_assert_eq(five.voided[0], 2);
    sequence_answer(&seq, 3, true, false);
    sequence_answer(&seq, 5, true, false);
    struct frame_header six = next(&seq);
    cr_assert_eq(six.confirmed, 5);
    cr_assert_eq(six.void_count, 1);
    cr_assert_eq(six.voided[0], 4);
    sequence_answer(&seq, 6, true, false);
    cr_assert_eq(next(&seq).void_count, 0);
    sequence_done(&seq);
}

Test(sequence, names_no_more_than_there_is_room_for)
{
    struct sequence seq;
    sequence_init(&seq);
    for (uint64_t s = 1; s <= 100; s++) {
        next(&seq);
        sequence_answer(&seq, s, false, false);
    }
    struct frame_header header = next(&seq);
    cr_assert_eq(header.void_count, FRAME_VOID_MAX);
    cr_assert_eq(header.confirmed, FRAME_VOID_MAX);
    sequence_answer(&seq, 101, true, false);
    header = next(&seq);
    cr_assert_eq(header.void_count, 100 - FRAME_VOID_MAX);
    cr_assert_eq(header.voided[0], FRAME_VOID_MAX + 1);
    cr_assert_eq(header.confirmed, 101);
    sequence_done(&seq);
}

Test(sequence, takes_back_what_was_not_sent)
{
    struct sequence seq;
    sequence_init(&seq);
    next(&seq);
    next(&seq);
    sequence_cancel(&seq);
    cr_assert_eq(next(&seq).sequence, 2);
    sequence_done(&seq);
}

Test(sequence, ignores_answers_it_cannot_place)
{
    struct sequence seq;
    sequence_init(&seq);
    sequence_answer(&seq, 1, true, false);
    next(&seq);
    sequence_answer(&seq, 1, true, false);
    sequence_answer(&seq, 1, false, false);
    sequence_answer(&seq, 0, false, false);
    sequence_answer(&seq, 77, true, false);
    struct frame_header header = next(&seq);
    cr_assert_eq(header.confirmed, 1);
    cr_assert_eq(header.void_count, 0);
    sequence_done(&seq);
}

Test(sequence, owes_an_announcement_for_signals_only)
{
    struct sequence seq;
    sequence_init(&seq);
    cr_assert(!sequence_owes(&seq));
    next(&seq);
    cr_assert(!sequence_owes(&seq), "nothing is confirmed");
    sequence_answer(&seq, 1, true, false);
    cr_assert(sequence_owes(&seq));
    cr_assert_eq(next(&seq).confirmed, 1);
    cr_assert(!sequence_owes(&seq), "the empty frame says it");
    sequence_answer(&seq, 2, true, true);
    cr_assert(!sequence_owes(&seq), "an empty frame needs no announcement");
    next(&seq);
    sequence_answer(&seq, 3, false, false);
    cr_assert(!sequence_owes(&seq), "a void frame is owed to nobody");
    sequence_done(&seq);
}

Test(sequence, owes_again_when_the_announcement_is_void)
{
    struct sequence seq;
    sequence_init(&seq);
    next(&seq);
    sequence_answer(&seq, 1, true, false);
    next(&seq);
    sequence_answer(&seq, 2, false, true);
    cr_assert(sequence_owes(&seq));
    sequence_done(&seq);
}

enum { FRAMES = 20000, WINDOW = 40 };

/* What a reader knows: frames it took, sequences named void. */
struct reader {
    bool taken[FRAMES + 1];
    bool voided[FRAMES + 1];
    uint64_t checked;
};

static void read_header(struct reader *reader, const struct frame_header *header)
{
    for (uint32_t i = 0; i < header->void_count; i++) {
        cr_assert(!reader->taken[header->voided[i]]);
        cr_assert_leq(header->voided[i], header->confirmed);
        reader->voided[header->voided[i]] = true;
    }
    for (; reader->checked < header->confirmed; reader->checked++)
        cr_assert(reader->taken[reader->checked + 1] || reader->voided[reader->checked + 1],
                  "%lu counts as confirmed, but neither came nor is void", (unsigned long)reader->checked + 1);
    reader->taken[header->sequence] = true;
}

/* Answers out of order, a third of them void: a reader who takes the confirmed frames in order never sees a gap. */
Test(sequence, a_reader_sees_no_gap)
{
    struct sequence seq;
    sequence_init(&seq);
    static struct frame_header headers[FRAMES + 1];
    static bool confirmed[FRAMES + 1];
    uint64_t open[WINDOW];
    size_t open_count = 0;
    unsigned random = 7;
    for (uint64_t s = 1; s <= FRAMES; s++) {
        headers[s] = next(&seq);
        open[open_count++] = s;
        random = random * 1103515245 + 12345;
        while (open_count == WINDOW || (open_count && (random >> 16) % 3 == 0)) {
            random = random * 1103515245 + 12345;
            size_t pick = (random >> 16) % open_count;
            uint64_t answered = open[pick];
            open[pick] = open[--open_count];
            confirmed[answered] = (random >> 8) % 3 != 0;
            sequence_answer(&seq, answered, confirmed[answered], false);
        }
    }
    struct reader *reader = calloc(1, sizeof(*reader));
    for (uint64_t s = 1; s <= FRAMES; s++)
        if (confirmed[s])
            read_header(reader, &headers[s]);
    cr_assert_gt(reader->checked, FRAMES - 200);
    free(reader);
    sequence_done(&seq);
}
