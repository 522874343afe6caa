/* The measure is that of the configuration's keys. A file of its own: config/options.h and <getopt.h> both have a
 * struct option. */
#include "apps/nearest.h"
#include "config/options.h"

const char *nearest(struct span typed, const char *const *words)
{
    struct suggestion suggestion;
    suggestion_init(&suggestion, typed);
    for (; *words; words++)
        suggestion_offer(&suggestion, *words);
    return suggestion.best;
}
