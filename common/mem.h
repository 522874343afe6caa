/* Memory that cannot fail (it aborts: the supervisor restarts, the queue redelivers), cleanup locals, and the arena of
 * a batch. Everything that grows from outside input has a cap elsewhere. */
#ifndef TAI_COMMON_MEM_H
#define TAI_COMMON_MEM_H

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t len); /* always NUL-terminated */

void mem_free_pointer(void *pointer_to_pointer);
#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(mem_free_pointer)

/* Grows *array (of capacity *cap items of size bytes) until it holds need items. */
void mem_grow(void *array, size_t *cap, size_t need, size_t size);

/* Allocations that share one lifetime; freed or reset together. Not thread-safe. */
struct arena {
    struct arena_block *head;
    size_t used; /* bytes handed out since the last reset */
};
void *arena_alloc(struct arena *arena, size_t size);                  /* 16-byte aligned, not zeroed */
void *arena_copy(struct arena *arena, const void *data, size_t size); /* adds a NUL behind the copy */
void arena_reset(struct arena *arena);                                /* keeps one block */
void arena_done(struct arena *arena);

#endif
