/* A log is followed leaf by leaf as the service does when it takes it over; memory is that of one tree. Runs in the
 * command line. Failure: a problem of the receipt, log or file; the rest is checked all the same. */
#include "andon/ledger/check.h"
#include "andon/ledger/keys.h"
#include "andon/ledger/receipt.h"
#include "andon/ledger/signer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096, LEVEL_HEIGHT = 8 };

struct ledger_check {
    struct ledger_check_options options;
    struct check *check;
    struct hasher *hasher;
    struct receipt_builder builder;
    struct note_key *key;      /* NULL: it could not be loaded */
    struct note_key *previous; /* the same, of the key before it; NULL if there is none either */
    int key_status, previous_status;
    struct error key_error, previous_error;
    uint64_t receipts, remembered_all;
    bool signed_before; /* some shard has a memory */
    /* of the shard under way */
    uint32_t shard;
    struct merkle tree;
    struct merkle remembered; /* what was signed last */
    bool recalled;
    char path[PATH_BYTES]; /* of the memory */
};

struct ledger_check *ledger_check_new(const struct ledger_check_options *options)
{
    struct ledger_check *ledger = xcalloc(1, sizeof(*ledger));
    ledger->options = *options;
    ledger->check = options->check;
    ledger->hasher = hasher_new();
    receipt_builder_init(&ledger->builder, ledger->hasher);
    ledger->key_status = note_key_load(options->key_file, options->origin, &ledger->key, &ledger->key_error);
    if (options->previous_key_file)
        ledger->previous_status =
            note_key_load(options->previous_key_file, options->origin, &ledger->previous, &ledger->previous_error);
    return ledger;
}

void ledger_check_free(struct ledger_check *ledger)
{
    if (!ledger)
        return;
    receipt_builder_done(&ledger->builder);
    hasher_free(ledger->hasher);
    note_key_free(ledger->key);
    note_key_free(ledger->previous);
    free(ledger);
}

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void ledger_check_shard(void *arg, uint32_t shard)
{
    struct ledger_check *ledger = arg;
    const struct signer_options options = {
        .state_dir = ledger->options.state_dir, .origin = ledger->options.origin, .key = ledger->key, .shard = shard};
    struct error err = {0};
    bool half = false;
    ledger->shard = shard;
    ledger->tree = ledger->remembered = (struct merkle){0};
    int r = signer_recall(&options, &ledger->remembered, &half, ledger->path, &err);
    ledger->recalled = !r;
    ledger->signed_before |= r != -ENOENT;
    if (r && r != -ENOENT)
        check_problem(ledger->check, file_of(ledger->path), "", "restore it together with ledger.key", "%s", err.text);
    else if (half)
        check_problem(ledger->check, file_of(ledger->path), "",
                      "nothing, if the machine lost power: the next checkpoint mends it; else restore a backup",
                      "one of its two records cannot be read");
}

static void receipt_bad(struct ledger_check *ledger, const struct receipt *receipt, const char *what)
{
    char key[400];
    snprintf(key, sizeof(key), "shard=%u index=%" PRIu64 " receipt_id=%s chain=%.*s seq=%" PRIu64, ledger->shard,
             receipt->index, receipt->receipt_id, (int)receipt->chain.len, receipt->chain.ptr, receipt->seq);
    check_problem(ledger->check, "receipts", key, CHECK_RESTORE, "%s", what);
}

/* The columns beside a body are what it says. */
static const char *differing(const struct receipt *receipt, const struct receipt_fields *fields)
{
    if (!span_eq(fields->receipt_id, span_of(receipt->receipt_id)))
        return "its body has another receipt_id";
    if (!span_eq(fields->chain, receipt->chain) || fields->seq != receipt->seq)
        return "its body has another chain or seq";
    if (!span_eq(fields->tenant_id,
                 span_is(receipt->tenant_id, RECEIPT_SYSTEM_CHAIN) ? SPAN("") : receipt->tenant_id) &&
        !span_eq(fields->tenant_id, receipt->tenant_id))
        return "its body has another tenant_id";
    if (!span_eq(fields->type, receipt->type) || fields->timestamp_ms != receipt->timestamp_ms)
        return "its body has another type or timestamp";
    return NULL;
}

static const char *link_broken(const struct checked_receipt *checked, const struct receipt_fields *fields)
{
    static const uint8_t zeros[SHA256_SIZE];
    if (fields->seq > 1 && !checked->previous)
        return "the receipt before it in its chain is missing";
    const uint8_t *previous = fields->seq > 1 ? checked->previous : zeros;
    return memcmp(previous, fields->previous_hash, SHA256_SIZE) == 0
               ? NULL
               : "its previous_hash is not the hash of the receipt before it in its chain";
}

