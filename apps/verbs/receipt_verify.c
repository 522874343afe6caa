/* `tai receipt verify`: receipts offline, with nothing but the public key: a bundle or a whole export, a receipt with
 * its proof, or a receipt as JWS. The first bytes of the file say which. */
#include "andon/ledger/bundle.h"
#include "andon/ledger/jws.h"
#include "andon/ledger/receipt.h"
#include "andon/ledger/tlog_proof.h"
#include "apps/cli/progress.h"
#include "apps/cli/verifying.h"
#include "common/lines.h"

#include <stdlib.h>

enum { VKEY, PROOF, JSON };

static const struct cli_option options[] = {
    [VKEY] = CLI_VKEY,
    [PROOF] = {"proof", "FILE", "FILE is one receipt (`tai receipt show --raw`), this its proof (`… show --proof`)",
               'p'},
    [JSON] = CLI_JSON,
    {0},
};

static const struct cli_verb verb = {
    .name = "receipt verify",
    .arguments = "FILE",
    .about =
        "Verifies receipts (`-`: standard input): what `tai receipt export` writes, a receipt with its proof, or a\n"
        "receipt as JWS (`tai receipt show --jws`). Exit code 5 and the first bad receipt if they are not genuine.",
    .notes = "Needs no server. The key named within the file is not trusted. Of a whole log, `tai ledger verify` also\n"
             "compares it with older checkpoints. Example: tai receipt verify bundle.txt --vkey @ledger.vkey",
    .options = options,
    .min_args = 1,
    .max_args = 1,
};

enum { RECEIPT_MAX = 34 << 20, PROOF_MAX = 1 << 20 };

static void on_progress(void *ctx, uint64_t bytes)
{
    progress_update(ctx, bytes);
}

/* That payload is a receipt; fills in what of it is reported. */
static int check_receipt(struct span payload, struct export_report *report, struct error *err)
{
    struct hasher *hasher = hasher_new();
    struct receipt_builder builder;
    struct receipt_fields fields;
    receipt_builder_init(&builder, hasher);
    int r = receipt_parse(&builder, payload, &fields, err);
    if (fields.receipt_id.len == UUID_TEXT && r)
        memcpy(report->bad_receipt, fields.receipt_id.ptr, UUID_TEXT);
    report->receipts = r ? 0 : 1;
    receipt_builder_done(&builder);
    hasher_free(hasher);
    return r;
}

static int verify_jws(struct span text, const struct verify_keys *keys, struct export_report *report, struct error *err)
{
    struct buf payload;
    buf_init(&payload, RECEIPT_MAX);
    int r = jws_verify(text, keys->keys, keys->count, &payload, err);
    if (!r)
        r = check_receipt(buf_span(&payload), report, err);
    buf_done(&payload);
    return r;
}

static int verify_proof(struct span receipt, struct span text, const struct verify_keys *keys,
                        struct export_report *report, struct error *err)
{
    struct tlog_proof proof;
    struct checkpoint checkpoint;
    struct hasher *hasher = hasher_new();
    uint8_t leaf[SHA256_SIZE];
    int r = tlog_proof_parse(text, &proof, err);
    if (!r)
        r = verify_checkpoint(keys, proof.checkpoint, &checkpoint, NULL, err);
    merkle_leaf(hasher, receipt, leaf);
    if (!r && !merkle_verify_inclusion(hasher, leaf, proof.index, checkpoint.size, &proof.proof, checkpoint.root))
        r = error_set(err, -1, "the receipt is not in the log at this place: it was changed, or its proof was");
    if (!r)
        r = check_receipt(receipt, report, err);
    if (!r) {
        report->leaves = checkpoint.size;
        memcpy(report->origin, checkpoint.origin, sizeof(report->origin));
        memcpy(report->root, checkpoint.root, SHA256_SIZE);
    }
    hasher_free(hasher);
    return r;
}

/* A receipt with --proof, or a JWS. */
static int verify_small(const struct cli *cli, FILE *file, const struct verify_keys *keys)
{
    struct export_report report = {.bad_index = UINT64_MAX};
    struct buf text, proof;
    struct span rest;
    struct error err = {0};
    char block[8192];
    size_t n;
    const char *what = cli->values[PROOF] ? "receipt" : "jws";
    buf_init(&text, RECEIPT_MAX);
    buf_init(&proof, PROOF_MAX);
    while (!text.failed && (n = fread(block, 1, sizeof(block), file)) > 0)
        buf_add(&text, block, n);
    int code = cli->values[PROOF] ? verifying_read(cli, cli->values[PROOF], &proof) : 0;
    int r = 0;
    if (!code && cli->values[PROOF])
        r = verify_proof(buf_span(&text), buf_span(&proof), keys, &report, &err);
    else if (!code && line_behind(buf_span(&text), "eyJ", &rest))
        r = verify_jws(buf_span(&text), keys, &report, &err);
    else if (!code)
        r = error_set(&err, -1, "it is no export, no bundle and no JWS; a receipt alone needs its --proof");
    code = code ? code : verifying_tell(cli, cli->args[0], what, &report, r ? err.text : NULL, cli->values[JSON]);
    buf_done(&text);
    buf_done(&proof);
    return code;
}

/* Whether the file begins with text, which is put back (glibc takes back any number of bytes). */
static bool peek(FILE *file, const char *text)
{
    char read[32];
    size_t len = strlen(text), n = fread(read, 1, len, file);
    bool same = n == len && memcmp(read, text, len) == 0;
    while (n)
        (void)ungetc((unsigned char)read[--n], file);
    return same;
}

static int verify_large(const struct cli *cli, FILE *file, uint64_t size, const struct verify_keys *keys, bool bundle)
{
    struct export_report report;
    struct error err;
    struct progress progress;
    const struct export_options with = {.keys = keys, .progress = on_progress, .ctx = &progress};
    progress_begin(&progress, "verifying", PROGRESS_BYTES, size);
    int r = bundle ? bundle_verify(file, &with, &report, &err) : export_verify(file, &with, &report, &err);
    progress_hide(&progress);
    return verifying_tell(cli, cli->args[0], bundle ? "bundle" : "export", &report, r ? err.text : NULL,
                          cli->values[JSON]);
}

int verb_receipt_verify(int argc, char **argv)
{
    struct cli cli;
    struct verify_keys keys = {0};
    FILE *file = NULL;
    uint64_t size = 0;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    code = verifying_keys(&cli, VKEY, &keys);
    code = code ? code : verifying_open(&cli, cli.args[0], &file, &size);
    if (!code)
        code = !cli.values[PROOF] && peek(file, "tai-")
                   ? verify_large(&cli, file, size, &keys, peek(file, BUNDLE_TITLE "\n"))
                   : verify_small(&cli, file, &keys);
    if (file && file != stdin)
        (void)fclose(file);
    verify_keys_done(&keys);
    return code;
}
