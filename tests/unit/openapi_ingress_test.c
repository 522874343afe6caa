/* docs/openapi-ingress.json is what ingress does: the same endpoints and fields as the code, in both directions. */
#include "ingress/internal.h"
#include "ingress/signal.h"
#include "support/openapi.h"

Test(openapi_ingress, ingress_is_its_routes)
{
    struct document d;
    size_t count = 0;
    load(&d, "openapi-ingress.json");
    for (const struct http_route *route = ingress_routes; route->method; route++, count++)
        cr_assert(operation_of(&d, route->method, route->path), "%s %s is not in docs/openapi-ingress.json",
                  route->method, route->path);
    cr_assert_eq(count_operations(&d), count, "docs/openapi-ingress.json has operations that are no routes");
    unload(&d);
}

Test(openapi_ingress, a_signal_has_the_fields_of_the_code)
{
    struct document d;
    load(&d, "openapi-ingress.json");
    const struct json_node *fields = AT(&d, d.doc.nodes, "components", "schemas", "Signal", "properties");
    size_t count = 0;
    for (; signal_field(count); count++)
        cr_assert(json_get(&d.doc, fields, signal_field(count)), "%s", signal_field(count));
    cr_assert_eq(fields->count, count);
    unload(&d);
}
