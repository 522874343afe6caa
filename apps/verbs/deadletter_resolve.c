/* `tai deadletter requeue` and `tai deadletter discard`: by id or by filter. */
#include "apps/cli/command.h"
#include "apps/cli/deadletters.h"
#include "apps/cli/list.h"
#include "apps/cli/output.h"
#include "apps/cli/signal_revision.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ALL = DEADLETTER_FILTERS,
    DRY_RUN,
    YES,
    BECAUSE,
    RATE,
    NO_WAIT,
    OPERATOR,
    JSON,
    SERVER,
    TOKEN_FILE,
    EDIT,
    EDITOR
};

#define COMMON                                                                                                         \
    CLI_DEADLETTER_FILTERS, [ALL] = {"all", NULL, "all that are open"},                                                \
                            [DRY_RUN] = {"dry-run", NULL, "say what would be done, and do nothing"},                   \
                            [YES] = {"yes", NULL, "do not ask", 'y'},                                                  \
                            [BECAUSE] = {.name = "because",                                                            \
                                         .value = "TEXT",                                                              \
                                         .help = "why, for the receipts",                                              \
                                         .form = &form_text},                                                          \
                            [RATE] = {"rate", "N", "at most so many a second (default 100)", 0, true, 1, 10000},       \
                            [NO_WAIT] = {"no-wait", NULL, "do not wait until it has been carried out"},                \
                            [OPERATOR] = CLI_OPERATOR, [JSON] = CLI_JSON, [SERVER] = CLI_SERVER

static const struct cli_option discard_options[] = {COMMON, {0}};
static const struct cli_option requeue_options[] = {
    COMMON,
    [EDIT] = {"edit", "FILE", "run the signal in FILE instead (one ID)"},
    [EDITOR] = {"editor", NULL, "edit the signal in $VISUAL or $EDITOR first (one ID)"},
    {0},
};

static int check(const struct cli *cli)
{
    bool filtered = deadletters_filtered(cli) || cli->values[ALL];
    bool requeue = cli->verb->options == requeue_options;
    bool edits = requeue && (cli->values[EDIT] || cli->values[EDITOR]);
    if (cli->arg_count && filtered)
        return cli_wrong(cli, "give ids or filters, not both");
    if (!cli->arg_count && !filtered)
        return cli_wrong(cli, "which ones? Give ids, filters, or --all");
    if (edits && cli->arg_count != 1)
        return cli_wrong(cli, "an edit is of one dead letter: give its id");
    if (edits && cli->values[EDIT] && cli->values[EDITOR])
        return cli_wrong(cli, "give --edit or --editor, not both");
    if (!requeue && !cli->values[BECAUSE] && !cli->values[DRY_RUN])
        return cli_wrong(cli, "--because is required: it says in the receipt why the signal is given up");
    if (filtered && !cli->values[YES] && !cli->values[DRY_RUN] && !isatty(STDIN_FILENO))
        return cli_wrong(cli, "nobody can be asked here: give --yes, or --dry-run to see what would be done");
    return CLI_GO_ON;
}

static const struct cli_verb requeue = {
    .name = "deadletter requeue",
    .arguments = "[ID…]",
    .about =
        "Runs dead letters again, by id or by filter: each as the same signal with a redrive one higher, accepted\n"
        "now. An edited signal is shown as a diff and must keep id, tenant_id and entitlement_id.",
    .notes = "Each has its own receipt. What fails again is a new dead letter. Exit code 1 if any was not requeued.",
    .options = requeue_options,
    .max_args = 1000,
    .forms = {&form_uuid, &form_uuid},
    .check = check,
};

static const struct cli_verb discard = {
    .name = "deadletter discard",
    .arguments = "[ID…]",
    .about = "Gives dead letters up, by id or by filter. Their bytes are deleted; receipts and endings stay.",
    .notes = "--because is required: it stands in each receipt. Exit code 1 if any was not discarded.",
    .options = discard_options,
    .max_args = 1000,
    .forms = {&form_uuid, &form_uuid},
    .check = check,
};

enum { SCRATCH_MAX = 32 << 20, SHOWN = 20, RATE_DEFAULT = 100 };

struct resolution {
    struct cli *cli;
    struct session session;
    struct deadletter_set set;
    struct table *shown; /* the first ones of a filter */
    struct buf scratch, members;
    const char *word; /* "requeue" */
};

/* --- what is meant ----------------------------------------------------------------------------------------------- */

static int take_item(void *ctx, const struct json_doc *doc, const struct json_node *item)
{
    static const char *const columns[] = {"class", "reason", "tenant_id", "entitlement_id", "signal_id", "id"};
    struct resolution *r = ctx;
    if (item->type != JSON_OBJECT)
        return 0;
    deadletter_set_add(&r->set, out_text(doc, item, "id", &r->scratch));
    for (size_t i = 0; r->set.count <= SHOWN && i < sizeof(columns) / sizeof(columns[0]); i++)
        table_add(r->shown, out_text(doc, item, columns[i], &r->scratch));
    return 0;
}

static int find_all(struct resolution *r)
{
    struct buf path;
    buf_init(&path, 1 << 13);
    buf_add_str(&path, "/v1/deadletters");
    list_query(r->cli, &path);
    int code = session_list(&r->session, buf_cstr(&path), "deadletters", 0, take_item, r, NULL);
    buf_done(&path);
    return code;
}

