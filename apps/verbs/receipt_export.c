/* `tai receipt export`: the log of one shard up to its checkpoint, in the form of andon/export.h. With a tenant, other
 * tenants' receipts are their leaf hashes, and nothing else of them comes here: the tree stays whole. */
#include "andon/note.h"
#include "apps/outfile.h"
#include "apps/progress.h"
#include "apps/session.h"

#include <inttypes.h>
#include <stdlib.h>

enum { SHARD, TENANT, OUTPUT, SERVER };

static const struct cli_option options[] = {
    [SHARD] = {"shard", "N", "the log of this shard (default: the tenant's, or 0)", 0, true, 0, UINT32_MAX},
    [TENANT] = CLI_TENANT("only this tenant's receipts, of the others their hashes"),
    [OUTPUT] = {"output", "FILE", "where to (default: standard output); a file appears when it is whole", 'o'},
    [SERVER] = CLI_SERVER,
    {0},
};

static const struct cli_verb verb = {
    .name = "receipt export",
    .arguments = "",
    .about = "Writes the receipts of a log and its signed checkpoint to a file that anybody can verify offline.",
    .notes = "Verify it with: tai receipt verify FILE --vkey KEY. The key is shown by `tai status`; whoever verifies\n"
             "should have it from elsewhere than from the file.",
    .options = options,
};

enum { PATH_BYTES = 2048, NOTE_MAX = 65536, LINE_BYTES = 65536 };

struct exporter {
    const struct cli *cli;
    struct session session;
    struct outfile out;
    struct progress progress;
    struct buf scratch;
    struct buf note;
    uint64_t size; /* of the checkpoint */
    uint64_t next; /* index of the next receipt */
    uint64_t shown;
    char shard[16];
};

/* --- what stands before and behind the receipts ------------------------------------------------------------------ */

/* The shard given, or the one that holds the tenant's chain. */
static int choose_shard(struct exporter *e)
{
    const struct cli *cli = e->cli;
    snprintf(e->shard, sizeof(e->shard), "%" PRId64, cli_number(cli, SHARD, 0));
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
    if (cli->values[SHARD] && cli->numbers[SHARD] != shard)
        return cli_fail(cli, EXIT_FAILED, "the receipts of %s are in shard %" PRId64 ", not in %s", cli->values[TENANT],
                        shard, cli->values[SHARD]);
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
    struct span vkey = buf_span(&e->session.response.body);
    while (vkey.len && vkey.ptr[vkey.len - 1] == '\n')
        vkey.len--;
    if (!vkey.len || memchr(vkey.ptr, '\n', vkey.len))
        return session_strange(&e->session, "the answer is no public key");
    fprintf(e->out.file, "tai-export/1\nvkey %.*s\nshard %s\n", (int)vkey.len, vkey.ptr, e->shard);
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

static int write_export(struct exporter *e)
{
    struct error err;
    int code = choose_shard(e);
    code = code ? code : get_checkpoint(e);
    if (!code && outfile_open(&e->out, e->cli->values[OUTPUT], &err))
        return cli_fail(e->cli, EXIT_FAILED, "%s", err.text);
    code = code ? code : write_vkey(e);
    code = code ? code : write_receipts(e);
    if (code == 0)
        write_checkpoint(e);
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
    buf_init(&e.scratch, LINE_BYTES);
    buf_init(&e.note, NOTE_MAX);
    code = write_export(&e);
    const char *output = cli.values[OUTPUT];
    if (!code && output && strcmp(output, "-") != 0)
        printf("%s: %" PRIu64 " receipts%s%s from shard %s, %" PRIu64 " leaves under the checkpoint\n", output, e.shown,
               cli.values[TENANT] ? " of " : "", cli.values[TENANT] ? cli.values[TENANT] : "", e.shard, e.size);
    buf_done(&e.scratch);
    buf_done(&e.note);
    session_done(&e.session);
    return code;
}
