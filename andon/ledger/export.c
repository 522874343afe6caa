/* Reads an export line by line, whatever its size: per chain it keeps the last receipt, of the log the compact range.
 *
 * Which receipt is bad follows from the chains. If a receipt does not link to the one before it, either that one's
 * bytes were changed (then the link behind is whole) or its own previous_hash was (then the link behind is broken too):
 * the next receipt of the chain tells. Where there is no next one, the root of the tree tells, as it knows the bytes
 * signed. */
#include "andon/ledger/export.h"

#include "andon/ledger/export_chains.h"
#include "andon/ledger/line_reader.h"
#include "andon/ledger/merkle.h"
#include "andon/ledger/receipt.h"
#include "common/lines.h"
#include "common/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { NOTE_ROOM = 1 << 20 };

struct verifier {
    struct line_reader reader;
    const struct export_options *options;
    char *vkey; /* named in the file */
    struct hasher *hasher;
    struct receipt_builder builder;
    struct export_chains *chains;
    struct merkle tree;
    struct merkle mended; /* as tree, with the first doubtful receipt's previous_hash put right */
    bool has_mended;
    bool hidden;             /* there are h lines */
    struct export_link late; /* the first receipt that begins a chain behind seq 1: right only if there are h lines */
    uint32_t shard;
    struct buf note;
    struct export_report *report;
    struct error worst; /* of the lowest bad index so far */
    bool *old_met;      /* the tree had the root of that older checkpoint when it had its size */
};

static int bad_line(const struct verifier *v, struct error *err, const char *what)
{
    return error_set(err, -EBADMSG, "line %" PRIu64 ": %s", v->reader.number, what);
}

static int read_head(struct verifier *v, struct error *err)
{
    struct span line = {0}, rest = {0};
    uint64_t shard = 0;
    int r = line_reader_next(&v->reader, &line, err);
    if (r == 1 && !span_is(line, "tai-export/1"))
        return bad_line(v, err, "the file does not begin with \"tai-export/1\"");
    if (r == 1)
        r = line_reader_next(&v->reader, &line, err);
    if (r == 1 && !line_behind(line, "vkey ", &rest))
        return bad_line(v, err, "\"vkey\" and a public key must stand here");
    if (r == 1)
        v->vkey = xstrndup(rest.ptr, rest.len);
    if (r == 1)
        r = line_reader_next(&v->reader, &line, err);
    if (r == 1 && (!line_behind(line, "shard ", &rest) || !decimal_parse(rest, UINT32_MAX, &shard)))
        return bad_line(v, err, "\"shard\" and a number must stand here");
    if (r == 0)
        return error_set(err, -EBADMSG, "the export ends within its head");
    v->shard = (uint32_t)shard;
    return r < 0 ? r : 0;
}

/* --- receipts ------------------------------------------------------------------------------------------------------
 */

static void fault(struct verifier *v, uint64_t index, const char *receipt_id, const char *what)
{
    struct export_report *report = v->report;
    if (index >= report->bad_index)
        return;
    report->bad_index = index;
    memcpy(report->bad_receipt, receipt_id, sizeof(report->bad_receipt));
    error_set(&v->worst, -EBADMSG, "receipt %s (index %" PRIu64 "): %s", receipt_id[0] ? receipt_id : "without an id",
              index, what);
}

/* The leaf this receipt would be if its previous_hash were right. */
static void mend(struct verifier *v, struct span body, const uint8_t right[SHA256_SIZE])
{
    static const char member[] = "\"previous_hash\":\"";
    char *copy = xmalloc(body.len);
    memcpy(copy, body.ptr, body.len);
    char *at = memmem(copy, body.len, member, sizeof(member) - 1);
    if (at && (size_t)(copy + body.len - at) > sizeof(member) + SHA256_HEX) {
        uint8_t leaf[SHA256_SIZE];
        hex_encode(right, SHA256_SIZE, at + sizeof(member) - 1);
        merkle_leaf(v->hasher, (struct span){copy, body.len}, leaf);
        v->mended = v->tree;
        merkle_append(&v->mended, v->hasher, leaf);
        v->has_mended = true;
    }
    free(copy);
}

