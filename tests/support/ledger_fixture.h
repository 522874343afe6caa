/* For tests of the ledger: outcomes of some tenants become receipts in chains, a tree, and the text of an export, the
 * way the tail makes them. */
#ifndef TAI_TESTS_LEDGER_FIXTURE_H
#define TAI_TESTS_LEDGER_FIXTURE_H

#include "andon/ledger/merkle.h"
#include "andon/ledger/note.h"
#include "andon/ledger/receipt.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LEDGER_TENANTS = 3, LEDGER_RECEIPTS_MAX = 64 };

struct ledger {
    struct hasher *hasher;
    struct note_key *key;
    struct receipt_builder builder;
    struct arena arena;
    struct chain_head heads[LEDGER_TENANTS];
    struct merkle tree;
    struct receipt receipts[LEDGER_RECEIPTS_MAX];
    size_t count;
    struct error err;
};

static const char *const ledger_tenants[LEDGER_TENANTS] = {"acme", "globex", ""};

/* The key file is gone when this returns. */
static inline struct note_key *ledger_key(const char *name)
{
    char path[] = "/tmp/tai-ledger-key.XXXXXX";
    struct note_key *key = NULL;
    struct error err;
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) || unlink(path) || note_key_create(path, name, &key, &err) || unlink(path))
        abort();
    return key;
}

static inline void ledger_init(struct ledger *ledger)
{
    *ledger = (struct ledger){.hasher = hasher_new(), .key = ledger_key("tai.test/log")};
    receipt_builder_init(&ledger->builder, ledger->hasher);
}

static inline void ledger_done(struct ledger *ledger)
{
    receipt_builder_done(&ledger->builder);
    arena_done(&ledger->arena);
    note_key_free(ledger->key);
    hasher_free(ledger->hasher);
}

/* Canonical text of the outcome of a made-up signal. */
static inline void ledger_outcome(struct buf *out, const char *tenant, uint64_t number)
{
    buf_addf(out,
             "{\"body\":{\"governor\":{\"quota_used\":%llu}},\"ending\":\"executed\",\"entitlement_id\":\"sku-1\","
             "\"redrive\":0,\"signal_id\":\"sig-%llu\",\"state_after\":\"active\",\"state_before\":\"active\",",
             (unsigned long long)number, (unsigned long long)number);
    if (tenant[0])
        buf_addf(out, "\"tenant_id\":\"%s\",", tenant);
    buf_addf(out, "\"timestamp\":%llu,\"type\":\"action_success\"}", 1700000000000ull + number);
}

static inline void ledger_add(struct ledger *ledger, size_t tenant)
{
    struct buf text;
    buf_init(&text, 4096);
    ledger_outcome(&text, ledger_tenants[tenant], ledger->count + 1);
    struct outcome outcome = {.partition = (uint32_t)tenant,
                              .number = ledger->count + 1,
                              .tenant_id = span_of(ledger_tenants[tenant]),
                              .text = {arena_copy(&ledger->arena, text.data, text.len), text.len}};
    struct receipt *receipt = &ledger->receipts[ledger->count++];
    uint8_t leaf[SHA256_SIZE];
    if (receipt_build(&ledger->builder, &outcome, 0, &ledger->heads[tenant], &ledger->arena, receipt, &ledger->err)) {
        fprintf(stderr, "%s\n", ledger->err.text);
        abort();
    }
    receipt->index = ledger->tree.size;
    merkle_leaf(ledger->hasher, receipt->body, leaf);
    merkle_append(&ledger->tree, ledger->hasher, leaf);
    buf_done(&text);
}

static inline void ledger_checkpoint(struct ledger *ledger, const char *origin, struct buf *out)
{
    struct checkpoint checkpoint = {.size = ledger->tree.size};
    snprintf(checkpoint.origin, sizeof(checkpoint.origin), "%s", origin);
    merkle_root(&ledger->tree, ledger->hasher, checkpoint.root);
    if (checkpoint_sign(&checkpoint, ledger->key, out, &ledger->err))
        abort();
}

/* only: a chain whose receipts are shown, the others as hashes; NULL: all. */
static inline void ledger_export(struct ledger *ledger, const char *only, struct buf *out)
{
    buf_addf(out, "tai-export/1\nvkey %s\nshard 0\n", note_key_vkey(ledger->key));
    for (size_t i = 0; i < ledger->count; i++) {
        const struct receipt *receipt = &ledger->receipts[i];
        uint8_t leaf[SHA256_SIZE];
        char hex[SHA256_HEX];
        merkle_leaf(ledger->hasher, receipt->body, leaf);
        hex_encode(leaf, sizeof(leaf), hex);
        bool shown = !only || span_is(receipt->chain, only);
        buf_add_str(out, shown ? "r " : "h ");
        buf_add_span(out, shown ? receipt->body : (struct span){hex, sizeof(hex)});
        buf_add_char(out, '\n');
    }
    struct buf note;
    buf_init(&note, 4096);
    ledger_checkpoint(ledger, "tai.test/log", &note);
    for (size_t i = 0; i < note.len; i++) {
        if (i == 0 || note.data[i - 1] == '\n')
            buf_add_str(out, "c ");
        buf_add_char(out, note.data[i]);
    }
    buf_done(&note);
}

#endif
