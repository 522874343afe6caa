/* The token file, and what differs between two configurations. */
#include "config/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char path[] = "/tmp/tai-tokens.XXXXXX";

static void setup(void)
{
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && close(fd) == 0);
}

static void teardown(void)
{
    unlink(path);
}

TestSuite(config_tokens, .init = setup, .fini = teardown);

/* A configuration with that token file; problems, one a line, in lines. */
static struct config *load(const char *tokens, char lines[2048])
{
    char text[128];
    struct config_problems problems = {0};
    struct config *config = NULL;
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(tokens, file) >= 0 && fclose(file) == 0);
    snprintf(text, sizeof(text), "andon:\n  tokens_file: %s\n", path);
    (void)!config_parse(span_of(text), "t", NULL, 0, NULL, &config, &problems);
    lines[0] = '\0';
    for (size_t i = 0; i < problems.count; i++) {
        size_t len = strlen(lines);
        const char *at = strstr(problems.lines[i], path);
        snprintf(lines + len, 2048 - len, "%s%s", i ? "\n" : "",
                 at == problems.lines[i] ? at + strlen(path) : problems.lines[i]);
    }
    config_problems_done(&problems);
    return config;
}

Test(config_tokens, what_andon_is_given)
{
    char lines[2048];
    struct config *config =
        load("tokens:\n- {name: alice, role: auditor, tenant: acme, sha256: " HASH_A "}\n"
             "- {name: bob, role: publisher, tenant: '*', sha256: " HASH_B ", expires: '2001-09-09T01:46:40Z'}\n",
             lines);
    cr_assert_not_null(config, "%s", lines);
    cr_assert_eq(config->andon.tokens_count, 2);
    const struct token_config *alice = &config->andon.tokens[0], *bob = &config->andon.tokens[1];
    cr_expect_str_eq(alice->name, "alice");
    cr_expect_eq(alice->role, CONFIG_TOKEN_AUDITOR);
    cr_expect_str_eq(alice->tenant, "acme");
    cr_expect_eq(alice->sha256[0], 0xaa);
    cr_expect_eq(alice->sha256[31], 0xaa);
    cr_expect_eq(alice->expires_ms, INT64_MAX);
    cr_expect_eq(bob->role, CONFIG_TOKEN_PUBLISHER);
    cr_expect_str_eq(bob->tenant, "*");
    cr_expect_eq(bob->expires_ms, INT64_C(1000000000000));
    struct buf shown;
    buf_init(&shown, 1 << 20);
    config_write_show(config, CONFIG_SHOW_TEXT, &shown);
    cr_expect_null(strstr(buf_cstr(&shown), HASH_A), "the tokens are another file's");
    buf_done(&shown);
    config_free(config);
}

