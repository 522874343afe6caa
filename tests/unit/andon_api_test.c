/* andon's HTTP API over a real store: answers, pages, cursors, bad parameters, who is served. */
#include "andon/ledger/export.h"
#include "support/andon_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

static struct rig rig;
static struct rig_answer answer;

static bool accepted(void *ctx, struct span tenant_id, struct span entitlement_id, struct span id)
{
    (void)ctx, (void)entitlement_id;
    return span_is(tenant_id, "acme") && span_is(id, "just-sent");
}

static void setup(void)
{
    rig_init(&rig, NULL);
    rig.accepted = accepted;
    rig_open(&rig);
    rig_start(&rig);
}

static void teardown(void)
{
    rig_answer_done(&answer);
    rig_kill(&rig);
    rig_close(&rig);
    rig_remove(&rig);
}

TestSuite(andon_api, .init = setup, .fini = teardown);

static int get(const char *target)
{
    rig_answer_done(&answer);
    answer = rig_get(&rig, target);
    return answer.status;
}

static bool body_has(const char *text)
{
    return answer.body.len && memmem(answer.body.ptr, answer.body.len, text, strlen(text));
}

#define EXPECT(target, code, text)                                                                                     \
    do {                                                                                                               \
        int status = get(target);                                                                                      \
        cr_expect(status == (code) && body_has(text), "%s: %d %.*s", target, status, (int)answer.body.len,             \
                  answer.body.ptr ? answer.body.ptr : "");                                                             \
    } while (0)

/* The value of a header; empty if there is none. */
static struct span header(const char *name)
{
    char line[64];
    snprintf(line, sizeof(line), "\n%s: ", name);
    char *at = strcasestr(answer.head.ptr, line);
    if (!at || at >= answer.body.ptr)
        return (struct span){0};
    at += strlen(line);
    return (struct span){at, (size_t)(strstr(at, "\r\n") - at)};
}

static void receipts(uint32_t partition, size_t count)
{
    cr_assert_eq(rig_commit(&rig, partition, count), 0);
    cr_assert(rig_until(&rig, rig.committed));
}

/* --- signals and governors -------------------------------------------------------------------------------------------
 */

static void commit_signal(const char *tenant, const char *entitlement, const char *id, enum signal_status status,
                          uint32_t outcomes)
{
    struct rig_wait wait = {0};
    struct outcome made[4];
    uint32_t shards[4] = {0};
    struct buf texts[4];
    struct signal_change change = {.insert = true,
                                   .row = {.identity = {span_of(tenant), span_of(entitlement), span_of(id), 0},
                                           .status = status,
                                           .reason = status == SIGNAL_WAITING ? SPAN("boot") : SPAN(""),
                                           .accepted_at_ms = 1700000000001,
                                           .changed_at_ms = 1700000000002,
                                           .line = 1,
                                           .outcome_count = outcomes}};
    struct store_commit commit = {.req = {.done = rig_done, .ctx = &wait},
                                  .partition = 0,
                                  .epoch = rig.leases[0].epoch,
                                  .batch = rig.leases[0].batch++,
                                  .next_line = 2,
                                  .signals = &change,
                                  .signal_count = 1,
                                  .outcomes = made,
                                  .outcome_shards = shards,
                                  .outcome_count = outcomes};
    for (uint32_t i = 0; i < outcomes; i++) {
        buf_init(&texts[i], 4096);
        ledger_outcome(&texts[i], tenant, ++rig.committed);
        change.row.outcomes[i] = ++rig.numbered[0][0];
        made[i] = (struct outcome){
            .number = change.row.outcomes[i], .tenant_id = span_of(tenant), .text = buf_span(&texts[i])};
    }
    store_commit(rig.author, &commit);
    cr_assert_eq(rig_await(rig.author, &wait), 0);
    arena_done(&commit.req.arena);
    for (uint32_t i = 0; i < outcomes; i++)
        buf_done(&texts[i]);
    cr_assert(rig_until(&rig, rig.committed));
}