static bool asked(const char *question)
{
    char answer[16] = "";
    fflush(stdout);
    fprintf(stderr, "%s [y/N] ", question);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* CLI_GO_ON, or the exit code when nothing is to be done. */
static int confirm(struct resolution *r)
{
    char question[80];
    if (!r->cli->arg_count && !r->cli->values[JSON]) {
        (void)table_print(r->shown);
        if (r->set.count > SHOWN)
            printf("… and %zu more\n", r->set.count - SHOWN);
    }
    if (r->cli->values[DRY_RUN]) {
        if (r->cli->values[JSON])
            printf("{\"dry_run\":true,\"matched\":%zu}\n", r->set.count);
        else
            printf("would %s %zu\n", r->word, r->set.count);
        return EXIT_OK;
    }
    snprintf(question, sizeof(question), "%s %zu dead letters?", r->word, r->set.count);
    if (!r->set.count || r->cli->arg_count || r->cli->values[YES] || asked(question))
        return CLI_GO_ON;
    return cli_fail(r->cli, EXIT_FAILED, "nothing was done");
}

/* --- what is sent ------------------------------------------------------------------------------------------------ */

/* The new signal into the members, after its difference has been shown. */
static int add_edit(struct resolution *r)
{
    const struct cli *cli = r->cli;
    struct buf text;
    bool yes = cli->values[YES] != NULL;
    buf_init(&text, SIGNAL_REVISION_MAX);
    int code = signal_revision_read(&r->session, cli->args[0], cli->values[EDIT], &text);
    if (!code && !yes && !isatty(STDIN_FILENO) && !cli->values[DRY_RUN])
        code = cli_wrong(cli, "nobody can be asked here: give --yes");
    if (!code && !yes && !cli->values[DRY_RUN] && !asked("Requeue it so?"))
        code = cli_fail(cli, EXIT_FAILED, "nothing was done");
    if (!code) {
        buf_addf(&r->members, "%s\"signal\":", r->members.len ? "," : "");
        buf_add_span(&r->members, buf_span(&text));
    }
    buf_done(&text);
    return code;
}

static void print_item(const struct resolution *r, const struct deadletter_item *item)
{
    const char *status = item->failed ? "rejected" : item->ended ? "applied" : "pending";
    if (!r->cli->values[JSON]) {
        if (item->failed)
            cli_note(r->cli, "%s: %s", item->id, item->reason);
        return;
    }
    struct buf line;
    buf_init(&line, 4096);
    buf_add_char(&line, '{');
    json_add_member(&line, "deadletter_id", span_of(item->id));
    json_add_member(&line, "command_id", span_of(item->command_id));
    json_add_member(&line, "status", span_of(status));
    if (item->failed)
        json_add_member(&line, "reason", span_of(item->reason));
    buf_add_char(&line, '}');
    out_line(buf_span(&line));
    buf_done(&line);
}

static int print_result(const struct resolution *r)
{
    size_t done = 0, failed = 0, pending = 0;
    for (size_t i = 0; i < r->set.count; i++) {
        const struct deadletter_item *item = &r->set.items[i];
        if (!item->given)
            continue;
        done += item->ended && !item->failed;
        failed += item->failed;
        pending += !item->ended;
        print_item(r, item);
    }
    if (!r->cli->values[JSON])
        printf("%zu %s%s, %zu failed, %zu pending\n", done, r->word, r->cli->verb == &requeue ? "d" : "ed", failed,
               pending);
    return failed || (pending && !r->cli->values[NO_WAIT]) ? EXIT_FAILED : EXIT_OK;
}

static int send_all(struct resolution *r)
{
    const struct cli *cli = r->cli;
    const struct deadletter_run run = {.cli = cli,
                                       .session = &r->session,
                                       .action = r->word,
                                       .operator= command_operator(cli, OPERATOR),
                                       .members = buf_span(&r->members),
                                       .rate = cli_number(cli, RATE, RATE_DEFAULT),
                                       .wait = !cli->values[NO_WAIT]};
    int code = deadletters_resolve(&run, &r->set);
    int result = print_result(r);
    return code ? code : result;
}

static int run(struct resolution *r)
{
    const struct cli *cli = r->cli;
    int code = 0;
    if (cli->values[BECAUSE]) {
        buf_add_str(&r->members, "\"reason\":");
        json_add_string(&r->members, span_of(cli->values[BECAUSE]));
    }
    for (int i = 0; i < cli->arg_count; i++)
        deadletter_set_add(&r->set, span_of(cli->args[i]));
    if (cli->verb == &requeue && (cli->values[EDIT] || cli->values[EDITOR]))
        code = add_edit(r);
    else if (!cli->arg_count)
        code = find_all(r);
    if (code)
        return code;
    code = confirm(r);
    return code == CLI_GO_ON ? send_all(r) : code;
}

static int resolve(const struct cli_verb *verb, int argc, char **argv)
{
    static const char *const headings[] = {"CLASS", "REASON", "TENANT", "ENTITLEMENT", "SIGNAL", "ID", NULL};
    struct cli cli;
    struct resolution r = {.cli = &cli, .word = strchr(verb->name, ' ') + 1};
    int code = session_begin(&r.session, &cli, verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    r.shown = table_new(headings);
    buf_init(&r.scratch, SCRATCH_MAX);
    buf_init(&r.members, SCRATCH_MAX);
    code = run(&r);
    table_free(r.shown);
    buf_done(&r.scratch);
    buf_done(&r.members);
    deadletter_set_done(&r.set);
    session_done(&r.session);
    return code;
}

int verb_deadletter_requeue(int argc, char **argv)
{
    return resolve(&requeue, argc, argv);
}

int verb_deadletter_discard(int argc, char **argv)
{
    return resolve(&discard, argc, argv);
}
