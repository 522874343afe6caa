/* Wires the checks of the layers: files first, then SQLite's structure, then every row. What cannot be opened ends its
 * part, the rest is checked all the same. */
#include "apps/cli/check_data.h"
#include "andon/ledger/check.h"
#include "apps/cli/manifest.h"
#include "apps/cli/output.h"
#include "apps/cli/progress.h"
#include "apps/run/data_lock.h"
#include "jidoka/governor/governor.h"
#include "kanban/check.h"
#include "kanban/frame.h"
#include "store/sqlite/sqlite.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { PRINTED_MAX = 100 };

struct data_check {
    struct check check;
    bool json;
    const char *dir;
    char database[PATH_MAX + 16], key[PATH_MAX + 16], previous_key[PATH_MAX + 32];
    bool rotating; /* there is a previous key */
    const char *origin;
    struct progress progress;
    char label[64]; /* of the bar */
    uint64_t problems;
    uint64_t receipts, remembered;
};

/* --- what is printed --------------------------------------------------------------------------------------------- */

static void print_json(const char *kind, const struct check_problem *problem, const char *note)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    buf_add_char(&out, '{');
    json_add_key(&out, kind);
    buf_add_char(&out, '{');
    if (problem) {
        json_add_member(&out, "table", span_of(problem->table));
        if (*problem->row)
            json_add_member(&out, "row", span_of(problem->row));
        json_add_member(&out, "what", span_of(problem->what));
        json_add_member(&out, "todo", span_of(problem->todo));
    } else {
        json_add_member(&out, "text", span_of(note));
    }
    buf_add_str(&out, "}}");
    out_line(buf_span(&out));
    buf_done(&out);
}

static void on_problem(void *ctx, const struct check_problem *problem)
{
    struct data_check *self = ctx;
    if (self->problems++ >= PRINTED_MAX)
        return;
    progress_hide(&self->progress);
    if (self->json)
        print_json("problem", problem, NULL);
    else
        printf("%s%s%s: %s (%s)\n", problem->table, *problem->row ? ", " : "", problem->row, problem->what,
               problem->todo);
}

static void on_note(void *ctx, const char *text)
{
    struct data_check *self = ctx;
    progress_hide(&self->progress);
    if (self->json)
        print_json("note", NULL, text);
    else
        printf("note: %s\n", text);
}

static void on_step(void *ctx, const char *doing, uint64_t done, uint64_t total)
{
    struct data_check *self = ctx;
    if (strcmp(doing, self->label) != 0 || total != self->progress.total) {
        progress_hide(&self->progress);
        snprintf(self->label, sizeof(self->label), "%s", doing);
        progress_begin(&self->progress, self->label, PROGRESS_ITEMS, total);
    }
    progress_update(&self->progress, done);
}

static void print_summary(const struct data_check *self)
{
    if (self->json) {
        printf("{\"problems\":%" PRIu64 ",\"pages\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"receipts\":%" PRIu64
               ",\"signed\":%" PRIu64 "}\n",
               self->problems, self->check.pages, self->check.rows, self->receipts, self->remembered);
        return;
    }
    if (self->problems > PRINTED_MAX)
        printf("… and %" PRIu64 " more\n", self->problems - PRINTED_MAX);
    if (self->problems)
        printf("%s: %" PRIu64 " problem%s", self->dir, self->problems, self->problems == 1 ? "" : "s");
    else
        printf("%s: no problems", self->dir);
    printf(" in %" PRIu64 " pages, %" PRIu64 " rows, %" PRIu64 " receipts (%" PRIu64 " of them signed)\n",
           self->check.pages, self->check.rows, self->receipts, self->remembered);
}

/* --- the checks -------------------------------------------------------------------------------------------------- */

/* store_check.envelope: decodes it as the worker does; an id or hash the row does not have is not compared. */
static int check_envelope(const struct signal_row *row, struct error *err)
{
    static const uint8_t none[SHA256_SIZE];
    struct signal signal;
    const struct identity *identity = &row->identity;
    int r = frame_decode_envelope(row->envelope, row->bytes, &signal, err);
    if (r)
        return r;
    bool same = span_eq(signal.tenant_id, identity->tenant_id) &&
                span_eq(signal.entitlement_id, identity->entitlement_id) &&
                (!identity->id.len || (span_eq(signal.id, identity->id) && signal.redrive == identity->redrive)) &&
                (memcmp(row->sha256, none, SHA256_SIZE) == 0 || memcmp(row->sha256, signal.sha256, SHA256_SIZE) == 0);
    return same ? 0 : error_set(err, -EBADMSG, "it is of another signal");
}