Test(andon_api, signal_that_ended_names_its_receipts)
{
    commit_signal("acme", "sku-1", "one", SIGNAL_EXECUTED, 2);
    cr_assert_eq(get("/v1/signals/one?tenant_id=acme"), 200);
    cr_expect(body_has("{\"status\":\"executed\",\"signal_id\":\"one\",\"tenant_id\":\"acme\","
                       "\"entitlement_id\":\"sku-1\",\"redrive\":0,\"accepted_at\":1700000000001,"
                       "\"changed_at\":1700000000002,\"receipts\":["),
              "%s", answer.body.ptr);
    char ids[2][UUID_TEXT + 1];
    struct hasher *hasher = hasher_new();
    receipt_id_of(hasher, 0, 0, 1, ids[0]);
    receipt_id_of(hasher, 0, 0, 2, ids[1]);
    hasher_free(hasher);
    char list[128];
    snprintf(list, sizeof(list), "\"receipts\":[\"%s\",\"%s\"]}", ids[0], ids[1]);
    cr_expect(body_has(list), "%s", answer.body.ptr);
    /* Each of them can be fetched; also after a restart, when they must be looked up. */
    for (int again = 0; again < 2; again++) {
        char target[80];
        snprintf(target, sizeof(target), "/v1/receipts/%s", ids[1]);
        EXPECT(target, 200, "\"seq\":2");
        cr_assert(rig_stop(&rig));
        rig_start(&rig);
        EXPECT("/v1/signals/one?tenant_id=acme&entitlement_id=sku-1", 200, list);
    }
}

Test(andon_api, signals_that_are_elsewhere)
{
    commit_signal("acme", "sku-1", "two", SIGNAL_WAITING, 0);
    EXPECT("/v1/signals/two?tenant_id=acme", 200, "\"status\":\"waiting\"");
    EXPECT("/v1/signals/two?tenant_id=acme", 200, "\"reason\":\"boot\"");
    EXPECT("/v1/signals/two?tenant_id=acme", 200, "\"receipts\":[]}");
    EXPECT(
        "/v1/signals/just-sent?tenant_id=acme", 200,
        "{\"status\":\"accepted\",\"signal_id\":\"just-sent\",\"tenant_id\":\"acme\",\"redrive\":0,\"receipts\":[]}");
    EXPECT("/v1/signals/two?tenant_id=globex", 404, "no signal with this id");
    EXPECT("/v1/signals/two?tenant_id=acme&entitlement_id=other", 404, "for this tenant and entitlement");
    commit_signal("acme", "sku-2", "two", SIGNAL_EXECUTED, 1);
    EXPECT("/v1/signals/two?tenant_id=acme&entitlement_id=sku-1", 200, "\"also_under\":[\"sku-2\"]");
}

Test(andon_api, bad_signal_queries)
{
    EXPECT("/v1/signals/x", 400, "\\\"tenant_id\\\" is required");
    EXPECT("/v1/signals/x?tenant_id=", 400, "1 to 64 printable");
    EXPECT("/v1/signals/x?tenant_id=a%20b", 400, "1 to 64 printable");
    EXPECT("/v1/signals/x?tenant_id=acme&tenant_id=acme", 400, "given twice");
    EXPECT("/v1/signals/x?tenant_id=acme&tenant=acme", 400, "unknown parameter \\\"tenant\\\"");
    EXPECT("/v1/signals/x?tenant_id=acme&tenant=acme", 400, "known here: tenant_id, entitlement_id");
    EXPECT("/v1/signals/%00?tenant_id=acme", 400, "NUL");
    EXPECT("/v1/signals/a%c3%a9?tenant_id=acme", 400, "\\\"id\\\" must be");
}

static void commit_governor(const char *tenant, const char *entitlement, const struct governor_record *record)
{
    struct rig_wait wait = {0};
    struct governor_change change = {
        .tenant_id = span_of(tenant), .entitlement_id = span_of(entitlement), .insert = true, .record = record};
    struct store_commit commit = {.req = {.done = rig_done, .ctx = &wait},
                                  .partition = 0,
                                  .epoch = rig.leases[0].epoch,
                                  .batch = rig.leases[0].batch++,
                                  .next_line = 1,
                                  .governors = &change,
                                  .governor_count = 1};
    store_commit(rig.author, &commit);
    cr_assert_eq(rig_await(rig.author, &wait), 0);
    arena_done(&commit.req.arena);
}

