/* `tai key new`: secrets are made here, from the kernel's random bytes, and shown once or written to a new file that
 * only its owner can read. Nothing is ever overwritten, and no server is asked. */
#include "andon/ledger/note.h"
#include "apps/cli/cli.h"
#include "apps/cli/output.h"
#include "common/clock.h"
#include "common/hash.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAME, ROLE, TENANT, EXPIRES, OUT, JSON };

static const struct cli_option options[] = {
    [NAME] = {"name", "NAME", "token: who uses it; signing: the key's id; ledger: ledger.origin"},
    [ROLE] = {"role", "ROLE", "token: viewer, operator, auditor or publisher; signing: publisher or marketplace"},
    [TENANT] = {"tenant", "TENANT", "the one tenant it is for, or '*' for all", 't'},
    [EXPIRES] = {"expires", "WHEN", "token: a time such as 2027-01-31T00:00:00Z, or days from now such as 90d"},
    [OUT] = {"out", "FILE", "write the secret to this new file (mode 0600), not to the terminal"},
    [JSON] = CLI_JSON,
    {0},
};

static int check(const struct cli *cli);

static const struct cli_verb verb = {
    .name = "key new",
    .arguments = "token|signing|ledger",
    .about = "Makes a new secret, and prints what belongs in the configuration.\n\n"
             "  token    lets somebody use andon: for the file of andon.tokens_file, which holds only its hash\n"
             "  signing  lets a publisher post signals: an HMAC secret, for `keys` of the configuration\n"
             "  ledger   signs checkpoints (Ed25519): a key file, for ledger.key_file; takes --out",
    .notes = "After a change of tokens or keys, SIGHUP makes `tai run` take it over.\n"
             "What a token may do: docs/security.md.",
    .options = options,
    .check = check,
    .min_args = 1,
    .max_args = 1,
};

enum { SECRET_BYTES = 32, SECRET_TEXT = 2 * SECRET_BYTES, DAY_MS = 86400000, DAYS_MAX = 36500 };

struct made {
    char secret[8 + SECRET_TEXT + 1];
    char sha256[SHA256_HEX + 1];
    char expires[TIME_RFC3339 + 1]; /* empty: never */
    char variable[160];             /* signing: of the environment */
};

static bool is_kind(const struct cli *cli, const char *kind)
{
    return strcmp(cli->args[0], kind) == 0;
}

/* --- the command line -------------------------------------------------------------------------------------------- */

static int check_value(const struct cli *cli, int option, const char *section, const char *key, bool required)
{
    struct error err;
    const char *value = cli->values[option];
    if (!value)
        return required ? cli_wrong(cli, "%s takes --%s", cli->args[0], options[option].name) : CLI_GO_ON;
    if (config_check_item(section, key, span_of(value), &err) == 0)
        return CLI_GO_ON;
    return cli_wrong(cli, "--%s: %s", options[option].name, err.text);
}

static int refuse_options(const struct cli *cli, const int *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cli->values[rows[i]])
            return cli_wrong(cli, "--%s has no meaning for %s", options[rows[i]].name, cli->args[0]);
    return CLI_GO_ON;
}

static int check_secret(const struct cli *cli, const char *section, const char *name, bool role)
{
    int code = check_value(cli, NAME, section, name, true);
    code = code == CLI_GO_ON ? check_value(cli, TENANT, section, "tenant", true) : code;
    return code == CLI_GO_ON ? check_value(cli, ROLE, section, "role", role) : code;
}

static int check(const struct cli *cli)
{
    static const int not_signing[] = {EXPIRES}, not_ledger[] = {ROLE, TENANT, EXPIRES};
    if (is_kind(cli, "token"))
        return check_secret(cli, "tokens", "name", true);
    if (is_kind(cli, "signing")) {
        int code = refuse_options(cli, not_signing, 1);
        return code == CLI_GO_ON ? check_secret(cli, "keys", "id", false) : code;
    }
    if (!is_kind(cli, "ledger"))
        return cli_wrong(cli, "there are keys of three kinds: token, signing and ledger, not '%s'", cli->args[0]);
    if (!cli->values[OUT])
        return cli_wrong(cli, "ledger takes --out FILE: the key is not shown");
    return refuse_options(cli, not_ledger, 3);
}

