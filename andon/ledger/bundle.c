/* Reads a bundle line by line. The checkpoint comes first, so that every receipt is judged as soon as its proof is
 * read: the first bad one is named. */
#include "andon/ledger/bundle.h"

#include "andon/ledger/export_chains.h"
#include "andon/ledger/line_reader.h"
#include "andon/ledger/receipt.h"
#include "common/lines.h"
#include "common/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { NOTE_ROOM = 1 << 20, HASH_BASE64 = 4 * ((SHA256_SIZE + 2) / 3) };

struct bundle {
    struct line_reader reader;
    const struct export_options *options;
    struct hasher *hasher;
    struct receipt_builder builder;
    struct export_chains *chains;
    struct export_report *report;
    char *vkey;
    uint32_t shard;
    struct buf note;
    struct checkpoint checkpoint;
    struct buf receipt; /* whose proof comes next */
    uint64_t next;      /* index from which on receipts may come */
};

void bundle_write_proof(struct buf *out, uint64_t index, const struct merkle_proof *proof)
{
    char base64[HASH_BASE64 + 1];
    buf_add_str(out, "p ");
    buf_add_u64(out, index);
    for (uint32_t i = 0; i < proof->count; i++) {
        base64_encode(proof->hashes[i], SHA256_SIZE, base64);
        buf_add_char(out, ' ');
        buf_add_str(out, base64);
    }
    buf_add_char(out, '\n');
}

static int bad_line(const struct bundle *b, struct error *err, const char *what)
{
    return error_set(err, -EBADMSG, "line %" PRIu64 ": %s", b->reader.number, what);
}

static int next_line(struct bundle *b, struct span *ret, struct error *err)
{
    int r = line_reader_next(&b->reader, ret, err);
    if (r == 0)
        return error_set(err, -EBADMSG, "the bundle ends without its last line");
    return r < 0 ? r : 0;
}

static int read_head(struct bundle *b, struct span *ret_next, struct error *err)
{
    struct span line, rest;
    uint64_t shard;
    int r = next_line(b, &line, err);
    if (!r && !span_is(line, BUNDLE_TITLE))
        return bad_line(b, err, "the file does not begin with \"" BUNDLE_TITLE "\"");
    r = r ? r : next_line(b, &line, err);
    if (!r && !line_behind(line, "vkey ", &rest))
        return bad_line(b, err, "\"vkey\" and a public key must stand here");
    b->vkey = r ? NULL : xstrndup(rest.ptr, rest.len);
    r = r ? r : next_line(b, &line, err);
    if (!r && (!line_behind(line, "shard ", &rest) || !decimal_parse(rest, UINT32_MAX, &shard)))
        return bad_line(b, err, "\"shard\" and a number must stand here");
    b->shard = r ? 0 : (uint32_t)shard;
    while (!r && !(r = next_line(b, &line, err)) && line_behind(line, "c ", &rest)) {
        buf_add_span(&b->note, rest);
        buf_add_char(&b->note, '\n');
        if (b->note.failed)
            return bad_line(b, err, "the checkpoint is too long");
    }
    *ret_next = line;
    return r;
}

static int check_head(struct bundle *b, struct error *err)
{
    const struct note_key *key;
    int r = verify_checkpoint(b->options->keys, buf_span(&b->note), &b->checkpoint, &key, err);
    if (!r)
        r = verify_named_key(b->options->keys, span_of(b->vkey), buf_span(&b->note), err);
    if (!r)
        r = verify_origin(key, &b->checkpoint, b->shard, err);
    if (r)
        return r;
    memcpy(b->report->origin, b->checkpoint.origin, sizeof(b->report->origin));
    memcpy(b->report->root, b->checkpoint.root, SHA256_SIZE);
    b->report->leaves = b->checkpoint.size;
    return 0;
}

static bool parse_proof(struct span text, uint64_t *ret_index, struct merkle_proof *ret)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] != ' ')
        digits++;
    if (!decimal_parse((struct span){text.ptr, digits}, UINT64_MAX, ret_index))
        return false;
    for (ret->count = 0; digits < text.len; digits += 1 + HASH_BASE64) {
        struct span hash = {text.ptr + digits + 1, HASH_BASE64};
        if (text.len - digits < 1 + HASH_BASE64 || text.ptr[digits] != ' ' || ret->count == MERKLE_LEVELS ||
            base64_decode(hash, ret->hashes[ret->count++], SHA256_SIZE) != SHA256_SIZE)
            return false;
    }
    return true;
}

