/* `tai receipt export`: the log of one shard up to its checkpoint, in the form of andon/ledger/export.h; or, of a
 * selection, each receipt with its proof, in that of andon/ledger/bundle.h. Both verify offline. */
#include "andon/ledger/bundle.h"
#include "apps/cli/list.h"
#include "apps/cli/outfile.h"
#include "apps/cli/progress.h"
#include "apps/cli/session.h"
#include "common/lines.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>

enum { SHARD, TENANT, SINCE, BEFORE, WHOLE_LOG, OUTPUT, SERVER };

static const struct cli_option options[] = {
    [SHARD] = {"shard", "N", "the log of this shard (default: the selection's, or 0)", 0, true, 0, UINT32_MAX},
    [TENANT] = CLI_TENANT("only this tenant's receipts, with their proofs"),
    [SINCE] = CLI_SINCE,
    [BEFORE] = CLI_BEFORE,
    [WHOLE_LOG] = {"whole-log", NULL, "with --tenant: the whole log, the other tenants' receipts as their hashes"},
    [OUTPUT] = {"output", "FILE", "where to (default: standard output); a file appears when it is whole", 'o'},
    [SERVER] = CLI_SERVER,
    {0},
};

/* Not the whole log. */
static bool selects(const struct cli *cli)
{
    return cli->arg_count || cli->values[SINCE] || cli->values[BEFORE] ||
           (cli->values[TENANT] && !cli->values[WHOLE_LOG]);
}

static int check(const struct cli *cli)
{
    if (cli->arg_count && (cli->values[TENANT] || cli->values[SINCE] || cli->values[BEFORE] || cli->values[SHARD]))
        return cli_wrong(cli, "receipts are named by their ids or selected by options, not both");
    if (cli->values[TENANT] && cli->values[SHARD])
        return cli_wrong(cli, "--tenant names one chain, --shard a whole log: give one of them");
    if (cli->values[WHOLE_LOG] && (!cli->values[TENANT] || selects(cli)))
        return cli_wrong(cli, "--whole-log goes with --tenant, and with nothing else that selects");
    return CLI_GO_ON;
}

static const struct cli_verb verb = {
    .name = "receipt export",
    .arguments = "[RECEIPT_ID…]",
    .about = "Writes the receipts of a log and its signed checkpoint to a file that anybody can verify offline; of a\n"
             "selection, each receipt with the proof that it is in the log.",
    .notes = "Verify it with: tai receipt verify FILE --vkey KEY. The key is shown by `tai status`; whoever verifies\n"
             "should have it from elsewhere than from the file.",
    .options = options,
    .check = check,
    .max_args = 10000,
    .forms = {&form_uuid, &form_uuid},
};

enum { PATH_BYTES = 2048, NOTE_MAX = 65536, LINE_BYTES = 65536 };

struct named {
    const char *id;
    int64_t index;
};

struct exporter {
    const struct cli *cli;
    struct session session;
    struct session proofs; /* of a selection: asked while a list is being read */
    struct outfile out;
    const char *title;
    struct named *named; /* the receipts named, in the order of the log */
    struct progress progress;
    struct buf scratch;
    struct buf note;
    uint64_t size; /* of the checkpoint */
    uint64_t next; /* index of the next receipt */
    uint64_t shown;
    char shard[16];
};

/* --- what stands before and behind the receipts ------------------------------------------------------------------ */

/* The proof of a receipt in the tree of the checkpoint, or (size 0) in the newest, in proofs.doc. */
static int get_proof(struct exporter *e, struct span receipt_id, uint64_t size)
{
    buf_clear(&e->scratch);
    buf_add_str(&e->scratch, "/v1/receipts");
    url_segment(&e->scratch, receipt_id);
    buf_add_str(&e->scratch, "/proof");
    if (size)
        buf_addf(&e->scratch, "?size=%" PRIu64, size);
    return session_get_json(&e->proofs, buf_cstr(&e->scratch), "such receipt");
}

static int by_index(const void *a, const void *b)
{
    const struct named *first = a, *second = b;
    return (first->index > second->index) - (first->index < second->index);
}