Test(andon_api, governors)
{
    struct governor_pending pending = {
        .action_id = "0123", .policy = "cost", .action = "notify", .attempt = 2, .signal_id = "s1"};
    struct governor_record active = {.state = GOVERNOR_ACTIVE,
                                     .entitlement = ENTITLEMENT_ACTIVE,
                                     .quota_limit = -1,
                                     .created_at = 5,
                                     .updated_at = 6,
                                     .last_signal_at = 7};
    struct governor_record busy = active;
    busy.state = GOVERNOR_ACTION_PENDING;
    busy.pending = &pending;
    busy.quota_limit = 10;
    busy.quota_used = 3;
    busy.quota_period = PERIOD_DAY;
    busy.failures = 4;
    busy.policy_state = (char[]){"{\"cost\":{\"spend\":1}}"};
    busy.sku_id = (char[]){"sku-x"};
    commit_governor("acme", "a/b", &busy);
    for (int i = 0; i < 7; i++) {
        char entitlement[16];
        snprintf(entitlement, sizeof(entitlement), "sku-%d", i);
        commit_governor("globex", entitlement, &active);
    }
    EXPECT(
        "/v1/governors/acme/a%2Fb", 200,
        "{\"tenant_id\":\"acme\",\"entitlement_id\":\"a/b\",\"sku_id\":\"sku-x\",\"state\":\"action_pending\","
        "\"entitlement\":\"active\",\"refund_open\":false,\"quota_limit\":10,\"quota_used\":3,"
        "\"quota_period\":\"day\",\"period_start\":0,\"breaker\":{\"failures\":4},\"pending\":{\"action_id\":\"0123\","
        "\"policy\":\"cost\",\"action\":\"notify\",\"attempt\":2,\"probe\":false,\"signal_id\":\"s1\","
        "\"redrive\":0},\"policy_state\":{\"cost\":{\"spend\":1}},\"waiting\":0,\"partition\":0,");
    EXPECT("/v1/governors/globex/sku-3", 200, "\"quota_limit\":null");
    EXPECT("/v1/governors/globex/none", 404, "no governor");
    EXPECT("/v1/governors?state=action_pending", 200, "\"entitlement_id\":\"a/b\"");
    cr_expect(!body_has("globex"));
    EXPECT("/v1/governors?tenant_id=nobody", 200, "{\"governors\":[]}");
    EXPECT("/v1/governors?state=asleep", 400, "must be one of boot, active");
    EXPECT("/v1/governors?limit=0", 400, "from 1 to 1000");
    EXPECT("/v1/governors?limit=1001", 400, "from 1 to 1000");
    EXPECT("/v1/governors?limit=+1", 400, "from 1 to 1000");
    /* Pages of three. */
    char target[256] = "/v1/governors?limit=3", seen[8] = {0};
    int pages = 0;
    for (const char *next = target; next; pages++) {
        cr_assert_eq(get(target), 200, "%s", answer.body.ptr);
        for (int i = 0; i < 7; i++) {
            char name[48];
            snprintf(name, sizeof(name), "\"entitlement_id\":\"sku-%d\"", i);
            seen[i] = (char)(seen[i] + body_has(name));
        }
        next = strstr(answer.body.ptr, "\"next\":\"");
        if (next)
            snprintf(target, sizeof(target), "/v1/governors?limit=3&after=%.*s", (int)strcspn(next + 8, "\""),
                     next + 8);
    }
    cr_expect_eq(pages, 3);
    for (int i = 0; i < 7; i++)
        cr_expect_eq(seen[i], 1, "sku-%d", i);
}

/* --- receipts ---------------------------------------------------------------------------------------------------- */

