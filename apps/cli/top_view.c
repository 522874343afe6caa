/* Rates come from counters, latencies from what was added to histograms between two readings. Pure apart from the clock
 * on the wall in the first line. */
#include "apps/cli/top_view.h"
#include "apps/cli/cli.h"
#include "apps/cli/output.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define BOLD  "\033[1m"
#define PLAIN "\033[0m"
#define RED   "\033[31m"

enum { TEXT_MAX = 64 << 20, ALL = 1 << 30 };

const char *const top_latency_names[TOP_LATENCIES] = {
    [TOP_POST] = "post", [TOP_DECISION] = "decision", [TOP_APPEND] = "append"};

void top_sample_init(struct top_sample *sample)
{
    *sample = (struct top_sample){.at_us = 0};
    json_init(&sample->status);
    json_init(&sample->partitions);
    buf_init(&sample->status_text, TEXT_MAX);
    buf_init(&sample->partitions_text, TEXT_MAX);
}

void top_sample_done(struct top_sample *sample)
{
    json_done(&sample->status);
    json_done(&sample->partitions);
    buf_done(&sample->status_text);
    buf_done(&sample->partitions_text);
}

void top_sample_metrics(struct top_sample *sample, struct span ingress, struct span andon)
{
    static const char signals[] = "tai_ingress_signals_total";
    sample->accepted = exposition_sum(ingress, signals, "result=\"accepted\"") +
                       exposition_sum(ingress, signals, "result=\"duplicate\"");
    sample->refused = exposition_sum(ingress, signals, NULL) - sample->accepted;
    sample->depth = exposition_sum(ingress, "tai_kanban_depth_signals", NULL);
    sample->decided = exposition_sum(andon, "tai_jidoka_signals_taken_total", NULL);
    sample->receipts = exposition_sum(andon, "tai_andon_receipts_total", NULL);
    sample->cpu_s = exposition_sum(andon, "process_cpu_seconds_total", NULL);
    sample->memory = exposition_sum(andon, "process_resident_memory_bytes", NULL);
    sample->started_s = exposition_sum(andon, "process_start_time_seconds", NULL);
    exposition_histogram(ingress, "tai_http_request_duration_seconds", "route=\"/v1/signals\"",
                         &sample->latencies[TOP_POST]);
    exposition_histogram(andon, "tai_signal_decision_seconds", NULL, &sample->latencies[TOP_DECISION]);
    exposition_histogram(andon, "tai_andon_append_duration_seconds", NULL, &sample->latencies[TOP_APPEND]);
}

/* A counter that fell belongs to a process that was started again. */
static double rate(double before, double now, double seconds)
{
    return now > before && seconds > 0 ? (now - before) / seconds : 0;
}

struct top_rates top_rates_of(const struct top_sample *before, const struct top_sample *now)
{
    double seconds = before->at_us ? (double)(now->at_us - before->at_us) / 1e6 : 0;
    return (struct top_rates){rate(before->accepted, now->accepted, seconds),
                              rate(before->refused, now->refused, seconds),
                              rate(before->decided, now->decided, seconds),
                              rate(before->receipts, now->receipts, seconds), rate(before->cpu_s, now->cpu_s, seconds)};
}

static double quantile_ms(const struct top_sample *before, const struct top_sample *now, enum top_latency which,
                          double quantile)
{
    double seconds = exposition_quantile(&before->latencies[which], &now->latencies[which], quantile);
    return seconds < 0 ? -1 : seconds * 1000;
}

static const struct json_node *member(const struct json_doc *doc, const char *name)
{
    const struct json_node *node = doc->count ? json_get(doc, doc->nodes, name) : NULL;
    return node && node->type == JSON_OBJECT ? node : NULL;
}

static int64_t number(const struct json_doc *doc, const char *object, const char *name)
{
    const struct json_node *node = object ? member(doc, object) : doc->count ? doc->nodes : NULL;
    return node ? out_int(doc, node, name, 0) : 0;
}

/* --- the screen -------------------------------------------------------------------------------------------------- */

static void add_ms(struct buf *out, double ms)
{
    if (ms < 0)
        buf_addf(out, "%9s", "-");
    else
        buf_addf(out, "%6.*f ms", ms < 10 ? 2 : ms < 100 ? 1 : 0, ms);
}

