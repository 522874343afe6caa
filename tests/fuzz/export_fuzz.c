/* Any bytes as an export: refused with a reason, or one of the logs that were really signed. */
#include "andon/ledger/export.h"

#include <stdlib.h>

static const char vkey[] = "tai.test/log+d35488c0+AbUhL2ZZMcl5b7ZyeekKVnjzEsDLiSahC/um0K8wwI2l";
static const char root[] = "f890f6144b1c3ce739653ffea90d2c85e929f94acdc5be640c5e745f8ae0352b"; /* of its six receipts */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct export_report report;
    struct error err = {0};
    uint8_t expected[SHA256_SIZE];
    if (size == 0 || !hex_decode(span_of(root), expected, sizeof(expected)))
        return 0;
    FILE *in = fmemopen((void *)(uintptr_t)data, size, "r");
    if (!in)
        abort();
    struct verify_keys keys = {0};
    int r = verify_keys_add(&keys, span_of(vkey), &err);
    if (!r)
        r = export_verify(in, &(struct export_options){.keys = &keys}, &report, &err);
    verify_keys_done(&keys);
    fclose(in);
    if (r && err.text[0] == '\0')
        abort();
    if (r == 0 && report.leaves && (report.leaves != 6 || memcmp(report.root, expected, sizeof(expected)) != 0))
        abort();
    return 0;
}