/* Walks all pages of a list; returns how many receipts came, checking each one's hash and order. */
static size_t walk(const char *query, const char *chain)
{
    char target[512];
    size_t count = 0;
    int64_t last = -1;
    struct json_doc doc;
    struct hasher *hasher = hasher_new();
    struct error err;
    json_init(&doc);
    snprintf(target, sizeof(target), "/v1/receipts?%s", query);
    for (bool more = true; more;) {
        cr_assert_eq(get(target), 200, "%s: %s", target, answer.body.ptr);
        cr_assert_eq(json_parse(&doc, answer.body, &err), 0, "%s", err.text);
        const struct json_node *list = json_get(&doc, doc.nodes, "receipts"), *item;
        for (item = json_first(&doc, list); item; item = json_next(&doc, list, item), count++) {
            const struct json_node *receipt = json_get(&doc, item, "receipt");
            uint8_t hash[SHA256_SIZE];
            char hex[SHA256_HEX];
            int64_t index;
            hasher_sha256(hasher, json_raw(&doc, receipt), hash);
            hex_encode(hash, sizeof(hash), hex);
            struct span stated = json_raw(&doc, json_get(&doc, item, "receipt_hash"));
            cr_assert(stated.len == 66 && memcmp(stated.ptr + 1, hex, SHA256_HEX) == 0);
            cr_assert_eq(json_int(&doc, json_get(&doc, item, "index"), 0, INT64_MAX, &index), 0);
            cr_assert_gt(index, last);
            last = index;
            struct span in = json_raw(&doc, json_get(&doc, receipt, "chain"));
            cr_assert(!chain || (in.len == strlen(chain) + 2 && memcmp(in.ptr + 1, chain, in.len - 2) == 0));
        }
        const struct json_node *next = json_get(&doc, doc.nodes, "next");
        struct span cursor = json_raw(&doc, next);
        more = next != NULL;
        if (more)
            snprintf(target, sizeof(target), "/v1/receipts?%s&after=%.*s", query, (int)cursor.len - 2, cursor.ptr + 1);
    }
    json_done(&doc);
    hasher_free(hasher);
    return count;
}

Test(andon_api, receipts_page_by_page)
{
    receipts(0, 50);
    receipts(1, 7);
    cr_expect_eq(walk("limit=10", NULL), 57);
    cr_expect_eq(walk("limit=57", NULL), 57);
    cr_expect_eq(walk("shard=0", NULL), 57);
    cr_expect_eq(walk("limit=1", NULL), 57);
    cr_expect_eq(walk("tenant_id=acme&limit=5", "acme"), 12);
    cr_expect_eq(walk("tenant_id=_system&limit=3", "_system"), 11);
    cr_expect_eq(walk("tenant_id=nobody", NULL), 0);
    cr_expect_eq(walk("signal_id=sig-3", NULL), 1);
    cr_expect_eq(walk("entitlement_id=sku-1&limit=9", NULL), 57);
    cr_expect_eq(walk("type=action_success", NULL), 57);
    cr_expect_eq(walk("type=deadletter", NULL), 0);
}

Test(andon_api, bad_receipt_queries)
{
    receipts(0, 20);
    EXPECT("/v1/receipts?shard=1", 400, "from 0 to 0");
    EXPECT("/v1/receipts?shard=-1", 400, "from 0 to 0");
    EXPECT("/v1/receipts?shard=0&tenant_id=acme&type=refusal", 400, "\\\"type\\\" cannot be given");
    EXPECT("/v1/receipts?type=nonsense", 400, "must be one of action_intent");
    EXPECT("/v1/receipts?limit=0", 400, "from 1 to 1000");
    EXPECT("/v1/receipts?limit=", 400, "from 1 to 1000");
    EXPECT("/v1/receipts?limit=99999999999999999999", 400, "from 1 to 1000");
    EXPECT("/v1/receipts?Limit=5", 400, "unknown parameter \\\"Limit\\\"");
    EXPECT("/v1/receipts?=5", 400, "unknown parameter \\\"\\\"");
    cr_assert_eq(get("/v1/receipts?limit=5"), 200);
    char cursor[64], target[160];
    const char *next = strstr(answer.body.ptr, "\"next\":\"");
    cr_assert_not_null(next);
    snprintf(cursor, sizeof(cursor), "%.*s", (int)strcspn(next + 8, "\""), next + 8);
    snprintf(target, sizeof(target), "/v1/receipts?limit=3&after=%s", cursor); /* another page size is the same query */
    EXPECT(target, 200, "\"index\":5");
    snprintf(target, sizeof(target), "/v1/receipts?tenant_id=acme&after=%s", cursor);
    EXPECT(target, 400, "same query");
    snprintf(target, sizeof(target), "/v1/governors?after=%s", cursor);
    EXPECT(target, 400, "same query");
    for (size_t i = 0; i < strlen(cursor);
         i++) { /* a cursor with any character changed is no cursor, or names a place */
        snprintf(target, sizeof(target), "/v1/receipts?after=%s", cursor);
        char *at = target + strlen(target) - strlen(cursor) + i;
        *at = *at == '!' ? '"' : '!';
        EXPECT(target, 400, "after");
    }
    EXPECT("/v1/receipts?after=", 400, "after");
    EXPECT("/v1/receipts?after=5", 400, "after");
    snprintf(target, sizeof(target), "/v1/receipts?after=%s%s", cursor, cursor);
    EXPECT(target, 400, "after");
}

