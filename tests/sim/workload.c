/* The clients: posts of one to six signals for one partition, some sent again, some with another body, some of them
 * entitlement events; answered when the queue answers. */
#include "sim/sim.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { POST_SIGNALS_MAX = 6, POSTS_OPEN_MAX = 6 };

static const char *const tenant_names[TENANTS_MAX] = {"acme", "bolt", "crux"};

static const char *const event_types[] = {"tai.entitlement.activated",      "tai.entitlement.activated",
                                          "tai.entitlement.suspended",      "tai.entitlement.cancelled",
                                          "tai.entitlement.refund_started", "tai.entitlement.refund_completed"};
enum { EVENT_TYPES = sizeof(event_types) / sizeof(event_types[0]) };

static struct kanban *publisher_of(struct world *world)
{
    for (unsigned i = 0; i < world->process_count; i++)
        if (world->processes[i].up && !process_stalled(&world->processes[i]) && world->processes[i].publisher)
            return world->processes[i].publisher;
    return NULL;
}

bool workload_over(const struct world *world)
{
    return world->history.count >= world->signals_wanted;
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

static void add_data(struct world *world, bool event, struct buf *out)
{
    struct random *random = &world->random;
    static const char *const periods[] = {"none", "hour", "day", "month"};
    if (event && random_chance(random, 500))
        buf_addf(out, "{\"quota_limit\":%u,\"quota_period\":\"%s\"}", random_below(random, 12),
                 periods[random_below(random, 4)]);
    else if (event || random_chance(random, 200))
        buf_add_str(out, "null");
    else
        buf_addf(out, "{\"cost\":\"%u.%u\"}", random_below(random, 4), random_below(random, 10));
}

/* Every body is unlike every other: its number is in it, and the tenant as a canary. */
void workload_body(struct world *world, struct signal *signal, bool event, const char *tenant)
{
    struct buf *out = &world->scratch;
    buf_clear(out);
    buf_addf(out, "{\"canary\":\"%s\",\"n\":%u,\"data\":", tenant, ++world->numbered);
    size_t begin = out->len;
    add_data(world, event, out);
    size_t len = out->len - begin;
    buf_add_char(out, '}');
    signal->bytes = buf_span(out);
    signal->data = (struct span){out->data + begin, len};
    hasher_sha256(world->hasher, signal->bytes, signal->sha256);
}

static int64_t now_ms(const struct world *world)
{
    return world->time.wall_us / 1000;
}

/* A new signal for the partition, or NULL if no governor of ours lies in it. */
static struct sent *new_signal(struct world *world, const char *tenant, const char *entitlement, const char *id)
{
    struct random *random = &world->random;
    bool event = random_chance(random, world->event);
    struct signal signal = {.tenant_id = span_of(tenant),
                            .entitlement_id = span_of(entitlement),
                            .id = span_of(id),
                            .type = event ? span_of(event_types[random_below(random, EVENT_TYPES)]) : SPAN("usage"),
                            .source = SPAN("sim"),
                            .time_ms = now_ms(world) - random_below(random, 2000),
                            .accepted_at_ms = now_ms(world),
                            .severity = (enum severity)random_below(random, 3),
                            .may_event = !random_chance(random, 100)};
    workload_body(world, &signal, event, tenant);
    uint32_t partition = hash_bucket(signal.tenant_id, signal.entitlement_id, (uint32_t)world->config.partitions);
    struct sent *sent = history_add(&world->history, &signal, event, partition);
    if (world->has_killer && !world->killer && random_chance(random, 50))
        world->killer = sent;
    return sent;
}

static struct sent *conflict_with(struct world *world, const struct sent *sent)
{
    char tenant[65], entitlement[129], id[129];
    snprintf(tenant, sizeof(tenant), "%.*s", (int)sent->signal.tenant_id.len, sent->signal.tenant_id.ptr);
    snprintf(entitlement, sizeof(entitlement), "%.*s", (int)sent->signal.entitlement_id.len,
             sent->signal.entitlement_id.ptr);
    snprintf(id, sizeof(id), "%.*s", (int)sent->signal.id.len, sent->signal.id.ptr);
    return new_signal(world, tenant, entitlement, id);
}

static struct sent *fresh_signal(struct world *world)
{
    const char *tenant = tenant_names[random_below(&world->random, world->tenants)];
    char entitlement[32], id[32];
    snprintf(entitlement, sizeof(entitlement), "%s.e%u", tenant, random_below(&world->random, world->entitlements));
    snprintf(id, sizeof(id), "%s.s%u", tenant, world->numbered);
    return new_signal(world, tenant, entitlement, id);
}

static struct sent *some_signal(struct world *world)
{
    struct history *history = &world->history;
    unsigned chance = random_below(&world->random, 1000);
    if (history->count == 0 || chance >= world->repost + world->conflict)
        return fresh_signal(world);
    struct sent *old = history->list[random_below(&world->random, (unsigned)history->count)];
    if (old->redriven) /* clients know nothing of it */
        return fresh_signal(world);
    return chance < world->repost ? old : conflict_with(world, old);
}

void workload_governor(struct world *world, char *ret_tenant, size_t tenant_size, char *ret_entitlement,
                       size_t entitlement_size)
{
    const char *tenant = tenant_names[random_below(&world->random, world->tenants)];
    bool unknown = random_chance(&world->random, 50);
    snprintf(ret_tenant, tenant_size, "%s", tenant);
    snprintf(ret_entitlement, entitlement_size, "%s.%c%u", tenant, unknown ? 'x' : 'e',
             random_below(&world->random, world->entitlements));
}

/* --- posts -------------------------------------------------------------------------------------------------------- */

void workload_published(void *ctx, void *token, int status)
{
    struct world *world = ctx;
    struct post *post = token;
    world_active(world);
    world_trace(world, "a post of %u signals is answered %d", post->count, status);
    history_complete(post, status == 0 ? HISTORY_OK : HISTORY_INFO, world->step);
    world->posts_open--;
}

static void send_post(struct world *world, struct kanban *publisher, struct sent **sent, unsigned count)
{
    struct signal signals[POST_SIGNALS_MAX];
    struct post *post = history_invoke(&world->history, sent, count, world->step);
    for (unsigned i = 0; i < count; i++) {
        signals[i] = sent[i]->signal;
        signals[i].accepted_at_ms = now_ms(world);
        world_trace(world, "posts %.*s %.*s %.*s", (int)signals[i].entitlement_id.len, signals[i].entitlement_id.ptr,
                    (int)signals[i].id.len, signals[i].id.ptr, (int)signals[i].type.len, signals[i].type.ptr);
    }
    int status = kanban_publish(publisher, sent[0]->partition, signals, count, post);
    if (status) {
        world_trace(world, "the post is refused %d", status);
        history_complete(post, HISTORY_FAIL, world->step);
        return;
    }
    world->posts_open++;
}

/* One partition a post, no signal twice; what falls elsewhere has not been sent yet and may be another time. */
static void make_post(struct world *world, struct kanban *publisher)
{
    struct sent *sent[POST_SIGNALS_MAX];
    unsigned wanted = 1 + random_below(&world->random, POST_SIGNALS_MAX), count = 0;
    for (unsigned tries = 0; count < wanted && tries < 2 * POST_SIGNALS_MAX; tries++) {
        struct sent *candidate = some_signal(world);
        bool fits = count == 0 || candidate->partition == sent[0]->partition;
        for (unsigned i = 0; i < count; i++)
            fits = fits && sent[i] != candidate;
        if (fits)
            sent[count++] = candidate;
    }
    send_post(world, publisher, sent, count);
}

void workload_step(struct world *world)
{
    struct kanban *publisher = publisher_of(world);
    if (!publisher || workload_over(world) || world->posts_open >= POSTS_OPEN_MAX ||
        world->time.mono_us < world->next_post_us)
        return;
    world->next_post_us = world->time.mono_us + random_between(&world->random, 0, 60000);
    make_post(world, publisher);
    world_active(world);
}
