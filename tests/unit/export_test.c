/* Offline verification: what it accepts, and every way of tampering with what it accepts. */
#include "andon/ledger/export.h"
#include "support/ledger_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct ledger ledger;
static struct buf text; /* of the whole export */
static struct export_report report;
static struct error err;

/* Three interleaved chains; the last receipts of each are not at the end of the log alone. */
static void setup(void)
{
    static const size_t order[] = {0, 1, 0, 2, 0, 1, 1, 2, 0, 2, 1, 0};
    ledger_init(&ledger);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        ledger_add(&ledger, order[i]);
    buf_init(&text, 1 << 20);
    ledger_export(&ledger, NULL, &text);
}

static void teardown(void)
{
    buf_done(&text);
    ledger_done(&ledger);
}

TestSuite(export, .init = setup, .fini = teardown);

static int verify_with(struct span data, const char *vkey)
{
    char empty = 0;
    FILE *in = fmemopen(data.len ? (void *)(uintptr_t)data.ptr : &empty, data.len ? data.len : 1, "r");
    if (!data.len)
        fgetc(in);
    err.text[0] = '\0';
    struct verify_keys keys = {0};
    int r = verify_keys_add(&keys, span_of(vkey), &err);
    if (!r)
        r = export_verify(in, &(struct export_options){.keys = &keys}, &report, &err);
    verify_keys_done(&keys);
    fclose(in);
    return r;
}

static int verify(struct span data)
{
    return verify_with(data, note_key_vkey(ledger.key));
}

/* Start and length of line n (from 0) with its line feed. */
static struct span line(struct span data, size_t n)
{
    const char *at = data.ptr, *end = data.ptr + data.len;
    for (; n; n--)
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    return (struct span){at, (size_t)((const char *)memchr(at, '\n', (size_t)(end - at)) + 1 - at)};
}

static size_t line_count(struct span data)
{
    size_t n = 0;
    for (size_t i = 0; i < data.len; i++)
        n += data.ptr[i] == '\n';
    return n;
}

enum { HEAD_LINES = 3 };

Test(export, complete)
{
    cr_assert_eq(verify(buf_span(&text)), 0, "%s", err.text);
    cr_assert_eq(report.leaves, 12);
    cr_assert_eq(report.receipts, 12);
    cr_assert_eq(report.chains, 3);
    cr_assert_str_eq(report.origin, "tai.test/log");
    cr_assert_eq(report.bad_index, UINT64_MAX);
    uint8_t root[SHA256_SIZE];
    merkle_root(&ledger.tree, ledger.hasher, root);
    cr_assert_arr_eq(report.root, root, SHA256_SIZE);
}

Test(export, one_chain_among_hashes)
{
    struct buf part;
    buf_init(&part, 1 << 20);
    ledger_export(&ledger, "globex", &part);
    cr_assert_eq(verify(buf_span(&part)), 0, "%s", err.text);
    cr_assert_eq(report.leaves, 12);
    cr_assert_eq(report.receipts, 4);
    cr_assert_eq(report.chains, 1);
    for (size_t i = 0; i < part.len; i++) {
        part.data[i] ^= 1;
        cr_assert_eq(verify(buf_span(&part)), -EBADMSG, "byte %zu", i);
        part.data[i] ^= 1;
    }
    buf_done(&part);
}

Test(export, an_empty_log)
{
    struct ledger empty;
    struct buf out;
    ledger_init(&empty);
    buf_init(&out, 4096);
    ledger_export(&empty, NULL, &out);
    cr_assert_eq(verify_with(buf_span(&out), note_key_vkey(empty.key)), 0, "%s", err.text);
    cr_assert_eq(report.leaves, 0);
    buf_done(&out);
    ledger_done(&empty);
}

/* Which receipt a change to the line of receipt i must be blamed on: itself, but for the last of a chain, whose bytes
 * only the root knows. */
static bool last_of_its_chain(size_t i)
{
    for (size_t k = i + 1; k < ledger.count; k++)
        if (span_eq(ledger.receipts[k].chain, ledger.receipts[i].chain))
            return false;
    return true;
}

Test(export, every_flipped_bit_is_found_and_named)
{
    for (size_t n = 0; n < line_count(buf_span(&text)); n++) {
        struct span at = line(buf_span(&text), n);
        for (size_t i = 0; i < at.len; i++) {
            char *byte = text.data + (at.ptr - text.data) + i;
            char saved = *byte;
            for (int bit = 0; bit < 8; bit += i % 3 + 1) {
                *byte = saved ^ (char)(1 << bit);
                cr_assert_eq(verify(buf_span(&text)), -EBADMSG, "line %zu byte %zu bit %d", n, i, bit);
                *byte = saved;
                bool receipt = n >= HEAD_LINES && n < HEAD_LINES + ledger.count && i >= 2 && i + 1 < at.len;
                size_t index = n - HEAD_LINES;
                if (!receipt)
                    continue;
                bool named = report.bad_index == index;
                cr_assert(named || (last_of_its_chain(index) && report.bad_index == UINT64_MAX),
                          "line %zu byte %zu bit %d: named %llu: %s", n, i, bit, (unsigned long long)report.bad_index,
                          err.text);
            }
        }
    }
}