Test(config_tokens, problems_name_file_and_line)
{
    static const char *const cases[][2] = {
        {"", ": names no token, so that nobody could use andon: add one (`tai key new token`), or leave "
             "andon.tokens_file out"},
        {"tokens: []", ": names no token, so that nobody could use andon: add one (`tai key new token`), or leave "
                       "andon.tokens_file out"},
        {"tokens: 5", ":1: tokens: must be a list of \"- name: ...\""},
        {"- name: x", ":1: must be \"tokens:\" and below it a list of \"- name: ...\""},
        {"log: {level: info}", ":1: log: does not belong here: this file is a list of `tokens`"},
        {"tokens:\n- name: a\n  rol: viewer\n", ":3: tokens[0].rol: unknown key; did you mean role?\n"
                                                ":2: tokens[0].role: is missing\n"
                                                ":2: tokens[0].tenant: is missing\n"
                                                ":2: tokens[0].sha256: is missing"},
        {"tokens:\n- {name: a b, role: root, tenant: _x, sha256: abc, expires: never}\n",
         ":2: tokens[0].name: must be 1 to 64 of A-Z a-z 0-9 . _ ~ -\n"
         ":2: tokens[0].role: \"root\" is none of: viewer, operator, auditor, publisher\n"
         ":2: tokens[0].tenant: must be \"*\", or a tenant id: 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with _\n"
         ":2: tokens[0].sha256: must be a SHA-256: 64 of 0-9 a-f, as `tai key new token` prints it\n"
         ":2: tokens[0].expires: must be a time such as 2027-01-31T00:00:00Z"},
        {"tokens:\n- {name: a, role: viewer, tenant: x, sha256: " HASH_A "}\n"
         "- {name: a, role: viewer, tenant: x, sha256: " HASH_A "}\n",
         ":3: tokens[1].name: a is taken by the one in line 2\n"
         ":3: tokens[1].sha256: " HASH_A " is taken by the one in line 2"},
        {"tokens: [\n", ":2: not YAML: while parsing a flow node, did not find expected node content"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char lines[2048];
        struct config *config = load(cases[i][0], lines);
        cr_expect_null(config);
        cr_expect_str_eq(lines, cases[i][1], "%s\n gives   %s\n instead %s", cases[i][0], lines, cases[i][1]);
        config_free(config);
    }
}

Test(config_tokens, only_a_file_of_its_owner_is_believed)
{
    static const mode_t bad[] = {0620, 0602, 0666};
    char lines[2048];
    struct config *config;
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(chmod(path, bad[i]), 0);
        config = load("tokens:\n- {name: a, role: viewer, tenant: x, sha256: " HASH_A "}\n", lines);
        cr_expect_null(config);
        cr_expect(strstr(lines, "others than its owner can write it"), "%o: %s", bad[i], lines);
    }
    cr_assert_eq(chmod(path, 0644), 0);
    config = load("tokens:\n- {name: a, role: viewer, tenant: x, sha256: " HASH_A "}\n", lines);
    cr_expect_not_null(config, "%s", lines);
    config_free(config);
}

static struct config *parse(const char *text, const char *secret)
{
    char variable[64];
    char *const env[] = {variable, NULL};
    struct config_problems problems = {0};
    struct config *config = NULL;
    snprintf(variable, sizeof(variable), "TAI_KEYS_A_SECRET=%s", secret);
    bool keyed = strstr(text, "keys") != NULL;
    cr_assert_eq(config_parse(span_of(text), "t", NULL, 0, keyed ? env : NULL, &config, &problems), 0, "%s", text);
    return config;
}

static void expect_diff(const char *before, const char *after, const char *taken, const char *waiting)
{
    bool rotated = strcmp(before, after) == 0;
    struct config *first = parse(before, "0123456789abcdef");
    struct config *second = parse(after, rotated ? "0123456789abcdeX" : "0123456789abcdef");
    struct buf out;
    for (int i = 0; i < 2; i++) {
        buf_init(&out, 4096);
        config_diff(first, second, i == 0, &out);
        cr_expect_str_eq(buf_cstr(&out), i ? waiting : taken, "%s -> %s: %s", before, after, buf_cstr(&out));
        buf_done(&out);
    }
    config_free(first);
    config_free(second);
}

#define KEY "keys: [{id: a, tenant: x}]"

Test(config_tokens, differences_by_name)
{
    expect_diff("", "", "", "");
    expect_diff("", "log: {level: debug}\n", "log.level", "");
    expect_diff("", "kanban: {prefetch: 5}\nstore: {path: x}\n", "", "kanban.prefetch, store.path");
    expect_diff("ingress: {rate: 5}\n", "ingress: {rate: 6, max_batch: 2}\n", "ingress.rate, ingress.rate_burst",
                "ingress.max_batch");
    expect_diff(KEY, "keys: [{id: a, tenant: y}]", "keys", "");
    expect_diff(KEY, KEY, "keys", ""); /* another secret */
    expect_diff("", "actions: [{name: n, type: none}]", "", "actions");
    expect_diff("actions: [{name: n, type: none}]", "actions: [{name: n, type: none, retries: 1}]", "", "actions");
}

Test(config_tokens, items_can_be_asked)
{
    struct error err;
    cr_expect_eq(config_check_item("tokens", "role", SPAN("viewer"), NULL), 0);
    cr_expect_eq(config_check_item("tokens", "role", SPAN("vewer"), &err), -EINVAL);
    cr_expect(strstr(err.text, "did you mean viewer?"), "%s", err.text);
    cr_expect_eq(config_check_item("keys", "tenant", SPAN("*"), NULL), 0);
    cr_expect_eq(config_check_item("log", "level", SPAN("info"), NULL), -EINVAL);
}
