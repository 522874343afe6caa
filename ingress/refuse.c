/* Refusals to their receipts: what is known of one is noted when it is answered, and once a second what was collected
 * is published. Never in the way of accepting: what the queue does not take is summed and tried again a second later;
 * what a kill finds unpublished is lost.
 *
 * Only definite refusals (4xx) are noted: after a 503 the signal may be sent again, and be there. */
#include "ingress/internal.h"

#include "common/charset.h"

enum { CLAIM_MAX = 512 };

/* What a signal that was not taken says of itself, where it could be true; spans in bufs. */
struct claims {
    struct span tenant_id, entitlement_id, id;
    struct buf bufs[3];
};

static struct span claim(const struct json_doc *doc, const struct json_node *object, const char *name, size_t max,
                         enum charset set, struct buf *buf)
{
    buf_init(buf, CLAIM_MAX);
    struct span text = json_text(doc, json_get(doc, object, name), buf);
    return charset_made_of(text, max, set) ? text : (struct span){0};
}

static void read_claims(struct ingress *ingress, const struct json_node *node, struct claims *ret)
{
    const struct json_doc *doc = &ingress->doc;
    *ret = (struct claims){0};
    if (!node || node->type != JSON_OBJECT)
        return;
    ret->tenant_id = claim(doc, node, "tenant_id", FRAME_TENANT_MAX, CHARSET_NAME, &ret->bufs[0]);
    if (ret->tenant_id.len && ret->tenant_id.ptr[0] == '_')
        ret->tenant_id.len = 0;
    ret->entitlement_id = claim(doc, node, "entitlement_id", FRAME_ID_MAX, CHARSET_ID, &ret->bufs[1]);
    ret->id = claim(doc, node, "id", FRAME_ID_MAX, CHARSET_ID, &ret->bufs[2]);
}

static void note_signed(struct ingress *ingress, const struct refused *refused, int status, const char *detail,
                        struct refusal refusal, int64_t mono_ms)
{
    const struct sender *sender = refused->sender;
    bool single = refusals_single(ingress->refusals, mono_ms);
    struct claims claims;
    uint8_t sha256[SHA256_SIZE];
    read_claims(ingress, refused->node, &claims);
    refusal.tenant_id = sender->tenant_id.ptr ? sender->tenant_id : claims.tenant_id;
    if (single) {
        refusal.status = status;
        refusal.detail = span_of(detail);
        refusal.key_id = sender->source;
        refusal.entitlement_id = claims.entitlement_id;
        refusal.signal_id = claims.id;
        if (refused->node) {
            hasher_sha256(ingress->hasher, refused->bytes, sha256);
            refusal.sha256 = sha256;
        }
    }
    refusals_add(ingress->refusals, &refusal, single, mono_ms);
    metric_inc(ingress->refusal_metrics.noted[single]);
    for (size_t i = 0; i < sizeof(claims.bufs) / sizeof(claims.bufs[0]); i++)
        buf_done(&claims.bufs[i]);
}

void refuse_note(struct ingress *ingress, const struct refused *refused, enum result result, int status,
                 const char *detail)
{
    int64_t mono_ms = clock_mono_ms(ingress->options.clock);
    struct refusal refusal = {.reason = result_names[result], .wall_ms = clock_wall_ms(ingress->options.clock)};
    if (refused->sender && refused->sender->is_signed) {
        note_signed(ingress, refused, status, detail, refusal, mono_ms);
        return;
    }
    refusals_add(ingress->refusals, &refusal, false, mono_ms);
    metric_inc(ingress->refusal_metrics.noted[false]);
}

/* --- publishing --------------------------------------------------------------------------------------------------- */

static void answered(struct ingress *ingress, int status)
{
    struct refusal_metrics *metrics = &ingress->refusal_metrics;
    ingress->refusals_failing = status != 0;
    refusals_answered(ingress->refusals, status == 0);
    metric_add(metrics->failed, status != 0);
    metric_set(metrics->waiting, (int64_t)refusals_waiting(ingress->refusals));
}

void refuse_published(struct ingress *ingress, int status)
{
    ingress->refusals_under_way = false;
    answered(ingress, status);
}

void refuse_flush(struct ingress *ingress)
{
    struct signal records[REFUSALS_FLUSH_MAX];
    size_t count = ingress->refusals_under_way ? 0 : refusals_take(ingress->refusals, records);
    if (!count)
        return;
    int rc = kanban_publish(ingress->kanban, KANBAN_REFUSALS, records, (uint32_t)count, ingress->refusals);
    ingress->refusals_under_way = rc == 0;
    if (rc)
        answered(ingress, rc);
}

bool refuse_drained(struct ingress *ingress)
{
    ingress->refusals_failing &= !ingress->refusals_under_way;
    while (!ingress->refusals_failing && !ingress->refusals_under_way && refusals_waiting(ingress->refusals))
        refuse_flush(ingress);
    return !ingress->refusals_under_way;
}

void refuse_init(struct ingress *ingress)
{
    static const char *const forms[] = {"summed", "single", NULL};
    struct metrics *m = ingress->options.metrics;
    struct metric *family =
        metrics_register(m, &(struct metric_desc){.name = "tai_ingress_refusals_total",
                                                  .help = "Refusals noted for receipts: with one each, or summed.",
                                                  .type = METRIC_COUNTER,
                                                  .labels = {{.name = "form", .values = forms}}});
    for (size_t i = 0; i < 2; i++)
        ingress->refusal_metrics.noted[i] = metric_counter(family, &forms[i]);
    ingress->refusal_metrics.failed = metrics_counter(m, "tai_ingress_refusals_failed_frames_total",
                                                      "Frames of refusals the queue did not take; tried again summed.");
    ingress->refusal_metrics.waiting =
        metrics_gauge(m, "tai_ingress_refusals_waiting", "Refusals not published yet, as of the last flush.");
    ingress->refusals = refusals_new();
}
