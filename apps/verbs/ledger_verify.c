/* `tai ledger verify`: whole exports offline, compared with checkpoints kept from earlier days; or, without an export,
 * the running ledger: its checkpoint now, and the proof that it extends those. */
#include "andon/ledger/merkle_proof.h"
#include "apps/cli/outfile.h"
#include "apps/cli/progress.h"
#include "apps/cli/session.h"
#include "apps/cli/verifying.h"

#include <inttypes.h>
#include <stdlib.h>

enum { VKEY, CHECKPOINT, OUTPUT, JSON, SERVER };

static const struct cli_option options[] = {
    [VKEY] = CLI_VKEY,
    [CHECKPOINT] = {.name = "checkpoint",
                    .value = "FILE",
                    .help = "a checkpoint kept from earlier: the log must extend it (may be repeated)",
                    .letter = 'c',
                    .many = CLI_MANY_MAX},
    [OUTPUT] = {"output", "FILE", "without an export: where to keep the checkpoint that was verified", 'o'},
    [JSON] = CLI_JSON,
    [SERVER] = CLI_SERVER,
    {0},
};

static const struct cli_verb verb = {
    .name = "ledger verify",
    .arguments = "[FILE…]",
    .about =
        "Verifies exports of whole logs (`-`: standard input): every receipt is well formed, every chain unbroken,\n"
        "and all of them are the tree whose root the checkpoint signs. Exit code 5 and the first bad receipt if\n"
        "not. Without an export: asks andon for its checkpoint and for the proof that it extends those kept.",
    .notes = "With an export it needs no server. The key named within the file is not trusted. Today, and once a day:\n"
             "  tai ledger verify --vkey @ledger.vkey --checkpoint yesterday --output today",
    .options = options,
    .min_args = 0,
    .max_args = 100,
};

enum { NOTE_MAX = 1 << 20, PATH_BYTES = 512 };

struct olds {
    struct export_old items[CLI_MANY_MAX];
    size_t count;
};

static int read_olds(const struct cli *cli, const struct verify_keys *keys, struct olds *ret)
{
    const char *path;
    int code = 0;
    for (int i = 0; !code && (path = cli_each(cli, CHECKPOINT, i)); i++) {
        struct buf note;
        struct error err;
        struct export_old *old = &ret->items[ret->count++];
        old->name = path;
        buf_init(&note, NOTE_MAX);
        code = verifying_read(cli, path, &note);
        if (!code && verify_checkpoint(keys, buf_span(&note), &old->checkpoint, NULL, &err))
            code = cli_fail(cli, EXIT_BAD_PROOF, "%s does not verify: %s", path, err.text);
        buf_done(&note);
    }
    return code;
}

static void on_progress(void *ctx, uint64_t bytes)
{
    progress_update(ctx, bytes);
}

static int verify_export(const struct cli *cli, const char *path, const struct verify_keys *keys,
                         const struct olds *olds)
{
    struct export_report report;
    struct error err;
    struct progress progress;
    FILE *file;
    uint64_t size;
    int code = verifying_open(cli, path, &file, &size);
    if (code)
        return code;
    const struct export_options with = {
        .keys = keys, .olds = olds->items, .old_count = olds->count, .progress = on_progress, .ctx = &progress};
    progress_begin(&progress, "verifying", PROGRESS_BYTES, size);
    int r = export_verify(file, &with, &report, &err);
    progress_hide(&progress);
    if (file != stdin)
        (void)fclose(file);
    return verifying_tell(cli, path, "export", &report, r ? err.text : NULL, cli->values[JSON]);
}

/* --- the running ledger ------------------------------------------------------------------------------------------- */

/* The shard an origin belongs to: what follows the key's name. */
static uint32_t shard_of_origin(const char *origin, const struct verify_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        size_t len = strlen(note_key_name(keys->keys[i]));
        if (strncmp(origin, note_key_name(keys->keys[i]), len) == 0 && origin[len] == '/')
            return (uint32_t)strtoul(origin + len + 1, NULL, 10);
    }
    return 0;
}

static bool read_hashes(const struct json_doc *doc, struct merkle_proof *ret)
{
    const struct json_node *hashes = json_get(doc, &doc->nodes[0], "hashes");
    ret->count = 0;
    if (!hashes || hashes->type != JSON_ARRAY || hashes->count > MERKLE_PROOF_MAX)
        return false;
    for (const struct json_node *node = json_first(doc, hashes); node; node = json_next(doc, hashes, node))
        if (base64_decode(json_text(doc, node, NULL), ret->hashes[ret->count++], SHA256_SIZE) != SHA256_SIZE)
            return false;
    return true;
}

