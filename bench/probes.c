/* A few connections of its own share the questions, the oldest signal first. */
#include "bench/probes.h"
#include "common/clock.h"

#include <string.h>

static void answered(struct client *client, int status, struct span body)
{
    struct probes *probes = client->ctx;
    size_t i = (size_t)(client - probes->clients);
    int64_t now_us = clock_mono_us(&clock_system);
    probes->polls++;
    if (status == 200 && memmem(body.ptr, body.len, "\"receipts\":[\"", 13)) {
        histogram_add(&probes->histogram, now_us - probes->asking[i].due_us);
        probes->again_us[i] = 0;
    } else if (status == 200 || status == 404) {
        probes->again_us[i] = now_us + PROBE_PAUSE_US;
    } else {
        probes->lost++;
        probes->again_us[i] = 0;
    }
}

void probes_init(struct probes *probes, int epoll, const struct address *address, const struct signals *signals)
{
    probes->signals = signals;
    probes->address = *address;
    for (int i = 0; i < PROBE_CLIENTS; i++)
        client_init(&probes->clients[i], epoll, &probes->address, answered, probes);
}

void probes_done(struct probes *probes)
{
    for (int i = 0; i < PROBE_CLIENTS; i++)
        client_done(&probes->clients[i]);
}

void probes_add(struct probes *probes, uint64_t number, int64_t due_us)
{
    if (probes->count == PROBES_MAX) {
        probes->lost++;
        return;
    }
    probes->waiting[(probes->first + probes->count++) % PROBES_MAX] = (struct probe){number, due_us};
}

static void ask(struct probes *probes, size_t i)
{
    signals_query(probes->signals, probes->asking[i].number, probes->host, probes->token, &probes->clients[i].out);
    if (client_send(&probes->clients[i]) < 0) {
        probes->lost++;
        probes->again_us[i] = 0;
    }
}

int64_t probes_run(struct probes *probes, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < PROBE_CLIENTS; i++) {
        if (probes->clients[i].busy)
            continue;
        if (!probes->again_us[i] && probes->count) {
            probes->asking[i] = probes->waiting[probes->first];
            probes->first = (probes->first + 1) % PROBES_MAX;
            probes->count--;
            probes->again_us[i] = now_us;
        }
        if (!probes->again_us[i])
            continue;
        if (probes->again_us[i] <= now_us)
            ask(probes, i);
        else if (probes->again_us[i] < next_us)
            next_us = probes->again_us[i];
    }
    return next_us;
}

uint64_t probes_open(const struct probes *probes)
{
    uint64_t open = probes->count;
    for (size_t i = 0; i < PROBE_CLIENTS; i++)
        open += probes->clients[i].busy || probes->again_us[i];
    return open;
}

bool probes_idle(const struct probes *probes)
{
    return probes_open(probes) == 0;
}
