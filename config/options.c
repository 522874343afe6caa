/* The one table of options. The order of the rows is that of the reference and of `config show`. Constant data; a row
 * whose default does not satisfy its own rule is a bug the tests find. */
#include "config/options.h"

#define KIB(n)             ((int64_t)(n)*1024)
#define MIB(n)             (KIB(n) * 1024)
#define SECONDS(n)         ((int64_t)(n)*1000)
#define MINUTES(n)         (SECONDS(n) * 60)
#define HOURS(n)           (MINUTES(n) * 60)
#define DAYS(n)            (HOURS(n) * 24)
#define AT(member)         .offset = offsetof(struct config, member)
#define ITEM(type, member) .offset = offsetof(struct type, member)
#define RANGE(low, high)   .min = (low), .max = (high)

static const char *const kanban_words[] = {"sqlite", "memory", NULL};
static const char *const store_words[] = {"sqlite", NULL};
static const char *const period_words[] = {"none", "hour", "day", "month", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const scheme_words[] = {"x-signature", NULL};
static const char *const role_words[] = {"publisher", "marketplace", NULL};
static const char *const token_words[] = {"viewer", "operator", "auditor", "publisher", NULL};
static const char *const policy_words[] = {"cost_governance", NULL};
static const char *const exceeded_words[] = {"deny", "action", NULL};
static const char *const action_words[] = {"none", NULL};

const struct option config_options[] = {
    {"run.data", OPTION_TEXT, "./tai-data", .syntax = SYNTAX_DIRECTORY, AT(run.data),
     .help = "Directory of all that is kept on this machine; made if it is missing. One process uses it at a time."},

    {"ingress.listen", OPTION_ADDRESS, "127.0.0.1:8080", AT(ingress.listen),
     .help = "Where signals are posted. Port 0 takes a free one and prints it. Beyond loopback only with `keys`. "
             "The environment variable PORT sets the port alone."},
    {"ingress.max_connections", OPTION_INT, "12000", RANGE(1, 1000000), AT(ingress.max_connections),
     .help = "Open connections; when full, the oldest idle one is closed."},
    {"ingress.idle_timeout", OPTION_DURATION, "60s", RANGE(SECONDS(1), HOURS(1)), AT(ingress.idle_timeout_ms),
     .help = "A connection without a request is closed after this time."},
    {"ingress.request_deadline", OPTION_DURATION, "10s", RANGE(100, MINUTES(10)), AT(ingress.request_deadline_ms),
     .help = "Time for one request in all, from its first byte (408 beyond it)."},
    {"ingress.max_header", OPTION_BYTES, "16KiB", RANGE(KIB(1), MIB(1)), AT(ingress.max_header),
     .help = "Request line and header fields together (431 beyond it)."},
    {"ingress.max_body", OPTION_BYTES, "1MiB", RANGE(KIB(1), MIB(16)), AT(ingress.max_body),
     .help = "Body of one request (413 beyond it)."},
    {"ingress.max_signal", OPTION_BYTES, "64KiB", RANGE(256, KIB(64)), AT(ingress.max_signal),
     .help = "One signal (413 beyond it); not more than ingress.max_body."},
    {"ingress.max_batch", OPTION_INT, "1000", RANGE(1, 1000), AT(ingress.max_batch),
     .help = "Signals in one request (413 beyond it)."},
    {"ingress.rate", OPTION_INT, "0", RANGE(0, 10000000), .flags = OPTION_RELOADABLE, AT(ingress.rate),
     .help = "Signals a second this process accepts (429 beyond it). 0 = no limit."},
    {"ingress.rate_burst", OPTION_INT, "0", RANGE(0, 10000000), .flags = OPTION_RELOADABLE, AT(ingress.rate_burst),
     .help = "Signals accepted at once above ingress.rate. 0 = as many as in one second."},
    {"ingress.tenant_rate", OPTION_INT, "0", RANGE(0, 10000000), .flags = OPTION_RELOADABLE, AT(ingress.tenant_rate),
     .help = "As ingress.rate, for each tenant. 0 = no limit."},
    {"ingress.tenant_burst", OPTION_INT, "0", RANGE(0, 10000000), .flags = OPTION_RELOADABLE, AT(ingress.tenant_burst),
     .help = "As ingress.rate_burst, for each tenant."},
    {"ingress.tenant_depth", OPTION_INT, "0", RANGE(0, 100000000), AT(ingress.tenant_depth),
     .help =
         "Signals of one tenant waiting in the queue while other tenants send (429 beyond it); alone it may have half "
         "of kanban.max_depth. 0 = a fiftieth of kanban.max_depth, and room for two batches."},
    {"ingress.source", OPTION_TEXT, "unsigned", .syntax = SYNTAX_SOURCE, AT(ingress.source),
     .help = "`source` of a signal that names none and came without a key; with a key it is the key's id."},

    {"kanban.backend", OPTION_ENUM, "sqlite", .words = kanban_words, AT(kanban.backend),
     .help = "The queue between ingress and jidoka. `memory` is for trials: what is queued is lost with the process."},
    {"kanban.partitions", OPTION_INT, "null", RANGE(1, 1024), .flags = OPTION_NULLABLE, AT(kanban.partitions_asked),
     .help = "Partitions of the queue. Fixed for a data set: a change is refused at start. null = those of the data "
             "set; a new one of `tai run` gets 4."},
    {"kanban.max_depth", OPTION_INT, "100000", RANGE(1, 100000000), AT(kanban.max_depth),
     .help = "Signals queued in all partitions; beyond it ingress answers 503."},
    {"kanban.prefetch", OPTION_INT, "100", RANGE(1, 10000), AT(kanban.prefetch),
     .help = "Frames a partition's owner reads before they are settled."},

    {"store.backend", OPTION_ENUM, "sqlite", .words = store_words, AT(store.backend),
     .help = "Where governors, signals and receipts are kept."},
    {"store.path", OPTION_TEXT, "<run.data>/tai.db", .syntax = SYNTAX_PATH, AT(store.path),
     .help = "The SQLite database file."},

    {"signals.retention", OPTION_DURATION, "7d", RANGE(DAYS(2), DAYS(3650)), AT(store.signals_retention_ms),
     .help = "How long the row of an ended signal is kept: the time within which a repeated id is known; only time in "
             "which the service runs counts. A signal accepted longer ago than this less one day is dead-lettered, not "
             "executed (`too_old`)."},

    {"entitlements.auto_activate", OPTION_BOOL, "true", AT(jidoka.governor.auto_activate),
     .help = "The first signal for an unknown entitlement activates it; otherwise it waits for its activation."},

    {"governor.quota_limit", OPTION_INT, "null", RANGE(0, 1000000000000), .flags = OPTION_NULLABLE,
     AT(jidoka.governor.quota_limit),
     .help = "Signals a new governor allows in a quota period. 0 allows nothing, null has no limit."},
    {"governor.quota_period", OPTION_ENUM, "none", .words = period_words, AT(jidoka.governor.quota_period),
     .help = "When a new governor's used quota returns to 0 (UTC)."},
    {"governor.max_waiting", OPTION_INT, "1000", RANGE(0, 1000000), AT(jidoka.governor.max_waiting),
     .help = "Signals waiting at one governor; further ones are dead-lettered (`overflow`)."},
    {"governor.max_wait", OPTION_DURATION, "24h", RANGE(SECONDS(1), DAYS(365)), AT(jidoka.governor.max_wait_ms),
     .help = "Longest wait of a signal for its governor's state; then it is dead-lettered (`wait_expired`)."},
    {"governor.boot_timeout", OPTION_DURATION, "30s", RANGE(100, DAYS(30)), AT(jidoka.governor.boot_timeout_ms),
     .help = "Time in `boot` without an activation, after which the governor is `degraded`."},
    {"governor.breaker_reset", OPTION_DURATION, "60s", RANGE(100, DAYS(1)), AT(jidoka.governor.breaker_reset_ms),
     .help = "Time in `halted`, when the breaker opened it, until the next signal is let through as a probe."},
    {"governor.max_failures", OPTION_INT, "5", RANGE(1, 1000), AT(jidoka.governor.max_failures),
     .help = "Failed actions in a row that halt a governor."},

    {"retry.max_deferrals", OPTION_INT, "20", RANGE(0, 1000), AT(jidoka.max_deferrals),
     .help = "How often a signal is put off because what its action calls cannot take it now; then it is dead-lettered "
             "(`deferral_limit`). The pauses grow from 1 s to 5 min."},

    {"governors.max_per_tenant", OPTION_INT, "100000", RANGE(1, 100000000), AT(jidoka.governors_max_per_tenant),
     .help = "Governors of one tenant; signals that would make one more are refused (`governor_limit`)."},
    {"governors.max", OPTION_INT, "1000000", RANGE(1, 100000000), AT(jidoka.governors_max),
     .help = "Governors in all; as governors.max_per_tenant."},

    {"jidoka.max_waiting", OPTION_INT, "100000", RANGE(2, 10000000), AT(jidoka.max_waiting),
     .help = "Signals waiting in one partition, at most half of them of one tenant; further ones are dead-lettered "
             "(`overflow`)."},

    {"deadletters.max", OPTION_INT, "100000", RANGE(1, 100000000), AT(jidoka.deadletters_max),
     .help = "Open dead letters in all; when there are so many, no more signals are taken from the queue until some "
             "are requeued or discarded."},

    {"ledger.shards", OPTION_INT, "1", RANGE(1, 256), AT(andon.ledger.shards),
     .help = "Merkle logs the tenants are spread over. Fixed for a data set: a change is refused at start."},
    {"ledger.max_lag", OPTION_INT, "1000000", RANGE(1000, 100000000), AT(andon.ledger.max_lag),
     .help = "Outcomes without a receipt at which a partition stops consuming."},
    {"ledger.origin", OPTION_TEXT, "tai.local/ledger", .syntax = SYNTAX_ORIGIN, AT(andon.ledger.origin),
     .help = "Origin line of the checkpoints and name of their key."},
    {"ledger.key_file", OPTION_TEXT, "<run.data>/ledger.key", .syntax = SYNTAX_PATH, AT(andon.ledger.key_file),
     .help = "The private Ed25519 key that signs checkpoints; made on the first start if it is missing."},
    {"ledger.previous_key_file", OPTION_TEXT, .syntax = SYNTAX_PATH, .flags = OPTION_OPTIONAL,
     AT(andon.ledger.previous_key_file),
     .help = "While keys are rotated: the old private key, which signs every checkpoint as well."},

    {"andon.listen", OPTION_ADDRESS, "127.0.0.1:8081", AT(andon.listen),
     .help = "Where receipts, governors and the checkpoint are read. Beyond loopback only with andon.tokens_file."},
    {"andon.tokens_file", OPTION_TEXT, .syntax = SYNTAX_PATH, .flags = OPTION_OPTIONAL | OPTION_RELOADABLE,
     AT(andon.tokens_file),
     .help =
         "File with the `tokens` (below) that may use andon, not writable by group or others. Without it andon asks "
         "for no token, and whoever is on this machine may do everything."},
    {"andon.max_connections", OPTION_INT, "1000", RANGE(1, 1000000), AT(andon.max_connections),
     .help = "As ingress.max_connections."},

    {"log.level", OPTION_ENUM, "info", .words = level_words, .flags = OPTION_RELOADABLE, AT(log.level),
     .help = "The least severe lines that are logged."},

    {"shutdown.timeout", OPTION_DURATION, "10s", RANGE(100, MINUTES(10)), AT(shutdown.timeout_ms),
     .help = "Time after SIGTERM to finish what was accepted."},
};
const size_t config_options_count = sizeof(config_options) / sizeof(config_options[0]);

static const struct option key_options[] = {
    {"id", OPTION_TEXT, .syntax = SYNTAX_KEY_ID, ITEM(key_item, key.id),
     .help = "Name of the key: header X-Key-Id, and `source` of signals that name none."},
    {"scheme", OPTION_ENUM, "x-signature", .words = scheme_words, ITEM(key_item, key.scheme),
     .help = "How requests are signed: `X-Signature`, the hex HMAC-SHA256 of the body."},
    {"secret", OPTION_SECRET, .flags = OPTION_OPTIONAL, ITEM(key_item, key.secret),
     .help = "Never in the file: from TAI_KEYS_<ID>_SECRET, the id in capitals and `_` for other characters."},
    {"secret_file", OPTION_FILE, .syntax = SYNTAX_PATH, .flags = OPTION_OPTIONAL, ITEM(key_item, secret_file),
     .help = "File that holds the secret, at least 16 bytes; one newline at its end is left out."},
    {"previous_secret_file", OPTION_FILE, .syntax = SYNTAX_PATH, .flags = OPTION_OPTIONAL,
     ITEM(key_item, previous_file),
     .help = "File with the secret before this one: while it is named, both are taken, so that a secret can be changed "
             "without a refused signal."},
    {"tenant", OPTION_TEXT, .syntax = SYNTAX_TENANT, ITEM(key_item, key.tenant),
     .help = "The tenant the key speaks for, or \"*\" for any."},
    {"role", OPTION_ENUM, "publisher", .words = role_words, ITEM(key_item, key.role),
     .help = "`marketplace` may also send entitlement and refund events."},
};

static const struct option token_options[] = {
    {"name", OPTION_TEXT, .syntax = SYNTAX_KEY_ID, ITEM(token_item, token.name),
     .help = "Who uses it; stands as the operator in the receipts of the commands it gives."},
    {"role", OPTION_ENUM, .words = token_words, ITEM(token_item, token.role),
     .help = "What it may do: the table in security.md."},
    {"tenant", OPTION_TEXT, .syntax = SYNTAX_TENANT, ITEM(token_item, token.tenant),
     .help = "The one tenant whose data it reaches, or \"*\" for all."},
    {"sha256", OPTION_TEXT, .syntax = SYNTAX_SHA256, ITEM(token_item, sha256),
     .help = "SHA-256 of the token in hex, as `tai key new token` prints it. The token itself is kept nowhere."},
    {"expires", OPTION_TEXT, .syntax = SYNTAX_TIME, .flags = OPTION_OPTIONAL, ITEM(token_item, expires),
     .help = "RFC 3339 time from which on it is refused."},
};

static const struct option action_options[] = {
    {"name", OPTION_TEXT, .syntax = SYNTAX_WORD, ITEM(action_config, name), .help = "What policies call it."},
    {"type", OPTION_ENUM, .words = action_words, ITEM(action_config, type),
     .help = "`none` does nothing and succeeds: the decision is receipted as an action."},
    {"timeout", OPTION_DURATION, "5s", RANGE(10, HOURS(1)), ITEM(action_config, timeout_ms),
     .help = "Time for one attempt."},
    {"retries", OPTION_INT, "3", RANGE(0, 100), ITEM(action_config, retries), .help = "Attempts after the first."},
    {"concurrency", OPTION_INT, "10", RANGE(1, 10000), ITEM(action_config, concurrency),
     .help = "Attempts at the same time."},
};

static const struct option policy_options[] = {
    {"type", OPTION_ENUM, .words = policy_words, ITEM(policy_item, policy.type),
     .help = "`cost_governance` adds up `data.cost` of a governor's signals."},
    {"name", OPTION_TEXT, .syntax = SYNTAX_WORD, .flags = OPTION_OPTIONAL, ITEM(policy_item, policy.name),
     .help = "Stands in receipts; by default the type."},
    {"budget", OPTION_DECIMAL, RANGE(0, 9000000000000000), ITEM(policy_item, policy.budget_micro),
     .help = "What a governor may spend in one window; up to six digits behind the point."},
    {"warn_ratio", OPTION_RATIO, "0.8", RANGE(0, 1000000), ITEM(policy_item, policy.warn_ratio_micro),
     .help = "Part of the budget at which an alert is raised."},
    {"window", OPTION_ENUM, "day", .words = period_words, .min = CONFIG_PERIOD_HOUR, ITEM(policy_item, policy.window),
     .help = "The time (UTC) after which the spend starts again at 0."},
    {"on_exceeded", OPTION_ENUM, "deny", .words = exceeded_words, ITEM(policy_item, policy.on_exceeded),
     .help = "What becomes of a signal that would exceed the budget."},
    {"action", OPTION_TEXT, .syntax = SYNTAX_WORD, .flags = OPTION_OPTIONAL, ITEM(policy_item, action_name),
     .help = "Name of one of `actions`; needed with `on_exceeded: action`, and only then."},
};

#define ROWS(table) .options = (table), .count = sizeof(table) / sizeof((table)[0])

const struct option_list config_lists[LIST_COUNT] = {
    [LIST_KEYS] = {"keys", ROWS(key_options), .item_size = sizeof(struct key_item), .max_items = 1000,
                   .flags = OPTION_RELOADABLE,
                   .help =
                       "Keys that may post signals. Without any, unsigned signals are accepted, and ingress listens "
                       "on loopback only."},
    [LIST_ACTIONS] = {"actions", ROWS(action_options), .item_size = sizeof(struct action_config), .max_items = 100,
                      .help = "What a policy can order."},
    [LIST_POLICIES] = {"policies", ROWS(policy_options), .item_size = sizeof(struct policy_item), .max_items = 100,
                       .help = "Asked in this order for each signal; the first that does not pass decides, and none "
                               "allows."},
    [LIST_TOKENS] = {"tokens", ROWS(token_options), .item_size = sizeof(struct token_item), .max_items = 1000,
                     .flags = OPTION_RELOADABLE,
                     .help = "They stand in a file of their own, the one of andon.tokens_file."},
};
