/* The key that a verb signs its posts with: its options `key-file` and `key-id`. */
#ifndef TAI_APPS_CLI_SIGNING_KEY_H
#define TAI_APPS_CLI_SIGNING_KEY_H

#include "apps/cli/cli.h"

enum { SIGNING_SECRET_MAX = 4096 };

/* Two rows of a verb's options. */
#define CLI_KEY_FILE                                                                                                   \
    {                                                                                                                  \
        "key-file", "FILE", "sign with the secret in FILE (X-Signature, HMAC-SHA256)"                                  \
    }
#define CLI_KEY_ID                                                                                                     \
    {                                                                                                                  \
        "key-id", "ID", "which of the server's keys that is (X-Key-Id)"                                                \
    }

/* Without --key-file the secret is empty. 0, or an exit code, said. The caller overwrites ret when it is done. */
must_check int signing_key_read(const struct cli *cli, char ret[SIGNING_SECRET_MAX + 1], size_t *ret_len);

#endif