/* "12 active, 1 halted": the members that are not 0; except: one to leave out. */
static void add_counts(const struct json_doc *doc, const char *object, const char *except, struct buf *out)
{
    const struct json_node *counts = member(doc, object);
    bool first = true;
    for (const struct json_node *node = counts ? json_first(doc, counts) : NULL; node;
         node = json_next(doc, counts, node)) {
        int64_t count;
        struct span name = json_key(doc, node);
        if ((except && span_is(name, except)) || json_int(doc, node, 1, INT64_MAX, &count))
            continue;
        buf_addf(out, "%s%" PRId64 " %.*s", first ? ": " : ", ", count, (int)name.len, name.ptr);
        first = false;
    }
}

static void add_head(const struct top_sample *now, const char *url, double interval_s, struct buf *out)
{
    char clock[OUT_TIME], up[OUT_TIME], memory[OUT_TIME];
    int64_t wall = clock_wall_ms(&clock_system);
    buf_addf(out, BOLD "tai top" PLAIN "  %s  %s  every %g s, q quits\n", url, out_time(wall, clock), interval_s);
    if (now->err.text[0]) {
        struct buf text;
        buf_init(&text, sizeof(now->err.text) + 1);
        buf_add_str(&text, now->err.text);
        cli_clean(text.data, text.len);
        buf_addf(out, RED "%s" PLAIN "\n", buf_cstr(&text));
        buf_done(&text);
    }
    for (int i = 0; i < 2; i++) {
        const char *health = now->health[i][0] ? now->health[i] : "no answer";
        bool good = strcmp(health, "pass") == 0;
        buf_addf(out, "%s%s %s%s%s", i ? "   " : "health        ", i ? "andon" : "ingress", good ? "" : RED, health,
                 good ? "" : PLAIN);
    }
    if (now->started_s > 0)
        buf_addf(out, "   up %s, %s", out_duration(wall - (int64_t)(now->started_s * 1000), up),
                 out_bytes((uint64_t)now->memory, memory));
    buf_add_char(out, '\n');
}

static void add_flow(const struct top_sample *before, const struct top_sample *now, struct buf *out)
{
    struct top_rates rates = top_rates_of(before, now);
    buf_addf(out,
             "a second      " BOLD "%.0f" PLAIN " accepted   " BOLD "%.0f" PLAIN " decided   " BOLD "%.0f" PLAIN
             " receipts   %s%.0f refused" PLAIN "   CPU %.0f%%\n",
             rates.accepted, rates.decided, rates.receipts, rates.refused > 0 ? RED : "", rates.refused,
             rates.cpu * 100);
    buf_add_str(out, "latency            p50      p90      p99\n");
    static const char *const labels[TOP_LATENCIES] = {"POST answered", "decided", "receipts"};
    for (int i = 0; i < TOP_LATENCIES; i++) {
        buf_addf(out, "%-14s", labels[i]);
        add_ms(out, quantile_ms(before, now, i, 0.5));
        add_ms(out, quantile_ms(before, now, i, 0.9));
        add_ms(out, quantile_ms(before, now, i, 0.99));
        buf_add_char(out, '\n');
    }
}

static void add_sums(const struct top_sample *now, struct buf *out)
{
    const struct json_doc *doc = &now->status;
    int64_t gap = number(doc, "conservation", "gap"), balance = number(doc, "conservation", "balance");
    int64_t letters = number(doc, "deadletters", "open");
    buf_addf(out,
             "in flight     %.0f queued, %" PRId64 " waiting, %" PRId64 " acting, %" PRId64
             " receipts to be written, %" PRId64 " ms behind\n",
             now->depth, number(doc, "signals", "waiting"), number(doc, "signals", "acting"),
             number(doc, NULL, "outcomes_open"), number(doc, NULL, "lag_ms"));
    buf_addf(out, "governors     %" PRId64, number(doc, NULL, "governors"));
    add_counts(doc, "governors_in", NULL, out);
    buf_addf(out, "\ndead letters  %s%" PRId64 " open" PLAIN, letters ? RED : "", letters);
    add_counts(doc, "deadletters", "open", out);
    buf_addf(out, "\nconservation  %sgap %" PRId64 ", balance %" PRId64 PLAIN "\n", gap || balance ? RED : "", gap,
             balance);
}

/* What was taken in the partition at the reading before; -1: not known. */
static int64_t taken_before(const struct top_sample *before, int64_t partition)
{
    const struct json_doc *doc = &before->partitions;
    const struct json_node *list = doc->count ? json_get(doc, doc->nodes, "partitions") : NULL;
    for (const struct json_node *node = list ? json_first(doc, list) : NULL; node; node = json_next(doc, list, node))
        if (out_int(doc, node, "partition", -1) == partition)
            return out_int(doc, node, "taken", -1);
    return -1;
}

