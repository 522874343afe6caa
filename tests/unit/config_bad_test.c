/* What is refused, with the exact line of text a person reads. */
#include "config/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* All problems, one a line. */
static char *problems_of(struct span text, char *const *env, const struct config_override *overrides, size_t count)
{
    struct config_problems problems = {0};
    struct config *config = NULL;
    struct buf out;
    buf_init(&out, SIZE_MAX);
    int code = config_parse(text, "t", overrides, count, env, &config, &problems);
    cr_assert_eq(code, problems.count > 0 ? -EINVAL : 0);
    cr_assert_eq(config != NULL, code == 0);
    for (size_t i = 0; i < problems.count; i++)
        buf_addf(&out, "%s%s", i ? "\n" : "", problems.lines[i]);
    config_problems_done(&problems);
    config_free(config);
    (void)buf_cstr(&out);
    return buf_take(&out);
}

struct bad {
    const char *text;
    const char *expected;
};

static void check_all(const struct bad *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *lines = problems_of(span_of(table[i].text), NULL, NULL, 0);
        cr_expect_str_eq(lines, table[i].expected, "%s\n gives   %s\n instead %s", table[i].text, lines,
                         table[i].expected);
        free(lines);
    }
}
#define CHECK_ALL(table) check_all((table), sizeof(table) / sizeof((table)[0]))

Test(config_bad, structure)
{
    static const struct bad table[] = {
        {"ingress:\n  max_hedaer: 3\n", "t:2: ingress.max_hedaer: unknown key; did you mean max_header?"},
        {"ingress:\n  zzz: 3\n", "t:2: ingress.zzz: unknown key"},
        {"ingress:\n  retention: 3d\n", "t:2: ingress.retention: unknown key; did you mean signals.retention?"},
        {"\ningres: {}\n", "t:2: ingres: unknown key; did you mean ingress?"},
        {"<<: {}\n", "t:1: <<: unknown key"},
        {"\"a\\nb\\0c\": {}\n", "t:1: a?b: unknown key"},
        {"log: {level: info}\nlog: {level: warn}\n", "t:2: log: given before, in line 1"},
        {"log:\n  level: info\n  level: warn\n", "t:3: log.level: given before, in line 2"},
        {"log:\n  level: nix\n  level: warn\n",
         "t:2: log.level: \"nix\" is none of: debug, info, warn, error\nt:3: log.level: given before, in line 2"},
        {"log: info\n", "t:1: log: must be a section, with its options below it"},
        {"log: [info]\n", "t:1: log: must be a section, with its options below it"},
        {"- log\n", "t:1: must be sections with options below them, such as \"log:\" and then \"  level: info\""},
        {"hello\n", "t:1: must be sections with options below them, such as \"log:\" and then \"  level: info\""},
        {"log: {level: [info]}\n", "t:1: log.level: takes one value, not a list"},
        {"log:\n  level: {a: b}\n", "t:2: log.level: takes one value, not a mapping"},
        {"log:\n  level:\n", "t:2: log.level: has no value: write one or leave the line out"},
        {"run: {data: null}\n", "t:1: run.data: has no value: write one or leave the line out"},
        {"governor: {quota_limit: }\n",
         "t:1: governor.quota_limit: has no value: write one, null, or leave the line out"},
        {"? [a]\n: b\n", "t:1: a key must be a plain word"},
        {"log:\n  ? {a: b}\n  : b\n", "t:2: a key must be a plain word"},
        {"keys: {}\n", "t:1: keys: must be a list of \"- id: ...\""},
        {"actions:\n  - a\n", "t:2: actions[0]: must be a mapping such as \"- name: ...\""},
    };
    CHECK_ALL(table);
}