Test(export, a_changed_link_is_told_from_a_changed_receipt)
{
    for (size_t index = 0; index < ledger.count; index++) {
        struct span at = line(buf_span(&text), HEAD_LINES + index);
        char *hash = memmem(at.ptr, at.len, "\"previous_hash\":\"", 17);
        cr_assert_not_null(hash);
        hash[20] = hash[20] == 'a' ? 'b' : 'a';
        cr_assert_eq(verify(buf_span(&text)), -EBADMSG);
        cr_assert_eq(report.bad_index, index, "receipt %zu: named %llu: %s", index,
                     (unsigned long long)report.bad_index, err.text);
        cr_assert_str_eq(report.bad_receipt, ledger.receipts[index].receipt_id);
        cr_assert(strstr(err.text, report.bad_receipt));
        buf_clear(&text);
        ledger_export(&ledger, NULL, &text);
    }
}

Test(export, deleted_lines)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t n = 0; n < line_count(buf_span(&text)); n++) {
        struct span at = line(buf_span(&text), n);
        buf_clear(&out);
        buf_add(&out, text.data, (size_t)(at.ptr - text.data));
        buf_add(&out, at.ptr + at.len, (size_t)(text.data + text.len - at.ptr) - at.len);
        cr_assert_eq(verify(buf_span(&out)), -EBADMSG, "line %zu", n);
        size_t index = n - HEAD_LINES;
        if (n < HEAD_LINES || index >= ledger.count || last_of_its_chain(index))
            continue;
        /* The next of the chain stands there without the one before it. */
        size_t next = index + 1;
        while (!span_eq(ledger.receipts[next].chain, ledger.receipts[index].chain))
            next++;
        cr_assert_eq(report.bad_index, next - 1, "line %zu: %s", n, err.text);
        cr_assert_str_eq(report.bad_receipt, ledger.receipts[next].receipt_id);
        cr_assert(strstr(err.text, "missing"), "%s", err.text);
    }
    buf_done(&out);
}

Test(export, doubled_and_swapped_lines)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    size_t lines = line_count(buf_span(&text));
    for (size_t n = 0; n < lines; n++) {
        struct span at = line(buf_span(&text), n);
        size_t end = (size_t)(at.ptr - text.data) + at.len;
        buf_clear(&out);
        buf_add(&out, text.data, end);
        buf_add_span(&out, at);
        buf_add(&out, text.data + end, text.len - end);
        cr_assert_eq(verify(buf_span(&out)), -EBADMSG, "line %zu twice", n);
        if (n >= HEAD_LINES && n < HEAD_LINES + ledger.count)
            cr_assert_eq(report.bad_index, n - HEAD_LINES + 1, "line %zu twice: %s", n, err.text);
        if (n + 1 == lines)
            continue;
        struct span next = line(buf_span(&text), n + 1);
        buf_clear(&out);
        buf_add(&out, text.data, (size_t)(at.ptr - text.data));
        buf_add_span(&out, next);
        buf_add_span(&out, at);
        buf_add(&out, next.ptr + next.len, (size_t)(text.data + text.len - next.ptr) - next.len);
        cr_assert_eq(verify(buf_span(&out)), -EBADMSG, "lines %zu and %zu swapped", n, n + 1);
    }
    buf_done(&out);
}

Test(export, cut_anywhere)
{
    for (size_t i = 0; i < text.len; i++)
        cr_assert_eq(verify((struct span){text.data, i}), -EBADMSG, "cut at %zu", i);
}

Test(export, bytes_behind_the_end)
{
    buf_add_str(&text, "c x\n");
    cr_assert_eq(verify(buf_span(&text)), -EBADMSG);
    text.len -= 4;
    buf_add_str(&text, "\n");
    cr_assert_eq(verify(buf_span(&text)), -EBADMSG);
    text.len -= 1;
    buf_add_span(&text, line(buf_span(&text), HEAD_LINES));
    cr_assert_eq(verify(buf_span(&text)), -EBADMSG);
    cr_assert(strstr(err.text, "only \"c \" lines"), "%s", err.text);
}

