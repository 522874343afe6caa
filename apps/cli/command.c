/* What puts a command off (503, 429, a broken connection) is waited for; what refuses it is its end. */
#include "apps/cli/command.h"
#include "apps/cli/output.h"
#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { TRIES = 8, FIRST_PAUSE_MS = 10, LAST_PAUSE_MS = 500, HEADER_MAX = 128, PATH_MAX_BYTES = 256 };

static void pause_ms(int64_t ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

const char *command_operator(const struct cli *cli, int option)
{
    const char *login = cli_has_token(cli) ? NULL : getenv("USER"); /* with a token it is the token's name */
    const char *name = cli_value(cli, option, "TAI_OPERATOR", login);
    return name && *name ? name : NULL;
}

static void make_body(struct given_command *command, struct span members, struct buf *out)
{
    uint8_t random[10];
    random_bytes(random, sizeof(random));
    uuid7(clock_wall_ms(&clock_system), random, command->id);
    buf_addf(out, "{\"command_id\":\"%s\"", command->id);
    if (members.len)
        buf_add_char(out, ',');
    buf_add_span(out, members);
    buf_add_char(out, '}');
}

/* true: send it again, after the pause that was asked for. */
static bool put_off(const struct response *response, int rc, int tries)
{
    if (tries >= TRIES)
        return false;
    if (rc) {
        pause_ms(LAST_PAUSE_MS);
        return rc == -ECONNRESET || rc == -ETIMEDOUT;
    }
    if (response->status != 429 && response->status != 503)
        return false;
    pause_ms(response->retry_after_s > 0 ? response->retry_after_s * 1000 : LAST_PAUSE_MS);
    return true;
}

static void refuse(struct given_command *command, struct span why)
{
    command->end = COMMAND_REFUSED;
    snprintf(command->reason, sizeof(command->reason), "%.*s", (int)why.len, why.ptr);
}

int command_give(struct session *session, const char *path, struct span members, const char *operator,
                 struct given_command * ret)
{
    char header[HEADER_MAX];
    const char *headers[] = {operator? header : NULL, NULL};
    struct error err;
    struct buf body, why;
    int rc, tries = 0;
    snprintf(header, sizeof(header), "X-Operator: %s", operator? operator: "");
    buf_init(&body, members.len + 256);
    buf_init(&why, sizeof(ret->reason));
    *ret = (struct given_command){.end = COMMAND_NOT_YET};
    make_body(ret, members, &body);
    do
        rc = client_post(session->client, path, headers, buf_span(&body), &session->response, &err);
    while (put_off(&session->response, rc, tries++));
    bool denied = rc == 0 && session_denied(session);
    if (rc == 0 && session->response.status != 202) {
        response_problem(&session->response, &why);
        refuse(ret, buf_span(&why));
    }
    buf_done(&body);
    buf_done(&why);
    if (denied)
        return cli_fail(session->cli, EXIT_DENIED, "%s: %s", client_url(session->client), ret->reason);
    return rc ? cli_fail(session->cli, rc == -EPROTO ? EXIT_FAILED : EXIT_UNREACHABLE, "%s", err.text) : 0;
}

static int ask(struct session *session, struct given_command *command)
{
    char path[PATH_MAX_BYTES];
    struct buf scratch;
    snprintf(path, sizeof(path), "/v1/commands/%s", command->id);
    int code = session_get_json(session, path, "such command");
    if (code)
        return code;
    buf_init(&scratch, 4096);
    struct span status = out_text(&session->doc, session->doc.nodes, "status", &scratch);
    if (span_is(status, "applied"))
        command->end = COMMAND_DONE;
    else if (span_is(status, "rejected"))
        refuse(command, out_text(&session->doc, session->doc.nodes, "reason", &scratch));
    else if (!span_is(status, "pending"))
        code = session_strange(session, "the command has no status");
    buf_done(&scratch);
    return code;
}

int command_wait(struct session *session, int64_t timeout_ms, struct given_command *command)
{
    int64_t until = clock_mono_ms(&clock_system) + timeout_ms, pause = FIRST_PAUSE_MS;
    int code = 0;
    while (command->end == COMMAND_NOT_YET) {
        code = ask(session, command);
        if (code || command->end != COMMAND_NOT_YET || clock_mono_ms(&clock_system) >= until)
            break;
        pause_ms(pause);
        pause = pause * 2 < LAST_PAUSE_MS ? pause * 2 : LAST_PAUSE_MS;
    }
    return code;
}
