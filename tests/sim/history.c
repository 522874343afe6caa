/* Append-only; everything lives until the run is over. */
#include "sim/history.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

void history_init(struct history *history)
{
    *history = (struct history){.arena = xcalloc(1, sizeof(struct arena))};
}

void history_done(struct history *history)
{
    HASH_CLEAR(hh, history->all);
    HASH_CLEAR(by_sha, history->by_sha);
    arena_done(history->arena);
    free(history->arena);
    free(history->list);
}

size_t history_key(struct span tenant_id, struct span entitlement_id, struct span id, uint32_t redrive,
                   const uint8_t sha256[SHA256_SIZE], char ret[HISTORY_KEY_MAX])
{
    int len = snprintf(ret, HISTORY_KEY_MAX, "%.*s\n%.*s\n%.*s\n%u\n", (int)tenant_id.len, tenant_id.ptr,
                       (int)entitlement_id.len, entitlement_id.ptr, (int)id.len, id.ptr, redrive);
    if (len < 0 || len > HISTORY_KEY_MAX - SHA256_SIZE)
        abort(); /* ids are bounded by the frame's limits */
    memcpy(ret + len, sha256, SHA256_SIZE);
    return (size_t)len + SHA256_SIZE;
}

static struct span keep(struct history *history, struct span text)
{
    return (struct span){arena_copy(history->arena, text.ptr, text.len), text.len};
}

struct sent *history_add(struct history *history, const struct signal *signal, bool event, uint32_t partition)
{
    char key[HISTORY_KEY_MAX];
    size_t len =
        history_key(signal->tenant_id, signal->entitlement_id, signal->id, signal->redrive, signal->sha256, key);
    struct sent *sent = arena_alloc(history->arena, sizeof(*sent) + len);
    *sent = (struct sent){
        .signal = *signal, .event = event, .partition = partition, .first_invoked = UINT64_MAX, .first_ok = UINT64_MAX};
    size_t data_at = signal->data.ptr >= signal->bytes.ptr && signal->data.ptr < signal->bytes.ptr + signal->bytes.len
                         ? (size_t)(signal->data.ptr - signal->bytes.ptr)
                         : SIZE_MAX;
    sent->signal.tenant_id = keep(history, signal->tenant_id);
    sent->signal.entitlement_id = keep(history, signal->entitlement_id);
    sent->signal.id = keep(history, signal->id);
    sent->signal.bytes = keep(history, signal->bytes);
    if (data_at != SIZE_MAX)
        sent->signal.data.ptr = sent->signal.bytes.ptr + data_at;
    memcpy(sent->key, key, len);
    HASH_ADD_KEYPTR(hh, history->all, sent->key, len, sent);
    HASH_ADD_KEYPTR(by_sha, history->by_sha, sent->signal.sha256, SHA256_SIZE, sent);
    mem_grow(&history->list, &history->cap, history->count + 1, sizeof(*history->list));
    history->list[history->count++] = sent;
    return sent;
}

struct sent *history_find(struct history *history, struct span tenant_id, struct span entitlement_id, struct span id,
                          uint32_t redrive, const uint8_t sha256[SHA256_SIZE])
{
    char key[HISTORY_KEY_MAX];
    struct sent *sent;
    size_t len = history_key(tenant_id, entitlement_id, id, redrive, sha256, key);
    HASH_FIND(hh, history->all, key, len, sent);
    return sent;
}

struct sent *history_find_sha(struct history *history, const uint8_t sha256[SHA256_SIZE])
{
    struct sent *sent;
    HASH_FIND(by_sha, history->by_sha, sha256, SHA256_SIZE, sent);
    return sent;
}

struct post *history_invoke(struct history *history, struct sent *const *sent, unsigned count, uint64_t step)
{
    struct post *post = arena_alloc(history->arena, sizeof(*post) + count * sizeof(*sent));
    *post = (struct post){.next = history->posts, .invoked = step, .count = count};
    history->posts = post;
    for (unsigned i = 0; i < count; i++) {
        post->sent[i] = sent[i];
        sent[i]->pending++;
        if (step < sent[i]->first_invoked)
            sent[i]->first_invoked = step;
    }
    return post;
}

void history_complete(struct post *post, enum history_outcome outcome, uint64_t step)
{
    post->answered = true;
    for (unsigned i = 0; i < post->count; i++) {
        struct sent *sent = post->sent[i];
        sent->pending--;
        sent->ok += outcome == HISTORY_OK;
        sent->fail += outcome == HISTORY_FAIL;
        sent->info += outcome == HISTORY_INFO;
        if (outcome == HISTORY_OK && step < sent->first_ok)
            sent->first_ok = step;
    }
}