/* Where the receipts named are; waits until a checkpoint covers them. */
static int choose_named(struct exporter *e)
{
    size_t count = (size_t)e->cli->arg_count;
    const struct json_doc *doc = &e->proofs.doc;
    int code = 0;
    e->named = xcalloc(count, sizeof(*e->named));
    for (size_t i = 0; !code && i < count; i++) {
        int64_t shard;
        e->named[i].id = e->cli->args[i];
        code = get_proof(e, span_of(e->named[i].id), 0);
        if (!code && (json_int(doc, json_get(doc, &doc->nodes[0], "shard"), 0, UINT32_MAX, &shard) ||
                      json_int(doc, json_get(doc, &doc->nodes[0], "index"), 0, INT64_MAX, &e->named[i].index)))
            code = session_strange(&e->proofs, "the answer is no proof");
        if (!code)
            snprintf(e->shard, sizeof(e->shard), "%" PRId64, shard);
    }
    if (!code)
        qsort(e->named, count, sizeof(*e->named), by_index);
    return code;
}

/* The shard given, or the one that holds the tenant's chain, or the first receipt named. */
static int choose_shard(struct exporter *e)
{
    const struct cli *cli = e->cli;
    snprintf(e->shard, sizeof(e->shard), "%" PRId64, cli_number(cli, SHARD, 0));
    if (cli->arg_count)
        return choose_named(e);
    if (!cli->values[TENANT])
        return 0;
    buf_clear(&e->scratch);
    buf_add_str(&e->scratch, "/v1/receipts?limit=1");
    url_query(&e->scratch, "tenant_id", span_of(cli->values[TENANT]));
    int code = session_get_json(&e->session, buf_cstr(&e->scratch), NULL);
    if (code)
        return code;
    const struct json_doc *doc = &e->session.doc;
    const struct json_node *receipts = json_get(doc, &doc->nodes[0], "receipts");
    int64_t shard;
    if (!receipts || json_int(doc, json_get(doc, &doc->nodes[0], "shard"), 0, UINT32_MAX, &shard))
        return session_strange(&e->session, "the answer does not name the tenant's shard");
    if (receipts->count == 0)
        return cli_fail(cli, EXIT_NOT_FOUND, "there are no receipts of %s", cli->values[TENANT]);
    snprintf(e->shard, sizeof(e->shard), "%" PRId64, shard);
    return 0;
}

static int write_vkey(struct exporter *e)
{
    int code = session_get(&e->session, "/v1/ledger/vkey", NULL);
    if (code)
        return code;
    struct span body = buf_span(&e->session.response.body), vkey; /* the first is the one that signs */
    if (!line_take(&body, &vkey) || !vkey.len)
        return session_strange(&e->session, "the answer is no public key");
    fprintf(e->out.file, "%s\nvkey %.*s\nshard %s\n", e->title, (int)vkey.len, vkey.ptr, e->shard);
    return 0;
}

/* The size stands in the second line; whoever verifies checks the signature. */
static int get_checkpoint(struct exporter *e)
{
    buf_clear(&e->scratch);
    buf_add_str(&e->scratch, "/checkpoint");
    url_query(&e->scratch, "shard", span_of(e->shard));
    int code = session_get(&e->session, buf_cstr(&e->scratch), NULL);
    if (code)
        return code;
    buf_add_span(&e->note, buf_span(&e->session.response.body));
    const char *text = buf_cstr(&e->note);
    const char *line = strchr(text, '\n');
    char *end = NULL;
    if (line && line[1] >= '0' && line[1] <= '9')
        e->size = strtoull(line + 1, &end, 10);
    if (!end || *end != '\n' || text[e->note.len - 1] != '\n' || strlen(text) != e->note.len)
        return session_strange(&e->session, "the answer is no checkpoint");
    return 0;
}

static void write_checkpoint(struct exporter *e)
{
    for (const char *line = buf_cstr(&e->note); *line; line += strcspn(line, "\n") + 1)
        fprintf(e->out.file, "c %.*s\n", (int)strcspn(line, "\n"), line);
}

/* --- receipts ---------------------------------------------------------------------------------------------------- */

/* Leaves its text in scratch. */
static bool is_hash(struct exporter *e, const struct json_doc *doc, const struct json_node *node)
{
    uint8_t hash[SHA256_SIZE];
    buf_clear(&e->scratch);
    return json_string(doc, node, &e->scratch) == 0 && e->scratch.len == SHA256_HEX &&
           hex_decode(buf_span(&e->scratch), hash, sizeof(hash));
}

