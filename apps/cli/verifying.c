/* Offline verification's command line. */
#include "apps/cli/verifying.h"

#include "andon/ledger/line_reader.h"
#include "apps/cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { VKEY_FILE_MAX = 1 << 16 };

static int add_key(const struct cli *cli, struct span text, struct verify_keys *keys)
{
    struct error err;
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    return text.len && verify_keys_add(keys, text, &err) ? cli_fail(cli, EXIT_USAGE, "--vkey: %s", err.text) : 0;
}

/* A key a line. */
static int add_file(const struct cli *cli, const char *path, struct verify_keys *keys)
{
    struct buf text;
    size_t before = keys->count;
    buf_init(&text, VKEY_FILE_MAX);
    int code = verifying_read(cli, path, &text) ? EXIT_USAGE : 0;
    struct span rest = buf_span(&text);
    while (!code && rest.len) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        code = add_key(cli, (struct span){rest.ptr, len}, keys);
        rest = (struct span){rest.ptr + len + (end ? 1 : 0), rest.len - len - (end ? 1 : 0)};
    }
    buf_done(&text);
    return code || keys->count > before ? code : cli_fail(cli, EXIT_USAGE, "%s holds no key", path);
}

int verifying_keys(const struct cli *cli, int option, struct verify_keys *ret)
{
    const char *value;
    int code = 0;
    for (int i = 0; !code && (value = cli_each(cli, option, i)); i++)
        code = *value == '@' ? add_file(cli, value + 1, ret) : add_key(cli, span_of(value), ret);
    if (code || ret->count)
        return code;
    return cli_wrong(cli, "--vkey is missing: a proof is only as good as the key, so it must come from you");
}

int verifying_open(const struct cli *cli, const char *path, FILE **ret, uint64_t *ret_size)
{
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

int verifying_read(const struct cli *cli, const char *path, struct buf *ret)
{
    char block[8192];
    FILE *file;
    uint64_t size;
    size_t n;
    int code = verifying_open(cli, path, &file, &size);
    if (code)
        return code;
    while (!ret->failed && (n = fread(block, 1, sizeof(block), file)) > 0)
        buf_add(ret, block, n);
    bool bad = ferror(file);
    if (file != stdin)
        (void)fclose(file);
    if (bad)
        return cli_fail(cli, EXIT_FAILED, "cannot read %s", path);
    return ret->failed ? cli_fail(cli, EXIT_FAILED, "%s is too long", path) : 0;
}

static void print_json(const char *path, const char *what, const struct export_report *report, const char *why)
{
    struct buf out;
    char hex[SHA256_HEX];
    buf_init(&out, 1 << 16);
    hex_encode(report->root, sizeof(report->root), hex);
    buf_add_char(&out, '{');
    json_add_member(&out, "file", span_of(path));
    json_add_member(&out, "what", span_of(what));
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

static void print_proof(const char *path, const char *what, const struct export_report *report)
{
    char hex[SHA256_HEX];
    hex_encode(report->root, sizeof(report->root), hex);
    bool whole = strcmp(what, "export") == 0;
    printf("%s is genuine%s.\n\n", strcmp(path, "-") == 0 ? "What was read" : path, whole ? " and complete" : "");
    if (whole)
        out_fieldf("receipts", "%" PRIu64 " in %" PRIu64 " chain%s, each linked to the one before it", report->receipts,
                   report->chains, report->chains == 1 ? "" : "s");
    else if (report->receipts)
        out_fieldf("receipts", "%" PRIu64 "%s", report->receipts,
                   *report->origin ? ", in the log at the place stated" : ", signed by the ledger's key");
    if (whole && report->leaves > report->receipts)
        out_fieldf("hidden", "%" PRIu64 " receipts of others, present as hashes", report->leaves - report->receipts);
    if (*report->origin) {
        out_fieldf("log", "%s, %" PRIu64 " leaves", report->origin, report->leaves);
        out_field("root", (struct span){hex, sizeof(hex)});
    }
}

int verifying_tell(const struct cli *cli, const char *path, const char *what, const struct export_report *report,
                   const char *why, bool json)
{
    if (json)
        print_json(path, what, report, why);
    else if (!why)
        print_proof(path, what, report);
    return why ? cli_fail(cli, EXIT_BAD_PROOF, "%s does not verify: %s", path, why) : EXIT_OK;
}
