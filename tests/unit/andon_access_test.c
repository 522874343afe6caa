/* Who may do what at andon: every endpoint of the table × every role × its own tenant, another and all. What is
 * expected stands here, not in the table; an endpoint without a row here fails. Whatever is answered to one tenant
 * holds no text of the other. */
#include "andon/api/routes.h"
#include "support/andon_rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Who is asked for by whom. The tenants' names are in whatever belongs to them. */
#define OWN   "acme-4f1c"
#define OTHER "globex-9d27"

enum tenant_of { OF_OWN, OF_OTHER, OF_ALL, TENANTS_OF };
static const char *const tenants[TENANTS_OF] = {OWN, OTHER, "*"};
static const char roles[] = "voap"; /* viewer, operator, auditor, publisher */

enum kind {
    OPEN,  /* anybody, also without a token */
    ANY,   /* nothing of a tenant in it */
    NAMED, /* tenant_id, a parameter or in the path: another's is 403 */
    FOUND, /* by an id: another's is 404 */
    WHOLE, /* only for tokens of all tenants */
};

struct expected {
    const char *method, *path;
    const char *who; /* of roles */
    enum kind kind;
    int status;         /* for those who may */
    const char *target; /* what is asked for: %t tenant, %e entitlement, %d dead letter, %r receipt, %c command */
    const char *body;
    bool optional; /* the tenant may be left out: lists */
};

static const struct expected expectations[] = {
    {"GET", "/", "", OPEN, 200, "/"},
    {"GET", "/openapi.json", "", OPEN, 200, "/openapi.json"},
    {"GET", "/livez", "", OPEN, 200, "/livez"},
    {"GET", "/readyz", "", OPEN, 200, "/readyz"},
    {"GET", "/health", "", OPEN, 200, "/health"},
    {"GET", "/v1/ledger/vkey", "", OPEN, 200, "/v1/ledger/vkey"},
    {"GET", "/.well-known/jwks.json", "", OPEN, 200, "/.well-known/jwks.json"},
    {"GET", "/metrics", "vo", WHOLE, 200, "/metrics"},
    {"GET", "/v1/status", "vo", WHOLE, 200, "/v1/status"},
    {"GET", "/v1/partitions", "vo", WHOLE, 200, "/v1/partitions"},
    {"GET", "/v1/backup", "o", WHOLE, 501, "/v1/backup"}, /* the rig has none */
    {"POST", "/v1/backup", "o", WHOLE, 501, "/v1/backup", "{\"directory\":\"/x\"}"},
    {"GET", "/checkpoint", "voa", ANY, 200, "/checkpoint"},
    {"GET", "/v1/signals/{id}", "vop", NAMED, 200, "/v1/signals/sig-%t?tenant_id=%t"},
    {"GET", "/v1/receipts", "voa", NAMED, 200, "/v1/receipts?tenant_id=%t", .optional = true},
    {"GET", "/v1/receipts/{id}", "voa", FOUND, 200, "/v1/receipts/%r"},
    {"GET", "/v1/receipts/{id}/proof", "voa", FOUND, 200, "/v1/receipts/%r/proof"},
    {"GET", "/v1/receipts/{id}/tlog-proof", "voa", FOUND, 200, "/v1/receipts/%r/tlog-proof"},
    {"GET", "/v1/receipts/{id}/jws", "voa", FOUND, 200, "/v1/receipts/%r/jws"},
    {"GET", "/v1/ledger/consistency", "voa", ANY, 200, "/v1/ledger/consistency?old=1&new=2"},
    {"GET", "/v1/governors", "vo", NAMED, 200, "/v1/governors?tenant_id=%t", .optional = true},
    {"GET", "/v1/governors/{tenant}/{entitlement}", "vo", NAMED, 200, "/v1/governors/%t/%e"},
    {"POST", "/v1/governors/{tenant}/{entitlement}/halt", "o", NAMED, 202, "/v1/governors/%t/%e/halt", "{}"},
    {"POST", "/v1/governors/{tenant}/{entitlement}/resume", "o", NAMED, 202, "/v1/governors/%t/%e/resume", "{}"},
    {"POST", "/v1/governors/{tenant}/{entitlement}/activate", "o", NAMED, 202, "/v1/governors/%t/%e/activate", "{}"},
    {"POST", "/v1/governors/{tenant}/{entitlement}/reset-quota", "o", NAMED, 202, "/v1/governors/%t/%e/reset-quota",
     "{}"},
    {"GET", "/v1/deadletters", "vo", NAMED, 200, "/v1/deadletters?tenant_id=%t", .optional = true},
    {"GET", "/v1/deadletters/{id}", "vo", FOUND, 200, "/v1/deadletters/%d"},
    {"POST", "/v1/deadletters/{id}/requeue", "o", FOUND, 202, "/v1/deadletters/%d/requeue", "{}"},
    {"POST", "/v1/deadletters/{id}/discard", "o", FOUND, 202, "/v1/deadletters/%d/discard", "{\"reason\":\"x\"}"},
    {"POST", "/v1/deadletters/bulk", "o", NAMED, 200, "/v1/deadletters/bulk",
     "{\"action\":\"requeue\",\"dry_run\":true,\"filter\":{\"tenant_id\":\"%t\"}}", .optional = true},
    {"GET", "/v1/commands", "vo", NAMED, 200, "/v1/commands?tenant_id=%t", .optional = true},
    {"GET", "/v1/commands/{id}", "vo", FOUND, 200, "/v1/commands/%c"},
};
enum { EXPECTATIONS = sizeof(expectations) / sizeof(expectations[0]) };