/* "90d", or a time. */
static int read_expiry(const struct cli *cli, char ret[TIME_RFC3339 + 1])
{
    const char *text = cli->values[EXPIRES];
    char *end;
    int64_t ms;
    ret[0] = '\0';
    if (!text)
        return CLI_GO_ON;
    errno = 0;
    long days = strtol(text, &end, 10);
    if (end != text && strcmp(end, "d") == 0 && !errno && days >= 1 && days <= DAYS_MAX)
        ms = clock_wall_ms(&clock_system) + (int64_t)days * DAY_MS;
    else if (!time_parse_rfc3339(span_of(text), &ms))
        return cli_wrong(cli, "--expires takes a time such as 2027-01-31T00:00:00Z, or days such as 90d, not '%s'",
                         text);
    if (ms <= clock_wall_ms(&clock_system))
        return cli_wrong(cli, "--expires %s is past", text);
    time_format_rfc3339(ms, ret);
    ret[TIME_RFC3339] = '\0';
    return CLI_GO_ON;
}

/* --- secrets ----------------------------------------------------------------------------------------------------- */

static int write_secret(const struct cli *cli, const char *secret)
{
    const char *path = cli->values[OUT];
    if (!path)
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return cli_fail(cli, EXIT_FAILED, "%s exists, and is left as it is", path);
    if (fd < 0)
        return cli_fail(cli, EXIT_FAILED, "cannot make %s: %s", path, error_text(-errno));
    bool good = dprintf(fd, "%s\n", secret) > 0 && fsync(fd) == 0;
    int code = errno;
    close(fd);
    if (good)
        return 0;
    unlink(path);
    return cli_fail(cli, EXIT_FAILED, "cannot write %s: %s", path, error_text(-code));
}

static void make_secret(const char *prefix, struct made *made)
{
    uint8_t random[SECRET_BYTES], digest[SHA256_SIZE];
    struct hasher *hasher = hasher_new();
    size_t len = strlen(prefix);
    random_bytes(random, sizeof(random));
    memcpy(made->secret, prefix, len);
    hex_encode(random, sizeof(random), made->secret + len);
    made->secret[len + SECRET_TEXT] = '\0';
    hasher_sha256(hasher, span_of(made->secret), digest);
    hex_encode(digest, sizeof(digest), made->sha256);
    made->sha256[SHA256_HEX] = '\0';
    hasher_free(hasher);
    explicit_bzero(random, sizeof(random));
}

/* TAI_KEYS_<ID>_SECRET, as config/environ.c reads it. */
static void name_variable(const char *id, struct made *made)
{
    size_t at = (size_t)snprintf(made->variable, sizeof(made->variable), "TAI_KEYS_");
    for (; *id; id++) {
        bool plain = (*id >= 'A' && *id <= 'Z') || (*id >= '0' && *id <= '9');
        made->variable[at++] = (char)(*id >= 'a' && *id <= 'z' ? *id - 'a' + 'A' : plain ? *id : '_');
    }
    snprintf(made->variable + at, sizeof(made->variable) - at, "_SECRET");
}

/* --- output ------------------------------------------------------------------------------------------------------ */

static void print_json(const struct cli *cli, const struct made *made, bool token)
{
    struct buf out;
    buf_init(&out, 1 << 14);
    buf_add_char(&out, '{');
    json_add_member(&out, "kind", span_of(cli->args[0]));
    json_add_member(&out, token ? "name" : "id", span_of(cli->values[NAME]));
    json_add_member(&out, "role", span_of(cli_value(cli, ROLE, NULL, "publisher")));
    json_add_member(&out, "tenant", span_of(cli->values[TENANT]));
    if (token)
        json_add_member(&out, "sha256", span_of(made->sha256));
    if (*made->expires)
        json_add_member(&out, "expires", span_of(made->expires));
    if (cli->values[OUT])
        json_add_member(&out, token ? "token_file" : "secret_file", span_of(cli->values[OUT]));
    else
        json_add_member(&out, token ? "token" : "secret", span_of(made->secret));
    buf_add_char(&out, '}');
    out_line(buf_span(&out));
    explicit_bzero(out.data, out.len);
    buf_done(&out);
}