Test(config_bad, not_plain_yaml)
{
    static const struct bad table[] = {
        {"log: &a {level: info}\n", "t:1: anchors and aliases are not read: write the value out"},
        {"log:\n  level: &a info\n", "t:2: anchors and aliases are not read: write the value out"},
        {"keys: &a []\n", "t:1: anchors and aliases are not read: write the value out"},
        {"log:\n  level: *a\n", "t:2: anchors and aliases are not read: write the value out"},
        {"a: &a [x]\nb: &b [*a, *a]\n", "t:1: anchors and aliases are not read: write the value out"},
        {"log: {level: !!str info}\n", "t:1: tags are not read: leave it out"},
        {"log: !x {}\n", "t:1: tags are not read: leave it out"},
        {"keys: ! []\n", "t:1: tags are not read: leave it out"},
        {"log: {}\n---\nlog: {}\n", "t:2: a second document begins: the configuration is one document"},
        {"log: {}\n...\n---\n", "t:3: a second document begins: the configuration is one document"},
        {"[[[[[[[[[[x]]]]]]]]]]", "t:1: nested too deeply"},
        {"log: {level: info\n", "t:2: not YAML: while parsing a flow mapping, did not find expected ',' or '}'"},
        {"log:\n\tlevel: info\n",
         "t:2: not YAML: while scanning for the next token, found character that cannot start any token"},
        {"log:\n  level: \"info\n", "t:3: not YAML: while scanning a quoted scalar, found unexpected end of stream"},
        {"log:\n  level: \x01\n", "t:2: not YAML: control characters are not allowed"},
        {"log:\n  level: \xff\n", "t:2: not YAML: invalid leading UTF-8 octet"},
        {"\xff\xfel\0o\0g\0", "t:1: not YAML: invalid leading UTF-8 octet"},
    };
    CHECK_ALL(table);
    char *lines = problems_of(SPAN("log:\n  level: in\0fo\n"), NULL, NULL, 0);
    cr_expect_str_eq(lines, "t:2: not YAML: control characters are not allowed");
    free(lines);
}

Test(config_bad, wrong_types)
{
    static const char size[] = "is not a size such as 4096, 64KiB or 1MiB";
    static const struct bad table[] = {
        {"ingress: {max_batch: many}", "t:1: ingress.max_batch: \"many\" is not a whole number in digits"},
        {"ingress: {max_batch: 1.5}", "t:1: ingress.max_batch: \"1.5\" is not a whole number in digits"},
        {"ingress: {max_batch: 0x10}", "t:1: ingress.max_batch: \"0x10\" is not a whole number in digits"},
        {"ingress: {max_batch: 010}", "t:1: ingress.max_batch: \"010\" is not a whole number in digits"},
        {"ingress: {max_batch: +1}", "t:1: ingress.max_batch: \"+1\" is not a whole number in digits"},
        {"ingress: {max_batch: 1_0}", "t:1: ingress.max_batch: \"1_0\" is not a whole number in digits"},
        {"ingress: {max_batch: ''}", "t:1: ingress.max_batch: \"\" is not a whole number in digits"},
        {"ingress: {max_batch: \"1\\0\"}", "t:1: ingress.max_batch: \"1?\" is not a whole number in digits"},
        {"governor: {quota_limit: none}",
         "t:1: governor.quota_limit: \"none\" is not a whole number in digits, or null"},
        {"ingress: {idle_timeout: 60}",
         "t:1: ingress.idle_timeout: \"60\" is not a duration with its unit: 500ms, 10s, 5m, 24h or 7d"},
        {"ingress: {idle_timeout: 1.5s}",
         "t:1: ingress.idle_timeout: \"1.5s\" is not a duration with its unit: 500ms, 10s, 5m, 24h or 7d"},
        {"ingress: {idle_timeout: s}",
         "t:1: ingress.idle_timeout: \"s\" is not a duration with its unit: 500ms, 10s, 5m, 24h or 7d"},
        {"entitlements: {auto_activate: yes}", "t:1: entitlements.auto_activate: \"yes\" is neither true nor false"},
        {"kanban: {backend: sqlit}", "t:1: kanban.backend: \"sqlit\" is none of: sqlite, memory; did you mean sqlite?"},
        {"ingress: {source: ''}", "t:1: ingress.source: must be a URI reference of 1 to 256 characters"},
        {"ingress: {source: a b}", "t:1: ingress.source: must be a URI reference of 1 to 256 characters"},
        {"ledger: {origin: a+b}", "t:1: ledger.origin: must be 1 to 128 of A-Z a-z 0-9 . _ ~ - / :"},
        {"run: {data: \"a\\0b\"}", "t:1: run.data: must be a path of 1 to 960 bytes"},
        {"store: {path: \"a\\nb\"}", "t:1: store.path: must be a path of 1 to 1024 bytes"},
        {"run: {data: \"a\\nb\"}", "t:1: run.data: must be a path of 1 to 960 bytes"},
    };
    CHECK_ALL(table);
    static const char *const sizes[] = {"64KB",  "64k",    "KiB",   "1 MiB",
                                        "-1KiB", "1.5MiB", "1KiBx", "99999999999999999999GB"};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char text[128];
        char expected[256];
        snprintf(text, sizeof(text), "ingress: {max_body: %s}", sizes[i]);
        snprintf(expected, sizeof(expected), "t:1: ingress.max_body: \"%s\" %s", sizes[i], size);
        check_all(&(struct bad){text, expected}, 1);
    }
}