Test(andon_api, a_receipt_is_served_as_it_was_hashed)
{
    receipts(2, 5);
    char id[UUID_TEXT + 1], target[96], hex[SHA256_HEX + 1] = {0};
    uint8_t hash[SHA256_SIZE];
    struct hasher *hasher = hasher_new();
    receipt_id_of(hasher, 2, 0, 4, id);
    snprintf(target, sizeof(target), "/v1/receipts/%s", id);
    cr_assert_eq(get(target), 200);
    hasher_sha256(hasher, answer.body, hash);
    hex_encode(hash, sizeof(hash), hex);
    cr_expect(span_is(header("X-Receipt-Hash"), hex));
    cr_expect(span_is(header("X-Ledger-Index"), "3"));
    cr_expect(span_is(header("X-Ledger-Shard"), "0"));
    cr_expect(span_is(header("Content-Type"), "application/json"));
    cr_expect(answer.body.ptr[0] == '{' && answer.body.ptr[answer.body.len - 1] == '}');
    receipt_id_of(hasher, 2, 0, 6, id);
    snprintf(target, sizeof(target), "/v1/receipts/%s", id);
    EXPECT(target, 404, "no receipt with this id");
    EXPECT("/v1/receipts/nonsense", 400, "UUID");
    EXPECT("/v1/receipts/01234567-89AB-5cde-8f01-23456789abcd", 400, "lower case");
    EXPECT("/v1/receipts/01234567-89ab-5cde-8f01-23456789abcd?x=1", 400, "known here: none");
    hasher_free(hasher);
}

/* --- the ledger's public side ------------------------------------------------------------------------------------ */

Test(andon_api, checkpoint_verifies_under_the_served_key)
{
    receipts(0, 9);
    struct note_key *key;
    struct checkpoint checkpoint = {0};
    struct error err;
    cr_assert_eq(get("/v1/ledger/vkey"), 200);
    cr_assert_eq(answer.body.ptr[answer.body.len - 1], '\n');
    cr_assert_eq(note_key_from_vkey((struct span){answer.body.ptr, answer.body.len - 1}, &key, &err), 0, "%s",
                 err.text);
    for (int i = 0; i < 500 && checkpoint.size < 9; i++) {
        if (get("/checkpoint") == 503) { /* nothing signed yet */
            poll(NULL, 0, 5);
            continue;
        }
        cr_assert_eq(answer.status, 200);
        cr_assert_eq(checkpoint_verify(answer.body, key, &checkpoint, &err), 0, "%s", err.text);
    }
    cr_expect_eq(checkpoint.size, 9);
    cr_expect_str_eq(checkpoint.origin, "tai.test/log");
    cr_expect(span_is(header("Content-Type"), "text/plain; charset=utf-8"));
    EXPECT("/checkpoint?shard=0", 200, "tai.test/log\n9\n");
    EXPECT("/checkpoint?shard=7", 400, "from 0 to 0");
    /* The same key as a JWK. */
    uint8_t public_key[32];
    char x[48], member[80];
    note_key_public(key, public_key);
    size_t len = base64_encode(public_key, sizeof(public_key), x);
    for (size_t i = 0; i < len; i++)
        x[i] = x[i] == '+' ? '-' : x[i] == '/' ? '_' : x[i];
    snprintf(member, sizeof(member), "\"x\":\"%.43s\"}]}", x);
    EXPECT("/.well-known/jwks.json", 200, member);
    cr_expect(span_is(header("Content-Type"), "application/jwk-set+json"));
    snprintf(member, sizeof(member),
             "{\"keys\":[{\"alg\":\"EdDSA\",\"crv\":\"Ed25519\",\"kid\":\"%.8s\",\"kty\":\"OKP\"",
             strchr(note_key_vkey(key), '+') + 1);
    cr_expect(body_has(member), "%s", answer.body.ptr);
    note_key_free(key);
}

