/* The memory of accepted signals is written by the ingress loop and asked by others at the same time: what was added is
 * found, nothing else ever is, while the ring turns over. */
#include "ingress/recent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { ROUNDS = 3 * RECENT_ENTRIES, ASKERS = 2 };

struct shared {
    struct recent *recent;
    _Atomic int added; /* ids below it are in, unless overwritten */
    _Atomic int wrong;
};

static bool has(struct shared *shared, const char *tenant, int number)
{
    char id[16];
    snprintf(id, sizeof(id), "%d", number);
    const struct identity identity = {span_of(tenant), SPAN(""), span_of(id)};
    return recent_has(shared->recent, &identity, 0);
}

static void *ask(void *ctx)
{
    struct shared *shared = ctx;
    int added;
    while ((added = shared->added) < ROUNDS) {
        if (has(shared, "other", added))
            shared->wrong++;
        if (added > 0 && !has(shared, "t", added - 1) && shared->added - added < RECENT_ENTRIES / 2)
            shared->wrong++;
    }
    return NULL;
}

int main(void)
{
    struct shared shared = {.recent = recent_new()};
    pthread_t threads[ASKERS];
    uint8_t sha[SHA256_SIZE] = {0};
    for (int i = 0; i < ASKERS; i++)
        if (pthread_create(&threads[i], NULL, ask, &shared))
            return 1;
    for (int i = 0; i < ROUNDS; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", i);
        const struct identity identity = {SPAN("t"), SPAN("e"), span_of(id)};
        if (recent_add(shared.recent, &identity, sha, 0))
            shared.wrong++;
        shared.added = i + 1;
    }
    for (int i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
    recent_free(shared.recent);
    if (shared.wrong)
        printf("%d wrong answers\n", shared.wrong);
    return shared.wrong != 0;
}
