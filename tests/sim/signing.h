/* Who sees the checkpoints of every signer in the program, whatever becomes of the process that signed. */
#ifndef TAI_TESTS_SIM_SIGNING_H
#define TAI_TESTS_SIM_SIGNING_H

#include "common/hash.h"

struct signing_witness {
    void (*saw)(struct signing_witness *witness, uint32_t shard, uint64_t size, const uint8_t root[SHA256_SIZE]);
};
void signing_watch(struct signing_witness *witness);

#endif