Test(config_bad, addresses)
{
    static const char *const addresses[] = {
        "8080",
        "':8080'",
        "'*:8080'",
        "127.0.0.1",
        "'127.0.0.1:'",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1:080",
        "256.0.0.1:80",
        "127.1:80",
        "example.org:80",
        "'::1:80'",
        "'[::1]'",
        "'[::1]:'",
        "'[::1:80'",
        "'[127.0.0.1]:80'",
        "'[]:80'",
        "'[::1]80'",
        "'[fe80::1%lo]:80'",
        "'[:80'",
        "127.0.0.1:1:2",
        "127.0.0.1 :80",
        "'\"127.0.0.1:80\"'",
        "1111111111111111111111111111111111111111111111111111111111111111111:1",
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "ingress: {listen: %s}", addresses[i]);
        check_all(&(struct bad){text, "t:1: ingress.listen: must be IP:PORT, such as 127.0.0.1:8080, 0.0.0.0:80 or "
                                      "[::1]:8080"},
                  1);
    }
}

Test(config_bad, bounds)
{
    static const struct bad table[] = {
        {"kanban: {partitions: 0}", "t:1: kanban.partitions: 0 is out of bounds: 1 to 1024"},
        {"kanban: {partitions: 1025}", "t:1: kanban.partitions: 1025 is out of bounds: 1 to 1024"},
        {"kanban: {partitions: -1}", "t:1: kanban.partitions: -1 is out of bounds: 1 to 1024"},
        {"kanban: {partitions: 18446744073709551617}",
         "t:1: kanban.partitions: 18446744073709551617 is out of bounds: 1 to 1024"},
        {"governor: {quota_limit: -1}", "t:1: governor.quota_limit: -1 is out of bounds: 0 to 1000000000000"},
        {"ingress: {max_signal: 65537}", "t:1: ingress.max_signal: 65537 is out of bounds: 256B to 64KiB"},
        {"ingress: {max_body: 9999999999GiB}", "t:1: ingress.max_body: 9999999999GiB is out of bounds: 1KiB to 16MiB"},
        {"ingress: {idle_timeout: 0s}", "t:1: ingress.idle_timeout: 0s is out of bounds: 1s to 1h"},
        {"signals: {retention: 1d}", "t:1: signals.retention: 1d is out of bounds: 2d to 3650d"},
        {"policies: [{type: cost_governance, budget: -0.5}]",
         "t:1: policies[0].budget: -0.5 is out of bounds: 0 to 9000000000"},
        {"policies: [{type: cost_governance, budget: 9000000000.000001}]",
         "t:1: policies[0].budget: 9000000000.000001 is out of bounds: 0 to 9000000000"},
        {"policies: [{type: cost_governance, budget: 99999999999999999999}]",
         "t:1: policies[0].budget: 99999999999999999999 is out of bounds: 0 to 9000000000"},
        {"policies: [{type: cost_governance, budget: 1, warn_ratio: 1.000001}]",
         "t:1: policies[0].warn_ratio: 1.000001 is out of bounds: 0 to 1"},
    };
    CHECK_ALL(table);
    static const char *const decimals[] = {"1.", ".5", "1e3", "0.1234567", "1.5.5", "01", "-", "nan", "1.x"};
    for (size_t i = 0; i < sizeof(decimals) / sizeof(decimals[0]); i++) {
        char text[128];
        char expected[256];
        snprintf(text, sizeof(text), "policies: [{type: cost_governance, budget: %s}]", decimals[i]);
        snprintf(expected, sizeof(expected),
                 "t:1: policies[0].budget: \"%s\" is not a decimal number such as 0.8, at "
                 "most six digits behind the point",
                 decimals[i]);
        check_all(&(struct bad){text, expected}, 1);
    }
}

