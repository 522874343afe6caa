/* Giving a command to andon, and waiting for its end. A command has an id from here, so that it may be sent again when
 * an answer was lost. */
#ifndef TAI_APPS_CLI_COMMAND_H
#define TAI_APPS_CLI_COMMAND_H

#include "apps/cli/session.h"
#include "common/hash.h"

enum command_end { COMMAND_NOT_YET, COMMAND_DONE, COMMAND_REFUSED };

struct given_command {
    char id[UUID_TEXT + 1];
    enum command_end end;
    char reason[512]; /* refused: why */
};

/* Who gives commands: --operator, $TAI_OPERATOR or the login name; NULL: nobody is named. */
#define CLI_OPERATOR                                                                                                   \
    {                                                                                                                  \
        "operator", "NAME", "who does this, for the receipt (default: $TAI_OPERATOR, or $USER; a token has a name)"    \
    }
const char *command_operator(const struct cli *cli, int option);

/* POSTs members (of a JSON object, without braces; may be empty) to path. 0: it is pending, or refused at once;
 * otherwise an exit code, said. */
must_check int command_give(struct session *session, const char *path, struct span members, const char *operator,
                            struct given_command * ret);
/* Asks until it has ended, timeout_ms at most. */
must_check int command_wait(struct session *session, int64_t timeout_ms, struct given_command *command);

#endif
