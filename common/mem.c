/* Allocation that aborts instead of failing, and the arena. An arena is a list of blocks, newest first; its memory
 * lives until arena_reset or arena_done. */
#include "common/mem.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_BLOCK_MIN = 4096, ARENA_BLOCK_MAX = 1 << 18, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes of data */
    size_t used;
    alignas(ARENA_ALIGN) char data[];
};

static _Noreturn void out_of_memory(void)
{
    static const char text[] = "out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *xrealloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t len)
{
    len = len ? strnlen(text, len) : 0;
    char *copy = xmalloc(len + 1);
    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void mem_free_pointer(void *pointer_to_pointer)
{
    void *p;
    memcpy(&p, pointer_to_pointer, sizeof(p)); /* any pointer type may stand there */
    free(p);
}

void mem_grow(void *array, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return;
    size_t grown = *cap < 8 ? 8 : *cap + *cap / 2;
    if (grown < need)
        grown = need;
    size_t bytes;
    if (__builtin_mul_overflow(grown, size, &bytes))
        out_of_memory();
    void *p;
    memcpy(&p, array, sizeof(p));
    p = xrealloc(p, bytes);
    memcpy(array, &p, sizeof(p));
    *cap = grown;
}

static struct arena_block *arena_add_block(struct arena *arena, size_t need)
{
    size_t size = ARENA_BLOCK_MIN;
    if (arena->head)
        size = arena->head->size < ARENA_BLOCK_MAX ? arena->head->size * 2 : ARENA_BLOCK_MAX;
    if (size < need)
        size = need;
    if (size > SIZE_MAX - sizeof(struct arena_block))
        out_of_memory();
    struct arena_block *block = xmalloc(sizeof(*block) + size);
    *block = (struct arena_block){.next = arena->head, .size = size};
    arena->head = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGN)
        out_of_memory();
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *block = arena->head;
    if (!block || block->size - block->used < rounded)
        block = arena_add_block(arena, rounded);
    void *p = block->data + block->used;
    block->used += rounded;
    arena->used += rounded;
    return p;
}

void *arena_copy(struct arena *arena, const void *data, size_t size)
{
    if (size == SIZE_MAX)
        out_of_memory();
    char *copy = arena_alloc(arena, size + 1);
    if (size)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *keep = arena->head;
    for (struct arena_block *b = arena->head; b; b = b->next)
        if (b->size > keep->size)
            keep = b;
    for (struct arena_block *b = arena->head, *next; b; b = next) {
        next = b->next;
        if (b != keep)
            free(b);
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
    arena->head = keep;
    arena->used = 0;
}

void arena_done(struct arena *arena)
{
    for (struct arena_block *b = arena->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *arena = (struct arena){0};
}
