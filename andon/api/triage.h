/* Shared by the files of the API's triage: dead letters and commands. A call owns one struct api_triage, which holds
 * every request it makes, one after the other, and what was read from the body. */
#ifndef TAI_ANDON_API_TRIAGE_H
#define TAI_ANDON_API_TRIAGE_H

#include "andon/api/internal.h"

struct api_bulk {
    enum command_kind action;
    bool dry_run;
    struct span reason;
    size_t at;             /* of the page: the next to give a command for */
    size_t added, refused; /* so far */
};

struct api_triage {
    struct arena arena; /* texts of the request: the store reads them on its own thread */
    struct store_deadletter deadletter;
    struct store_deadletters list;
    struct store_governors governor;
    struct store_command_add add;
    struct store_command command;
    struct store_command_list commands;
    struct span edited; /* requeue: the new signal */
    bool own_id;        /* the client brought the command's id */
    struct api_bulk bulk;
};

/* A call with its triage; requests go to the triage's own. */
struct api_call *api_triage_new(struct api *api, struct http_request *req);
void api_triage_free(struct api_triage *triage);
struct span api_triage_keep(struct api_call *call, struct span text);

/* --- bodies (body.c) -------------------------------------------------------------------------------------------
 */

/* Whether the body is empty or a JSON object with no other members than the route's fields; otherwise it has been
 * answered. The body is api->doc until the handler returns. */
bool api_body_open(struct api *api, struct http_request *req);
/* A member of the body, or NULL if it is absent or null. */
const struct json_node *api_body_get(struct api *api, const char *name);
/* The text of a member of object (NULL: the body itself), in the call's arena; absent: len 0. max in bytes; no control
 * characters. false: answered 400, naming it. */
bool api_body_text(struct api_call *call, const struct json_node *object, const char *name, size_t max,
                   struct span *ret);
bool api_body_flag(struct api_call *call, const char *name, bool *ret);
bool api_body_int(struct api_call *call, const char *name, int64_t min, int64_t max, int64_t *ret, bool *ret_given);
/* No other members than fields in an object within the body. */
bool api_body_fields(struct api_call *call, const struct json_node *object, const char *what,
                     const char *const *fields);

/* --- commands (commands.c) -------------------------------------------------------------------------------------
 */

/* Fills what every command has: id (the client's, or a new one), operator, time. false: answered. */
bool api_command_begin(struct api_call *call, enum command_kind kind);
void api_command_new_id(struct api_call *call);
/* Adds it and answers 202, or what is wrong. */
void api_command_submit(struct api_call *call);
void api_command_accepted(struct api_call *call);
/* The args of a command with a reason and the hash of an edited signal (or NULL). */
struct span api_command_args(struct api_call *call, struct span reason, const uint8_t *sha256);

/* --- dead letters (deadletters.c) ------------------------------------------------------------------------------
 */

/* {"id", "class", …}: an item of lists. */
void api_add_deadletter(struct buf *out, const struct deadletter *deadletter);
/* "tenant", or -1 with the answer 400 given; empty: -1. */
bool api_class_parse(struct http_request *req, struct span text, int *ret);
uint32_t api_deadletters_query(const struct store_deadletters *list);

#endif
