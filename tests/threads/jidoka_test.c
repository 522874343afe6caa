/* The workers, from published frames to committed outcomes: endings, duplicates, conflicts, refusals, waiting. */
#include "support/check.h"
#include "support/pipeline.h"

static void test_executed(void)
{
    struct pipeline p;
    pipeline_init(&p);
    pipeline_open(&p);
    pipeline_start(&p);
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    puts(pipeline_story(&p, "acme", "ent"));
    puts(pipeline_row(&p, "acme", "ent", "s1"));
    CHECK(pipeline_check(&p));
    pipeline_done(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"executed", test_executed}, {NULL, NULL}};
    return check_main(cases);
}
