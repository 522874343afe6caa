/* The configuration: one validated, immutable struct. A layer receives only its own section; what a layer must know of
 * another section (partitions, shards) is copied into its own when loading. Everything is owned by struct config, may
 * be read from any thread, and is freed by config_free. Durations are milliseconds, decimals and ratios micro-units
 * (1.5 is 1500000), sizes bytes. Precedence: default < file < environment (TAI_<SECTION>_<NAME>, PORT) < command line.
 */
#ifndef TAI_CONFIG_CONFIG_H
#define TAI_CONFIG_CONFIG_H

#include "common/buf.h"
#include "common/log.h"

enum config_kanban { CONFIG_KANBAN_SQLITE, CONFIG_KANBAN_MEMORY };
enum config_store { CONFIG_STORE_SQLITE };
enum config_period { CONFIG_PERIOD_NONE, CONFIG_PERIOD_HOUR, CONFIG_PERIOD_DAY, CONFIG_PERIOD_MONTH };
enum config_scheme { CONFIG_SCHEME_X_SIGNATURE };
enum config_role { CONFIG_ROLE_PUBLISHER, CONFIG_ROLE_MARKETPLACE };
enum config_token_role { CONFIG_TOKEN_VIEWER, CONFIG_TOKEN_OPERATOR, CONFIG_TOKEN_AUDITOR, CONFIG_TOKEN_PUBLISHER };
enum config_policy_type { CONFIG_POLICY_COST_GOVERNANCE };
enum config_exceeded { CONFIG_EXCEEDED_DENY, CONFIG_EXCEEDED_ACTION };
enum config_action_type { CONFIG_ACTION_NONE };

enum { CONFIG_SECRET_MIN = 16, CONFIG_FILE_MAX = 1 << 20, CONFIG_SHA256_SIZE = 32, CONFIG_SHA256_HEX = 64 };
/* Of a new data set of `tai run` that says nothing: its one transaction a turn holds the more, the fewer there are. */
enum { CONFIG_PARTITIONS_EMBEDDED = 4 };

struct config_address {
    const char *text; /* as written: "127.0.0.1:8080", "[::1]:8080" */
    const char *host; /* without brackets */
    uint16_t port;    /* 0: the kernel picks one */
    bool loopback;    /* 127.0.0.0/8, ::1 or localhost */
};

struct run_config {
    const char *data; /* directory of everything the embedded form keeps */
};

struct key_config {
    const char *id;
    enum config_scheme scheme;
    enum config_role role;
    const char *tenant; /* "*": any */
    const char *secret; /* raw bytes, at least CONFIG_SECRET_MIN of them */
    size_t secret_len;
    const char *previous; /* the secret before this one, taken as well; NULL: none */
    size_t previous_len;
};

struct ingress_config {
    struct config_address listen;
    int64_t max_connections;
    int64_t idle_timeout_ms;
    int64_t request_deadline_ms;
    size_t max_header;
    size_t max_body;
    size_t max_signal;
    int64_t max_batch;    /* signals in one POST */
    int64_t rate;         /* signals/s of this process, 0 = unlimited */
    int64_t rate_burst;   /* never 0 while rate is set */
    int64_t tenant_rate;  /* signals/s of one tenant, 0 = unlimited */
    int64_t tenant_burst; /* never 0 while tenant_rate is set */
    int64_t tenant_depth; /* signals of one tenant in the queue while others send */
    const char *source;   /* `source` of a signal that names none and was sent without a key */
    const struct key_config *keys;
    size_t keys_count;
};

struct kanban_config {
    enum config_kanban backend;
    int64_t partitions_asked; /* -1: those of the data set, CONFIG_PARTITIONS_EMBEDDED for a new one */
    int64_t partitions;       /* in use */
    int64_t max_depth;        /* signals */
    int64_t prefetch;         /* frames */
};

struct store_config {
    enum config_store backend;
    const char *path;             /* store.path, by default <run.data>/tai.db */
    int64_t signals_retention_ms; /* signals.retention */
    int64_t partitions;           /* kanban.partitions */
    int64_t shards;               /* ledger.shards */
};

/* A policy of the ordered list `policies:`. */
struct policy_config {
    enum config_policy_type type;
    const char *name;
    int64_t budget_micro;
    int64_t warn_ratio_micro; /* 0 … 1000000 */
    enum config_period window;
    enum config_exceeded on_exceeded;
    const struct action_config *action; /* set exactly when on_exceeded is `action` */
};

struct action_config {
    const char *name;
    enum config_action_type type;
    int64_t timeout_ms;
    int64_t retries;
    int64_t concurrency;
};

/* What a governor starts with and is bound by (governor.*). */
struct governor_config {
    int64_t quota_limit; /* -1 = no limit */
    enum config_period quota_period;
    int64_t max_waiting;
    int64_t max_wait_ms;
    int64_t boot_timeout_ms;
    int64_t breaker_reset_ms;
    int64_t max_failures;
    bool auto_activate; /* entitlements.auto_activate */
};