Test(config_bad, items)
{
    static const struct bad table[] = {
        {"actions:\n  - name: a\n    typ: none\n",
         "t:3: actions[0].typ: unknown key; did you mean type?\nt:2: actions[0].type: is missing"},
        {"actions: [{name: A, type: none}]", "t:1: actions[0].name: must be 1 to 64 of a-z 0-9 . _ -"},
        {"actions:\n- {name: a, type: none}\n- {name: a, type: none}\n",
         "t:3: actions[1].name: a is taken by the one in line 2"},
        {"actions: [{name: a, type: none, name: b}]", "t:1: actions[0].name: given before, in line 1"},
        {"actions: [{name: a, type: http}]", "t:1: actions[0].type: \"http\" is none of: none"},
        {"policies:\n- {type: cost_governance, budget: 1}\n- {type: cost_governance, budget: 1}\n",
         "t:3: policies[1].name: cost_governance is taken by the one in line 2"},
        {"policies: [{type: cost_governance}]", "t:1: policies[0].budget: is missing"},
        {"policies: [{type: lua, budget: 1}]", "t:1: policies[0].type: \"lua\" is none of: cost_governance"},
        {"policies: [{type: cost_governance, budget: 1, window: none}]",
         "t:1: policies[0].window: \"none\" is none of: hour, day, month"},
        {"policies:\n- type: cost_governance\n  budget: 1\n  on_exceeded: action\n  action: b\n",
         "t:5: policies[0].action: there is no action named b in `actions`"},
        {"policies: [{type: cost_governance, budget: 1, on_exceeded: action}]",
         "t:1: policies[0].action: is missing, and on_exceeded is action"},
        {"policies: [{type: cost_governance, budget: 1, action: b}]",
         "t:1: policies[0].action: has no effect without on_exceeded: action"},
    };
    CHECK_ALL(table);
}

Test(config_bad, too_many_items)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_add_str(&text, "actions:\n");
    for (int i = 0; i < 101; i++)
        buf_addf(&text, "- {name: a%d, type: none}\n", i);
    char *lines = problems_of(buf_span(&text), NULL, NULL, 0);
    cr_expect_str_eq(lines, "t:1: actions: 101 items are more than 100");
    free(lines);
    buf_done(&text);
}

Test(config_bad, unsafe_combinations)
{
    static const struct bad table[] = {
        {"ingress:\n  listen: 0.0.0.0:80\n",
         "t:2: ingress.listen: 0.0.0.0:80 is open to others, and there are no keys: "
         "add `keys`, or listen on 127.0.0.1"},
        {"ingress: {listen: '[::]:80'}", "t:1: ingress.listen: [::]:80 is open to others, and there are no keys: "
                                         "add `keys`, or listen on 127.0.0.1"},
        {"ingress: {listen: '[::ffff:10.0.0.1]:80'}",
         "t:1: ingress.listen: [::ffff:10.0.0.1]:80 is open to others, and there are no keys: add `keys`, or listen on "
         "127.0.0.1"},
        {"andon:\n  listen: 10.0.0.1:80\n", "t:2: andon.listen: 10.0.0.1:80 is open to others, and there are no "
                                            "tokens: name an andon.tokens_file (`tai key new token` makes one), or "
                                            "listen on 127.0.0.1"},
        {"andon:\n  listen: 127.0.0.1:8080\n", "t:2: andon.listen: the same as ingress.listen (127.0.0.1:8080)"},
        {"ingress:\n  max_body: 1KiB\n", "t:2: ingress.max_signal: larger than ingress.max_body"},
        {"jidoka:\n  max_waiting: 999\n", "t:2: governor.max_waiting: larger than jidoka.max_waiting"},
        {"governors:\n  max: 5\n", "t:2: governors.max_per_tenant: larger than governors.max"},
        {"ingress:\n  rate_burst: 5\n", "t:2: ingress.rate_burst: has no effect without ingress.rate"},
        {"ingress:\n  tenant_burst: 5\n", "t:2: ingress.tenant_burst: has no effect without ingress.tenant_rate"},
    };
    CHECK_ALL(table);
}

