/* What a configuration becomes: defaults, values of every type, precedence, derived values, show and hash. */
#include "config/config.h"

#include "common/hash.h"
#include "common/json/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENV(...) ((char *const *)(const char *const[]){__VA_ARGS__, NULL})

static struct config *load(const char *text, char *const *env, const struct config_override *overrides, size_t count)
{
    struct config_problems problems = {0};
    struct config *config = NULL;
    int code = config_parse(span_of(text), "tai.yaml", overrides, count, env, &config, &problems);
    for (size_t i = 0; i < problems.count; i++)
        cr_log_error("%s", problems.lines[i]);
    cr_assert_eq(code, 0);
    config_problems_done(&problems);
    return config;
}

static char *show(const struct config *config, enum config_show format)
{
    struct buf out;
    buf_init(&out, SIZE_MAX);
    config_write_show(config, format, &out);
    cr_assert(!out.failed);
    return buf_take(&out);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fputs(text, file);
    fclose(file);
}

Test(config, defaults)
{
    static const char *const nothing[] = {"", "# only a comment\n", "---\n", "log:\nkeys:\n", "{}"};
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        struct config *c = load(nothing[i], NULL, NULL, 0);
        cr_assert_str_eq(c->run.data, "./tai-data");
        cr_assert_str_eq(c->ingress.listen.host, "127.0.0.1");
        cr_assert_eq(c->ingress.listen.port, 8080);
        cr_assert(c->ingress.listen.loopback);
        cr_assert_eq(c->andon.listen.port, 8081);
        cr_assert_eq(c->ingress.max_connections, 12000);
        cr_assert_eq(c->ingress.idle_timeout_ms, 60000);
        cr_assert_eq(c->ingress.request_deadline_ms, 10000);
        cr_assert_eq(c->ingress.max_header, 16384);
        cr_assert_eq(c->ingress.max_body, 1048576);
        cr_assert_eq(c->ingress.max_signal, 65536);
        cr_assert_eq(c->ingress.max_batch, 1000);
        cr_assert_eq(c->ingress.rate, 0);
        cr_assert_eq(c->ingress.keys_count, 0);
        cr_assert_eq(c->kanban.backend, CONFIG_KANBAN_SQLITE);
        cr_assert_eq(c->kanban.partitions_asked, -1);
        cr_assert_eq(c->kanban.partitions, CONFIG_PARTITIONS_EMBEDDED);
        cr_assert_eq(c->kanban.max_depth, 100000);
        cr_assert_str_eq(c->store.path, "./tai-data/tai.db");
        cr_assert_eq(c->store.signals_retention_ms, 7LL * 86400000);
        cr_assert(c->jidoka.governor.auto_activate);
        cr_assert_eq(c->jidoka.governor.quota_limit, -1);
        cr_assert_eq(c->jidoka.governor.quota_period, CONFIG_PERIOD_NONE);
        cr_assert_eq(c->jidoka.governor.max_wait_ms, 86400000);
        cr_assert_eq(c->jidoka.governors_max, 1000000);
        cr_assert_eq(c->jidoka.policies_count, 0);
        cr_assert_str_eq(c->andon.ledger.key_file, "./tai-data/ledger.key");
        cr_assert_eq(c->log.level, LOG_INFO);
        cr_assert_eq(c->shutdown.timeout_ms, 10000);
        cr_assert_eq(c->warnings_count, 0);
        config_free(c);
    }
}

