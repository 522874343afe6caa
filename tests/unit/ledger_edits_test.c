/* Single edits of an export and of a bundle, at random: every one must be detected. TAI_EDITS=N TAI_EDITS_SEED=N: so
 * many, from another seed. */
#include "andon/ledger/bundle.h"
#include "andon/ledger/merkle_proof.h"
#include "support/ledger_fixture.h"

#include <criterion/criterion.h>

#ifdef __SANITIZE_ADDRESS__
enum { EDITS = 10000 };
#else
enum { EDITS = 100000 };
#endif
enum { RECEIPTS = 9, TEXT_MAX = 1 << 16 };

static struct ledger ledger;
static struct buf originals[2]; /* an export, a bundle */
static struct verify_keys keys;
static uint8_t leaves[RECEIPTS][SHA256_SIZE];
static unsigned seed;

static void leaf_root(void *ctx, uint32_t height, uint64_t number, uint8_t ret[SHA256_SIZE])
{
    uint8_t left[SHA256_SIZE], right[SHA256_SIZE];
    (void)ctx;
    if (height == 0) {
        memcpy(ret, leaves[number], SHA256_SIZE);
        return;
    }
    leaf_root(NULL, height - 1, 2 * number, left);
    leaf_root(NULL, height - 1, 2 * number + 1, right);
    merkle_node(ledger.hasher, left, right, ret);
}

static void add_lines(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (i == 0 || text.ptr[i - 1] == '\n')
            buf_add_str(out, "c ");
        buf_add_char(out, text.ptr[i]);
    }
}

static void make_bundle(struct buf *out)
{
    const struct merkle_source source = {.root = leaf_root, .hasher = ledger.hasher};
    struct buf note;
    buf_init(&note, 4096);
    buf_addf(out, BUNDLE_TITLE "\nvkey %s\nshard 0\n", note_key_vkey(ledger.key));
    ledger_checkpoint(&ledger, "tai.test/log", &note);
    add_lines(out, buf_span(&note));
    for (uint64_t i = 1; i < RECEIPTS; i += 2) {
        struct merkle_proof proof;
        merkle_prove_inclusion(&source, i, RECEIPTS, &proof);
        buf_add_str(out, "r ");
        buf_add_span(out, ledger.receipts[i].body);
        buf_add_char(out, '\n');
        bundle_write_proof(out, i, &proof);
    }
    buf_addf(out, "end %d\n", RECEIPTS / 2);
    buf_done(&note);
}

static void setup(void)
{
    static const size_t order[RECEIPTS] = {0, 1, 0, 2, 0, 1, 1, 2, 0};
    struct error err;
    ledger_init(&ledger);
    for (size_t i = 0; i < RECEIPTS; i++) {
        ledger_add(&ledger, order[i]);
        merkle_leaf(ledger.hasher, ledger.receipts[i].body, leaves[i]);
    }
    for (int i = 0; i < 2; i++)
        buf_init(&originals[i], TEXT_MAX);
    ledger_export(&ledger, NULL, &originals[0]);
    make_bundle(&originals[1]);
    cr_assert_eq(verify_keys_add(&keys, span_of(note_key_vkey(ledger.key)), &err), 0);
}

static void teardown(void)
{
    verify_keys_done(&keys);
    for (int i = 0; i < 2; i++)
        buf_done(&originals[i]);
    ledger_done(&ledger);
}

TestSuite(ledger_edits, .init = setup, .fini = teardown, .timeout = 600);

static size_t below(size_t limit)
{
    return (size_t)rand_r(&seed) % limit;
}

static bool verifies(const struct buf *text, bool bundle, struct error *err)
{
    struct export_report report;
    const struct export_options options = {.keys = &keys};
    char empty = 0;
    FILE *in = fmemopen(text->len ? text->data : &empty, text->len ? text->len : 1, "r");
    if (!text->len)
        (void)fgetc(in);
    int r = bundle ? bundle_verify(in, &options, &report, err) : export_verify(in, &options, &report, err);
    (void)fclose(in);
    return r == 0;
}

static size_t count_lines(const struct buf *text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text->len; i++)
        lines += text->data[i] == '\n';
    return lines;
}

/* Line n with its line feed. */
static struct span line_at(const struct buf *text, size_t n)
{
    const char *at = text->data, *end = text->data + text->len;
    for (; n; n--)
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    return (struct span){at, (size_t)((const char *)memchr(at, '\n', (size_t)(end - at)) + 1 - at)};
}

static void add_range(struct buf *out, const struct buf *from, size_t begin, size_t end)
{
    buf_add(out, from->data + begin, end - begin);
}

/* Lines in another order, gone, or twice. */
static void edit_lines(const struct buf *from, struct buf *out, size_t kind)
{
    size_t lines = count_lines(from), a = below(lines), b = below(lines);
    for (size_t n = 0; n < lines; n++) {
        if (kind == 0 && (n == a || n == b)) /* two lines in each other's place */
            buf_add_span(out, line_at(from, n == a ? b : a));
        else if (kind != 1 || n != a) /* gone */
            buf_add_span(out, line_at(from, n));
        if (kind == 2 && n == b) /* twice, or once more elsewhere */
            buf_add_span(out, line_at(from, a));
    }
}

static const char *edit(const struct buf *from, struct buf *out)
{
    static const char *const names[] = {"a bit",        "a byte",  "a byte gone",   "a byte added", "cut off",
                                        "a range gone", "a digit", "lines swapped", "a line gone",  "a line twice"};
    size_t kind = below(sizeof(names) / sizeof(names[0])), at = below(from->len), end = at + 1;
    char c = from->data[at];
    if (kind >= 7) {
        edit_lines(from, out, kind - 7);
        return names[kind];
    }
    add_range(out, from, 0, at);
    if (kind == 0)
        buf_add_char(out, (char)(c ^ (1 << below(8))));
    else if (kind == 1 || kind == 3)
        buf_add_char(out, (char)below(256));
    else if (kind == 6)
        buf_add_char(out, c >= '0' && c <= '9' ? (char)('0' + below(10)) : "0\n {}\"\\"[below(7)]);
    if (kind == 3)
        end = at;
    else if (kind == 4)
        end = from->len;
    else if (kind == 5)
        end = at + below(from->len - at + 1);
    add_range(out, from, end, from->len);
    return names[kind];
}

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

Test(ledger_edits, every_single_one_is_detected)
{
    long edits = setting("TAI_EDITS", EDITS), detected = 0, same = 0;
    struct buf changed;
    struct error err;
    seed = (unsigned)setting("TAI_EDITS_SEED", 20261120);
    buf_init(&changed, 2 * TEXT_MAX);
    for (int i = 0; i < 2; i++)
        cr_assert(verifies(&originals[i], i, &err), "%s", err.text);
    while (detected < edits) {
        bool bundle = below(2);
        buf_clear(&changed);
        const char *what = edit(&originals[bundle], &changed);
        if (span_eq(buf_span(&changed), buf_span(&originals[bundle]))) { /* nothing was changed */
            cr_assert_lt(++same, edits);
            continue;
        }
        err.text[0] = '\0';
        cr_assert_not(verifies(&changed, bundle, &err), "%s after %ld others went undetected:\n%.*s", what, detected,
                      (int)changed.len, changed.data);
        cr_assert(err.text[0], "%s: refused without a reason", what);
        detected++;
    }
    printf("%ld edits detected of %ld\n", detected, edits);
    buf_done(&changed);
}
