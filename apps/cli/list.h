/* What all list verbs have: filters, order, pages, a table for people and lines of JSON for programs. A list verb is
 * one const struct list_view. */
#ifndef TAI_APPS_CLI_LIST_H
#define TAI_APPS_CLI_LIST_H

#include "apps/cli/output.h"
#include "apps/cli/session.h"

/* The options every list ends with. */
#define CLI_LIST CLI_LIMIT, CLI_REVERSE, CLI_JSON, CLI_SERVER

struct list_view {
    const struct cli_verb *verb;
    const char *path;            /* "/v1/governors" */
    const char *member;          /* of the answer, that holds the items */
    const char *const *headings; /* ended by NULL */
    /* Adds the cells of one item, an object. */
    void (*add)(struct table *table, const struct json_doc *doc, const struct json_node *item, struct buf *scratch);
};

/* Runs the verb; an exit code. */
int list_run(const struct list_view *view, int argc, char **argv);

/* Adds the filters that were given (tenant, entitlement, since, …) to the path as the API's parameters. */
void list_query(const struct cli *cli, struct buf *path);
/* Adds the texts of members as cells. */
void list_add_texts(struct table *table, const struct json_doc *doc, const struct json_node *item,
                    const char *const *names, struct buf *scratch);
void list_add_time(struct table *table, const struct json_doc *doc, const struct json_node *item, const char *name);

#endif
