/* `tai receipt show`: one receipt, for people or exactly as it was hashed. */
#include "apps/cli/output.h"
#include "apps/cli/session.h"
#include "common/hash.h"

#include <stdio.h>

enum { RAW, PROOF, JWS, JSON, SERVER };

static const struct cli_option options[] = {
    [RAW] = {"raw", NULL, "print exactly the hashed bytes, without a line feed"},
    [PROOF] = {"proof", NULL, "print the proof that it is in the log (C2SP tlog-proof, with the checkpoint)"},
    [JWS] = {"jws", NULL, "print it as JWS, signed with the ledger's key"},
    [JSON] = {"json", NULL, "print the hashed bytes and a line feed"},
    [SERVER] = CLI_SERVER,
    {0},
};

static int check(const struct cli *cli)
{
    int forms = !!cli->values[RAW] + !!cli->values[PROOF] + !!cli->values[JWS] + !!cli->values[JSON];
    return forms > 1 ? cli_wrong(cli, "--raw, --proof, --jws and --json are different forms: give one of them")
                     : CLI_GO_ON;
}

static const struct cli_verb verb = {
    .name = "receipt show",
    .arguments = "RECEIPT_ID",
    .about = "Shows one receipt and the hash over its bytes.",
    .notes = "`tai receipt show ID --raw | sha256sum` gives the receipt's hash, which the next receipt of its chain\n"
             "names as previous_hash. `tai receipt verify` verifies the three forms offline.",
    .options = options,
    .check = check,
    .min_args = 1,
    .max_args = 1,
    .forms = {&form_uuid},
};

enum { PATH_BYTES = 1024, SCRATCH_MAX = 65536 };

static void print_hash(struct span bytes)
{
    struct hasher *hasher = hasher_new();
    uint8_t hash[SHA256_SIZE];
    char hex[SHA256_HEX];
    hasher_sha256(hasher, bytes, hash);
    hex_encode(hash, sizeof(hash), hex);
    out_field("hash", (struct span){hex, sizeof(hex)});
    hasher_free(hasher);
}

static void print_receipt(const struct json_doc *doc, struct buf *scratch)
{
    static const char *const names[][2] = {{"receipt", "receipt_id"},
                                           {"type", "type"},
                                           {"ending", "ending"},
                                           {"reason", "reason"},
                                           {"tenant", "tenant_id"},
                                           {"entitlement", "entitlement_id"},
                                           {"signal", "signal_id"},
                                           {"redrive", "redrive"},
                                           {"signal hash", "signal_sha256"},
                                           {"action id", "action_id"},
                                           {"policy", "policy"},
                                           {"config", "config_sha256"},
                                           {"state before", "state_before"},
                                           {"state after", "state_after"},
                                           {"body", "body"},
                                           {"chain", "chain"},
                                           {"seq", "seq"},
                                           {"previous", "previous_hash"}};
    char time[OUT_TIME];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        out_field(names[i][0], out_text(doc, &doc->nodes[0], names[i][1], scratch));
        if (i == 0)
            out_fieldf("time", "%s", out_time(out_int(doc, &doc->nodes[0], "timestamp", 0), time));
    }
    print_hash(doc->text);
}

int verb_receipt_show(int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf buf;
    int code = session_begin(&session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    buf_init(&buf, SCRATCH_MAX);
    buf_add_str(&buf, "/v1/receipts");
    url_segment(&buf, span_of(cli.args[0]));
    bool as_it_is = cli.values[PROOF] || cli.values[JWS];
    if (as_it_is) {
        buf_add_str(&buf, cli.values[PROOF] ? "/tlog-proof" : "/jws");
        code = session_get(&session, buf_cstr(&buf), "such receipt");
    } else {
        code = session_get_json(&session, buf_cstr(&buf), "such receipt");
    }
    if (!code && (cli.values[RAW] || as_it_is))
        fwrite(session.response.body.data, 1, session.response.body.len, stdout);
    else if (!code && cli.values[JSON])
        out_line(buf_span(&session.response.body));
    else if (!code)
        print_receipt(&session.doc, &buf);
    if (!code && cli.values[JWS])
        putchar('\n');
    buf_done(&buf);
    session_done(&session);
    return code;
}