/* The receipt, or of another tenant's the hash of its leaf. */
static int write_receipt(void *ctx, const struct json_doc *doc, const struct json_node *item)
{
    struct exporter *e = ctx;
    bool object = item->type == JSON_OBJECT;
    const struct json_node *receipt = object ? json_get(doc, item, "receipt") : NULL;
    const struct json_node *leaf = object && !receipt ? json_get(doc, item, "leaf_hash") : NULL;
    int64_t index;
    if (leaf && !e->cli->values[TENANT])
        return cli_fail(e->cli, EXIT_DENIED, "the token is bound to one tenant: name it with --tenant");
    if (!(leaf ? is_hash(e, doc, leaf) : receipt && receipt->type == JSON_OBJECT) ||
        json_int(doc, json_get(doc, item, "index"), 0, INT64_MAX, &index))
        return session_strange(&e->session, "the answer holds no receipts");
    if ((uint64_t)index != e->next)
        return cli_fail(e->cli, EXIT_FAILED,
                        "receipt %" PRIu64 " of the log is missing: the next one has index %" PRId64, e->next, index);
    if (receipt) {
        struct span bytes = json_raw(doc, receipt);
        fprintf(e->out.file, "r %.*s\n", (int)bytes.len, bytes.ptr);
        e->shown++;
    } else {
        fprintf(e->out.file, "h %s\n", buf_cstr(&e->scratch));
    }
    progress_update(&e->progress, ++e->next);
    if (ferror(e->out.file)) /* the disk is full: outfile_commit says so */
        return EXIT_FAILED;
    return 0;
}

static int write_receipts(struct exporter *e)
{
    if (!e->size)
        return 0;
    buf_clear(&e->scratch);
    buf_add_str(&e->scratch, "/v1/receipts");
    url_query(&e->scratch, "shard", span_of(e->shard));
    url_query(&e->scratch, "tenant_id", span_of(e->cli->values[TENANT]));
    char *path = buf_take(&e->scratch);
    progress_begin(&e->progress, "exporting receipts", PROGRESS_ITEMS, e->size);
    int code = session_list(&e->session, path, "receipts", e->size, write_receipt, e, NULL);
    progress_hide(&e->progress);
    free(path);
    if (!code && e->next < e->size)
        code = cli_fail(e->cli, EXIT_FAILED,
                        "the log holds %" PRIu64 " receipts, its checkpoint covers %" PRIu64 ": some are missing",
                        e->next, e->size);
    return code;
}

/* --- a selection -------------------------------------------------------------------------------------------------- */

static int write_proof(struct exporter *e, struct span receipt)
{
    const struct json_doc *doc = &e->proofs.doc;
    const struct json_node *root = &doc->nodes[0], *hashes = json_get(doc, root, "hashes");
    struct merkle_proof proof = {0};
    int64_t index = -1, shard = -1;
    bool good = hashes && hashes->type == JSON_ARRAY && hashes->count <= MERKLE_LEVELS &&
                !json_int(doc, json_get(doc, root, "index"), 0, INT64_MAX, &index) &&
                !json_int(doc, json_get(doc, root, "shard"), 0, UINT32_MAX, &shard);
    for (const struct json_node *node = good ? json_first(doc, hashes) : NULL; node;
         node = json_next(doc, hashes, node))
        good =
            good && base64_decode(json_text(doc, node, NULL), proof.hashes[proof.count++], SHA256_SIZE) == SHA256_SIZE;
    if (!good)
        return session_strange(&e->proofs, "the answer is no proof");
    if (shard != strtol(e->shard, NULL, 10))
        return cli_fail(e->cli, EXIT_FAILED,
                        "the receipts are of different logs (shards %s and %" PRId64 "): export them one by one",
                        e->shard, shard);
    buf_clear(&e->scratch);
    bundle_write_proof(&e->scratch, (uint64_t)index, &proof);
    fprintf(e->out.file, "r %.*s\n%.*s", (int)receipt.len, receipt.ptr, (int)e->scratch.len, e->scratch.data);
    progress_update(&e->progress, ++e->shown);
    return ferror(e->out.file) ? EXIT_FAILED : 0;
}

