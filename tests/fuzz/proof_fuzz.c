/* Any bytes as a tlog-proof, as a JWS and as a bundle: refused with a reason, or what it really is. The key signed one
 * checkpoint of six receipts, and its private half is gone: no JWS verifies under it, no bundle of another log. */
#include "andon/ledger/bundle.h"
#include "andon/ledger/jws.h"
#include "andon/ledger/tlog_proof.h"

#include <stdlib.h>

static const char vkey[] = "tai.test/log+d35488c0+AbUhL2ZZMcl5b7ZyeekKVnjzEsDLiSahC/um0K8wwI2l";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One spelling only: what was read is written again as it was. */
static void check_proof(struct span text)
{
    struct tlog_proof proof;
    struct error err = {0};
    if (tlog_proof_parse(text, &proof, &err)) {
        if (!err.text[0])
            abort();
        return;
    }
    struct buf out;
    buf_init(&out, text.len + 1);
    tlog_proof_write(&proof, &out);
    if (!span_eq(buf_span(&out), text))
        abort();
    buf_done(&out);
}

static void check_jws(struct span text, const struct verify_keys *keys)
{
    struct error err = {0};
    struct buf payload;
    buf_init(&payload, text.len + 1);
    if (jws_verify(text, keys->keys, keys->count, &payload, &err) == 0 || !err.text[0])
        abort();
    buf_done(&payload);
}

static void check_bundle(struct span text, const struct verify_keys *keys)
{
    struct export_report report;
    struct error err = {0};
    FILE *in = fmemopen((void *)(uintptr_t)text.ptr, text.len, "r");
    if (!in)
        abort();
    int r = bundle_verify(in, &(struct export_options){.keys = keys}, &report, &err);
    fclose(in);
    if (r ? !err.text[0] : report.leaves != 6 || report.receipts > 6)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    struct verify_keys keys = {0};
    if (size == 0 || verify_keys_add(&keys, span_of(vkey), NULL))
        return 0;
    check_proof(text);
    check_jws(text, &keys);
    check_bundle(text, &keys);
    verify_keys_done(&keys);
    return 0;
}
