/* What follows from other values (paths below run.data, bursts, copies for other layers, resolved names), and what is
 * refused because it does not go together. Each problem is charged to the place where one would mend it. */
#include "config/loader.h"

#include <stdio.h>
#include <stdlib.h>

static const char in_data[] = "<run.data>/";

static struct config_detail *detail_of(const struct loader *loader)
{
    return loader->config->detail;
}

/* The place of the first option, or of the second if the first is a default. */
static const struct origin *blame(const struct loader *loader, const char *first, const char *second)
{
    const struct origin *origin = option_origin(loader->config, option_find(first));
    if (origin->kind == ORIGIN_DEFAULT && second)
        return option_origin(loader->config, option_find(second));
    return origin;
}

static void resolve_paths(struct loader *loader)
{
    const char *data = loader->config->run.data;
    size_t len = strlen(data);
    while (len > 1 && data[len - 1] == '/')
        len--;
    for (size_t i = 0; i < config_options_count; i++) {
        const struct option *option = &config_options[i];
        if (!option->fallback || strncmp(option->fallback, in_data, sizeof(in_data) - 1) != 0 ||
            option_origin(loader->config, option)->kind != ORIGIN_DEFAULT)
            continue;
        struct buf path;
        buf_init(&path, 4096);
        buf_add(&path, data, len);
        buf_addf(&path, "%s%s", len == 1 && data[0] == '/' ? "" : "/", option->fallback + sizeof(in_data) - 1);
        *(const char **)option_field(option, loader->config) =
            arena_copy(&detail_of(loader)->arena, path.data, path.len);
        buf_done(&path);
    }
}

static void derive_keys(struct loader *loader)
{
    struct ingress_config *ingress = &loader->config->ingress;
    size_t count = detail_of(loader)->lists[LIST_KEYS].count;
    struct key_config *keys = arena_alloc(&detail_of(loader)->arena, count * sizeof(*keys));
    for (size_t i = 0; i < count; i++)
        keys[i] = ((const struct key_item *)list_item(loader->config, LIST_KEYS, i))->key;
    ingress->keys = keys;
    ingress->keys_count = count;
}

static const struct action_config *find_action(const struct loader *loader, const char *name)
{
    for (size_t i = 0; i < detail_of(loader)->lists[LIST_ACTIONS].count; i++) {
        const struct action_config *action = list_item(loader->config, LIST_ACTIONS, i);
        if (action->name && strcmp(action->name, name) == 0)
            return action;
    }
    return NULL;
}

static void derive_policies(struct loader *loader)
{
    struct jidoka_config *jidoka = &loader->config->jidoka;
    size_t count = detail_of(loader)->lists[LIST_POLICIES].count;
    struct policy_config *policies = arena_alloc(&detail_of(loader)->arena, count * sizeof(*policies));
    const struct option *type = &config_lists[LIST_POLICIES].options[0];
    for (size_t i = 0; i < count; i++) {
        struct policy_item *item = list_item(loader->config, LIST_POLICIES, i);
        if (!item->policy.name)
            item->policy.name = type->words[item->policy.type];
        item->policy.action = item->action_name ? find_action(loader, item->action_name) : NULL;
        policies[i] = item->policy;
    }
    jidoka->policies = policies;
    jidoka->policies_count = count;
    jidoka->actions = detail_of(loader)->lists[LIST_ACTIONS].items;
    jidoka->actions_count = detail_of(loader)->lists[LIST_ACTIONS].count;
}

void config_use_partitions(struct config *config, int64_t partitions)
{
    config->kanban.partitions = partitions;
    config->store.partitions = config->jidoka.partitions = config->andon.partitions = partitions;
}

void loader_derive(struct loader *loader)
{
    struct config *config = loader->config;
    resolve_paths(loader);
    if (config->ingress.tenant_depth == 0) { /* room for two batches; for one tenant never more than half */
        int64_t fiftieth = config->kanban.max_depth / 50, half = (config->kanban.max_depth + 1) / 2;
        int64_t share = fiftieth > 2 * config->ingress.max_batch ? fiftieth : 2 * config->ingress.max_batch;
        config->ingress.tenant_depth = share < half ? share : half;
    }
    if (config->ingress.rate_burst == 0)
        config->ingress.rate_burst = config->ingress.rate;
    if (config->ingress.tenant_burst == 0)
        config->ingress.tenant_burst = config->ingress.tenant_rate;
    config_use_partitions(config, config->kanban.partitions_asked > 0 ? config->kanban.partitions_asked
                                                                      : CONFIG_PARTITIONS_EMBEDDED);
    config->store.shards = config->jidoka.shards = config->andon.ledger.shards;
    config->jidoka.signals_retention_ms = config->store.signals_retention_ms;
    config->jidoka.prefetch = config->kanban.prefetch;
    config->jidoka.max_lag = config->andon.ledger.max_lag;
    config->jidoka.config_sha256 = detail_of(loader)->sha256;
    derive_keys(loader);
    derive_policies(loader);
    loader_derive_tokens(loader);
}