static struct rig rig;
static struct rig_answer answer;
static char deadletters[2][UUID_TEXT + 1]; /* by tenant; also the receipt's */
static struct token_config tokens[4 * TENANTS_OF + 1];
static char names[4 * TENANTS_OF + 1][16];

/* --- the rig: two tenants with one of everything, and a token of every role for each and for all ---------------------
 */

static void add_token(size_t i, const char *name, size_t role, const char *tenant)
{
    char token[32];
    struct hasher *hasher = hasher_new();
    snprintf(names[i], sizeof(names[i]), "%s", name);
    snprintf(token, sizeof(token), "tok-%s", name);
    tokens[i] = (struct token_config){
        .name = names[i], .role = (enum config_token_role)role, .tenant = tenant, .expires_ms = INT64_MAX};
    hasher_sha256(hasher, span_of(token), tokens[i].sha256);
    hasher_free(hasher);
}

static void add_tokens(void)
{
    for (size_t role = 0; role < 4; role++)
        for (size_t of = 0; of < TENANTS_OF; of++) {
            char name[16];
            snprintf(name, sizeof(name), "%c%zu", roles[role], of);
            add_token(TENANTS_OF * role + of, name, role, tenants[of]);
        }
    add_token(4 * TENANTS_OF, "expired", CONFIG_TOKEN_OPERATOR, "*");
    tokens[4 * TENANTS_OF].expires_ms = clock_wall_ms(&clock_system);
    rig.config.tokens = tokens;
    rig.config.tokens_count = 4 * TENANTS_OF + 1;
}

