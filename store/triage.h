/* Dead letters and operator commands.
 *
 * Triage holds what ended `deadlettered` or `failed`, with its bytes, until it is requeued or discarded, whatever the
 * retention. jidoka's commit opens an entry together with the ending; the command that resolves it closes it in the
 * same transaction as its receipt. An entry's id is the receipt_id of the receipt that ended the signal.
 *
 * Commands are rows written by andon's API and taken by the partition's owner, ahead of waiting signals, oldest first;
 * the commit that carries a command out also writes its status. */
#ifndef TAI_STORE_TRIAGE_H
#define TAI_STORE_TRIAGE_H

#include "store/store.h"

struct deadletter { /* an open one */
    char id[UUID_TEXT + 1];
    struct signal_row row; /* changed_at: when it ended; envelope and bytes only where said */
    uint32_t partition;
    enum deadletter_class class;
    enum governor_state state; /* as in deadletter_change */
    uint64_t order;            /* in which they came, from 1; the cursor of lists */
};

struct store_deadletter { /* one, with envelope and bytes */
    struct store_request req;
    char id[UUID_TEXT + 1]; /* in; no UUID: not found */
    bool found;
    struct deadletter deadletter;
};
void store_deadletter(struct store *store, struct store_deadletter *request);

struct store_deadletters { /* oldest first unless descending, without bytes */
    struct store_request req;
    bool descending;
    struct span tenant_id, entitlement_id, reason; /* filters, empty: any */
    int class;                                     /* -1: any */
    int64_t since_ms, before_ms;                   /* since <= ended < before; 0: any */
    uint64_t after;                                /* order, exclusive; 0: from the oldest, or the newest */
    uint32_t limit;
    struct deadletter *deadletters; /* out */
    size_t deadletter_count;
    bool more;
};
void store_deadletters(struct store *store, struct store_deadletters *request);

enum command_kind {
    COMMAND_HALT,
    COMMAND_RESUME,
    COMMAND_ACTIVATE,
    COMMAND_RESET_QUOTA,
    COMMAND_REQUEUE,
    COMMAND_DISCARD,
    COMMAND_KIND_COUNT
};
extern const char *const command_kind_names[COMMAND_KIND_COUNT + 1]; /* ended by NULL */

enum command_status { COMMAND_PENDING, COMMAND_APPLIED, COMMAND_REJECTED, COMMAND_STATUS_COUNT };
extern const char *const command_status_names[COMMAND_STATUS_COUNT + 1]; /* ended by NULL */

enum { COMMAND_ID_MAX = 64, COMMAND_OPERATOR_MAX = 64, COMMAND_REASON_MAX = 500, COMMAND_ARGS_MAX = 4096 };

struct command {
    struct span id; /* the client's or ours; a repeat is harmless */
    enum command_kind kind;
    uint32_t partition;
    struct span tenant_id, entitlement_id;
    char deadletter_id[UUID_TEXT + 1]; /* requeue, discard; else empty */
    struct span args; /* canonical JSON object: reason; activate: quota_limit, quota_period, sku_id; edited: sha256 */
    struct span envelope, bytes; /* requeue of an edited signal: what to run instead; else empty */
    struct span operator;        /* name of who gave it; enters the receipt */
    int64_t created_at_ms;
    enum command_status status;
    struct span reason; /* rejected: why */
    uint64_t order;
};

/* Adds a command, pending. One with that id and the same contents (kind, target, args, operator) is left as it is;
 * with other contents: -EEXIST. */
struct store_command_add {
    struct store_request req;
    struct command command;
    uint32_t max_pending; /* with so many pending, in all partitions: -EDQUOT */
};
void store_command_add(struct store *store, struct store_command_add *request);

struct store_command {
    struct store_request req;
    struct span id;
    bool found;
    struct command command; /* without envelope and bytes */
};
void store_command(struct store *store, struct store_command *request);

struct store_command_list { /* all that are kept, oldest first unless descending, without envelope and bytes */
    struct store_request req;
    bool descending;
    struct span tenant_id, entitlement_id; /* filters, empty: any */
    int kind, status;                      /* -1: any */
    int64_t since_ms, before_ms;           /* since <= created < before; 0: any */
    uint64_t after;                        /* order, exclusive; 0: from the oldest, or the newest */
    uint32_t limit;
    struct command *commands; /* out */
    size_t command_count;
    bool more;
};
void store_command_list(struct store *store, struct store_command_list *request);

/* The pending commands of a partition, oldest first, and the open dead letters they name, with envelope and bytes. */
struct pending_command {
    struct command command;
    struct deadletter *deadletter; /* NULL: it names none, or none that is open */
};
struct store_commands {
    struct store_request req;
    uint32_t partition, limit;
    struct pending_command *commands;
    size_t command_count;
};
void store_commands(struct store *store, struct store_commands *request);

/* In store_commit: the end of a pending command (-ENOENT if it is none). resolves: the dead letter it closes (-ENOENT
 * if it is not open), whose row keeps its status and loses its bytes. */
struct command_change {
    struct span id;
    enum command_status status;
    struct span reason;
    char resolves[UUID_TEXT + 1]; /* empty: none */
};

/* Wakes when commands may have arrived (after their COMMIT). Polling stays the caller's fallback. */
void store_on_commands(struct store *store, void (*wake)(void *ctx), void *ctx);

#endif
