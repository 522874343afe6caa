/* docs/openapi-andon.json is what andon does: the same endpoints, parameters, fields and roles as the table of routes,
 * in both directions, and the bounds and words of the code. */
#include "andon/api/internal.h"
#include "andon/ledger/receipt.h"
#include "support/openapi.h"

/* --- endpoints ---------------------------------------------------------------------------------------------------- */

static void check_path(const struct document *d, const struct json_node *operation, const char *path)
{
    size_t count = 0;
    for (const char *open = strchr(path, '{'); open; open = strchr(open + 1, '{'), count++) {
        char name[32];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
        cr_assert(parameter_of(d, operation, "path", name), "%s: {%s} is no parameter", path, name);
    }
    cr_assert_eq(count_parameters(d, operation, "path"), count, "%s", path);
}

static void check_fields(const struct document *d, const struct json_node *operation, const struct api_route *route)
{
    const struct json_node *fields =
        AT(d, operation, "requestBody", "content", "application/json", "schema", "properties");
    size_t count = 0;
    cr_assert_eq(!fields, !route->fields, "%s: a body", route->path);
    for (; route->fields && route->fields[count]; count++)
        cr_assert(json_get(&d->doc, fields, route->fields[count]), "%s: field %s", route->path, route->fields[count]);
    cr_assert(!fields || fields->count == count, "%s: fields", route->path);
}

static void check_roles(const struct document *d, const struct json_node *operation, const struct api_route *route)
{
    static const struct {
        unsigned bit;
        const char *name;
    } roles[] = {{API_VIEWER, "viewer"},       {API_OPERATOR, "operator"}, {API_AUDITOR, "auditor"},
                 {API_PUBLISHER, "publisher"}, {API_ANYBODY, "anybody"},   {API_PROBE, "probe"}};
    const struct json_node *list = json_get(&d->doc, operation, "x-roles");
    size_t count = 0;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        bool has = route->roles & roles[i].bit;
        count += has;
        cr_assert_eq(holds(d, list, roles[i].name), has, "%s %s: role %s", route->method, route->path, roles[i].name);
    }
    cr_assert_eq(list->count, count, "%s: roles", route->path);
    bool open = route->roles & (API_ANYBODY | API_PROBE);
    cr_assert_eq(json_get(&d->doc, operation, "security") != NULL, open, "%s: security", route->path);
}

Test(openapi, andon_is_its_routes)
{
    struct document d;
    size_t count = 0;
    load(&d, "openapi-andon.json");
    for (const struct api_route *route = api_routes; route->method; route++, count++) {
        const struct json_node *operation = operation_of(&d, route->method, route->path);
        cr_assert(operation, "%s %s is not in docs/openapi-andon.json", route->method, route->path);
        check_path(&d, operation, route->path);
        size_t params = 0;
        for (; route->params[params]; params++)
            cr_assert(parameter_of(&d, operation, "query", route->params[params]), "%s: %s", route->path,
                      route->params[params]);
        cr_assert_eq(count_parameters(&d, operation, "query"), params, "%s: parameters", route->path);
        check_fields(&d, operation, route);
        check_roles(&d, operation, route);
    }
    cr_assert_eq(count_operations(&d), count, "docs/openapi-andon.json has operations that are no routes");
    unload(&d);
}

/* --- bounds and words --------------------------------------------------------------------------------------------- */

static int64_t number(const struct document *d, const struct json_node *schema, const char *name)
{
    int64_t value = -1;
    const struct json_node *node = json_get(&d->doc, schema, name);
    cr_assert(node && json_int(&d->doc, node, 0, INT64_MAX, &value) == 0, "%s", name);
    return value;
}

static void check_words(const struct document *d, const struct json_node *schema, const char *const *words)
{
    const struct json_node *list = json_get(&d->doc, schema, "enum");
    size_t count = 0;
    cr_assert(list);
    for (; words[count]; count++)
        cr_assert(holds(d, list, words[count]), "%s", words[count]);
    for (const struct json_node *node = json_first(&d->doc, list); node; node = json_next(&d->doc, list, node))
        count += node->type == JSON_NULL; /* as absent */
    cr_assert_eq(list->count, count);
}

static void check_parameter(const struct document *d, const struct json_node *operation, const char *name)
{
    static const struct {
        const char *name;
        int64_t max;
    } lengths[] = {{"tenant_id", API_TENANT_MAX}, {"entitlement_id", API_ID_MAX}, {"signal_id", API_ID_MAX}};
    static const struct {
        const char *name;
        const char *const *words;
    } words[] = {{"class", deadletter_class_names},
                 {"state", governor_state_names},
                 {"type", receipt_types},
                 {"command", command_kind_names},
                 {"status", command_status_names}};
    const struct json_node *schema = json_get(&d->doc, parameter_of(d, operation, "query", name), "schema");
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        if (strcmp(name, lengths[i].name) == 0)
            cr_assert_eq(number(d, schema, "maxLength"), lengths[i].max, "%s", name);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(name, words[i].name) == 0)
            check_words(d, schema, words[i].words);
    if (strcmp(name, "limit") == 0) {
        cr_assert_eq(number(d, schema, "minimum"), 1);
        cr_assert_eq(number(d, schema, "maximum"), API_PAGE_MAX);
        cr_assert_eq(number(d, schema, "default"), API_PAGE_DEFAULT);
    }
    if (strcmp(name, "shard") == 0)
        cr_assert_eq(number(d, schema, "maximum"), STORE_SHARDS_MAX - 1);
}

static void check_field(const struct document *d, const struct json_node *operation, const char *name)
{
    const struct json_node *schema =
        AT(d, operation, "requestBody", "content", "application/json", "schema", "properties", name);
    if (strcmp(name, "reason") == 0)
        cr_assert_eq(number(d, schema, "maxLength"), COMMAND_REASON_MAX);
    if (strcmp(name, "command_id") == 0)
        cr_assert_eq(number(d, schema, "maxLength"), COMMAND_ID_MAX);
    if (strcmp(name, "quota_period") == 0)
        check_words(d, schema, quota_period_names);
    if (strcmp(name, "quota_limit") == 0)
        cr_assert_eq(number(d, schema, "maximum"), INT64_C(1) << 53);
}

Test(openapi, bounds_are_the_codes)
{
    struct document d;
    load(&d, "openapi-andon.json");
    for (const struct api_route *route = api_routes; route->method; route++) {
        const struct json_node *operation = operation_of(&d, route->method, route->path);
        for (size_t i = 0; route->params[i]; i++)
            check_parameter(&d, operation, route->params[i]);
        for (size_t i = 0; route->fields && route->fields[i]; i++)
            check_field(&d, operation, route->fields[i]);
    }
    const struct json_node *schemas = AT(&d, d.doc.nodes, "components", "schemas");
    check_words(&d, AT(&d, schemas, "Governor", "properties", "state"), governor_state_names);
    check_words(&d, AT(&d, schemas, "Receipt", "properties", "type"), receipt_types);
    check_words(&d, AT(&d, schemas, "DeadLetter", "properties", "class"), deadletter_class_names);
    const char *statuses[SIGNAL_STATUS_COUNT + 2] = {"accepted"};
    for (int i = 0; i < SIGNAL_STATUS_COUNT; i++)
        statuses[i + 1] = signal_status_names[i];
    check_words(&d, AT(&d, schemas, "Signal", "properties", "status"), statuses);
    unload(&d);
}
