/* POSTs batches of signals to ingress until each has an answer: accepted, duplicate or refused. What the server puts
 * off (429, 503) is sent again when it says so, and after a broken connection too: every signal has an id. */
#ifndef TAI_APPS_CLI_SIGNAL_POST_H
#define TAI_APPS_CLI_SIGNAL_POST_H

#include "apps/cli/client.h"

enum { SIGNAL_POST_MAX = 1000, SIGNAL_POST_BYTES = 1 << 20 };

struct outgoing {
    uint64_t line;
    struct span bytes;
    size_t added; /* bytes put in behind the first one, which the input does not have */
    size_t at;    /* where it begins in the body; private */
};

/* What one signal was answered. Spans until the callback returns. */
struct signal_result {
    uint64_t line;
    int status; /* 202, or of the problem */
    bool duplicate;
    struct span signal_id; /* of an accepted one */
    struct span
        detail; /* of a refused one; a byte offset it names is one within the signal as it stands in the input */
    struct span problem; /* as JSON: what the server sent */
};

struct signal_post_options {
    const struct cli *cli; /* for notes */
    struct client *client;
    struct span secret;   /* signs the body, or empty */
    const char *key_id;   /* or NULL */
    int64_t retry_for_ms; /* without any progress */
    void (*result)(void *ctx, const struct signal_result *result);
    /* Called before a pause of that length, also before a message: so that the progress bar gives way. */
    void (*pause)(void *ctx, int64_t ms);
    void *ctx;
};

struct signal_post;
struct signal_post *signal_post_new(const struct signal_post_options *options);
void signal_post_free(struct signal_post *post);

/* 0: every item has its result. Otherwise an exit code: the server is unreachable, or answers so that sending more is
 * useless (said on standard error, with the first line that has no answer). count ≤ SIGNAL_POST_MAX, together with
 * separators at most SIGNAL_POST_BYTES unless count is 1. items is reordered. */
must_check int signal_post_send(struct signal_post *post, struct outgoing *items, size_t count);

#endif