/* Judges the link from chain->last to this receipt, and the one before that was in doubt. */
static void check_link(struct verifier *v, struct export_chain *chain, const struct receipt_fields *fields,
                       const struct export_link *link, struct span body, bool *ret_mended)
{
    static const uint8_t zeros[SHA256_SIZE];
    *ret_mended = false;
    if (chain->last.seq == 0) { /* the first one shown */
        if (fields->seq == 1 && memcmp(fields->previous_hash, zeros, SHA256_SIZE) != 0)
            fault(v, link->index, link->receipt_id, "it is the first of its chain but names one before it");
        else if (fields->seq > 1 && v->late.seq == 0)
            v->late = *link;
        return;
    }
    bool linked = memcmp(fields->previous_hash, chain->last.hash, SHA256_SIZE) == 0;
    if (chain->doubt) { /* last did not link to the one before it: which of the two is it? */
        if (linked)
            fault(v, chain->before.index, chain->before.receipt_id, "its bytes are not those the next one names");
        else
            fault(v, chain->last.index, chain->last.receipt_id, "it does not link to the one before it");
        chain->doubt = false;
        if (!linked) /* both were explained by last being bad */
            return;
    }
    if (fields->seq != chain->last.seq + 1)
        fault(v, link->index, link->receipt_id,
              fields->seq <= chain->last.seq ? "it repeats, or is not in the order of its chain"
              : linked                       ? "its seq does not follow the one before it"
                                             : "receipts before it in its chain are missing");
    else if (!linked) {
        chain->doubt = true;
        if (!v->has_mended) {
            mend(v, body, chain->last.hash);
            *ret_mended = v->has_mended;
        }
    }
}

static void take_receipt(struct verifier *v, struct span body)
{
    struct receipt_fields fields;
    struct error why = {0};
    struct export_link link = {.index = v->tree.size};
    uint8_t leaf[SHA256_SIZE];
    bool mended = false;
    int r = receipt_parse(&v->builder, body, &fields, &why);
    if (fields.receipt_id.len == UUID_TEXT)
        memcpy(link.receipt_id, fields.receipt_id.ptr, UUID_TEXT);
    if (r) {
        fault(v, link.index, link.receipt_id, why.text);
    } else {
        struct export_chain *chain = export_chain_get(v->chains, fields.chain);
        link.seq = fields.seq;
        hasher_sha256(v->hasher, body, link.hash);
        check_link(v, chain, &fields, &link, body, &mended);
        chain->before = chain->last;
        chain->last = link;
    }
    merkle_leaf(v->hasher, body, leaf);
    merkle_append(&v->tree, v->hasher, leaf);
    if (v->has_mended && !mended)
        merkle_append(&v->mended, v->hasher, leaf);
    v->report->receipts++;
}

static int take_hash(struct verifier *v, struct span hex, struct error *err)
{
    uint8_t leaf[SHA256_SIZE];
    char again[SHA256_HEX];
    if (!hex_decode(hex, leaf, sizeof(leaf)))
        return bad_line(v, err, "\"h\" and 64 hex digits must stand here");
    hex_encode(leaf, sizeof(leaf), again);
    if (!span_eq(hex, (struct span){again, sizeof(again)}))
        return bad_line(v, err, "the hash must be in lower case");
    v->hidden = true;
    merkle_append(&v->tree, v->hasher, leaf);
    if (v->has_mended)
        merkle_append(&v->mended, v->hasher, leaf);
    return 0;
}

static int take_line(struct verifier *v, struct span line, struct error *err)
{
    struct span rest;
    bool leaf = v->note.len == 0;
    if (line_behind(line, "r ", &rest) && leaf) {
        take_receipt(v, rest);
        return 0;
    }
    if (line_behind(line, "h ", &rest) && leaf)
        return take_hash(v, rest, err);
    if (line_behind(line, "c ", &rest)) {
        buf_add_span(&v->note, rest);
        buf_add_char(&v->note, '\n');
        return v->note.failed ? bad_line(v, err, "the checkpoint is too long") : 0;
    }
    return bad_line(v, err, leaf ? "a line begins with \"r \", \"h \" or \"c \"" : "only \"c \" lines may follow here");
}

/* --- the whole -----------------------------------------------------------------------------------------------------
 */

static void meet_olds(struct verifier *v)
{
    for (size_t i = 0; i < v->options->old_count; i++) {
        const struct checkpoint *old = &v->options->olds[i].checkpoint;
        uint8_t root[SHA256_SIZE];
        if (old->size != v->tree.size)
            continue;
        merkle_root(&v->tree, v->hasher, root);
        v->old_met[i] = memcmp(root, old->root, SHA256_SIZE) == 0;
    }
}

static int read_leaves(struct verifier *v, struct error *err)
{
    struct span line = {0};
    int r;
    meet_olds(v);
    while ((r = line_reader_next(&v->reader, &line, err)) == 1) {
        r = take_line(v, line, err);
        if (r)
            return r;
        meet_olds(v);
    }
    return r;
}

/* Doubts that no later receipt of the chain has settled. */
static void settle(struct export_chain *chain, void *ctx)
{
    struct verifier *v = ctx;
    v->report->chains++;
    if (!chain->doubt)
        return;
    bool own = false;
    struct checkpoint checkpoint;
    if (v->has_mended && verify_checkpoint(v->options->keys, buf_span(&v->note), &checkpoint, NULL, NULL) == 0) {
        uint8_t root[SHA256_SIZE];
        merkle_root(&v->mended, v->hasher, root);
        own = memcmp(root, checkpoint.root, SHA256_SIZE) == 0;
    }
    const struct export_link *bad = own ? &chain->last : &chain->before;
    fault(v, bad->index, bad->receipt_id,
          own ? "it does not link to the one before it" : "its bytes are not those the next one names");
}

