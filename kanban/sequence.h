/* What a publisher knows of its frames in one partition: which sequences are under way, confirmed or void, and what its
 * next header has to say about them. Pure; the publisher's thread.
 *
 * A void sequence is named in every header until a frame that names it is confirmed: an unconfirmed one may never
 * arrive. A header names at most FRAME_VOID_MAX; `confirmed` then stays below the first that had no room. */
#ifndef TAI_KANBAN_SEQUENCE_H
#define TAI_KANBAN_SEQUENCE_H

#include "kanban/frame.h"

struct sequence_range {
    uint64_t first, last;
};

struct sequence_entry;

struct sequence {
    uint64_t last;                  /* handed out */
    uint64_t resolved;              /* all up to here are confirmed or void */
    uint64_t told;                  /* the highest `confirmed` a confirmed frame carried */
    uint64_t owed;                  /* the highest confirmed sequence of a frame with signals */
    uint64_t sent;                  /* `confirmed` of the newest header */
    struct sequence_entry *entries; /* resolved + 1 … last, a ring by sequence */
    size_t cap;                     /* a power of two, or 0 */
    struct sequence_range *voided;  /* above told, ascending */
    size_t void_count;
    size_t void_cap;
};

void sequence_init(struct sequence *seq);
void sequence_done(struct sequence *seq);
/* Hands out the next sequence and fills sequence, confirmed and void of the header. */
void sequence_next(struct sequence *seq, struct frame_header *header);
/* Takes back the newest sequence: its frame was not sent. */
void sequence_cancel(struct sequence *seq);
/* The frame is durable (or, if not, will never come); empty: it carried no signals. */
void sequence_answer(struct sequence *seq, uint64_t sequence, bool confirmed, bool empty);
/* Signals are confirmed and no header sent since says so. */
bool sequence_owes(const struct sequence *seq);

#endif