static void seed(enum tenant_of of)
{
    static const struct governor_record record = {
        .state = GOVERNOR_HALTED, .entitlement = ENTITLEMENT_ACTIVE, .quota_limit = -1, .created_at = 1};
    const char *tenant = tenants[of];
    char signal_id[64], entitlement[64], body[128];
    struct rig_wait wait = {0};
    struct hasher *hasher = hasher_new();
    struct buf text;
    snprintf(signal_id, sizeof(signal_id), "sig-%s", tenant);
    snprintf(entitlement, sizeof(entitlement), "ent-%s", tenant);
    snprintf(body, sizeof(body), "{\"tenant_id\":\"%s\"}", tenant);
    buf_init(&text, 4096);
    ledger_outcome(&text, tenant, ++rig.committed);
    struct outcome outcome = {.number = ++rig.numbered[0][0], .tenant_id = span_of(tenant), .text = buf_span(&text)};
    uint32_t shard = 0;
    receipt_id_of(hasher, 0, 0, outcome.number, deadletters[of]);
    struct deadletter_change deadletter = {.class = CLASS_POLICY, .state = GOVERNOR_HALTED};
    memcpy(deadletter.id, deadletters[of], sizeof(deadletter.id));
    struct signal_change change = {.insert = true,
                                   .row = {.identity = {span_of(tenant), span_of(entitlement), span_of(signal_id), 0},
                                           .status = SIGNAL_DEADLETTERED,
                                           .reason = SPAN("governor_halted"),
                                           .accepted_at_ms = 1,
                                           .changed_at_ms = 2,
                                           .envelope = SPAN("{}"),
                                           .bytes = span_of(body),
                                           .outcomes = {outcome.number},
                                           .outcome_count = 1},
                                   .deadletter = &deadletter};
    struct governor_change governor = {
        .tenant_id = span_of(tenant), .entitlement_id = span_of(entitlement), .insert = true, .record = &record};
    struct store_commit commit = {.req = {.done = rig_done, .ctx = &wait},
                                  .partition = 0,
                                  .epoch = rig.leases[0].epoch,
                                  .batch = rig.leases[0].batch++,
                                  .next_line = 1,
                                  .signals = &change,
                                  .signal_count = 1,
                                  .governors = &governor,
                                  .governor_count = 1,
                                  .outcomes = &outcome,
                                  .outcome_shards = &shard,
                                  .outcome_count = 1};
    store_commit(rig.author, &commit);
    cr_assert_eq(rig_await(rig.author, &wait), 0);
    arena_done(&commit.req.arena);
    hasher_free(hasher);
    buf_done(&text);
    struct rig_wait added = {0};
    struct store_command_add add = {.req = {.done = rig_done, .ctx = &added},
                                    .max_pending = 10,
                                    .command = {.id = of == OF_OWN ? SPAN("cmd-" OWN) : SPAN("cmd-" OTHER),
                                                .kind = COMMAND_HALT,
                                                .tenant_id = span_of(tenant),
                                                .entitlement_id = span_of(entitlement),
                                                .operator= span_of(tenant),
                                                .args = SPAN("{}")}};
    store_command_add(rig.author, &add);
    cr_assert_eq(rig_await(rig.author, &added), 0);
    arena_done(&add.req.arena);
}

/* --- asking ----------------------------------------------------------------------------------------------------------
 */

