/* The loop of the load generator: what is due is sent while a connection is free, then events are waited for. */
#include "bench/load.h"
#include "bench/probes.h"
#include "bench/signals.h"
#include "common/clock.h"
#include "common/json/json.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 256, GRACE_US = 30 * 1000 * 1000, ASK_US = 100 * 1000 };

struct load {
    const struct load_options *options;
    struct load_report *report;
    struct signals signals;
    int epoll;
    struct client *clients;
    struct client **idle; /* a ring, used in turn */
    unsigned idle_first, idle_count;
    int64_t started_us, ended_us, now_us, ask_us;
    int failed; /* -errno: no connection */
    bool stopped;
    struct probes *probes;
};

/* --- answers --------------------------------------------------------------------------------------------------- */

static uint64_t count_accepted(struct span body)
{
    static const char item[] = "\"status\":202";
    uint64_t count = 0;
    const char *at = body.ptr, *end = body.ptr + body.len;
    while (at < end && (at = memmem(at, (size_t)(end - at), item, sizeof(item) - 1))) {
        count++;
        at += sizeof(item) - 1;
    }
    return count;
}

static void on_answer(struct client *client, int status, struct span body)
{
    struct load *load = client->ctx;
    load->now_us = clock_mono_us(&clock_system);
    load->report->answered++;
    load->report->by_status[status > 0 && status < LOAD_STATUS_MAX ? status : 0]++;
    load->report->accepted += status == 202 ? load->options->batch : status == 207 ? count_accepted(body) : 0;
    if ((double)(client->due_us - load->started_us) >= load->options->warmup_s * 1e6) {
        histogram_add(&load->report->latency, load->now_us - client->due_us);
        uint64_t request = (client->number - load->options->first) / load->options->batch;
        if (load->options->follow && status == 202 && request % load->options->follow == 0)
            probes_add(load->probes, client->number, client->due_us);
    }
    load->idle[(load->idle_first + load->idle_count++) % load->options->connections] = client;
}

/* --- requests -------------------------------------------------------------------------------------------------- */

static int64_t due_us(const struct load *load)
{
    if (load->options->rate <= 0)
        return load->now_us;
    return load->started_us + (int64_t)((double)load->report->requests * 1e6 / load->options->rate);
}

static bool finished(const struct load *load)
{
    if (load->failed || load->stopped)
        return true;
    if (load->options->requests && load->report->requests >= load->options->requests)
        return true;
    return (double)(due_us(load) - load->started_us) >= load->options->duration_s * 1e6;
}

/* Sends what is due; returns when the next is. */
static int64_t send_due(struct load *load)
{
    while (!finished(load)) {
        int64_t due = due_us(load);
        if (due > load->now_us)
            return due;
        if (!load->idle_count)
            return INT64_MAX;
        struct client *client = load->idle[load->idle_first];
        load->idle_first = (load->idle_first + 1) % load->options->connections;
        load->idle_count--;
        client->due_us = due;
        client->number = signals_request(&load->signals, &client->out);
        load->report->requests++;
        load->failed = client_send(client);
    }
    return INT64_MAX;
}

static void wait_events(struct load *load, int64_t until_us)
{
    struct epoll_event events[EVENTS];
    int64_t wait = until_us - load->now_us;
    if (wait > 100000)
        wait = 100000;
    struct timespec pause = {.tv_sec = 0, .tv_nsec = wait > 0 ? wait * 1000 : 0};
    int count = epoll_pwait2(load->epoll, events, EVENTS, &pause, NULL);
    load->now_us = clock_mono_us(&clock_system);
    for (int i = 0; i < count; i++)
        client_on_event(events[i].data.ptr, events[i].events);
}

/* All that was sent is answered, and what is followed has its receipt. */
static bool settled(struct load *load)
{
    if (load->idle_count < load->options->connections)
        return false;
    load->ended_us = load->ended_us ? load->ended_us : load->now_us;
    return !load->options->follow || probes_idle(load->probes);
}

static void ask_to_go_on(struct load *load)
{
    const struct load_options *options = load->options;
    if (!options->go_on || load->now_us < load->ask_us)
        return;
    load->stopped = load->stopped || !options->go_on(options->ctx, load->report->accepted);
    load->ask_us = load->now_us + ASK_US;
}