Test(export, another_key)
{
    struct note_key *other = ledger_key("tai.test/log");
    cr_assert_eq(verify_with(buf_span(&text), note_key_vkey(other)), -EBADMSG);
    cr_assert(strstr(err.text, "not signed by the key"), "%s", err.text);
    /* A key line that names another key than the signer's is found even by who has the right key. */
    struct buf renamed;
    buf_init(&renamed, 1 << 20);
    struct span from = line(buf_span(&text), 2);
    buf_addf(&renamed, "tai-export/1\nvkey %s\n", note_key_vkey(other));
    buf_add(&renamed, from.ptr, (size_t)(text.data + text.len - from.ptr));
    cr_assert_eq(verify(buf_span(&renamed)), -EBADMSG);
    cr_assert(strstr(err.text, "another key"), "%s", err.text);
    buf_done(&renamed);
    /* An attacker who also rewrites the vkey line gains nothing. */
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_addf(&out, "tai-export/1\nvkey %s\n", note_key_vkey(other));
    struct span rest = line(buf_span(&text), 2);
    buf_add(&out, rest.ptr, (size_t)(text.data + text.len - rest.ptr));
    cr_assert_eq(verify_with(buf_span(&out), note_key_vkey(other)), -EBADMSG);
    cr_assert_eq(report.bad_index, UINT64_MAX);
    cr_assert(strstr(err.text, "not signed by the key"), "%s", err.text);
    cr_assert_eq(verify_with(buf_span(&text), "nonsense"), -EINVAL);
    buf_done(&out);
    note_key_free(other);
}

/* The receipts of this ledger under a checkpoint of another tree, origin or size. */
static int verify_under(struct ledger *other, const char *origin)
{
    struct buf note, out;
    buf_init(&note, 4096);
    buf_init(&out, 1 << 20);
    ledger_checkpoint(other, origin, &note);
    struct span first = line(buf_span(&text), HEAD_LINES + ledger.count);
    buf_add(&out, text.data, (size_t)(first.ptr - text.data));
    for (size_t i = 0; i < note.len; i++) {
        if (i == 0 || note.data[i - 1] == '\n')
            buf_add_str(&out, "c ");
        buf_add_char(&out, note.data[i]);
    }
    int r = verify(buf_span(&out));
    buf_done(&note);
    buf_done(&out);
    return r;
}

Test(export, another_checkpoint_of_the_same_key)
{
    cr_assert_eq(verify_under(&ledger, "tai.test/log"), 0, "%s", err.text);
    cr_assert_eq(verify_under(&ledger, "tai.test/log/1"), -EBADMSG);
    cr_assert(strstr(err.text, "not of shard 0"), "%s", err.text);
    struct ledger other = ledger;
    uint8_t leaf[SHA256_SIZE] = {1};
    merkle_append(&other.tree, other.hasher, leaf);
    cr_assert_eq(verify_under(&other, "tai.test/log"), -EBADMSG);
    cr_assert(strstr(err.text, "covers 13 receipts, the export holds 12: some are missing"), "%s", err.text);
    other.tree = (struct merkle){0};
    for (int i = 0; i < 11; i++)
        merkle_append(&other.tree, other.hasher, leaf);
    cr_assert_eq(verify_under(&other, "tai.test/log"), -EBADMSG);
    cr_assert(strstr(err.text, "some were added"), "%s", err.text);
    merkle_append(&other.tree, other.hasher, leaf);
    cr_assert_eq(verify_under(&other, "tai.test/log"), -EBADMSG);
    cr_assert(strstr(err.text, "root"), "%s", err.text);
}

Test(export, the_end_of_a_chain_rewritten_with_its_hash_unknown)
{
    /* A single chain: the last receipt can be named, as it is the only one no later link covers. */
    struct ledger one;
    struct buf out;
    ledger_init(&one);
    buf_init(&out, 1 << 20);
    for (int i = 0; i < 5; i++)
        ledger_add(&one, 0);
    ledger_export(&one, NULL, &out);
    struct span at = line(buf_span(&out), HEAD_LINES + 4);
    char *used = memmem(at.ptr, at.len, "\"quota_used\":5", 14);
    used[13] = '6';
    cr_assert_eq(verify_with(buf_span(&out), note_key_vkey(one.key)), -EBADMSG);
    cr_assert_eq(report.bad_index, 4, "%s", err.text);
    buf_done(&out);
    ledger_done(&one);
}