static void write_file(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    cr_assert(file);
    cr_assert_eq(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void enter_directory(void)
{
    char dir[] = "/tmp/config_bad.XXXXXX";
    cr_assert(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
}

Test(config_bad, keys)
{
    static const struct bad table[] = {
        {"keys:\n- {id: a, tenant: x}\n",
         "t:2: keys[0]: has no secret: write secret_file: PATH, or set the environment "
         "variable TAI_KEYS_<ID>_SECRET"},
        {"keys:\n- id: a\n  tenant: x\n  secret: 0123456789abcdef\n",
         "t:4: keys[0].secret: a secret is not written here: use secret_file: PATH, or the environment variable "
         "TAI_KEYS_<ID>_SECRET"},
        {"keys:\n- id: a\n  tenant: x\n  secret_file: none\n",
         "t:4: keys[0].secret_file: none: No such file or directory"},
        {"keys: [{id: a, tenant: x, secret_file: .}]", "t:1: keys[0].secret_file: .: Is a directory"},
        {"keys: [{id: a, tenant: x, secret_file: pipe}]", "t:1: keys[0].secret_file: pipe: not a regular file"},
        {"keys: [{id: a, tenant: x, secret_file: /dev/zero}]",
         "t:1: keys[0].secret_file: /dev/zero: not a regular file"},
        {"keys: [{id: a, tenant: x, secret_file: large}]", "t:1: keys[0].secret_file: large: File too large"},
        {"keys: [{id: a, tenant: x, secret_file: shared}]",
         "t:1: keys[0].secret_file: shared: others than its owner can write it, and so sign as this key: chmod go-w"},
        {"keys: [{id: a, tenant: x, secret_file: short}]",
         "t:1: keys[0].secret_file: the secret has 15 bytes, fewer than 16"},
        {"keys: [{id: a, tenant: x, secret_file: empty}]",
         "t:1: keys[0].secret_file: the secret has 0 bytes, fewer than 16"},
        {"keys:\n- {id: a, tenant: x, secret_file: good}\n- {id: a, tenant: y, secret_file: good}\n",
         "t:3: keys[1].id: a is taken by the one in line 2"},
        {"keys: [{tenant: x, secret_file: good}]", "t:1: keys[0].id: is missing"},
        {"keys: [{id: a b, tenant: x, secret_file: good}]", "t:1: keys[0].id: must be 1 to 64 of A-Z a-z 0-9 . _ ~ -"},
        {"keys: [{id: a, secret_file: good}]", "t:1: keys[0].tenant: is missing"},
        {"keys: [{id: a, tenant: x, secret_file: good, role: admin}]",
         "t:1: keys[0].role: \"admin\" is none of: publisher, marketplace"},
    };
    static const char *const tenants[] = {"_x", "a/b", "''", "'a*'",
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    char large[4097];
    memset(large, 'x', sizeof(large));
    enter_directory();
    write_file("good", "0123456789abcdef", 16);
    write_file("short", "0123456789abcde\n", 16);
    write_file("empty", "", 0);
    write_file("shared", "0123456789abcdef", 16);
    cr_assert_eq(chmod("shared", 0660), 0);
    write_file("large", large, sizeof(large));
    cr_assert_eq(mkfifo("pipe", 0600), 0);
    CHECK_ALL(table);
    for (size_t i = 0; i < sizeof(tenants) / sizeof(tenants[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "keys: [{id: a, tenant: %s, secret_file: good}]", tenants[i]);
        check_all(&(struct bad){text,
                                "t:1: keys[0].tenant: must be \"*\", or a tenant id: 1 to 64 of A-Z a-z 0-9 . _ -, "
                                "not beginning with _"},
                  1);
    }
}

Test(config_bad, environment)
{
    static const struct {
        const char *variable;
        const char *expected;
    } table[] = {
        {"TAI_LOG_LEVEL=loud", "TAI_LOG_LEVEL: log.level: \"loud\" is none of: debug, info, warn, error"},
        {"TAI_LOG_LEVL=info", "TAI_LOG_LEVL: no option has that variable; did you mean TAI_LOG_LEVEL?"},
        {"TAI_LOGS_LEVEL=info", "TAI_LOGS_LEVEL: no option has that variable; did you mean TAI_LOG_LEVEL?"},
        {"TAI_LOG_COLOUR=red", "TAI_LOG_COLOUR: no option has that variable"},
        {"TAI_INGRESS_PORT=tcp://10.0.0.1:80", "TAI_INGRESS_PORT: no option has that variable"},
        {"TAI_POLICIES_X=1", "TAI_POLICIES_X: lists are written in the configuration file only"},
        {"TAI_KEYS_B_SECRET=0123456789abcdef",
         "TAI_KEYS_B_SECRET: no key has that variable; it is TAI_KEYS_<ID>_SECRET with the id in capitals"},
        {"TAI_KEYS_A_SECRET=short", "TAI_KEYS_A_SECRET: the secret of key a has 5 bytes, fewer than 16"},
        {"TAI_KEYS_C_D_SECRET=0123456789abcdef",
         "TAI_KEYS_C_D_SECRET: is the variable of more than one key: rename one, or use secret_file"},
        {"TAI_RUN_DATA=a\xff", "TAI_RUN_DATA: run.data: must be a path of 1 to 960 bytes"},
        {"PORT=http", "PORT: must be a port number, 0 to 65535"},
        {"PORT=65536", "PORT: must be a port number, 0 to 65535"},
    };
    enter_directory();
    write_file("good", "0123456789abcdef", 16);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *env[] = {(char *)table[i].variable, NULL};
        char *lines = problems_of(SPAN("keys:\n- {id: a, tenant: x, secret_file: good}\n"
                                       "- {id: c-d, tenant: x, secret_file: good}\n"
                                       "- {id: c_d, tenant: x, secret_file: good}\n"),
                                  env, NULL, 0);
        cr_expect_str_eq(lines, table[i].expected, "%s\n gives   %s\n instead %s", table[i].variable, lines,
                         table[i].expected);
        free(lines);
    }
}

Test(config_bad, command_line)
{
    const struct config_override overrides[] = {
        {"run.dta", "x"}, {"keys", "x"}, {"kanban.partitions", "x"}, {"ingress.listen", "0.0.0.0:1"}};
    char *lines = problems_of(SPAN(""), NULL, overrides, 4);
    cr_expect_str_eq(lines,
                     "command line: run.dta: no such option; did you mean run.data?\n"
                     "command line: keys: no such option\n"
                     "command line: kanban.partitions: \"x\" is not a whole number in digits, or null\n"
                     "command line: ingress.listen: 0.0.0.0:1 is open to others, and there are no keys: add "
                     "`keys`, or listen on 127.0.0.1",
                     "%s", lines);
    free(lines);
}

Test(config_bad, every_problem_is_collected_and_their_number_capped)
{
    char *lines = problems_of(SPAN("log: {level: x}\nkanban: {partitions: 0, backend: x}\nfoo: 1\n"), NULL, NULL, 0);
    size_t count = 1;
    for (const char *c = lines; *c; c++)
        count += *c == '\n';
    cr_expect_eq(count, 4, "%s", lines);
    free(lines);

    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX);
    while (text.len < CONFIG_FILE_MAX - 100)
        buf_addf(&text, "ingress%zu: 1\n", text.len);
    lines = problems_of(buf_span(&text), NULL, NULL, 0);
    count = 1;
    for (const char *c = lines; *c; c++)
        count += *c == '\n';
    cr_expect_eq(count, 100);
    free(lines);
    buf_done(&text);
}

Test(config_bad, files)
{
    struct error err;
    struct config *config = NULL;
    struct buf text;
    enter_directory();
    cr_assert_eq(config_load("none.yaml", NULL, 0, NULL, &config, &err), -ENOENT);
    cr_assert_str_eq(err.text, "none.yaml: No such file or directory");
    cr_assert_eq(config_load(".", NULL, 0, NULL, &config, &err), -EISDIR);
    cr_assert_str_eq(err.text, ".: Is a directory");

    buf_init(&text, SIZE_MAX);
    buf_add_str(&text, "log: {level: info}\n#");
    while (text.len < CONFIG_FILE_MAX)
        buf_add_char(&text, '#');
    write_file("tai.yaml", text.data, text.len);
    cr_assert_eq(config_load("tai.yaml", NULL, 0, NULL, &config, &err), 0);
    config_free(config);
    buf_add_char(&text, '#');
    write_file("tai.yaml", text.data, text.len);
    config = NULL;
    cr_assert_eq(config_load("tai.yaml", NULL, 0, NULL, &config, &err), -EINVAL);
    cr_assert_str_eq(err.text, "tai.yaml: larger than 1 MiB");
    cr_assert_null(config);
    buf_done(&text);

    write_file("tai.yaml", "log:\n  level: loud\n  leevl: 1\n", 30);
    cr_assert_eq(config_load("tai.yaml", NULL, 0, NULL, &config, &err), -EINVAL);
    cr_assert_str_eq(err.text, "tai.yaml:2: log.level: \"loud\" is none of: debug, info, warn, error");
}