static void run(struct load *load)
{
    load->started_us = load->now_us = clock_mono_us(&clock_system);
    int64_t give_up_us = INT64_MAX;
    while (load->now_us < give_up_us && !load->failed) {
        int64_t next = send_due(load);
        if (load->options->follow) {
            int64_t ask = probes_run(load->probes, load->now_us);
            next = ask < next ? ask : next;
        }
        if (finished(load) && give_up_us == INT64_MAX)
            give_up_us = load->now_us + GRACE_US;
        if (finished(load) && settled(load))
            break;
        wait_events(load, next);
        ask_to_go_on(load);
    }
    load->ended_us = load->ended_us ? load->ended_us : load->now_us;
}

/* --- the whole ------------------------------------------------------------------------------------------------- */

static void load_begin(struct load *load)
{
    const struct load_options *options = load->options;
    load->signals = (struct signals){.host = options->host,
                                     .path = options->path,
                                     .tenant = options->tenant,
                                     .tenants = options->tenants,
                                     .entitlements = options->entitlements,
                                     .batch = options->batch,
                                     .size = options->size,
                                     .key_id = options->key_id,
                                     .next = options->first};
    signals_init(&load->signals, options->secret);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->clients = xcalloc(options->connections, sizeof(*load->clients));
    load->idle = xcalloc(options->connections, sizeof(*load->idle));
    for (unsigned i = 0; i < options->connections; i++) {
        client_init(&load->clients[i], load->epoll, &options->ingress, on_answer, load);
        load->idle[load->idle_count++] = &load->clients[i];
    }
    load->probes = xcalloc(1, sizeof(*load->probes));
    load->probes->host = options->andon_host;
    load->probes->token = options->token;
    probes_init(load->probes, load->epoll, &options->andon, &load->signals);
}

static void load_end(struct load *load)
{
    for (unsigned i = 0; i < load->options->connections; i++)
        client_done(&load->clients[i]);
    probes_done(load->probes);
    signals_done(&load->signals);
    close(load->epoll);
    free(load->probes);
    free(load->clients);
    free(load->idle);
}

int load_measure(const struct load_options *options, struct load_report *ret, struct error *err)
{
    struct load load = {.options = options, .report = ret};
    *ret = (struct load_report){0};
    load_begin(&load);
    run(&load);
    ret->seconds = (double)(load.ended_us - load.started_us) / 1e6;
    ret->receipt = load.probes->histogram;
    ret->questions = load.probes->polls;
    ret->lost = load.probes->lost + probes_open(load.probes);
    load_end(&load);
    return load.failed ? error_set(err, load.failed, "cannot connect to %s: %s", options->host, error_text(load.failed))
                       : 0;
}

/* --- report ---------------------------------------------------------------------------------------------------- */

static void write_times(struct buf *out, const char *name, const struct histogram *histogram)
{
    json_add_key(out, name);
    buf_addf(out, "{\"count\":%llu,\"p50\":%lld,\"p99\":%lld,\"p99.9\":%lld,\"max\":%lld}",
             (unsigned long long)histogram->count, (long long)histogram_quantile(histogram, 0.5),
             (long long)histogram_quantile(histogram, 0.99), (long long)histogram_quantile(histogram, 0.999),
             (long long)histogram->max);
}

void load_write(const struct load_options *options, const struct load_report *report, struct buf *out)
{
    double seconds = report->seconds > 0 ? report->seconds : 1e-6;
    buf_addf(out, "{\"seconds\":%.3f", report->seconds);
    json_add_member_u64(out, "requests", report->requests);
    json_add_member_u64(out, "answered", report->answered);
    json_add_member_u64(out, "unanswered", report->requests - report->answered);
    json_add_member_u64(out, "signals_accepted", report->accepted);
    buf_addf(out, ",\"requests_per_s\":%.1f,\"signals_per_s\":%.1f,\"statuses\":{", (double)report->answered / seconds,
             (double)report->accepted / seconds);
    const char *comma = "";
    for (int i = 0; i < LOAD_STATUS_MAX; i++) {
        if (!report->by_status[i])
            continue;
        buf_addf(out, "%s\"%d\":%llu", comma, i, (unsigned long long)report->by_status[i]);
        comma = ",";
    }
    buf_add_char(out, '}');
    write_times(out, "latency_us", &report->latency);
    if (options->follow) {
        write_times(out, "receipt_us", &report->receipt);
        json_add_member_u64(out, "questions", report->questions);
        json_add_member_u64(out, "lost", report->lost);
    }
    buf_add_char(out, '}');
}