Test(config, values_of_every_type)
{
    struct config *c = load("run: {data: /var/lib/tai/}\n"
                            "ingress:\n"
                            "  listen: \"[::1]:0\"\n"
                            "  max_body: 2MiB\n"
                            "  max_header: \"2048\"\n"
                            "  idle_timeout: 90s\n"
                            "  rate: 1000\n"
                            "  source: 'https://example.org/a?b'\n"
                            "kanban: {backend: memory, partitions: 1}\n"
                            "signals: {retention: 48h}\n"
                            "entitlements: {auto_activate: false}\n"
                            "governor: {quota_limit: 0, quota_period: month}\n"
                            "ledger: {shards: 4, max_lag: 5000}\n"
                            "andon: {listen: localhost:9}\n"
                            "log: {level: debug}\n",
                            NULL, NULL, 0);
    cr_assert_str_eq(c->run.data, "/var/lib/tai/");
    cr_assert_str_eq(c->store.path, "/var/lib/tai/tai.db");
    cr_assert_str_eq(c->ingress.listen.text, "[::1]:0");
    cr_assert_str_eq(c->ingress.listen.host, "::1");
    cr_assert_eq(c->ingress.listen.port, 0);
    cr_assert_eq(c->ingress.max_body, 2097152);
    cr_assert_eq(c->ingress.max_header, 2048);
    cr_assert_eq(c->ingress.idle_timeout_ms, 90000);
    cr_assert_eq(c->ingress.rate_burst, 1000, "one second's worth");
    cr_assert_eq(c->ingress.tenant_burst, 0);
    cr_assert_str_eq(c->ingress.source, "https://example.org/a?b");
    cr_assert_eq(c->kanban.backend, CONFIG_KANBAN_MEMORY);
    cr_assert_eq(c->store.partitions, 1);
    cr_assert_eq(c->jidoka.partitions, 1);
    cr_assert_eq(c->store.shards, 4);
    cr_assert_eq(c->jidoka.shards, 4);
    cr_assert_eq(c->jidoka.max_lag, 5000);
    cr_assert_eq(c->jidoka.signals_retention_ms, 2LL * 86400000);
    cr_assert(!c->jidoka.governor.auto_activate);
    cr_assert_eq(c->jidoka.governor.quota_limit, 0);
    cr_assert_eq(c->jidoka.governor.quota_period, CONFIG_PERIOD_MONTH);
    cr_assert_str_eq(c->andon.listen.host, "127.0.0.1");
    cr_assert_eq(c->log.level, LOG_DEBUG);
    cr_assert_eq(c->warnings_count, 1, "the memory queue is warned of");
    config_free(c);
}

Test(config, root_directory_as_data)
{
    const struct config_override data = {"run.data", "/"};
    struct config *c = load("store: {path: /other.db}", NULL, &data, 1);
    cr_assert_str_eq(c->andon.ledger.key_file, "/ledger.key");
    cr_assert_str_eq(c->store.path, "/other.db");
    config_free(c);
}

Test(config, policies_and_actions)
{
    struct config *c = load("policies:\n"
                            "  - type: cost_governance\n"
                            "    budget: 12.000001\n"
                            "  - {type: cost_governance, name: hourly, budget: 0, warn_ratio: 1, window: hour,\n"
                            "     on_exceeded: action, action: note}\n"
                            "actions:\n"
                            "  - {name: other, type: none}\n"
                            "  - {name: note, type: none, timeout: 250ms, retries: 0, concurrency: 1}\n",
                            NULL, NULL, 0);
    const struct policy_config *p = c->jidoka.policies;
    cr_assert_eq(c->jidoka.policies_count, 2);
    cr_assert_str_eq(p[0].name, "cost_governance");
    cr_assert_eq(p[0].budget_micro, 12000001);
    cr_assert_eq(p[0].warn_ratio_micro, 800000);
    cr_assert_eq(p[0].window, CONFIG_PERIOD_DAY);
    cr_assert_eq(p[0].on_exceeded, CONFIG_EXCEEDED_DENY);
    cr_assert_null(p[0].action);
    cr_assert_str_eq(p[1].name, "hourly");
    cr_assert_eq(p[1].warn_ratio_micro, 1000000);
    cr_assert_eq(p[1].window, CONFIG_PERIOD_HOUR);
    cr_assert_eq(p[1].action, &c->jidoka.actions[1]);
    cr_assert_eq(c->jidoka.actions_count, 2);
    cr_assert_eq(p[1].action->timeout_ms, 250);
    cr_assert_eq(p[1].action->retries, 0);
    cr_assert_eq(c->jidoka.actions[0].timeout_ms, 5000);
    cr_assert_eq(c->jidoka.actions[0].concurrency, 10);
    config_free(c);
}

