/* C2SP signed notes and the checkpoints they carry. The parser takes exactly one spelling of everything it reads:
 *
 *   <origin>\n<decimal size>\n<base64 root>\n[<extension>\n]…\n— <name> <base64(key id ‖ signature)>\n…
 *
 * Pure apart from OpenSSL; any thread. */
#include "andon/ledger/note_key.h"

#include "common/lines.h"
#include "common/utf8.h"

#include <errno.h>

static const char signature_prefix[] = "\xe2\x80\x94 "; /* U+2014 and a space */

enum {
    PREFIX_LEN = sizeof(signature_prefix) - 1,
    SIGNATURES_MAX = 100,
    NOTE_MAX = 1 << 20,
    ROOT_BASE64 = 44,
};

int note_sign(const struct note_key *key, struct span text, uint8_t ret[ED25519_SIGNATURE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = ED25519_SIGNATURE;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
              EVP_DigestSign(ctx, ret, &len, (const unsigned char *)text.ptr, text.len) == 1 &&
              len == ED25519_SIGNATURE;
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : -EIO;
}

bool note_signature_valid(const struct note_key *key, struct span text, const uint8_t signature[ED25519_SIGNATURE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
              EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* One line of printable text. */
static bool line_valid(struct span line)
{
    if (line.len == 0 || !utf8_valid(line))
        return false;
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f)
            return false;
    return true;
}

/* text may stand in out. */
static int add_signature(struct buf *out, struct span text, const struct note_key *key, struct error *err)
{
    char base64[4 * ((NOTE_KEY_ID + ED25519_SIGNATURE + 2) / 3) + 1];
    uint8_t raw[NOTE_KEY_ID + ED25519_SIGNATURE];
    memcpy(raw, key->id, NOTE_KEY_ID);
    if (!key->can_sign || note_sign(key, text, raw + NOTE_KEY_ID))
        return error_set(err, -EIO, "cannot sign the checkpoint");
    size_t len = base64_encode(raw, sizeof(raw), base64);
    buf_add(out, signature_prefix, PREFIX_LEN);
    buf_add_str(out, key->name);
    buf_add_char(out, ' ');
    buf_add(out, base64, len);
    buf_add_char(out, '\n');
    return out->failed ? error_set(err, -ENOBUFS, "the checkpoint does not fit") : 0;
}

int checkpoint_sign(const struct checkpoint *checkpoint, const struct note_key *key, struct buf *out, struct error *err)
{
    struct span origin = span_of(checkpoint->origin);
    if (!key->can_sign || !line_valid(origin))
        return error_set(err, -EINVAL, "a checkpoint needs a private key and an origin of one line");
    char base64[ROOT_BASE64 + 1];
    base64_encode(checkpoint->root, SHA256_SIZE, base64);
    size_t start = out->len;
    buf_add_span(out, origin);
    buf_add_char(out, '\n');
    buf_add_u64(out, checkpoint->size);
    buf_add_char(out, '\n');
    buf_add_str(out, base64);
    buf_add_char(out, '\n');
    size_t end = out->len;
    buf_add_char(out, '\n');
    return out->failed ? error_set(err, -ENOBUFS, "the checkpoint does not fit")
                       : add_signature(out, (struct span){out->data + start, end - start}, key, err);
}

static int bad(struct error *err, const char *what)
{
    return error_set(err, -EBADMSG, "checkpoint: %s", what);
}

static int parse_text(struct span text, struct checkpoint *ret, struct error *err)
{
    struct checkpoint checkpoint = {0};
    struct span line;
    if (!line_take(&text, &line) || !line_valid(line) || line.len >= sizeof(checkpoint.origin))
        return bad(err, "the first line must be its origin");
    memcpy(checkpoint.origin, line.ptr, line.len);
    if (!line_take(&text, &line) || !decimal_parse(line, UINT64_MAX, &checkpoint.size))
        return bad(err, "the second line must be its size, a decimal number");
    if (!line_take(&text, &line) || base64_decode(line, checkpoint.root, SHA256_SIZE) != SHA256_SIZE)
        return bad(err, "the third line must be its root, 32 bytes in base64");
    while (text.len)
        if (!line_take(&text, &line) || !line_valid(line))
            return bad(err, "an extension line is empty or holds control characters");
    *ret = checkpoint;
    return 0;
}

/* Splits at the last blank line. text keeps its final line feed, which is signed. */
static bool split_note(struct span note, struct span *ret_text, struct span *ret_signatures)
{
    for (size_t i = note.len; i-- > 1;)
        if (note.ptr[i] == '\n' && note.ptr[i - 1] == '\n') {
            *ret_text = (struct span){note.ptr, i};
            *ret_signatures = (struct span){note.ptr + i + 1, note.len - i - 1};
            return true;
        }
    return false;
}

int note_cosign(struct buf *note, const struct note_key *key, struct error *err)
{
    struct span text, signatures;
    if (!split_note(buf_span(note), &text, &signatures))
        return bad(err, "it is no signed note");
    return add_signature(note, text, key, err);
}

int checkpoint_parse(struct span note, struct checkpoint *ret, struct error *err)
{
    struct span text, signatures;
    return split_note(note, &text, &signatures) ? parse_text(text, ret, err) : bad(err, "it is no signed note");
}

enum verdict { OTHER_KEY, VERIFIED, FORGED, MALFORMED };

static enum verdict check_signature(struct span line, struct span text, const struct note_key *key)
{
    if (line.len < PREFIX_LEN || memcmp(line.ptr, signature_prefix, PREFIX_LEN) != 0)
        return MALFORMED;
    line.ptr += PREFIX_LEN;
    line.len -= PREFIX_LEN;
    const char *space = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
    size_t name_len = space ? (size_t)(space - line.ptr) : 0;
    if (!space || !note_name_valid((struct span){line.ptr, name_len}))
        return MALFORMED;
    uint8_t raw[1024]; /* other algorithms' signatures are longer */
    long len = base64_decode((struct span){space + 1, line.len - name_len - 1}, raw, sizeof(raw));
    if (len <= NOTE_KEY_ID)
        return MALFORMED;
    if (!span_eq((struct span){line.ptr, name_len}, span_of(key->name)) || !hash_equal(raw, key->id, NOTE_KEY_ID))
        return OTHER_KEY;
    if (len != NOTE_KEY_ID + ED25519_SIGNATURE)
        return FORGED;
    return note_signature_valid(key, text, raw + NOTE_KEY_ID) ? VERIFIED : FORGED;
}

static int check_signatures(struct span lines, struct span text, const struct note_key *key, struct error *err)
{
    bool verified = false;
    struct span line;
    for (unsigned n = 0; lines.len; n++) {
        if (n == SIGNATURES_MAX)
            return bad(err, "it carries more than 100 signatures");
        if (!line_take(&lines, &line))
            return bad(err, "its last line is cut off");
        enum verdict verdict = check_signature(line, text, key);
        if (verdict == MALFORMED)
            return bad(err, "a signature line is malformed");
        if (verdict == FORGED)
            return error_set(err, -EBADMSG, "checkpoint: the signature of %s does not verify", key->name);
        if (verdict == VERIFIED && verified)
            return bad(err, "it is signed twice by the same key");
        verified |= verdict == VERIFIED;
    }
    return verified ? 0 : error_set(err, -ENOKEY, "checkpoint: it is not signed by the key %s", key->vkey);
}

int checkpoint_verify(struct span note, const struct note_key *key, struct checkpoint *ret, struct error *err)
{
    int r = checkpoint_open(note, key, ret, err);
    return r == -ENOKEY ? -EBADMSG : r;
}

int checkpoint_open(struct span note, const struct note_key *key, struct checkpoint *ret, struct error *err)
{
    struct span text, signatures;
    if (note.len > NOTE_MAX)
        return bad(err, "it is longer than 1 MiB");
    if (!split_note(note, &text, &signatures) || signatures.len == 0)
        return bad(err, "it is no signed note: text, a blank line, signature lines");
    struct checkpoint checkpoint;
    int r = check_signatures(signatures, text, key, err);
    if (!r)
        r = parse_text(text, &checkpoint, err);
    if (!r)
        *ret = checkpoint;
    return r;
}