static int fault(struct bundle *b, uint64_t index, const struct receipt_fields *fields, const char *what,
                 struct error *err)
{
    struct export_report *report = b->report;
    report->bad_index = index;
    if (fields->receipt_id.len == UUID_TEXT)
        memcpy(report->bad_receipt, fields->receipt_id.ptr, UUID_TEXT);
    return error_set(err, -EBADMSG, "receipt %s (index %" PRIu64 "): %s",
                     report->bad_receipt[0] ? report->bad_receipt : "without an id", index, what);
}

/* Whether the receipt can follow those of its chain seen so far; NULL, or what is wrong. */
static const char *check_link(struct bundle *b, const struct receipt_fields *fields, const uint8_t hash[SHA256_SIZE])
{
    struct export_link *last = &export_chain_get(b->chains, fields->chain)->last;
    const char *wrong = NULL;
    if (last->seq && fields->seq <= last->seq)
        wrong = "it repeats, or is not in the order of its chain";
    else if (last->seq && fields->seq == last->seq + 1 && memcmp(fields->previous_hash, last->hash, SHA256_SIZE) != 0)
        wrong = "it does not link to the one before it";
    last->seq = fields->seq;
    memcpy(last->hash, hash, SHA256_SIZE);
    return wrong;
}

static int take_proof(struct bundle *b, struct span text, struct error *err)
{
    struct merkle_proof proof;
    struct receipt_fields fields;
    struct error why = {0};
    uint64_t index;
    uint8_t leaf[SHA256_SIZE], hash[SHA256_SIZE];
    struct span receipt = buf_span(&b->receipt);
    if (!parse_proof(text, &index, &proof))
        return bad_line(b, err, "the proof is not an index and base64 hashes");
    int r = receipt_parse(&b->builder, receipt, &fields, &why);
    if (r)
        return fault(b, index, &fields, why.text, err);
    merkle_leaf(b->hasher, receipt, leaf);
    hasher_sha256(b->hasher, receipt, hash);
    if (!merkle_verify_inclusion(b->hasher, leaf, index, b->checkpoint.size, &proof, b->checkpoint.root))
        return fault(b, index, &fields, "it is not in the log at this place: it was changed, or its proof was", err);
    if (index < b->next)
        return fault(b, index, &fields, "it is not in the order of the log", err);
    const char *wrong = check_link(b, &fields, hash);
    if (wrong)
        return fault(b, index, &fields, wrong, err);
    b->next = index + 1;
    b->report->receipts++;
    return 0;
}

static int read_end(struct bundle *b, struct span count, struct error *err)
{
    struct span line;
    uint64_t receipts;
    if (!decimal_parse(count, UINT64_MAX, &receipts) || receipts != b->report->receipts)
        return bad_line(b, err, "the bundle holds another number of receipts");
    int r = line_reader_next(&b->reader, &line, err);
    return r == 1 ? bad_line(b, err, "nothing may follow the end") : r;
}

static int verify(struct bundle *b, struct error *err)
{
    struct span line, rest;
    int r = read_head(b, &line, err);
    struct buf first; /* the line behind the head, which the reader has read already */
    buf_init(&first, LINE_READER_MAX);
    if (!r) {
        buf_add_span(&first, line);
        line = buf_span(&first);
        r = check_head(b, err);
    }
    while (!r && line_behind(line, "r ", &rest)) {
        buf_clear(&b->receipt);
        buf_add_span(&b->receipt, rest);
        r = next_line(b, &line, err);
        if (!r && !line_behind(line, "p ", &rest))
            r = bad_line(b, err, "the receipt's proof must stand here");
        r = r ? r : take_proof(b, rest, err);
        r = r ? r : next_line(b, &line, err);
    }
    if (!r)
        r = line_behind(line, "end ", &rest) ? read_end(b, rest, err)
                                             : bad_line(b, err, "\"r \" or \"end \" must begin this line");
    buf_done(&first);
    return r;
}

int bundle_verify(FILE *in, const struct export_options *options, struct export_report *ret, struct error *err)
{
    *ret = (struct export_report){.bad_index = UINT64_MAX};
    struct bundle *b = xmalloc(sizeof(*b));
    *b = (struct bundle){.options = options, .hasher = hasher_new(), .chains = export_chains_new(), .report = ret};
    line_reader_init(&b->reader, in);
    b->reader.progress = options->progress;
    b->reader.ctx = options->ctx;
    receipt_builder_init(&b->builder, b->hasher);
    buf_init(&b->note, NOTE_ROOM);
    buf_init(&b->receipt, LINE_READER_MAX);
    int r = verify(b, err);
    ret->chains = export_chains_count(b->chains);
    if (options->progress)
        options->progress(options->ctx, b->reader.bytes);
    line_reader_done(&b->reader);
    buf_done(&b->note);
    buf_done(&b->receipt);
    receipt_builder_done(&b->builder);
    export_chains_free(b->chains);
    hasher_free(b->hasher);
    free(b->vkey);
    free(b);
    return r;
}
