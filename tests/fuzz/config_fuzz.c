/* Any bytes as a configuration file: refused with problems, or loaded; what is loaded can be shown, and what is shown
 * loads again to the same values. */
#include "config/config.h"

#include <stdlib.h>

static void load_again(const struct config *config)
{
    struct config_problems problems = {0};
    struct config *again = NULL;
    struct buf text;
    buf_init(&text, SIZE_MAX);
    config_write_show(config, CONFIG_SHOW_TEXT, &text);
    /* Keys come from files that are not here; a shown secret is refused. */
    if (config->ingress.keys_count == 0) {
        if (config_parse(buf_span(&text), "again", NULL, 0, NULL, &again, &problems) < 0)
            abort();
        if (strcmp(config_sha256(config), config_sha256(again)) != 0)
            abort();
    }
    config_free(again);
    config_problems_done(&problems);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_problems problems = {0};
    struct config *config = NULL;
    int code = config_parse((struct span){(const char *)data, size}, "fuzz", NULL, 0, NULL, &config, &problems);
    if ((code == 0) != (problems.count == 0) || (code == 0) != (config != NULL))
        abort();
    if (config)
        load_again(config);
    config_free(config);
    config_problems_done(&problems);
    return 0;
}