Test(config, precedence)
{
    char *const *env = ENV("TAI_LOG_LEVEL=error", "TAI_KANBAN_PARTITIONS=8", "HOME=/", "TAI_STORE_PATH=");
    const struct config_override overrides[] = {{"kanban.partitions", "4"}, {"kanban.prefetch", "7"}};
    struct config *c = load("log: {level: debug}\nkanban: {partitions: 2, max_depth: 3}\n", env, overrides, 2);
    cr_assert_eq(c->log.level, LOG_ERROR);
    cr_assert_eq(c->kanban.partitions, 4);
    cr_assert_eq(c->kanban.max_depth, 3);
    cr_assert_eq(c->kanban.prefetch, 7);
    cr_assert_str_eq(c->store.path, "./tai-data/tai.db", "an empty variable counts as not set");
    config_free(c);
}

Test(config, port)
{
    char *const *env = ENV("PORT=9000");
    struct config *c = load("ingress: {listen: '[::1]:1'}", env, NULL, 0);
    cr_assert_str_eq(c->ingress.listen.text, "[::1]:9000");
    config_free(c);
    char *const *both = ENV("PORT=9000", "TAI_INGRESS_LISTEN=127.0.0.2:9001");
    c = load("", both, NULL, 0);
    cr_assert_str_eq(c->ingress.listen.text, "127.0.0.2:9001");
    cr_assert(c->ingress.listen.loopback);
    config_free(c);
    const struct config_override listen = {"ingress.listen", "127.0.0.1:0"};
    c = load("", both, &listen, 1);
    cr_assert_eq(c->ingress.listen.port, 0);
    config_free(c);
}

Test(config, foreign_variables_are_warned_of)
{
    char *const *env = ENV("TAI_DATA=/x", "TAIL=1");
    struct config *c = load("", env, NULL, 0);
    cr_assert_eq(c->warnings_count, 1);
    cr_assert_str_eq(c->warnings[0], "TAI_DATA: no section has that name; the variable is not used");
    config_free(c);
}

static void write_secrets(const char *dir)
{
    cr_assert_eq(chdir(dir), 0);
    write_file("a.key", "0123456789abcdef\n");
    write_file("b.key", "0123456789abcdef\r\n");
    write_file("c.key", "0123456789abcde\n\n");
}

Test(config, keys)
{
    char dir[] = "/tmp/config_test.XXXXXX";
    cr_assert(mkdtemp(dir));
    write_secrets(dir);
    char *const *env = ENV("TAI_KEYS_D_1_SECRET=from the environment", "TAI_KEYS_A_SECRET=wins over the file");
    struct config *c = load("ingress: {listen: 0.0.0.0:8080}\n"
                            "keys:\n"
                            "  - {id: a, secret_file: a.key, tenant: acme}\n"
                            "  - {id: b, secret_file: b.key, tenant: '*', role: marketplace}\n"
                            "  - {id: c, secret_file: c.key, tenant: x, scheme: x-signature}\n"
                            "  - {id: d-1, tenant: 007}\n",
                            env, NULL, 0);
    const struct key_config *k = c->ingress.keys;
    cr_assert_eq(c->ingress.keys_count, 4);
    cr_assert(!c->ingress.listen.loopback);
    cr_assert_str_eq(k[0].id, "a");
    cr_assert_str_eq(k[0].tenant, "acme");
    cr_assert_eq(k[0].role, CONFIG_ROLE_PUBLISHER);
    cr_assert(span_is((struct span){k[0].secret, k[0].secret_len}, "wins over the file"));
    cr_assert_str_eq(k[1].tenant, "*");
    cr_assert_eq(k[1].role, CONFIG_ROLE_MARKETPLACE);
    cr_assert(span_is((struct span){k[1].secret, k[1].secret_len}, "0123456789abcdef"));
    cr_assert(span_is((struct span){k[2].secret, k[2].secret_len}, "0123456789abcde\n"), "one newline only");
    cr_assert(span_is((struct span){k[3].secret, k[3].secret_len}, "from the environment"));
    cr_assert_str_eq(k[3].tenant, "007");

    char *text = show(c, CONFIG_SHOW_TEXT);
    char *json = show(c, CONFIG_SHOW_JSON);
    cr_assert_null(strstr(text, "0123456789"));
    cr_assert_null(strstr(json, "0123456789"));
    cr_assert_null(strstr(text, "environment"));
    cr_assert(strstr(text, "secret: \"***\""));
    cr_assert(strstr(json, "\"secret\":\"***\""));
    free(text);
    free(json);
    config_free(c);
}

