/* A policy that some signal ends the process by, as a bug of ours would: it aborts where `data` holds the magic word.
 * Linked around policy_set_decide. */
#include "jidoka/policies/policy.h"

#include <stdlib.h>

struct verdict __real_policy_set_decide(struct policy_set *set, const struct policy_signal *signal, struct span data,
                                        const struct governor_record *record, struct governor_now now);
struct verdict __wrap_policy_set_decide(struct policy_set *set, const struct policy_signal *signal, struct span data,
                                        const struct governor_record *record, struct governor_now now);

struct verdict __wrap_policy_set_decide(struct policy_set *set, const struct policy_signal *signal, struct span data,
                                        const struct governor_record *record, struct governor_now now)
{
    static const char magic[] = "\"arsenic\"";
    if (data.len && memmem(data.ptr, data.len, magic, sizeof(magic) - 1))
        abort();
    return __real_policy_set_decide(set, signal, data, record, now);
}