static void check_listen(struct loader *loader)
{
    const struct config *config = loader->config;
    const struct config_address *ingress = &config->ingress.listen;
    const struct config_address *andon = &config->andon.listen;
    if (!ingress->loopback && config->ingress.keys_count == 0)
        problems_add(loader->problems, blame(loader, "ingress.listen", NULL),
                     "ingress.listen: %s is open to others, and there are no keys: add `keys`, or listen on 127.0.0.1",
                     ingress->text);
    if (!andon->loopback && !config->andon.tokens_file)
        problems_add(loader->problems, blame(loader, "andon.listen", NULL),
                     "andon.listen: %s is open to others, and there are no tokens: name an andon.tokens_file (`tai key "
                     "new token` makes one), or listen on 127.0.0.1",
                     andon->text);
    if (ingress->port != 0 && ingress->port == andon->port && strcmp(ingress->host, andon->host) == 0)
        problems_add(loader->problems, blame(loader, "andon.listen", "ingress.listen"),
                     "andon.listen: the same as ingress.listen (%s)", ingress->text);
}

static void check_limits(struct loader *loader)
{
    const struct config *config = loader->config;
    if (config->ingress.max_signal > config->ingress.max_body)
        problems_add(loader->problems, blame(loader, "ingress.max_signal", "ingress.max_body"),
                     "ingress.max_signal: larger than ingress.max_body");
    if (config->jidoka.governor.max_waiting > config->jidoka.max_waiting)
        problems_add(loader->problems, blame(loader, "governor.max_waiting", "jidoka.max_waiting"),
                     "governor.max_waiting: larger than jidoka.max_waiting");
    if (config->jidoka.governors_max_per_tenant > config->jidoka.governors_max)
        problems_add(loader->problems, blame(loader, "governors.max_per_tenant", "governors.max"),
                     "governors.max_per_tenant: larger than governors.max");
    if (config->ingress.rate == 0 && config->ingress.rate_burst > 0)
        problems_add(loader->problems, blame(loader, "ingress.rate_burst", NULL),
                     "ingress.rate_burst: has no effect without ingress.rate");
    if (config->ingress.tenant_rate == 0 && config->ingress.tenant_burst > 0)
        problems_add(loader->problems, blame(loader, "ingress.tenant_burst", NULL),
                     "ingress.tenant_burst: has no effect without ingress.tenant_rate");
    if (config->kanban.backend == CONFIG_KANBAN_MEMORY)
        loader_warn(loader, "kanban.backend is memory: signals that are accepted and still queued are lost with the "
                            "process");
}

void loader_check_unique(struct loader *loader, enum config_list list, size_t offset, const char *key)
{
    size_t count = detail_of(loader)->lists[list].count;
    for (size_t i = 1; i < count; i++) {
        const char *name = *(const char *const *)((const char *)list_item(loader->config, list, i) + offset);
        for (size_t j = 0; name && j < i; j++) {
            const char *other = *(const char *const *)((const char *)list_item(loader->config, list, j) + offset);
            if (!other || strcmp(name, other) != 0)
                continue;
            struct origin origin = item_origin(loader->config, list, i, key);
            struct origin first = item_origin(loader->config, list, j, NULL);
            if (origin.kind == ORIGIN_DEFAULT)
                origin = item_origin(loader->config, list, i, NULL);
            problems_add(loader->problems, &origin, "%s[%zu].%s: %s is taken by the one in line %zu",
                         config_lists[list].section, i, key, name, first.line);
            break;
        }
    }
}

static void check_policies(struct loader *loader)
{
    for (size_t i = 0; i < detail_of(loader)->lists[LIST_POLICIES].count; i++) {
        const struct policy_item *item = list_item(loader->config, LIST_POLICIES, i);
        struct origin origin = item_origin(loader->config, LIST_POLICIES, i, NULL);
        struct origin action = item_origin(loader->config, LIST_POLICIES, i, "action");
        bool acts = item->policy.on_exceeded == CONFIG_EXCEEDED_ACTION;
        if (acts && action.kind == ORIGIN_DEFAULT)
            problems_add(loader->problems, &origin, "policies[%zu].action: is missing, and on_exceeded is action", i);
        else if (!acts && item->action_name)
            problems_add(loader->problems, &action, "policies[%zu].action: has no effect without on_exceeded: action",
                         i);
        else if (item->action_name && !item->policy.action)
            problems_add(loader->problems, &action, "policies[%zu].action: there is no action named %s in `actions`", i,
                         item->action_name);
    }
}

void loader_check(struct loader *loader)
{
    check_listen(loader);
    check_limits(loader);
    loader_check_unique(loader, LIST_KEYS, offsetof(struct key_item, key.id), "id");
    loader_check_unique(loader, LIST_ACTIONS, offsetof(struct action_config, name), "name");
    loader_check_unique(loader, LIST_POLICIES, offsetof(struct policy_item, policy.name), "name");
    check_policies(loader);
    loader_check_tokens(loader);
}