Test(andon_api, status_and_index)
{
    receipts(0, 5);
    EXPECT("/v1/status", 200, "{\"status\":\"serving\",\"version\":\"");
    cr_expect(body_has("\"receipts\":5,\"chains\":5,\"outcomes_open\":0,\"lag_ms\":0,"), "%s", answer.body.ptr);
    cr_expect(body_has("\"deadletters\":{\"open\":0,\"tenant\":0,\"destination\":0,\"pipeline\":0,\"policy\":0,"
                       "\"poison\":0},\"conservation\":{\"gap\":0,\"balance\":0}}"),
              "%s", answer.body.ptr);
    cr_expect(body_has("\"ledger\":[{\"shard\":0,\"state\":\""));
    EXPECT("/v1/status?verbose=1", 400, "unknown parameter");
    struct json_doc doc;
    struct error err;
    json_init(&doc);
    EXPECT("/", 200, "\"receipts\":\"/v1/receipts\"");
    cr_expect_eq(json_parse(&doc, answer.body, &err), 0, "%s", err.text);
    json_done(&doc);
}

/* The checkpoint follows the commit. */
static void until_signed(const char *size)
{
    int64_t end = clock_mono_ms(&clock_system) + RIG_WAIT_MS;
    while ((get("/checkpoint") != 200 || !body_has(size)) && clock_mono_ms(&clock_system) < end)
        rig_turn(&rig, 2);
}

Test(andon_api, health_and_metrics)
{
    receipts(0, 5);
    until_signed("\n5\n");
    EXPECT("/livez", 200, "pass");
    EXPECT("/readyz", 200, "pass");
    EXPECT("/health", 200, "\"ledger:receipts\"");
    EXPECT("/health", 200, "\"ledger:lag\"");
    EXPECT("/metrics", 200, "\ntai_andon_receipts_total{type=\"action_success\"} 5\n");
    cr_expect(body_has("\ntai_andon_receipts_total{type=\"deadletter\"} 0\n"));
    cr_expect(body_has("\ntai_ledger_size{shard=\"0\"} 5\n"), "%s", answer.body.ptr);
    cr_expect(body_has("\ntai_andon_append_duration_seconds_count "));
    cr_expect(body_has("\ntai_andon_lag_seconds 0\n"));
    cr_expect(body_has("\ntai_andon_outcomes_open "));
    cr_expect(body_has("\ntai_ledger_checkpoint_timestamp_seconds{shard=\"0\"} 1"));
    cr_expect(body_has("listener=\"andon\""));
}

