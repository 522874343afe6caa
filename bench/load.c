/* Load generator: N keep-alive connections to /v1/signals. With --rate the load is open: requests have scheduled times
 * and latency counts from those, so a server that stalls cannot hide it; without, each connection sends its next
 * request when the last was answered. Prints one JSON object. One thread; ends with 1 if a connection cannot be made.
 */
#include "bench/client.h"
#include "bench/probes.h"
#include "bench/signals.h"
#include "common/clock.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { EVENTS = 256, STATUS_MAX = 600, GRACE_US = 30 * 1000 * 1000 };

struct load {
    struct signals signals;
    unsigned connections;
    double rate, duration, warmup;
    uint64_t limit; /* requests; 0: as many as the duration allows */
    unsigned probe_every;
    struct sockaddr_in address, andon;
    int epoll;
    struct client *clients;
    struct client **idle; /* a ring, used in turn */
    unsigned idle_first, idle_count;
    int64_t started_us, ended_us, now_us;
    uint64_t sent, answered, accepted;
    uint64_t by_status[STATUS_MAX]; /* 0: the connection broke */
    uint64_t unanswered;
    struct histogram latency;
    struct probes *probes;
};

static void usage(FILE *to)
{
    fputs("Usage: load --port PORT [options]\n"
          "  --host ADDRESS        IPv4 address (127.0.0.1)\n"
          "  --path PATH           (/v1/signals)\n"
          "  --connections N       (64)\n"
          "  --rate R              requests a second, latency from the scheduled time; 0: as fast as answered (0)\n"
          "  --duration S          seconds (5)\n"
          "  --requests N          stop after so many\n"
          "  --warmup S            latencies of the first S seconds are not counted (0)\n"
          "  --batch B             signals in one POST (1)\n"
          "  --size BYTES          of one signal (300)\n"
          "  --tenants K           (10)\n"
          "  --entitlements E      of each tenant (10)\n"
          "  --key ID:SECRET       sign with HMAC-SHA256\n"
          "  --probe PORT:N        follow the first signal of every Nth request to its receipt on andon's port\n",
          to);
}

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
    load->answered++;
    load->by_status[status > 0 && status < STATUS_MAX ? status : 0]++;
    load->accepted += status == 202 ? load->signals.batch : status == 207 ? count_accepted(body) : 0;
    if ((double)(client->due_us - load->started_us) >= load->warmup * 1e6) {
        histogram_add(&load->latency, load->now_us - client->due_us);
        uint64_t request = client->number / load->signals.batch;
        if (load->probe_every && status == 202 && request % load->probe_every == 0)
            probes_add(load->probes, client->number, client->due_us);
    }
    load->idle[(load->idle_first + load->idle_count++) % load->connections] = client;
}

/* --- requests -------------------------------------------------------------------------------------------------- */

static int64_t due_us(const struct load *load)
{
    if (load->rate <= 0)
        return load->now_us;
    return load->started_us + (int64_t)((double)load->sent * 1e6 / load->rate);
}