/* headers: whole lines. */
static int ask(const char *method, const char *target, const char *headers, const char *body)
{
    char request[4096], host[64] = "";
    if (!strstr(headers, "Host:"))
        snprintf(host, sizeof(host), "Host: 127.0.0.1:%u\r\n", andon_port(rig.andon));
    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\n%sConnection: close\r\n%s", method, target, host, headers);
    size_t len = strlen(request);
    if (body)
        len += (size_t)snprintf(request + len, sizeof(request) - len,
                                "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    snprintf(request + len, sizeof(request) - len, "\r\n%s", body ? body : "");
    rig_answer_done(&answer);
    answer = rig_send(&rig, request);
    return answer.status;
}

static bool has(const char *text)
{
    return answer.all.len && memmem(answer.all.data, answer.all.len, text, strlen(text));
}

static void setup(void)
{
    rig_init(&rig, NULL);
    add_tokens();
    rig_open(&rig);
    rig_start(&rig);
    seed(OF_OWN);
    seed(OF_OTHER);
    cr_assert(rig_until(&rig, 2));
    int64_t end = clock_mono_ms(&clock_system) + RIG_WAIT_MS; /* the checkpoint follows */
    while ((ask("GET", "/checkpoint", "Authorization: Bearer tok-a2\r\n", NULL) != 200 || !has("\n2\n")) &&
           clock_mono_ms(&clock_system) < end)
        rig_turn(&rig, 2);
}

static void teardown(void)
{
    rig_answer_done(&answer);
    rig_kill(&rig);
    rig_close(&rig);
    rig_remove(&rig);
}

TestSuite(andon_access, .init = setup, .fini = teardown, .timeout = 100);

/* The pattern for a tenant; of < 0: its name is left out. */
static void expand(const char *pattern, int of, char *ret, size_t size)
{
    size_t len = 0;
    for (const char *p = pattern; p && *p; p++) {
        const char *tenant = of >= 0 ? tenants[of] : "";
        if (*p != '%')
            len += (size_t)snprintf(ret + len, size - len, "%c", *p);
        else if (*++p == 't')
            len += (size_t)snprintf(ret + len, size - len, "%s", tenant);
        else if (*p == 'd' || *p == 'r')
            len += (size_t)snprintf(ret + len, size - len, "%s", deadletters[of]);
        else
            len += (size_t)snprintf(ret + len, size - len, "%s%s", *p == 'e' ? "ent-" : "cmd-", tenant);
    }
    ret[len] = '\0';
}

static int ask_for(const struct expected *e, const char *token, int of)
{
    char target[256], body[256], header[128] = "";
    expand(e->target, of, target, sizeof(target));
    expand(e->body, of, body, sizeof(body));
    if (of < 0) { /* what remains of the parameter, or of the filter */
        char *question = strchr(target, '?'), *filter = strstr(body, "\"tenant_id\"");
        if (question)
            *question = '\0';
        if (filter)
            strcpy(filter, "}}");
    }
    if (token)
        snprintf(header, sizeof(header), "Authorization: Bearer tok-%s\r\n", token);
    return ask(e->method, target, header, e->body ? body : NULL);
}

static const struct expected *expectation(const struct api_route *route)
{
    for (size_t i = 0; i < EXPECTATIONS; i++)
        if (strcmp(expectations[i].method, route->method) == 0 && strcmp(expectations[i].path, route->path) == 0)
            return &expectations[i];
    return NULL;
}

/* --- the matrix ------------------------------------------------------------------------------------------------------
 */

Test(andon_access, every_endpoint_has_its_row)
{
    size_t count = 0;
    for (const struct api_route *route = api_routes; route->method; route++, count++)
        cr_expect_not_null(expectation(route), "%s %s: say above who may use it", route->method, route->path);
    cr_expect_eq(count, EXPECTATIONS, "a row of an endpoint that is no more");
}

static void check_strangers(const struct expected *e)
{
    static const char *const strangers[] = {NULL, "unknown", "expired"};
    static const char *const errors[] = {"\r\nWWW-Authenticate: Bearer realm=\"andon\"\r\n", "error=\"invalid_token\"",
                                         "error=\"invalid_token\""};
    for (size_t i = 0; i < 3; i++) {
        int status = ask_for(e, strangers[i], OF_OWN);
        cr_expect_eq(status, e->kind == OPEN ? e->status : 401, "%s %s, %s: %d", e->method, e->path,
                     strangers[i] ? strangers[i] : "no token", status);
        cr_expect(e->kind == OPEN || has(errors[i]), "%s: %s", e->path, answer.head.ptr);
        cr_expect_not(has(OWN) || has(OTHER), "%s %s", e->method, e->path);
    }
}

static int wanted(const struct expected *e, char role, enum tenant_of bound, int of)
{
    bool other = bound != OF_ALL && of >= 0 && of != (int)bound;
    if (e->kind == OPEN)
        return e->status;
    if (!strchr(e->who, role) || (e->kind == WHOLE && bound != OF_ALL) || (e->kind == NAMED && other))
        return 403;
    return e->kind == FOUND && other ? 404 : e->status;
}

static void check_one(const struct expected *e, size_t role, enum tenant_of bound, int of)
{
    char name[16];
    snprintf(name, sizeof(name), "%c%d", roles[role], bound);
    int status = ask_for(e, name, of), want = wanted(e, roles[role], bound, of);
    cr_expect_eq(status, want, "%s %s, token %s, for %s: %d, not %d: %.*s", e->method, e->path, name,
                 of < 0 ? "whom it may" : tenants[of], status, want, (int)answer.body.len, answer.body.ptr);
    if (status == 403)
        cr_expect(has("error=\"insufficient_scope\""), "%s: %s", e->path, answer.head.ptr);
    if (bound != OF_ALL)
        cr_expect_not(has(tenants[!bound]), "%s %s, token %s: %s", e->method, e->path, name, answer.all.data);
    if (bound != OF_ALL && of < 0 && status < 300)
        cr_expect(has(tenants[bound]), "%s %s, token %s: nothing of its own", e->method, e->path, name);
    if (bound == OF_ALL && of < 0 && status < 300)
        cr_expect(has(OWN) && has(OTHER), "%s %s, token %s: not all", e->method, e->path, name);
}

Test(andon_access, matrix)
{
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        const struct expected *e = &expectations[i];
        check_strangers(e);
        for (size_t role = 0; role < 4; role++)
            for (enum tenant_of bound = 0; bound < TENANTS_OF; bound++) {
                for (int of = 0; of < (e->kind == NAMED || e->kind == FOUND ? 2 : 1); of++)
                    check_one(e, role, bound, of);
                if (e->optional)
                    check_one(e, role, bound, -1);
            }
    }
}