Test(export, a_chain_that_begins_late_needs_hash_lines)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    /* The first receipt of acme as a hash: still a valid, filtered export. */
    struct span first = line(buf_span(&text), HEAD_LINES);
    uint8_t leaf[SHA256_SIZE];
    char hex[SHA256_HEX];
    merkle_leaf(ledger.hasher, ledger.receipts[0].body, leaf);
    hex_encode(leaf, sizeof(leaf), hex);
    buf_add(&out, text.data, (size_t)(first.ptr - text.data));
    buf_add_str(&out, "h ");
    buf_add(&out, hex, sizeof(hex));
    buf_add_char(&out, '\n');
    buf_add(&out, first.ptr + first.len, (size_t)(text.data + text.len - first.ptr) - first.len);
    cr_assert_eq(verify(buf_span(&out)), 0, "%s", err.text);
    cr_assert_eq(report.receipts, 11);
    /* In its middle a hash leaves a gap. */
    struct span middle = line(buf_span(&text), HEAD_LINES + 2);
    buf_clear(&out);
    merkle_leaf(ledger.hasher, ledger.receipts[2].body, leaf);
    hex_encode(leaf, sizeof(leaf), hex);
    buf_add(&out, text.data, (size_t)(middle.ptr - text.data));
    buf_add_str(&out, "h ");
    buf_add(&out, hex, sizeof(hex));
    buf_add_char(&out, '\n');
    buf_add(&out, middle.ptr + middle.len, (size_t)(text.data + text.len - middle.ptr) - middle.len);
    cr_assert_eq(verify(buf_span(&out)), -EBADMSG);
    cr_assert_eq(report.bad_index, 4, "%s", err.text);
    buf_done(&out);
}

/* An export written by the first release, byte for byte: it must verify for ever. */
static const char golden_vkey[] = "tai.test/log+d35488c0+AbUhL2ZZMcl5b7ZyeekKVnjzEsDLiSahC/um0K8wwI2l";
static const char golden[] =
    "tai-export/1\n"
    "vkey tai.test/log+d35488c0+AbUhL2ZZMcl5b7ZyeekKVnjzEsDLiSahC/um0K8wwI2l\n"
    "shard 0\n"
    "h a6083473027d56a3143ec879ade245ff304c0ea5f30cb8c634815062a6d828aa\n"
    "r {\"body\":{\"governor\":{\"quota_used\":2}},\"chain\":\"globex\",\"ending\":\"executed\",\"entitle"
    "ment_id\":\"sku-1\",\"previous_hash\":\"000000000000000000000000000000000000000000000000000000000000"
    "0000\",\"receipt_id\":\"61befc4f-290d-5577-8493-5c2509628d6e\",\"redrive\":0,\"seq\":1,\"signal_id"
    "\":\"sig-2\",\"state_after\":\"active\",\"state_before\":\"active\",\"tenant_id\":\"globex\",\"times"
    "tamp\":1700000000002,\"type\":\"action_success\"}\n"
    "h 8f9608c36663822cb40ed9ee2aa95d1ed1dec9f9bdcfbfb0b204d767125f78fc\n"
    "h 470ff6ca2b6a3fb0a5297b9a66773c2aeef61eb7747fff0339609be247d5e348\n"
    "r {\"body\":{\"governor\":{\"quota_used\":5}},\"chain\":\"globex\",\"ending\":\"executed\",\"entitle"
    "ment_id\":\"sku-1\",\"previous_hash\":\"b23e50ff7e1b8a5181051f7c433523facec44acce908ea9a40dfd074b8ef"
    "f400\",\"receipt_id\":\"70c2179e-209d-57bf-99b1-61970e6f2da7\",\"redrive\":0,\"seq\":2,\"signal_id"
    "\":\"sig-5\",\"state_after\":\"active\",\"state_before\":\"active\",\"tenant_id\":\"globex\",\"times"
    "tamp\":1700000000005,\"type\":\"action_success\"}\n"
    "h 1d775d1b170419a6f47e35c84fbe65fbac32b990f982d7e6db3ab147229a9625\n"
    "c tai.test/log\n"
    "c 6\n"
    "c +JD2FEscPOc5ZT/+qQ0shekp+UrNxb5kDF50X4rgNSs=\n"
    "c \n"
    "c \xe2\x80\x94 tai.test/log 01SIwBH1TqOEuzGItmoa34XKQ5/P2NHE6tDPWR3xrqhN8i5Qxbk+7g/AkGvr9t/6mAvkfy5Q"
    "3mOmjhUQofZVMhiwsAU=\n";

Test(export, golden)
{
    cr_assert_eq(verify_with((struct span){golden, sizeof(golden) - 1}, golden_vkey), 0, "%s", err.text);
    cr_assert_eq(report.leaves, 6);
    cr_assert_eq(report.receipts, 2);
}

static uint64_t progressed;
static void on_progress(void *ctx, uint64_t bytes)
{
    cr_assert_eq(ctx, &progressed);
    cr_assert_geq(bytes, progressed);
    progressed = bytes;
}

Test(export, progress_ends_at_the_size)
{
    FILE *in = fmemopen(text.data, text.len, "r");
    struct verify_keys keys = {0};
    cr_assert_eq(verify_keys_add(&keys, span_of(note_key_vkey(ledger.key)), &err), 0);
    const struct export_options options = {.keys = &keys, .progress = on_progress, .ctx = &progressed};
    cr_assert_eq(export_verify(in, &options, &report, &err), 0);
    verify_keys_done(&keys);
    cr_assert_eq(progressed, text.len);
    fclose(in);
}