static void print_secret(const struct cli *cli, const struct made *made, const char *label)
{
    if (cli->values[OUT])
        printf("%s  is in %s\n\n", label, cli->values[OUT]);
    else
        printf("%s  %s\n       It is shown this once, and kept nowhere.\n\n", label, made->secret);
}

/* A JSON string is a YAML string. */
static void print_yaml(const char *lead, const char *key, const char *value)
{
    struct buf text;
    buf_init(&text, 1 << 14);
    json_add_string(&text, span_of(value));
    printf("%s%s: %s\n", lead, key, buf_cstr(&text));
    buf_done(&text);
}

static void print_token(const struct cli *cli, const struct made *made)
{
    print_secret(cli, made, "token");
    printf("Add this to the file of andon.tokens_file:\n\ntokens:\n");
    print_yaml("  - ", "name", cli->values[NAME]);
    print_yaml("    ", "role", cli->values[ROLE]);
    print_yaml("    ", "tenant", cli->values[TENANT]);
    print_yaml("    ", "sha256", made->sha256);
    if (*made->expires)
        print_yaml("    ", "expires", made->expires);
}

static void print_signing(const struct cli *cli, const struct made *made)
{
    print_secret(cli, made, "secret");
    printf("Add this to the configuration:\n\nkeys:\n");
    print_yaml("  - ", "id", cli->values[NAME]);
    print_yaml("    ", "role", cli_value(cli, ROLE, NULL, "publisher"));
    print_yaml("    ", "tenant", cli->values[TENANT]);
    if (cli->values[OUT])
        print_yaml("    ", "secret_file", cli->values[OUT]);
    else
        printf("    # with the secret in the environment as %s,\n    # or in a file: secret_file: PATH\n",
               made->variable);
}

/* --- the verb ---------------------------------------------------------------------------------------------------- */

static int new_secret(const struct cli *cli, bool token)
{
    struct made made = {0};
    int code = token ? read_expiry(cli, made.expires) : CLI_GO_ON;
    if (code != CLI_GO_ON)
        return code;
    make_secret(token ? "tai_" : "", &made);
    name_variable(cli->values[NAME], &made);
    code = write_secret(cli, made.secret);
    if (code == 0 && cli->values[JSON])
        print_json(cli, &made, token);
    else if (code == 0 && token)
        print_token(cli, &made);
    else if (code == 0)
        print_signing(cli, &made);
    explicit_bzero(&made, sizeof(made));
    return code;
}

static int new_ledger_key(const struct cli *cli)
{
    struct note_key *key;
    struct error err;
    struct buf out;
    const char *path = cli->values[OUT];
    int rc = note_key_create(path, cli_value(cli, NAME, NULL, "tai.local/ledger"), &key, &err);
    if (rc == -EEXIST)
        return cli_fail(cli, EXIT_FAILED, "%s exists, and is left as it is", path);
    if (rc < 0)
        return cli_fail(cli, EXIT_FAILED, "%s", err.text);
    if (cli->values[JSON]) {
        buf_init(&out, 1 << 14);
        buf_add_char(&out, '{');
        json_add_member(&out, "kind", SPAN("ledger"));
        json_add_member(&out, "key_file", span_of(path));
        json_add_member(&out, "vkey", span_of(note_key_vkey(key)));
        buf_add_char(&out, '}');
        out_line(buf_span(&out));
        buf_done(&out);
    } else {
        printf(
            "key    is in %s\nvkey   %s\n       This one is public: with it anybody can verify what the key signs.\n",
            path, note_key_vkey(key));
    }
    note_key_free(key);
    return EXIT_OK;
}

int verb_key_new(int argc, char **argv)
{
    struct cli cli;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    return is_kind(&cli, "ledger") ? new_ledger_key(&cli) : new_secret(&cli, is_kind(&cli, "token"));
}