static void add_roles(struct buf *out, const struct expected *e, bool probe)
{
    static const char *const role_names[] = {"viewer", "operator", "auditor", "publisher"};
    if (e->kind == OPEN)
        buf_add_str(out, probe ? "anybody, under any Host" : "anybody");
    for (size_t i = 0, count = 0; i < 4; i++)
        if (strchr(e->who, roles[i]))
            buf_addf(out, "%s%s", count++ ? ", " : "", role_names[i]);
}

/* The table of docs/security.md. */
Test(andon_access, documentation_is_current)
{
    static const char *const scopes[] = {[OPEN] = "| |",
                                         [ANY] = "| |",
                                         [NAMED] = "| its tenant; naming another: 403 |",
                                         [FOUND] = "| its tenant; another's: 404 |",
                                         [WHOLE] = "| 403: it covers all tenants |"};
    char path[4096];
    snprintf(path, sizeof(path), "%s/docs/security.md", TAI_SOURCE_DIR);
    FILE *file = fopen(path, "re");
    struct buf text;
    buf_init(&text, 1 << 20);
    cr_assert_not_null(file, "%s", path);
    text.len = fread(buf_reserve(&text, 1 << 19), 1, 1 << 19, file);
    fclose(file);
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        const struct expected *e = &expectations[i];
        struct buf row;
        buf_init(&row, 4096);
        buf_addf(&row, "| `%s %s` | ", e->method, e->path);
        add_roles(&row, e, strcmp(e->path, "/livez") == 0 || strcmp(e->path, "/readyz") == 0);
        buf_addf(&row, " %s\n", scopes[e->kind]);
        cr_expect(strstr(buf_cstr(&text), buf_cstr(&row)), "docs/security.md lacks %s", buf_cstr(&row));
        buf_done(&row);
    }
    buf_done(&text);
}

/* --- what the matrix does not ask
 * -------------------------------------------------------------------------------------- */

#define AS(name) "Authorization: Bearer tok-" name "\r\n"

Test(andon_access, whole_logs_are_for_tokens_of_all_tenants)
{
    cr_expect_eq(ask("GET", "/v1/receipts?shard=0", AS("a2"), NULL), 200);
    cr_expect(has(OWN) && has(OTHER) && !has("leaf_hash"));
    cr_expect_eq(ask("GET", "/v1/receipts?shard=0", AS("a0"), NULL), 200);
    cr_expect(has(OWN) && !has(OTHER) && has("{\"index\":1,\"leaf_hash\":\""), "%s", answer.body.ptr);
    cr_expect_eq(ask("GET", "/v1/receipts?shard=0&tenant_id=" OTHER, AS("a0"), NULL), 403);
    cr_expect_eq(ask("GET", "/v1/receipts?shard=0&tenant_id=" OTHER, AS("a2"), NULL), 200);
    cr_expect(has(OTHER) && !has(OWN));
    cr_expect_eq(ask("GET", "/v1/receipts?shard=0&signal_id=sig-" OTHER, AS("a0"), NULL), 400, "it would tell");
    cr_expect_eq(ask("GET", "/v1/receipts?tenant_id=_system", AS("a0"), NULL), 403);
    cr_expect_eq(ask("GET", "/v1/receipts?tenant_id=_system", AS("a2"), NULL), 200);
    cr_expect_eq(ask("GET", "/v1/signals/sig-" OWN, AS("p0"), NULL), 200, "its tenant is filled in");
    cr_expect_eq(ask("GET", "/v1/signals/sig-" OWN, AS("p2"), NULL), 400, "whose?");
}