/* One of a list: those behind the checkpoint are left out, they are too young. */
static int write_listed(void *ctx, const struct json_doc *doc, const struct json_node *item)
{
    struct exporter *e = ctx;
    const struct json_node *receipt = item->type == JSON_OBJECT ? json_get(doc, item, "receipt") : NULL;
    const struct json_node *id = receipt ? json_get(doc, receipt, "receipt_id") : NULL;
    int64_t index;
    if (!id || id->type != JSON_STRING || json_int(doc, json_get(doc, item, "index"), 0, INT64_MAX, &index))
        return session_strange(&e->session, "the answer holds no receipts");
    if ((uint64_t)index >= e->size)
        return 0;
    int code = get_proof(e, json_text(doc, id, NULL), e->size);
    return code ? code : write_proof(e, json_raw(doc, receipt));
}

/* In the order of the log, each once. */
static int write_named(struct exporter *e)
{
    size_t count = (size_t)e->cli->arg_count;
    const struct named *named = e->named;
    int code = 0;
    for (size_t i = 0; !code && i < count; i++) {
        if (i && named[i].index == named[i - 1].index)
            continue;
        buf_clear(&e->scratch);
        buf_add_str(&e->scratch, "/v1/receipts");
        url_segment(&e->scratch, span_of(named[i].id));
        code = session_get(&e->session, buf_cstr(&e->scratch), "such receipt");
        code = code ? code : get_proof(e, span_of(named[i].id), e->size);
        code = code ? code : write_proof(e, buf_span(&e->session.response.body));
    }
    return code;
}

static int write_selection(struct exporter *e)
{
    const struct cli *cli = e->cli;
    write_checkpoint(e);
    progress_begin(&e->progress, "exporting receipts", PROGRESS_ITEMS, cli->arg_count);
    int code = 0;
    if (cli->arg_count) {
        code = write_named(e);
    } else if (e->size) {
        struct buf path;
        buf_init(&path, PATH_BYTES);
        buf_add_str(&path, "/v1/receipts");
        list_query(cli, &path);
        code = session_list(&e->session, buf_cstr(&path), "receipts", 0, write_listed, e, NULL);
        buf_done(&path);
    }
    progress_hide(&e->progress);
    fprintf(e->out.file, "end %" PRIu64 "\n", e->shown);
    return code;
}

static int write_log(struct exporter *e)
{
    int code = write_receipts(e);
    if (!code)
        write_checkpoint(e);
    return code;
}

static int write_export(struct exporter *e)
{
    struct error err;
    int code = choose_shard(e);
    code = code ? code : get_checkpoint(e);
    if (!code && outfile_open(&e->out, e->cli->values[OUTPUT], &err))
        return cli_fail(e->cli, EXIT_FAILED, "%s", err.text);
    code = code ? code : write_vkey(e);
    code = code ? code : selects(e->cli) ? write_selection(e) : write_log(e);
    if (e->out.file && (code == 0 || ferror(e->out.file))) {
        if (outfile_commit(&e->out, &err))
            return cli_fail(e->cli, EXIT_FAILED, "%s", err.text);
    }
    outfile_drop(&e->out);
    return code;
}

int verb_receipt_export(int argc, char **argv)
{
    struct cli cli;
    struct exporter e = {.cli = &cli};
    int code = session_begin(&e.session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    code = session_begin(&e.proofs, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON) {
        session_done(&e.session);
        return code;
    }
    e.title = selects(&cli) ? BUNDLE_TITLE : "tai-export/1";
    buf_init(&e.scratch, LINE_BYTES);
    buf_init(&e.note, NOTE_MAX);
    code = write_export(&e);
    const char *output = cli.values[OUTPUT];
    if (!code && output && strcmp(output, "-") != 0)
        printf("%s: %" PRIu64 " receipts%s%s from shard %s, %" PRIu64 " leaves under the checkpoint\n", output, e.shown,
               cli.values[TENANT] ? " of " : "", cli.values[TENANT] ? cli.values[TENANT] : "", e.shard, e.size);
    buf_done(&e.scratch);
    buf_done(&e.note);
    free(e.named);
    session_done(&e.proofs);
    session_done(&e.session);
    return code;
}