/* Asks for the proof from old to now, and verifies it. */
static int check_old(struct session *session, const struct export_old *old, const struct checkpoint *now,
                     uint32_t shard)
{
    struct buf path;
    struct merkle_proof proof;
    struct hasher *hasher = hasher_new();
    const struct checkpoint *from = &old->checkpoint;
    int code = 0;
    buf_init(&path, PATH_BYTES);
    buf_addf(&path, "/v1/ledger/consistency?shard=%" PRIu32 "&old=%" PRIu64 "&new=%" PRIu64, shard, from->size,
             now->size);
    if (from->size > now->size) {
        code = cli_fail(session->cli, EXIT_BAD_PROOF, "the log holds %" PRIu64 " receipts, %s covers %" PRIu64,
                        now->size, old->name, from->size);
    } else if (from->size) { /* any log extends the empty one */
        code = session_get_json(session, buf_cstr(&path), NULL);
        if (!code && !read_hashes(&session->doc, &proof))
            code = session_strange(session, "the answer is no proof");
        if (!code && !merkle_verify_consistency(hasher, from->size, from->root, now->size, now->root, &proof))
            code =
                cli_fail(session->cli, EXIT_BAD_PROOF,
                         "the log does not extend the %" PRIu64 " receipts that %s was signed over: it was rewritten, "
                         "or the proof is false",
                         from->size, old->name);
    }
    hasher_free(hasher);
    buf_done(&path);
    return code;
}

static int keep(const struct cli *cli, struct span note)
{
    struct outfile out;
    struct error err;
    if (!cli->values[OUTPUT])
        return 0;
    int r = outfile_open(&out, cli->values[OUTPUT], &err);
    if (!r) {
        fwrite(note.ptr, 1, note.len, out.file);
        r = outfile_commit(&out, &err);
    }
    return r ? cli_fail(cli, EXIT_FAILED, "%s", err.text) : 0;
}

static int verify_running(struct session *session, const struct verify_keys *keys, const struct olds *olds)
{
    const struct cli *cli = session->cli;
    struct export_report report = {.bad_index = UINT64_MAX};
    struct checkpoint now;
    struct buf path, note;
    struct error err;
    uint32_t shard = olds->count ? shard_of_origin(olds->items[0].checkpoint.origin, keys) : 0;
    buf_init(&path, PATH_BYTES);
    buf_init(&note, NOTE_MAX);
    buf_addf(&path, "/checkpoint?shard=%" PRIu32, shard);
    int code = session_get(session, buf_cstr(&path), NULL);
    if (!code)
        buf_add_span(&note, buf_span(&session->response.body));
    if (!code && verify_checkpoint(keys, buf_span(&note), &now, NULL, &err))
        code = cli_fail(cli, EXIT_BAD_PROOF, "the checkpoint of %s does not verify: %s", client_url(session->client),
                        err.text);
    for (size_t i = 0; !code && i < olds->count; i++) {
        if (strcmp(olds->items[i].checkpoint.origin, now.origin) != 0)
            code = cli_fail(cli, EXIT_BAD_PROOF, "%s is a checkpoint of the log %s, not of %s", olds->items[i].name,
                            olds->items[i].checkpoint.origin, now.origin);
        code = code ? code : check_old(session, &olds->items[i], &now, shard);
    }
    code = code ? code : keep(cli, buf_span(&note));
    if (!code) {
        report.leaves = now.size;
        memcpy(report.origin, now.origin, sizeof(report.origin));
        memcpy(report.root, now.root, SHA256_SIZE);
        code = verifying_tell(cli, client_url(session->client), "checkpoint", &report, NULL, cli->values[JSON]);
    }
    buf_done(&path);
    buf_done(&note);
    return code;
}

int verb_ledger_verify(int argc, char **argv)
{
    struct session session;
    struct cli cli;
    struct verify_keys keys = {0};
    struct olds olds = {.count = 0};
    int code = session_begin(&session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    code = verifying_keys(&cli, VKEY, &keys);
    code = code ? code : read_olds(&cli, &keys, &olds);
    if (!code && cli.arg_count && cli.values[OUTPUT])
        code = cli_wrong(&cli, "--output keeps the checkpoint of a running ledger: it is for use without an export");
    else if (!code && cli.arg_count == 0)
        code = verify_running(&session, &keys, &olds);
    for (int i = 0; !code && i < cli.arg_count; i++)
        code = verify_export(&cli, cli.args[i], &keys, &olds);
    verify_keys_done(&keys);
    session_done(&session);
    return code;
}