/* 403 says the same of what is there and of what is not. */
Test(andon_access, refusals_do_not_tell_what_exists)
{
    static const char *const pairs[][2] = {
        {"/v1/governors/" OTHER "/ent-" OTHER, "/v1/governors/nobody/nothing"},
        {"/v1/signals/sig-" OTHER "?tenant_id=" OTHER, "/v1/signals/none?tenant_id=nobody"},
    };
    for (size_t i = 0; i < 2; i++) {
        char first[512];
        cr_expect_eq(ask("GET", pairs[i][0], AS("o0"), NULL), 403);
        snprintf(first, sizeof(first), "%.*s", (int)answer.body.len, answer.body.ptr);
        cr_expect_eq(ask("GET", pairs[i][1], AS("o0"), NULL), 403);
        cr_expect_str_eq(answer.body.ptr, first);
    }
    char there[80], first[512];
    snprintf(there, sizeof(there), "/v1/deadletters/%s", deadletters[OF_OTHER]);
    cr_expect_eq(ask("GET", there, AS("o0"), NULL), 404);
    snprintf(first, sizeof(first), "%.*s", (int)answer.body.len, answer.body.ptr);
    cr_expect_eq(ask("GET", "/v1/deadletters/00000000-0000-5000-8000-000000000000", AS("o0"), NULL), 404);
    cr_expect_str_eq(answer.body.ptr, first);
}

Test(andon_access, receipts_carry_the_name_of_the_token)
{
    static const char halt[] = "/v1/governors/" OWN "/ent-" OWN "/halt";
    cr_expect_eq(ask("POST", halt, AS("o0") "X-Operator: root\r\n", "{}"), 403);
    cr_expect(has("the receipt names the owner of the token, o0"));
    cr_expect_eq(ask("POST", halt, AS("o0") "X-Operator: o0\r\n", "{\"command_id\":\"same\"}"), 202);
    cr_expect_eq(ask("POST", halt, AS("o0"), "{\"command_id\":\"mine\"}"), 202);
    cr_expect_eq(ask("GET", "/v1/commands/mine", AS("v0"), NULL), 200);
    cr_expect(has("\"operator\":\"o0\""), "%s", answer.body.ptr);
    /* A repeat by another operator is another command. */
    cr_expect_eq(ask("POST", halt, AS("o2"), "{\"command_id\":\"mine\"}"), 422);
}

Test(andon_access, headers_of_rfc_6750)
{
    static const char *const bad[] = {"Authorization: Bearer\r\n", "Authorization: Bearer a b\r\n",
                                      "Authorization: Bearer \"x\"\r\n", AS("v0") AS("v0")};
    static const char *const none[] = {"", "Authorization: Basic dG9rLXYwOng=\r\n", "Authorization: tok-v0\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int status = ask("GET", "/v1/governors", bad[i], NULL);
        cr_expect(status == 400 || status == 401, "%s: %d", bad[i], status);
        cr_expect_not(has("\"governors\""), "%s", bad[i]);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        cr_expect_eq(ask("GET", "/v1/governors", none[i], NULL), 401);
        cr_expect(has("WWW-Authenticate: Bearer realm=\"andon\"\r\n"), "%s", answer.head.ptr);
    }
    cr_expect_eq(ask("GET", "/v1/governors", "Authorization: bearer   tok-v0\r\n", NULL), 200);
    cr_expect_eq(ask("GET", "/v1/governors?access_token=tok-v0", "", NULL), 401, "tokens in URLs end in logs");
    cr_expect_eq(ask("HEAD", "/v1/governors", "", NULL), 401);
    cr_expect_eq(ask("GET", "/v1/governors?nonsense=1", "", NULL), 401, "first of all: who asks?");
}