static void add_partitions(const struct top_sample *before, const struct top_sample *now, struct buf *out)
{
    const struct json_doc *doc = &now->partitions;
    const struct json_node *list = doc->count ? json_get(doc, doc->nodes, "partitions") : NULL;
    double seconds = before->at_us ? (double)(now->at_us - before->at_us) / 1e6 : 0;
    struct buf scratch;
    buf_init(&scratch, 4096);
    buf_addf(out, "\n" BOLD "%4s %9s %8s %8s %8s %9s %6s %8s %5s  %s" PLAIN "\n", "PART", "TAKEN/S", "DEPTH", "WAITING",
             "ACTING", "GOVERNORS", "LAG", "DEAD", "GAP", "OWNER");
    for (const struct json_node *node = list ? json_first(doc, list) : NULL; node; node = json_next(doc, list, node)) {
        int64_t partition = out_int(doc, node, "partition", 0), taken = out_int(doc, node, "taken", 0);
        int64_t last = taken_before(before, partition);
        struct span owner = out_text(doc, node, "owner", &scratch);
        buf_addf(out,
                 "%4" PRId64 " %9.0f %8" PRId64 " %8" PRId64 " %8" PRId64 " %9" PRId64 " %6" PRId64 " %8" PRId64
                 " %5" PRId64 "  ",
                 partition, last < 0 ? 0 : rate((double)last, (double)taken, seconds), out_int(doc, node, "depth", 0),
                 out_int(doc, node, "waiting", 0), out_int(doc, node, "acting", 0), out_int(doc, node, "governors", 0),
                 out_int(doc, node, "outcomes_open", 0), out_int(doc, node, "deadletters", 0),
                 out_int(doc, node, "gap", 0));
        size_t at = out->len;
        buf_add_span(out, owner.len ? owner : SPAN("nobody"));
        cli_clean(out->data + at, out->len - at);
        buf_add_char(out, '\n');
    }
    buf_done(&scratch);
}

void top_view_screen(const struct top_sample *before, const struct top_sample *now, const char *url, double interval_s,
                     struct buf *out)
{
    add_head(now, url, interval_s, out);
    add_flow(before, now, out);
    if (now->status.count)
        add_sums(now, out);
    if (now->partitions.count)
        add_partitions(before, now, out);
}

/* --- lines ------------------------------------------------------------------------------------------------------- */

void top_view_line(const struct top_sample *before, const struct top_sample *now, struct buf *out)
{
    struct top_rates rates = top_rates_of(before, now);
    char clock[OUT_TIME];
    const struct json_doc *doc = &now->status;
    buf_addf(out, "%s  ", out_time(clock_wall_ms(&clock_system), clock));
    if (now->err.text[0]) {
        buf_add_str(out, now->err.text);
        return;
    }
    buf_addf(out,
             "accepted %.0f/s  decided %.0f/s  receipts %.0f/s  refused %.0f/s  queued %.0f  waiting %" PRId64
             "  dead letters %" PRId64 "  lag %" PRId64 " ms  decision p99",
             rates.accepted, rates.decided, rates.receipts, rates.refused, now->depth,
             number(doc, "signals", "waiting"), number(doc, "deadletters", "open"), number(doc, NULL, "lag_ms"));
    add_ms(out, quantile_ms(before, now, TOP_DECISION, 0.99));
}

static void add_json_number(struct buf *out, const char *name, double value)
{
    json_add_key(out, name);
    if (value < 0)
        buf_add_str(out, "null");
    else
        buf_addf(out, "%.3f", value);
}

void top_view_json(const struct top_sample *before, const struct top_sample *now, struct buf *out)
{
    struct top_rates rates = top_rates_of(before, now);
    buf_add_char(out, '{');
    json_add_key(out, "at");
    buf_add_i64(out, clock_wall_ms(&clock_system));
    if (now->err.text[0])
        json_add_member(out, "error", span_of(now->err.text));
    add_json_number(out, "accepted_per_s", rates.accepted);
    add_json_number(out, "decided_per_s", rates.decided);
    add_json_number(out, "receipts_per_s", rates.receipts);
    add_json_number(out, "refused_per_s", rates.refused);
    add_json_number(out, "queued", now->depth);
    for (int i = 0; i < TOP_LATENCIES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%s_p50_ms", top_latency_names[i]);
        add_json_number(out, name, quantile_ms(before, now, i, 0.5));
        snprintf(name, sizeof(name), "%s_p99_ms", top_latency_names[i]);
        add_json_number(out, name, quantile_ms(before, now, i, 0.99));
    }
    if (now->status.count)
        json_add_member_raw(out, "status", now->status.text);
    buf_add_char(out, '}');
}