Test(andon_api, other_methods_and_paths)
{
    rig_answer_done(&answer);
    answer = rig_send(&rig, "POST /v1/receipts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                            "Content-Length: 2\r\n\r\n{}");
    cr_expect_eq(answer.status, 405);
    cr_expect(span_is(header("Allow"), "GET, HEAD"), "%.*s", (int)answer.head.len, answer.head.ptr);
    EXPECT("/v1/nothing", 404, "nothing at this path");
}

Test(andon_api, only_this_machine_is_served)
{
    static const struct {
        const char *host, *origin;
        int status;
    } visits[] = {
        {"127.0.0.1:8081", NULL, 200},
        {"127.0.0.1", NULL, 200},
        {"127.1.2.3:1", NULL, 200},
        {"localhost:8081", NULL, 200},
        {"LocalHost", NULL, 200},
        {"[::1]:8081", NULL, 200},
        {"[::1]", NULL, 200},
        {"evil.example", NULL, 403},
        {"evil.example:8081", NULL, 403},
        {"127.0.0.1.evil.example", NULL, 403},
        {"localhost.evil.example", NULL, 403},
        {"10.0.0.1:8081", NULL, 403},
        {"[::2]:8081", NULL, 403},
        {"[::1", NULL, 400},
        {"0.0.0.0:8081", NULL, 403},
        {"127.0.0.1:8081", "http://127.0.0.1:8081", 200},
        {"localhost:8081", "http://LOCALHOST:8081", 200},
        {"127.0.0.1:8081", "http://127.0.0.1:3000", 403},
        {"127.0.0.1:8081", "https://127.0.0.1:8081", 403},
        {"127.0.0.1:8081", "http://localhost:8081", 403},
        {"127.0.0.1:8081", "http://evil.example", 403},
        {"127.0.0.1:8081", "null", 403},
        {"127.0.0.1:8081", "", 403},
        {"127.0.0.1:8081", "http://127.0.0.1:8081\r\nOrigin: http://evil.example", 403},
    };
    static const char *const targets[] = {
        "/", "/v1/status", "/v1/ledger/vkey", "/metrics", "/.well-known/jwks.json", "/v1/governors"};
    for (size_t i = 0; i < sizeof(visits) / sizeof(visits[0]); i++) {
        char request[512], origin[256] = "";
        if (visits[i].origin)
            snprintf(origin, sizeof(origin), "Origin: %s\r\n", visits[i].origin);
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n",
                 targets[i % (sizeof(targets) / sizeof(targets[0]))], visits[i].host, origin);
        rig_answer_done(&answer);
        answer = rig_send(&rig, request);
        bool right = answer.status == visits[i].status || (visits[i].status == 400 && answer.status == 403);
        cr_expect(right, "Host %s, Origin %s: %d", visits[i].host, visits[i].origin ? visits[i].origin : "none",
                  answer.status);
    }
}

/* --- starting and stopping --------------------------------------------------------------------------------------- */

Test(andon_api, a_draining_process_is_not_ready)
{
    andon_drain(rig.andon, rig_on_drained, &rig);
    EXPECT("/readyz", 503, "draining");
}

static void refused(int code, const char *says)
{
    struct rig other = rig; /* on the same data */
    struct error err = {0};
    int r = rig_try_start_on(&other, rig.backend, &err);
    cr_expect_eq(r, code, "%d: %s", r, err.text);
    cr_expect(strstr(err.text, says), "%s", err.text);
    if (!r)
        rig_kill(&other);
}

Test(andon_api, refuses_to_start)
{
    cr_assert(rig_stop(&rig));
    struct andon_config good = rig.config;
    char garbage[96];
    snprintf(garbage, sizeof(garbage), "%s/garbage.key", rig.dir);
    FILE *file = fopen(garbage, "w");
    cr_assert(file && fputs("no key", file) >= 0 && fclose(file) == 0 && chmod(garbage, 0600) == 0);
    rig.config.ledger.key_file = garbage;
    refused(-EINVAL, garbage);
    rig.config.ledger.key_file = rig.dir;
    refused(-EISDIR, rig.dir);
    rig.config.ledger.key_file = "/nonexistent/ledger.key";
    refused(-ENOKEY, "/nonexistent/ledger.key");
    rig.config = good;
    rig.config.ledger.origin = "another/log";
    refused(0, ""); /* another origin has a memory of its own: a new log to its readers */
    rig.config = good;
    rig.config.listen.port = 1;
    rig.config.listen.host = "203.0.113.1"; /* not an address of this machine */
    refused(-EADDRNOTAVAIL, "203.0.113.1");
    rig.config = good;
    rig_start(&rig);
}

Test(andon_api, freed_with_requests_under_way)
{
    receipts(0, 100);
    char request[256];
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(andon_port(rig.andon)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    snprintf(request, sizeof(request),
             "GET /v1/receipts?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
             "GET /v1/governors HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
        cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
        if (i % 2)
            close(fd); /* gone before the answer */
    }
}