Test(config, files)
{
    char dir[] = "/tmp/config_test.XXXXXX";
    struct error err;
    struct config *c = NULL;
    cr_assert(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
    write_file("tai.yaml", "log: {level: warn}\n");
    cr_assert_eq(config_load("tai.yaml", NULL, 0, NULL, &c, &err), 0);
    cr_assert_eq(c->log.level, LOG_WARN);
    config_free(c);
    cr_assert_eq(config_load(NULL, NULL, 0, NULL, &c, &err), 0);
    config_free(c);
    config_free(NULL);
}

Test(config, show_names_origins_and_reads_back)
{
    char *const *env = ENV("TAI_GOVERNOR_QUOTA_LIMIT=null");
    const struct config_override data = {"run.data", "-a \"b\": c"};
    struct config *c = load("log:\n  level: warn\npolicies:\n- type: cost_governance\n  budget: 0.5\n", env, &data, 1);
    char *text = show(c, CONFIG_SHOW_TEXT);
    cr_assert(strstr(text, "  level: warn                                # tai.yaml:2\n"), "%s", text);
    cr_assert(strstr(text, "  quota_limit: null                          # TAI_GOVERNOR_QUOTA_LIMIT\n"));
    cr_assert(strstr(text, "  data: \"-a \\\"b\\\": c\"                        # command line\n"), "%s", text);
    cr_assert(strstr(text, "    budget: 0.5                              # tai.yaml:5\n"));
    cr_assert(strstr(text, "    warn_ratio: 0.8                          # default\n"));
    struct config *again = load(text, NULL, NULL, 0);
    cr_assert_str_eq(config_sha256(again), config_sha256(c));
    free(text);
    config_free(again);
    config_free(c);
}

Test(config, json_is_canonical_and_hashed)
{
    struct config *c =
        load("governor: {quota_limit: 3}\npolicies: [{type: cost_governance, budget: 10}]", NULL, NULL, 0);
    struct config *other =
        load("governor: {quota_limit: 4}\npolicies: [{type: cost_governance, budget: 10}]", NULL, NULL, 0);
    char *json = show(c, CONFIG_SHOW_JSON);
    cr_assert(strstr(json, "\"governor\":{\"boot_timeout\":\"30s\",\"breaker_reset\":\"1m\",\"max_failures\":5,"
                           "\"max_wait\":\"1d\",\"max_waiting\":1000,\"quota_limit\":3,\"quota_period\":\"none\"}"),
              "%s", json);
    cr_assert(strstr(json, "\"policies\":[{\"budget\":\"10\",\"name\":\"cost_governance\",\"on_exceeded\":\"deny\","
                           "\"type\":\"cost_governance\",\"warn_ratio\":\"0.8\",\"window\":\"day\"}]"));

    struct hasher *hasher = hasher_new();
    uint8_t digest[SHA256_SIZE];
    char hex[CONFIG_SHA256_HEX + 1] = {0};
    hasher_sha256(hasher, span_of(json), digest);
    hex_encode(digest, sizeof(digest), hex);
    cr_assert_str_eq(config_sha256(c), hex);
    cr_assert_str_eq(c->jidoka.config_sha256, hex);
    cr_assert_str_neq(config_sha256(c), config_sha256(other));
    hasher_free(hasher);
    free(json);
    config_free(c);
    config_free(other);
}
