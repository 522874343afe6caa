/* A thread with an event loop of its own, and calls into it from other threads. */
#ifndef TAI_COMMON_LOOP_H
#define TAI_COMMON_LOOP_H

#include "common/error.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

/* An epoll loop with changelists and without locks: for one thread. */
struct event_base *loop_base_new(void);

/* Starts the thread; name (≤ 15 bytes) shows in ps -T and in core dumps. */
must_check int loop_new(const char *name, struct loop **ret, struct error *err);
struct event_base *loop_base(struct loop *loop); /* use it on the loop's thread only */
/* Runs call on the loop's thread and returns its result. Never from the loop's own thread. */
int loop_call(struct loop *loop, int (*call)(void *ctx), void *ctx);
/* Stops the loop, joins the thread, frees the base. */
void loop_free(struct loop *loop);

/* A flag one thread raises and another waits for. */
struct latch;
struct latch *latch_new(void);
void latch_raise(void *latch);                            /* any thread; fits the layers' drain callbacks */
bool latch_wait(struct latch *latch, int64_t timeout_ms); /* false: timed out */
void latch_free(struct latch *latch);

#endif
