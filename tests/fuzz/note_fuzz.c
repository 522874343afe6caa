/* Any bytes as a vkey and as a signed checkpoint. The key below signed two checkpoints, and its private half is gone:
 * nothing else may verify under it. */
#include "andon/ledger/note.h"

#include <stdlib.h>

static const char vkey[] = "tai.test/log+d35488c0+AbUhL2ZZMcl5b7ZyeekKVnjzEsDLiSahC/um0K8wwI2l";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_vkey(struct span text)
{
    struct note_key *key;
    if (note_key_from_vkey(text, &key, NULL) == 0) {
        if (!span_eq(text, span_of(note_key_vkey(key))))
            abort(); /* one spelling only */
        note_key_free(key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    struct checkpoint checkpoint;
    struct note_key *key;
    struct error err = {0};
    check_vkey(text);
    if (note_key_from_vkey(span_of(vkey), &key, &err))
        abort();
    int r = checkpoint_verify(text, key, &checkpoint, &err);
    if (r == 0 && checkpoint.size != 0 && checkpoint.size != 6)
        abort();
    if (r && err.text[0] == '\0')
        abort();
    note_key_free(key);
    return 0;
}
