/* JWS by hand: one algorithm, one header, so that nothing in the header can choose how it is verified. */
#include "andon/ledger/jws.h"

#include "andon/ledger/note_key.h"
#include "common/mem.h"

#include <errno.h>

#define HEADER_BEGIN "{\"alg\":\"EdDSA\",\"kid\":\""
#define HEADER_END   "\",\"typ\":\"tai-receipt+jws\"}"

enum { KID = 2 * NOTE_KEY_ID, JWS_MAX = 32 << 20 };

static void header_of(const struct note_key *key, struct buf *out)
{
    char kid[KID];
    hex_encode(key->id, NOTE_KEY_ID, kid);
    buf_add_str(out, HEADER_BEGIN);
    buf_add(out, kid, sizeof(kid));
    buf_add_str(out, HEADER_END);
}

static void add_base64url(struct buf *out, struct span data)
{
    char *at = buf_reserve(out, base64_room(data.len));
    if (at)
        out->len += base64url_encode((const uint8_t *)data.ptr, data.len, at);
}

int jws_sign(const struct note_key *key, struct span payload, struct buf *out, struct error *err)
{
    struct buf header;
    uint8_t signature[ED25519_SIGNATURE];
    size_t start = out->len;
    buf_init(&header, JWS_OVERHEAD);
    header_of(key, &header);
    add_base64url(out, buf_span(&header));
    buf_add_char(out, '.');
    add_base64url(out, payload);
    buf_done(&header);
    if (out->failed)
        return error_set(err, -ENOBUFS, "the receipt is too long for a JWS");
    if (!key->can_sign || note_sign(key, (struct span){out->data + start, out->len - start}, signature))
        return error_set(err, -EIO, "cannot sign the receipt");
    buf_add_char(out, '.');
    add_base64url(out, (struct span){(const char *)signature, sizeof(signature)});
    return out->failed ? error_set(err, -ENOBUFS, "the receipt is too long for a JWS") : 0;
}

static int bad(struct error *err, const char *what)
{
    return error_set(err, -EBADMSG, "JWS: %s", what);
}

/* The part up to the next point, or the end. */
static struct span take_part(struct span *rest)
{
    const char *point = rest->len ? memchr(rest->ptr, '.', rest->len) : NULL;
    struct span part = {rest->ptr, point ? (size_t)(point - rest->ptr) : rest->len};
    size_t gone = part.len + (point ? 1 : 0);
    *rest = (struct span){rest->ptr + gone, rest->len - gone};
    return part;
}

/* The key whose header this is, byte for byte. */
static const struct note_key *key_of(struct span header, struct note_key *const *keys, size_t key_count)
{
    for (size_t i = 0; i < key_count; i++) {
        struct buf ours;
        buf_init(&ours, JWS_OVERHEAD);
        header_of(keys[i], &ours);
        bool same = span_eq(buf_span(&ours), header);
        buf_done(&ours);
        if (same)
            return keys[i];
    }
    return NULL;
}

int jws_verify(struct span text, struct note_key *const *keys, size_t key_count, struct buf *payload, struct error *err)
{
    if (text.len && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len > JWS_MAX)
        return bad(err, "it is longer than any receipt");
    struct span rest = text, header = take_part(&rest), body = take_part(&rest), signature = rest;
    struct span signed_part = {text.ptr, header.len + 1 + body.len};
    uint8_t header_bytes[JWS_OVERHEAD], signature_bytes[ED25519_SIGNATURE];
    if (signature.len == 0 || memchr(signature.ptr, '.', signature.len))
        return bad(err, "it is not three parts with points between them");
    long len = base64url_decode(header, header_bytes, sizeof(header_bytes));
    const struct note_key *key =
        len < 0 ? NULL : key_of((struct span){(const char *)header_bytes, (size_t)len}, keys, key_count);
    if (!key)
        return bad(err, "its header does not say EdDSA, tai-receipt+jws and the id of a key given");
    if (base64url_decode(signature, signature_bytes, sizeof(signature_bytes)) != ED25519_SIGNATURE)
        return bad(err, "its signature is not 64 bytes in base64url");
    if (!note_signature_valid(key, signed_part, signature_bytes))
        return bad(err, "the signature does not verify");
    char *at = buf_reserve(payload, body.len + 1);
    len = at ? base64url_decode(body, (uint8_t *)at, body.len + 1) : -1;
    if (len < 0)
        return bad(err, "its payload is not base64url");
    payload->len += (size_t)len;
    return 0;
}