/* Every link holds, yet the tree is another: what can be said about where. */
static int explain_root(struct verifier *v, struct error *err)
{
    const struct export_chain *only = export_chains_only(v->chains);
    if (only && v->report->receipts == v->report->leaves)
        fault(v, only->last.index, only->last.receipt_id,
              "the checkpoint was signed over other bytes than the last receipt's");
    if (v->report->bad_index != UINT64_MAX)
        return error_set(err, -EBADMSG, "%s", v->worst.text);
    return error_set(
        err, -EBADMSG,
        "the receipts do not lead to the checkpoint's root although every chain holds: the last receipt of "
        "a chain, a hash line, or the order between chains was changed");
}

/* Earlier checkpoints: their trees must have been passed through. */
static int check_olds(const struct verifier *v, const struct checkpoint *checkpoint, struct error *err)
{
    for (size_t i = 0; i < v->options->old_count; i++) {
        const struct export_old *old = &v->options->olds[i];
        if (strcmp(old->checkpoint.origin, checkpoint->origin) != 0)
            return error_set(err, -EBADMSG, "%s is a checkpoint of the log %s, not of %s", old->name,
                             old->checkpoint.origin, checkpoint->origin);
        if (old->checkpoint.size > checkpoint->size)
            return error_set(err, -EBADMSG,
                             "%s covers %" PRIu64 " receipts, the export %" PRIu64
                             ": it is older, or receipts are gone",
                             old->name, old->checkpoint.size, checkpoint->size);
        if (!v->old_met[i])
            return error_set(err, -EBADMSG,
                             "the first %" PRIu64 " receipts are not those that %s was signed over: the log was "
                             "rewritten",
                             old->checkpoint.size, old->name);
    }
    return 0;
}

static int judge(struct verifier *v, struct error *err)
{
    struct export_report *report = v->report;
    struct checkpoint checkpoint = {0};
    report->leaves = v->tree.size;
    merkle_root(&v->tree, v->hasher, report->root);
    export_chains_each(v->chains, settle, v);
    if (v->late.seq && !v->hidden)
        fault(v, v->late.index, v->late.receipt_id, "receipts before it in its chain are missing");
    if (report->bad_index != UINT64_MAX)
        return error_set(err, -EBADMSG, "%s", v->worst.text);
    if (!v->note.len)
        return error_set(err, -EBADMSG, "the export has no checkpoint: it is cut off");
    const struct note_key *key;
    int r = verify_checkpoint(v->options->keys, buf_span(&v->note), &checkpoint, &key, err);
    if (!r)
        r = verify_named_key(v->options->keys, span_of(v->vkey), buf_span(&v->note), err);
    if (!r)
        r = verify_origin(key, &checkpoint, v->shard, err);
    if (r)
        return r;
    memcpy(report->origin, checkpoint.origin, sizeof(report->origin));
    if (checkpoint.size != report->leaves)
        return error_set(err, -EBADMSG, "the checkpoint covers %" PRIu64 " receipts, the export holds %" PRIu64 ": %s",
                         checkpoint.size, report->leaves,
                         checkpoint.size > report->leaves ? "some are missing" : "some were added");
    if (memcmp(checkpoint.root, report->root, SHA256_SIZE) != 0)
        return explain_root(v, err);
    return check_olds(v, &checkpoint, err);
}

static int verify(struct verifier *v, struct error *err)
{
    struct error head = {0};
    int r = read_head(v, &head);
    if (!r)
        r = read_leaves(v, &head);
    if (!r)
        return judge(v, err);
    v->report->leaves = v->tree.size;
    if (v->report->bad_index != UINT64_MAX) /* an earlier receipt is bad already */
        return error_set(err, -EBADMSG, "%s", v->worst.text);
    return error_set(err, -EBADMSG, "%s", head.text);
}

int export_verify(FILE *in, const struct export_options *options, struct export_report *ret, struct error *err)
{
    *ret = (struct export_report){.bad_index = UINT64_MAX};
    struct verifier *v = xmalloc(sizeof(*v));
    *v = (struct verifier){.options = options, .hasher = hasher_new(), .chains = export_chains_new(), .report = ret};
    v->old_met = xcalloc(options->old_count + 1, sizeof(*v->old_met));
    line_reader_init(&v->reader, in);
    v->reader.progress = options->progress;
    v->reader.ctx = options->ctx;
    receipt_builder_init(&v->builder, v->hasher);
    buf_init(&v->note, NOTE_ROOM);
    int r = verify(v, err);
    if (options->progress)
        options->progress(options->ctx, v->reader.bytes);
    line_reader_done(&v->reader);
    buf_done(&v->note);
    receipt_builder_done(&v->builder);
    export_chains_free(v->chains);
    hasher_free(v->hasher);
    free(v->old_met);
    free(v->vkey);
    free(v);
    return r;
}
