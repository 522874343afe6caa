/* What is posted. The padding brings every signal to the same size, whatever its number. */
#include "bench/signals.h"

enum { BODY_MAX = 1 << 20 };

void signals_init(struct signals *signals, struct span secret)
{
    uint8_t random[4];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), signals->run);
    signals->run[8] = '\0';
    signals->hmac = secret.len ? hmac_new(secret) : NULL;
    buf_init(&signals->body, BODY_MAX);
}

void signals_done(struct signals *signals)
{
    hmac_free(signals->hmac);
    buf_done(&signals->body);
}

static void add_tenant(const struct signals *signals, uint64_t number, struct buf *out)
{
    buf_add_str(out, signals->tenant);
    if (signals->tenants == 1)
        return;
    buf_add_char(out, '-');
    buf_add_u64(out, number % signals->tenants);
}

static unsigned entitlement_of(const struct signals *signals, uint64_t number)
{
    return (unsigned)(number / signals->tenants % signals->entitlements);
}

static void add_signal(struct signals *signals, uint64_t number)
{
    struct buf *out = &signals->body;
    size_t start = out->len;
    buf_addf(out, "{\"id\":\"%s-%012llu\",\"tenant_id\":\"", signals->run, (unsigned long long)number);
    add_tenant(signals, number, out);
    buf_addf(out,
             "\",\"entitlement_id\":\"entitlement-%u\",\"type\":\"usage.report\",\"source\":\"bench\","
             "\"data\":{\"cost\":\"0.25\",\"region\":\"eu-west-1\",\"pad\":\"",
             entitlement_of(signals, number));
    size_t used = out->len - start + 3;
    size_t pad = signals->size > used ? signals->size - used : 0;
    char *room = buf_reserve(out, pad);
    if (room) {
        memset(room, 'x', pad);
        out->len += pad;
    }
    buf_add_str(out, "\"}}");
}

uint64_t signals_request(struct signals *signals, struct buf *out)
{
    uint64_t first = signals->next;
    struct buf *body = &signals->body;
    buf_clear(body);
    if (signals->batch > 1)
        buf_add_char(body, '[');
    for (unsigned i = 0; i < signals->batch; i++) {
        if (i)
            buf_add_char(body, ',');
        add_signal(signals, signals->next++);
    }
    if (signals->batch > 1)
        buf_add_char(body, ']');
    buf_clear(out);
    buf_addf(out, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n",
             signals->path, signals->host, body->len);
    if (signals->hmac) {
        uint8_t mac[SHA256_SIZE];
        char hex[SHA256_HEX];
        hmac_sha256(signals->hmac, buf_span(body), mac);
        hex_encode(mac, sizeof(mac), hex);
        if (signals->key_id)
            buf_addf(out, "X-Key-Id: %s\r\n", signals->key_id);
        buf_addf(out, "X-Signature: %.*s\r\n", (int)sizeof(hex), hex);
    }
    buf_add_str(out, "\r\n");
    buf_add_span(out, buf_span(body));
    return first;
}

void signals_query(const struct signals *signals, uint64_t number, const char *host, const char *token, struct buf *out)
{
    buf_clear(out);
    buf_addf(out, "GET /v1/signals/%s-%012llu?tenant_id=", signals->run, (unsigned long long)number);
    add_tenant(signals, number, out);
    buf_addf(out, "&entitlement_id=entitlement-%u HTTP/1.1\r\nHost: %s\r\n", entitlement_of(signals, number), host);
    if (token)
        buf_addf(out, "Authorization: Bearer %s\r\n", token);
    buf_add_str(out, "\r\n");
}