Test(andon_access, web_pages)
{
    cr_expect_eq(ask("GET", "/v1/governors", AS("v0") "Host: andon.example\r\n", NULL), 200, "behind a proxy");
    cr_expect_eq(ask("GET", "/v1/governors", AS("v0") "Host: andon.example\r\nOrigin: https://andon.example\r\n", NULL),
                 200);
    cr_expect_eq(ask("GET", "/v1/governors", AS("v0") "Host: andon.example\r\nOrigin: https://evil.example\r\n", NULL),
                 403);
    cr_expect_eq(ask("GET", "/health", "Host: andon.example\r\nOrigin: null\r\n", NULL), 403);
    cr_expect_eq(ask("GET", "/livez", "Host: 10.1.2.3\r\n", NULL), 200, "a prober");
    cr_expect_eq(ask("GET", "/health", "Host: andon.example\r\n", NULL), 200);
}

Test(andon_access, no_endpoint_answers_web_pages_without_tokens)
{
    static const char *const pages[] = {"Host: evil.example\r\n", "Host: 127.0.0.1.evil.example:8081\r\n",
                                        "Origin: http://evil.example\r\n", "Origin: null\r\n"};
    struct andon_config next = rig.config;
    next.tokens_count = 0;
    andon_reload(rig.andon, &next);
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        const struct expected *e = &expectations[i];
        char target[256], body[256];
        bool probe = strcmp(e->path, "/livez") == 0 || strcmp(e->path, "/readyz") == 0;
        expand(e->target, OF_OWN, target, sizeof(target));
        expand(e->body, OF_OWN, body, sizeof(body));
        for (size_t j = 0; j < 4; j++) {
            int status = ask(e->method, target, pages[j], e->body ? body : NULL);
            cr_expect_eq(status, probe ? 200 : 403, "%s %s, %s: %d", e->method, e->path, pages[j], status);
        }
        int status = ask(e->method, target, "", e->body ? body : NULL);
        cr_expect_eq(status, e->status, "%s %s: %d", e->method, e->path, status);
    }
}

Test(andon_access, other_tokens_are_taken_over)
{
    struct andon_config next = rig.config;
    cr_expect_eq(ask("GET", "/v1/governors", AS("v0"), NULL), 200);
    add_token(0, "new", CONFIG_TOKEN_VIEWER, OWN);
    next.tokens_count = 1;
    andon_reload(rig.andon, &next);
    cr_expect_eq(ask("GET", "/v1/governors", AS("v0"), NULL), 401);
    cr_expect_eq(ask("GET", "/v1/governors", AS("new"), NULL), 200);
    next.tokens_count = 0;
    andon_reload(rig.andon, &next);
    cr_expect_eq(ask("GET", "/v1/governors", "", NULL), 200, "without tokens whoever is here may");
    cr_expect_eq(ask("GET", "/v1/governors", "Host: evil.example\r\n", NULL), 403);
    cr_expect_eq(ask("GET", "/v1/governors", "Origin: http://evil.example\r\n", NULL), 403);
}

Test(andon_access, counted_by_reason)
{
    (void)ask("GET", "/v1/governors", "", NULL);
    (void)ask("GET", "/v1/governors", AS("nobody"), NULL);
    (void)ask("GET", "/v1/governors", AS("expired"), NULL);
    (void)ask("GET", "/v1/governors", AS("p0"), NULL);
    (void)ask("GET", "/v1/governors?tenant_id=" OTHER, AS("v0"), NULL);
    (void)ask("GET", "/v1/governors", "Origin: http://evil.example\r\n", NULL);
    cr_assert_eq(ask("GET", "/metrics", AS("v2"), NULL), 200);
    static const char *const reasons[] = {"no_token", "bad_token", "expired", "role", "tenant", "origin"};
    for (size_t i = 0; i < 6; i++) {
        char sample[80];
        snprintf(sample, sizeof(sample), "tai_andon_denied_total{reason=\"%s\"} 1\n", reasons[i]);
        cr_expect(has(sample), "%s", sample);
    }
}

Test(andon_access, beyond_loopback_only_with_tokens)
{
    struct rig open = rig;
    struct error err = {0};
    open.config.listen.loopback = false;
    open.config.tokens_count = 0;
    cr_expect_eq(rig_try_start_on(&open, open.backend, &err), -EINVAL);
    cr_expect(strstr(err.text, "there are no tokens"), "%s", err.text);
}
