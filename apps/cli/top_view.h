/* What `tai top` shows: one reading of both listeners, and the text made of two of them. */
#ifndef TAI_APPS_CLI_TOP_VIEW_H
#define TAI_APPS_CLI_TOP_VIEW_H

#include "apps/cli/exposition.h"
#include "common/json/json.h"

enum top_latency { TOP_POST, TOP_DECISION, TOP_APPEND, TOP_LATENCIES };
extern const char *const top_latency_names[TOP_LATENCIES];

struct top_sample {
    int64_t at_us; /* monotonic */
    double accepted, refused, decided, receipts, depth, cpu_s, memory, started_s;
    struct exposition_histogram latencies[TOP_LATENCIES];
    struct json_doc status, partitions; /* of andon; status.count 0: none */
    struct buf status_text, partitions_text;
    char health[2][16]; /* ingress, andon: "pass", …; empty: no answer */
    struct error err;   /* what did not answer; empty text: all did */
};
void top_sample_init(struct top_sample *sample);
void top_sample_done(struct top_sample *sample);
/* Takes what /metrics of both listeners says (spans may be empty). */
void top_sample_metrics(struct top_sample *sample, struct span ingress, struct span andon);

/* What came per second between the two. */
struct top_rates {
    double accepted, refused, decided, receipts, cpu;
};
struct top_rates top_rates_of(const struct top_sample *before, const struct top_sample *now);

/* The screen: lines of text with colours. */
void top_view_screen(const struct top_sample *before, const struct top_sample *now, const char *url, double interval_s,
                     struct buf *out);
/* One line without colours, or one JSON object. */
void top_view_line(const struct top_sample *before, const struct top_sample *now, struct buf *out);
void top_view_json(const struct top_sample *before, const struct top_sample *now, struct buf *out);

#endif