static bool reading(void *ctx, uint64_t bytes)
{
    struct data_check *self = ctx;
    check_step(&self->check, "the backup's files", bytes >> 20, 0);
    return true;
}

/* A copy that was never run on must still be what its manifest says. */
static void check_manifest(struct data_check *self, bool ran)
{
    const struct manifest_watch watch = {.go_on = reading, .ctx = self};
    struct error err = {0};
    if (manifest_finished(self->dir, &err))
        check_problem(&self->check, MANIFEST_NAME, "", "remove this directory, make another backup", "%s", err.text);
    else if (!ran && manifest_verify(self->dir, &watch, NULL, &err) && manifest_in(self->dir))
        check_problem(&self->check, MANIFEST_NAME, "", "restore another backup", "%s", err.text);
}

static void check_rows(struct data_check *self, struct db_reader *reader)
{
    struct ledger_check *ledger = ledger_check_new(
        &(struct ledger_check_options){.check = &self->check,
                                       .state_dir = self->dir,
                                       .origin = self->origin,
                                       .key_file = self->key,
                                       .previous_key_file = self->rotating ? self->previous_key : NULL});
    struct store_check options = {.check = &self->check,
                                  .governor = governor_check,
                                  .envelope = check_envelope,
                                  .ledger = ledger,
                                  .shard = ledger_check_shard,
                                  .receipt = ledger_check_receipt,
                                  .outcome = ledger_check_outcome,
                                  .head = ledger_check_head};
    store_sqlite_check(reader, &options);
    ledger_check_end(ledger, &self->receipts, &self->remembered);
    kanban_sqlite_check(reader, options.partitions, &self->check);
    ledger_check_free(ledger);
}

static void check_database(struct data_check *self)
{
    struct db_reader *reader = NULL;
    struct error err = {0};
    db_check_log(self->database, &self->check);
    if (db_reader_open(self->database, &reader, &err))
        check_problem(&self->check, "(file)", "", CHECK_RESTORE, "%s", err.text);
    db_check_pages(self->database, reader, &self->check);
    if (!reader)
        return;
    db_reader_structure(reader, &self->check);
    int r = db_reader_schema(reader, store_sqlite_schema, &err);
    if (r)
        check_problem(&self->check, "(schema)", "", r == -ENOTSUP ? "see there" : CHECK_RESTORE,
                      "%s; the rows could not be checked", err.text);
    else
        check_rows(self, reader);
    db_reader_close(reader);
}

/* --- which files ------------------------------------------------------------------------------------------------- */

static bool exists(const char *dir, const char *name)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

/* In a backup all files lie together, wherever the configuration keeps them. */
static void locate(struct data_check *self, const struct config *config, bool backup)
{
    if (backup) {
        snprintf(self->database, sizeof(self->database), "%s/tai.db", self->dir);
        snprintf(self->key, sizeof(self->key), "%s/ledger.key", self->dir);
        snprintf(self->previous_key, sizeof(self->previous_key), "%s/ledger-previous.key", self->dir);
        self->rotating = exists(self->dir, "ledger-previous.key");
        return;
    }
    snprintf(self->database, sizeof(self->database), "%s", config->store.path);
    snprintf(self->key, sizeof(self->key), "%s", config->andon.ledger.key_file);
    self->rotating = config->andon.ledger.previous_key_file != NULL;
    if (self->rotating)
        snprintf(self->previous_key, sizeof(self->previous_key), "%s", config->andon.ledger.previous_key_file);
}

int check_data(const struct cli *cli, const struct config *config, bool json)
{
    struct data_check self = {.json = json, .dir = config->run.data, .origin = config->andon.ledger.origin};
    struct error err = {0};
    int lock = -1;
    self.check = (struct check){.problem = on_problem, .note = on_note, .step = on_step, .ctx = &self};
    bool ran = exists(self.dir, "lock");
    locate(&self, config, !ran && (manifest_in(self.dir) || manifest_finished(self.dir, NULL)));
    if (access(self.database, F_OK) < 0 && !exists(self.dir, "ledger.key") && !manifest_finished(self.dir, NULL))
        return cli_fail(cli, EXIT_NOT_FOUND, "there is no %s: %s is no data directory and no backup", self.database,
                        self.dir);
    int r = data_lock_try(self.dir, &lock, &err);
    if (r)
        return cli_fail(cli, r == -EBUSY ? EXIT_BUSY : EXIT_FAILED, "%s", err.text);
    check_manifest(&self, ran);
    check_database(&self);
    progress_hide(&self.progress);
    print_summary(&self);
    if (lock >= 0)
        close(lock);
    return self.problems ? EXIT_BAD_PROOF : EXIT_OK;
}