static bool finished(const struct load *load)
{
    if (load->limit && load->sent >= load->limit)
        return true;
    return (double)(due_us(load) - load->started_us) >= load->duration * 1e6;
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
        load->idle_first = (load->idle_first + 1) % load->connections;
        load->idle_count--;
        client->due_us = due;
        client->number = signals_request(&load->signals, &client->out);
        load->sent++;
        client_send(client);
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

static void run(struct load *load)
{
    load->started_us = load->now_us = clock_mono_us(&clock_system);
    int64_t give_up_us = INT64_MAX;
    while (load->now_us < give_up_us) {
        int64_t next = send_due(load);
        if (load->probe_every) {
            int64_t ask = probes_run(load->probes, load->now_us);
            next = ask < next ? ask : next;
        }
        if (finished(load)) {
            if (give_up_us == INT64_MAX)
                give_up_us = load->now_us + GRACE_US;
            if (load->idle_count == load->connections) {
                load->ended_us = load->ended_us ? load->ended_us : load->now_us;
                if (!load->probe_every || probes_idle(load->probes))
                    break;
            }
        }
        wait_events(load, next);
    }
    load->ended_us = load->ended_us ? load->ended_us : load->now_us;
    load->unanswered = load->sent - load->answered;
}

/* --- report ---------------------------------------------------------------------------------------------------- */

static void print_times(const char *name, const struct histogram *histogram)
{
    printf(",\"%s\":{\"count\":%llu,\"p50\":%lld,\"p99\":%lld,\"p99.9\":%lld,\"max\":%lld}", name,
           (unsigned long long)histogram->count, (long long)histogram_quantile(histogram, 0.5),
           (long long)histogram_quantile(histogram, 0.99), (long long)histogram_quantile(histogram, 0.999),
           (long long)histogram->max);
}

static void report(const struct load *load)
{
    double seconds = (double)(load->ended_us - load->started_us) / 1e6;
    printf("{\"seconds\":%.3f,\"requests\":%llu,\"answered\":%llu,\"unanswered\":%llu,\"signals_accepted\":%llu,"
           "\"requests_per_s\":%.1f,\"signals_per_s\":%.1f,\"statuses\":{",
           seconds, (unsigned long long)load->sent, (unsigned long long)load->answered,
           (unsigned long long)load->unanswered, (unsigned long long)load->accepted, (double)load->answered / seconds,
           (double)load->accepted / seconds);
    const char *comma = "";
    for (int i = 0; i < STATUS_MAX; i++) {
        if (!load->by_status[i])
            continue;
        printf("%s\"%d\":%llu", comma, i, (unsigned long long)load->by_status[i]);
        comma = ",";
    }
    printf("}");
    print_times("latency_us", &load->latency);
    if (load->probe_every) {
        print_times("receipt_us", &load->probes->histogram);
        printf(",\"probe_polls\":%llu,\"probes_lost\":%llu", (unsigned long long)load->probes->polls,
               (unsigned long long)load->probes->lost);
    }
    puts("}");
}

/* --- options --------------------------------------------------------------------------------------------------- */

static uint16_t port_of(const char *text, char **end)
{
    long port = strtol(text, end, 10);
    if (port < 1 || port > UINT16_MAX) {
        fprintf(stderr, "load: '%s' is no port\n", text);
        exit(2);
    }
    return (uint16_t)port;
}

/* Splits ID:SECRET in place; returns the secret. */
static const char *split_key(struct load *load, char *text)
{
    char *colon = strchr(text, ':');
    if (!colon) {
        fputs("load: --key wants ID:SECRET\n", stderr);
        exit(2);
    }
    *colon = '\0';
    load->signals.key_id = text;
    return colon + 1;
}

static void parse(struct load *load, int argc, char **argv, const char **secret)
{
    static const struct option options[] = {{"host", 1, NULL, 'h'},     {"port", 1, NULL, 'p'},
                                            {"path", 1, NULL, 'P'},     {"rate", 1, NULL, 'r'},
                                            {"duration", 1, NULL, 'd'}, {"connections", 1, NULL, 'c'},
                                            {"requests", 1, NULL, 'n'}, {"warmup", 1, NULL, 'w'},
                                            {"batch", 1, NULL, 'b'},    {"size", 1, NULL, 's'},
                                            {"tenants", 1, NULL, 't'},  {"entitlements", 1, NULL, 'e'},
                                            {"key", 1, NULL, 'k'},      {"probe", 1, NULL, 'q'},
                                            {"help", 0, NULL, 'H'},     {0}};
    char *end;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            load->signals.host = optarg;
            break;
        case 'p':
            load->address.sin_port = htons(port_of(optarg, &end));
            break;
        case 'P':
            load->signals.path = optarg;
            break;
        case 'r':
            load->rate = strtod(optarg, NULL);
            break;
        case 'd':
            load->duration = strtod(optarg, NULL);
            break;
        case 'c':
            load->connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            load->limit = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            load->warmup = strtod(optarg, NULL);
            break;
        case 'b':
            load->signals.batch = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            load->signals.size = strtoul(optarg, NULL, 10);
            break;
        case 't':
            load->signals.tenants = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'e':
            load->signals.entitlements = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            *secret = split_key(load, optarg);
            break;
        case 'q':
            load->andon.sin_port = htons(port_of(optarg, &end));
            load->probe_every = *end == ':' ? (unsigned)strtoul(end + 1, NULL, 10) : 1;
            break;
        default:
            usage(c == 'H' ? stdout : stderr);
            exit(c == 'H' ? 0 : 2);
        }
    }
}

static void check(struct load *load)
{
    bool good = load->address.sin_port && load->connections && load->signals.batch && load->signals.tenants &&
                load->signals.entitlements && load->duration > 0 &&
                inet_pton(AF_INET, load->signals.host, &load->address.sin_addr) == 1;
    if (good)
        return;
    usage(stderr);
    exit(2);
}

static void open_clients(struct load *load)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->clients = xcalloc(load->connections, sizeof(*load->clients));
    load->idle = xcalloc(load->connections, sizeof(*load->idle));
    for (unsigned i = 0; i < load->connections; i++) {
        client_init(&load->clients[i], load->epoll, &load->address, on_answer, load);
        load->idle[load->idle_count++] = &load->clients[i];
    }
    load->andon.sin_addr = load->address.sin_addr;
    load->probes = xcalloc(1, sizeof(*load->probes));
    probes_init(load->probes, load->epoll, &load->andon, &load->signals);
}

int main(int argc, char **argv)
{
    struct load load = {
        .signals =
            {.host = "127.0.0.1", .path = "/v1/signals", .batch = 1, .tenants = 10, .entitlements = 10, .size = 300},
        .connections = 64,
        .duration = 5,
        .address = {.sin_family = AF_INET},
        .andon = {.sin_family = AF_INET}};
    const char *secret = NULL;
    parse(&load, argc, argv, &secret);
    check(&load);
    signals_init(&load.signals, secret);
    open_clients(&load);
    run(&load);
    report(&load);
    for (unsigned i = 0; i < load.connections; i++)
        client_done(&load.clients[i]);
    probes_done(load.probes);
    signals_done(&load.signals);
    free(load.probes);
    free(load.clients);
    free(load.idle);
    return 0;
}
