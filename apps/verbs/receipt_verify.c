/* `tai receipt verify`: offline, with nothing but the export and the public key. */
#include "andon/export.h"
#include "apps/cli.h"
#include "apps/output.h"
#include "apps/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { VKEY, JSON };

static const struct cli_option options[] = {
    [VKEY] = {"vkey", "KEY|@FILE", "the ledger's public key, or @ and the file that holds it (required)", 'k'},
    [JSON] = CLI_JSON,
    {0},
};

static const struct cli_verb verb = {
    .name = "receipt verify",
    .arguments = "FILE",
    .about = "Verifies an export (`-`: standard input): every receipt is well formed, every chain unbroken, and all\n"
             "of them are the tree whose root the checkpoint signs. Exit code 5 and the first bad receipt if not.",
    .notes = "Needs no server. The key named within the file is not trusted.\n"
             "Example: tai receipt verify ledger.txt --vkey @ledger.vkey",
    .options = options,
    .min_args = 1,
    .max_args = 1,
};

enum { VKEY_MAX = 1024 };

/* The key given, or the first line of the file given. */
static int read_vkey(const struct cli *cli, char ret[VKEY_MAX])
{
    const char *text = cli->values[VKEY];
    struct note_key *key;
    struct error err;
    if (!text)
        return cli_wrong(cli, "--vkey is missing: a proof is only as good as the key, so it must come from you");
    if (*text == '@') {
        FILE *file = fopen(text + 1, "re");
        if (!file)
            return cli_fail(cli, EXIT_USAGE, "cannot open %s: %s", text + 1, strerror(errno));
        bool read = fgets(ret, VKEY_MAX, file) != NULL;
        (void)fclose(file);
        if (!read)
            return cli_fail(cli, EXIT_USAGE, "%s holds no key", text + 1);
    } else {
        snprintf(ret, VKEY_MAX, "%s", text);
    }
    ret[strcspn(ret, " \r\n")] = '\0';
    if (note_key_from_vkey(span_of(ret), &key, &err))
        return cli_fail(cli, EXIT_USAGE, "--vkey: %s", err.text);
    note_key_free(key);
    return 0;
}

static int open_export(const struct cli *cli, FILE **ret, uint64_t *ret_size)
{
    const char *path = cli->args[0];
    struct stat st;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file)
        return cli_fail(cli, EXIT_FAILED, "cannot open %s: %s", path, strerror(errno));
    *ret_size = 0;
    if (fstat(fileno(file), &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            (void)fclose(file);
            return cli_fail(cli, EXIT_FAILED, "%s is a directory", path);
        }
        *ret_size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    }
    *ret = file;
    return 0;
}

static void on_progress(void *ctx, uint64_t bytes)
{
    progress_update(ctx, bytes);
}

static void print_json(const struct export_report *report, const char *why)
{
    struct buf out;
    char hex[SHA256_HEX];
    buf_init(&out, 1 << 16);
    hex_encode(report->root, sizeof(report->root), hex);
    buf_add_char(&out, '{');
    json_add_member_raw(&out, "verified", why ? SPAN("false") : SPAN("true"));
    if (why)
        json_add_member(&out, "reason", span_of(why));
    if (report->bad_index != UINT64_MAX)
        json_add_member_u64(&out, "bad_index", report->bad_index);
    if (*report->bad_receipt)
        json_add_member(&out, "bad_receipt", span_of(report->bad_receipt));
    json_add_member_u64(&out, "receipts", report->receipts);
    json_add_member_u64(&out, "leaves", report->leaves);
    json_add_member_u64(&out, "chains", report->chains);
    if (*report->origin)
        json_add_member(&out, "origin", span_of(report->origin));
    json_add_member(&out, "root", (struct span){hex, sizeof(hex)});
    buf_add_char(&out, '}');
    out_line(buf_span(&out));
    buf_done(&out);
}

static void print_proof(const struct cli *cli, const struct export_report *report, const char *vkey)
{
    char hex[SHA256_HEX];
    hex_encode(report->root, sizeof(report->root), hex);
    printf("%s is genuine and complete.\n\n", strcmp(cli->args[0], "-") == 0 ? "The export" : cli->args[0]);
    out_fieldf("receipts", "%" PRIu64 " in %" PRIu64 " chain%s, each linked to the one before it", report->receipts,
               report->chains, report->chains == 1 ? "" : "s");
    if (report->leaves > report->receipts)
        out_fieldf("hidden", "%" PRIu64 " receipts of others, present as hashes", report->leaves - report->receipts);
    out_fieldf("log", "%s, %" PRIu64 " leaves", report->origin, report->leaves);
    out_field("root", (struct span){hex, sizeof(hex)});
    out_fieldf("signed by", "%s", vkey);
}

int verb_receipt_verify(int argc, char **argv)
{
    struct cli cli;
    char vkey[VKEY_MAX];
    FILE *file = NULL;
    uint64_t size = 0;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    code = read_vkey(&cli, vkey);
    code = code ? code : open_export(&cli, &file, &size);
    if (code)
        return code;
    struct export_report report;
    struct error err;
    struct progress progress;
    progress_begin(&progress, "verifying", PROGRESS_BYTES, size);
    int rc = export_verify(file, span_of(vkey), on_progress, &progress, &report, &err);
    progress_hide(&progress);
    if (file != stdin)
        (void)fclose(file);
    if (cli.values[JSON])
        print_json(&report, rc ? err.text : NULL);
    else if (!rc)
        print_proof(&cli, &report, vkey);
    if (!rc)
        return EXIT_OK;
    return cli_fail(&cli, EXIT_BAD_PROOF, "%s does not verify: %s", cli.args[0], err.text);
}
