/* From one JSON object to a signal: every rule of the signal table, defaults filled in. Pure: time and randomness are
 * parameters, nothing is sent. */
#ifndef TAI_INGRESS_SIGNAL_H
#define TAI_INGRESS_SIGNAL_H

#include "common/clock.h"
#include "common/json/json.h"
#include "common/mem.h"
#include "kanban/frame.h"

/* Who sends, as authentication has found out. */
struct sender {
    bool is_signed;
    bool may_event;        /* role marketplace, or unsigned on loopback */
    struct span tenant_id; /* the only tenant the key may name; ptr NULL: any */
    struct span source;    /* default of `source`: the key's id */
};

/* Random bytes drawn from the kernel in larger pieces. Tests fill it by hand. */
enum { ENTROPY_POOL = 1024 };
struct entropy {
    uint8_t bytes[ENTROPY_POOL];
    size_t left; /* at the end of bytes */
};
/* The next len ≤ ENTROPY_POOL bytes, valid until the next call. */
const uint8_t *entropy_take(struct entropy *entropy, size_t len);

/* The names of the fields a signal may have, one by one; NULL behind the last. */
const char *signal_field(size_t index);

enum { SIGNAL_SCRATCH = 1024 }; /* longer than any field but data */

/* What is the same for all signals of a request. */
struct signal_reader {
    struct hasher *hasher;
    struct sender sender;
    struct span traceparent; /* of a signal that brings none */
    int64_t now_ms;
    size_t max_signal;
    struct entropy *entropy;
    struct arena *arena; /* unescaped texts and new ids; lives as long as the signals */
    struct buf *scratch; /* its cap is at least SIGNAL_SCRATCH */
};

/* Reads the object at node of doc. bytes: what the hash covers, within doc->text and around the node. The signal
 * borrows from doc->text, the reader and its arena. On failure err says which field, its byte offset in doc->text, and
 * the rule: -EINVAL no signal (400), -EMSGSIZE beyond max_signal (413), -EACCES another tenant or a missing role (403).
 */
must_check int signal_read(const struct signal_reader *reader, const struct json_doc *doc, const struct json_node *node,
                           struct span bytes, struct signal *ret, struct error *err);

enum { TRACEPARENT = 55 };
/* A W3C traceparent of version 00 in its canonical form. */
bool traceparent_valid(struct span text);
/* The trace of a request: the header's, whatever its version, or a new one when it is absent (ptr NULL) or invalid. ret
 * is NUL-terminated. */
void traceparent_adopt(struct span header, struct entropy *entropy, char ret[TRACEPARENT + 1]);

#endif
