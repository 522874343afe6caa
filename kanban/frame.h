/* Frames: what one event-loop turn of ingress accepted for one partition, on its way to jidoka.
 *
 *   {"v":1,"boot":"<16 hex>","partition":3,"sequence":42,"count":2,"accepted_at":1767…,"confirmed":41,"void":[40]}\n
 *   {"t":"acme","e":"ent-1","k":"sku-1","i":"sig-1","y":"usage","s":"key-1","m":1767…,"v":0,"p":"00-…-01","d":[57,12],
 *    "h":"<64 hex>","n":133,"r":0,"a":1767…,"g":1}\n
 *   <n bytes exactly as received>\n
 *   … count times: the envelope, one line with its members exactly in this order, then the n bytes
 *
 * `confirmed` is the sequence up to which every frame of this boot and partition is confirmed or void; `void` names the
 * sequences above the previous header's `confirmed` that were nacked or returned and will never come. Content type
 * application/vnd.tai.frame. A frame has at most 256 signals and 256 KiB, except that one signal always fits. */
#ifndef TAI_KANBAN_FRAME_H
#define TAI_KANBAN_FRAME_H

#include "common/buf.h"
#include "common/hash.h"

enum {
    FRAME_SIGNALS_MAX = 256,
    FRAME_BYTES_MAX = 256 * 1024,
    FRAME_VOID_MAX = 64,
    FRAME_TENANT_MAX = 64, /* bytes of a tenant_id */
    FRAME_ID_MAX = 128,    /* of an id, entitlement_id, sku_id, type */
    FRAME_TEXT_MAX = 256,  /* of a source, traceparent */
};

/* Where ingress says what it refused: a queue of its own beside the partitions. Its frames are made like any other; a
 * record in one is a signal of type REFUSAL_TYPE or REFUSAL_SUMMARY_TYPE whose tenant is the chain's (`_system`: of no
 * tenant) and whose bytes are a JSON object:
 *   {"detail":"…","entitlement_id":"…","key_id":"…","reason":"…","signal_id":"…","signal_sha256":"…","status":400}
 *   {"count":12,"from":1767…,"reason":"…","to":1767…}
 * the first without what is not known. */
#define KANBAN_REFUSALS      UINT32_MAX
#define REFUSAL_TYPE         "tai.refusal"
#define REFUSAL_SUMMARY_TYPE "tai.refusal_summary"

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_CRITICAL };

/* A signal with defaults filled in. All spans are borrowed (on the consumer's side from the frame). Ids, type, source
 * and traceparent hold no byte that JSON would escape and no more than their limits above. */
struct signal {
    struct span tenant_id;
    struct span entitlement_id;
    struct span sku_id; /* empty if none was sent */
    struct span id;
    struct span type;
    struct span source;
    struct span traceparent; /* empty if none */
    struct span data;        /* the bytes of `data` within bytes; "null" when absent */
    struct span bytes;       /* as received */
    int64_t time_ms;
    int64_t accepted_at_ms;
    uint32_t redrive;
    enum severity severity;
    bool may_event; /* its sender may send entitlement and refund events */
    uint8_t sha256[SHA256_SIZE];
};

struct frame_header {
    char boot[17];
    uint32_t partition;
    uint64_t sequence; /* from 1 per boot and partition */
    uint32_t count;
    int64_t accepted_at_ms;
    uint64_t confirmed;
    uint64_t voided[FRAME_VOID_MAX];
    uint32_t void_count;
};

/* What frame_encode demands of signals: 0; -EINVAL if a string holds a byte that JSON would escape or is no UTF-8, data
 * is neither within bytes nor "null", or a field is out of its range; -EMSGSIZE if they are too many or too big
 * together. */
must_check int frame_check(const struct signal *signals, uint32_t count);
/* Appends the encoded frame to out; header->count signals that frame_check accepts. */
void frame_encode(const struct frame_header *header, const struct signal *signals, struct buf *out);
/* The envelope line of one signal by itself, and back: line and bytes are borrowed by *ret. -EBADMSG as frame_decode.
 */
void frame_encode_envelope(const struct signal *signal, struct buf *out);
must_check int frame_decode_envelope(struct span line, struct span bytes, struct signal *ret, struct error *err);
/* The bytes of one signal in a frame, for filling frames up to FRAME_BYTES_MAX. */
size_t frame_signal_size(const struct signal *signal);

/* A decoded frame; signals point into bytes. */
struct frame {
    struct frame_header header;
    struct signal *signals; /* header.count of them; owned */
    char *bytes;            /* owned copy of the frame */
    size_t len;
};
/* 0, or -EBADMSG with err naming what is wrong: such a frame is dead-lettered whole as unparseable. Takes bytes over
 * (heap) in either case. */
must_check int frame_decode(char *take_bytes, size_t len, struct frame **ret, struct error *err);
/* As frame_decode, but bytes stay the caller's unless it succeeds. */
must_check int frame_parse(char *bytes, size_t len, struct frame **ret, struct error *err);
void frame_free(struct frame *frame);

#endif