static void check_body(struct ledger_check *ledger, const struct checked_receipt *checked)
{
    const struct receipt *receipt = checked->receipt;
    struct receipt_fields fields;
    struct error err = {0};
    uint8_t hash[SHA256_SIZE];
    char id[UUID_TEXT + 1];
    hasher_sha256(ledger->hasher, receipt->body, hash);
    receipt_id_of(ledger->hasher, receipt->partition, ledger->shard, receipt->number, id);
    if (memcmp(hash, receipt->hash, sizeof(hash)) != 0)
        receipt_bad(ledger, receipt, "its body does not have its hash");
    else if (strcmp(id, receipt->receipt_id) != 0)
        receipt_bad(ledger, receipt, "its receipt_id is not that of its outcome");
    else if (receipt_parse(&ledger->builder, receipt->body, &fields, &err))
        receipt_bad(ledger, receipt, err.text);
    else if (differing(receipt, &fields))
        receipt_bad(ledger, receipt, differing(receipt, &fields));
    else if (link_broken(checked, &fields))
        receipt_bad(ledger, receipt, link_broken(checked, &fields));
}

static void check_tiles(struct ledger_check *ledger, const struct checked_receipt *checked,
                        uint8_t (*roots)[SHA256_SIZE])
{
    for (uint32_t level = 0; level < checked->tile_count; level++)
        if (memcmp(checked->tiles[level], roots[LEVEL_HEIGHT * level], SHA256_SIZE) != 0) {
            char key[96];
            snprintf(key, sizeof(key), "shard=%u level=%u index=%" PRIu64, ledger->shard, level,
                     checked->receipt->index);
            check_problem(ledger->check, "tiles", key, CHECK_RESTORE, "it is not the hash of the receipts it is over");
        }
}

static void compare_remembered(struct ledger_check *ledger)
{
    if (ledger->recalled && ledger->tree.size == ledger->remembered.size &&
        !merkle_same(&ledger->tree, &ledger->remembered))
        check_problem(ledger->check, file_of(ledger->path), "", CHECK_RESTORE,
                      "the first %" PRIu64 " receipts of shard %u are not those that were signed", ledger->tree.size,
                      ledger->shard);
}

void ledger_check_receipt(void *arg, const struct checked_receipt *checked)
{
    struct ledger_check *ledger = arg;
    uint8_t leaf[SHA256_SIZE], roots[MERKLE_LEVELS][SHA256_SIZE];
    check_body(ledger, checked);
    merkle_leaf(ledger->hasher, checked->receipt->body, leaf);
    merkle_append_roots(&ledger->tree, ledger->hasher, leaf, roots);
    check_tiles(ledger, checked, roots);
    compare_remembered(ledger);
    ledger->receipts++;
}

void ledger_check_outcome(void *arg, uint32_t shard, const struct outcome *outcome)
{
    struct ledger_check *ledger = arg;
    struct chain_head head = {.chain = receipt_chain_of(outcome)};
    struct receipt receipt;
    struct arena arena = {0};
    struct error err = {0};
    if (receipt_build(&ledger->builder, outcome, shard, &head, &arena, &receipt, &err))
        check_problem(ledger->check, "outcomes", "", CHECK_RESTORE, "%s", err.text);
    arena_done(&arena);
}

void ledger_check_head(void *arg, const struct shard_head *head)
{
    struct ledger_check *ledger = arg;
    struct merkle tree = {.size = head->size, .count = head->frontier_count};
    char key[32];
    memcpy(tree.frontier, head->frontier, sizeof(tree.frontier));
    snprintf(key, sizeof(key), "shard=%u", head->shard);
    if (!merkle_same(&tree, &ledger->tree))
        check_problem(ledger->check, "shards", key, CHECK_RESTORE,
                      "the log's head of %" PRIu64 " receipts is not the tree of the receipts that can be read",
                      head->size);
    if (!ledger->recalled)
        return;
    ledger->remembered_all += ledger->remembered.size;
    if (ledger->remembered.size > head->size)
        check_problem(
            ledger->check, file_of(ledger->path), "",
            "restore a backup of database and memory that belong together; receipts that were signed are lost",
            "%" PRIu64 " receipts of shard %u were signed, but its log has %" PRIu64, ledger->remembered.size,
            ledger->shard, head->size);
}

static void check_public_keys(struct ledger_check *ledger)
{
    struct error err = {0};
    int r = ledger_keys_check(ledger->options.origin, ledger->options.state_dir, ledger->key, ledger->path, &err);
    if (r && r != -ENOENT)
        check_problem(ledger->check, file_of(ledger->path), "", "put it back from a backup", "%s", err.text);
}

void ledger_check_end(struct ledger_check *ledger, uint64_t *ret_receipts, uint64_t *ret_signed)
{
    bool unused = ledger->key_status == -ENOENT && !ledger->signed_before && !ledger->receipts;
    if (ledger->key_status && !unused)
        check_problem(ledger->check, file_of(ledger->options.key_file), "", "put it back from a backup", "%s",
                      ledger->key_error.text);
    if (ledger->previous_status)
        check_problem(ledger->check, file_of(ledger->options.previous_key_file), "", "put it back from a backup", "%s",
                      ledger->previous_error.text);
    if (ledger->key)
        check_public_keys(ledger);
    *ret_receipts = ledger->receipts;
    *ret_signed = ledger->remembered_all;
}