struct jidoka_config {
    struct governor_config governor;
    int64_t max_waiting;              /* jidoka.max_waiting: per partition, at most half of it for one tenant */
    int64_t governors_max_per_tenant; /* governors.max_per_tenant */
    int64_t governors_max;            /* governors.max */
    int64_t deadletters_max;          /* deadletters.max; 0: any number */
    int64_t signals_retention_ms;     /* signals.retention */
    int64_t partitions;               /* kanban.partitions */
    int64_t prefetch;                 /* kanban.prefetch: frames */
    int64_t shards;                   /* ledger.shards */
    int64_t max_deferrals;            /* retry.max_deferrals */
    int64_t max_lag;           /* ledger.max_lag: outcomes of a partition without a receipt; then it stops consuming */
    const char *config_sha256; /* enters receipts */
    const struct policy_config *policies; /* in order */
    size_t policies_count;
    const struct action_config *actions;
    size_t actions_count;
};

struct ledger_config {
    int64_t shards;
    int64_t max_lag;
    const char *origin;            /* checkpoint origin and key name */
    const char *key_file;          /* ledger.key_file, by default <run.data>/ledger.key */
    const char *previous_key_file; /* ledger.previous_key_file, or NULL */
};

/* A bearer token of andon, known by its hash alone. */
struct token_config {
    const char *name; /* who uses it; enters receipts as the operator */
    enum config_token_role role;
    const char *tenant; /* "*": all */
    uint8_t sha256[CONFIG_SHA256_SIZE];
    int64_t expires_ms; /* wall; INT64_MAX: never */
};

struct andon_config {
    struct config_address listen;
    int64_t max_connections;
    const char *tokens_file; /* NULL: without tokens, everybody on this machine may do everything */
    const struct token_config *tokens;
    size_t tokens_count;
    int64_t partitions; /* kanban.partitions */
    struct ledger_config ledger;
};

struct log_config {
    enum log_level level;
};

struct shutdown_config {
    int64_t timeout_ms;
};

struct config {
    struct run_config run;
    struct ingress_config ingress;
    struct kanban_config kanban;
    struct store_config store;
    struct jidoka_config jidoka;
    struct andon_config andon;
    struct log_config log;
    struct shutdown_config shutdown;
    const char *const *warnings; /* one line each, for the log of whoever loaded it */
    size_t warnings_count;
    struct config_detail *detail; /* memory, origins of the values, hash; config/ only */
};

/* One option given on the command line, e.g. {"run.data", "/var/lib/tai"}. */
struct config_override {
    const char *name;
    const char *value;
};

/* Every problem of a configuration, one line each: "tai.yaml:12: ingress.max_hedaer: unknown key, did you mean …?" */
struct config_problems {
    char **lines;
    size_t count;
    size_t cap;
};
void config_problems_done(struct config_problems *problems);

/* Loads path (NULL: no file) under the environment (a NULL-terminated array of NAME=VALUE, or NULL for none) and the
 * command line's options. On failure -errno (-EINVAL for bad contents, the errno of open or read of the file) and
 * the first problem in err. */
must_check int config_load(const char *path, const struct config_override *overrides, size_t overrides_count,
                           char *const *env, struct config **ret, struct error *err);

/* The same, collecting all problems; problems must be zeroed or used before. 0 exactly when there are none; ret may be
 * NULL. */
must_check int config_check(const char *path, const struct config_override *overrides, size_t overrides_count,
                            char *const *env, struct config **ret, struct config_problems *problems);

/* The same over text in memory, called name in problems. */
must_check int config_parse(struct span text, const char *name, const struct config_override *overrides,
                            size_t overrides_count, char *const *env, struct config **ret,
                            struct config_problems *problems);

/* NULL-safe; secrets are overwritten. */
void config_free(struct config *config);

/* Whether text is a value of an item's option, such as ("tokens", "role"). -EINVAL with what to write. */
must_check int config_check_item(const char *section, const char *key, struct span text, struct error *err);

/* What the data set has, where the configuration leaves it open. */
void config_use_partitions(struct config *config, int64_t partitions);

/* Appends the names of the options and lists whose values differ, comma-separated: of those that are taken over on
 * SIGHUP, or of the others. */
void config_diff(const struct config *before, const struct config *after, bool reloadable, struct buf *out);

enum config_show { CONFIG_SHOW_TEXT, CONFIG_SHOW_JSON };
/* The effective values, secrets as "***": as YAML with the origin of each behind it, or as canonical JSON (RFC 8785),
 * which is exactly the text config_sha256 covers. */
void config_write_show(const struct config *config, enum config_show format, struct buf *out);

/* Lower-case hex SHA-256 of the canonical JSON of config_write_show: no secret enters it. */
const char *config_sha256(const struct config *config);

/* The option table as Markdown: docs/configuration.md. */
void config_reference(struct buf *out);

#endif
