/* docs/configuration.md is what the option table says, and the table is sound. */
#include "config/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    cr_assert(file, "%s", path);
    struct buf text;
    char part[4096];
    buf_init(&text, SIZE_MAX);
    for (size_t n = fread(part, 1, sizeof(part), file); n > 0; n = fread(part, 1, sizeof(part), file))
        buf_add(&text, part, n);
    fclose(file);
    (void)buf_cstr(&text);
    return buf_take(&text);
}

Test(config_reference, documentation_is_current)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/docs/configuration.md", TAI_SOURCE_DIR);
    char *written = read_file(path);
    struct buf generated;
    buf_init(&generated, SIZE_MAX);
    config_reference(&generated);
    cr_assert(strcmp(written, buf_cstr(&generated)) == 0,
              "docs/configuration.md is old: tai config reference > docs/configuration.md");
    free(written);
    buf_done(&generated);
}

static void check_row(const struct option *option, size_t size)
{
    cr_assert(option->help && option->help[0], "%s", option->name);
    cr_assert_lt(option->offset, size, "%s", option->name);
    cr_assert(option->fallback == NULL || !(option->flags & OPTION_OPTIONAL), "%s", option->name);
    cr_assert_eq(option->type == OPTION_ENUM, option->words != NULL, "%s", option->name);
    bool number = option->type >= OPTION_INT && option->type <= OPTION_RATIO;
    cr_assert(!number || option->min < option->max, "%s", option->name);
    cr_assert_leq(option->max, 1LL << 53, "%s: beyond what JSON carries", option->name);
}

Test(config_reference, rows_are_sound)
{
    for (size_t i = 0; i < config_options_count; i++) {
        cr_assert(config_options[i].fallback || config_options[i].flags & OPTION_OPTIONAL, "%s",
                  config_options[i].name);
        check_row(&config_options[i], sizeof(struct config));
        for (size_t j = 0; j < i; j++) {
            cr_assert_str_neq(config_options[i].name, config_options[j].name);
            cr_assert_neq(config_options[i].offset, config_options[j].offset, "%s and %s", config_options[i].name,
                          config_options[j].name);
        }
    }
    for (size_t list = 0; list < LIST_COUNT; list++) {
        for (size_t i = 0; i < config_lists[list].count; i++)
            check_row(&config_lists[list].options[i], config_lists[list].item_size);
    }
}

Test(config_reference, sections_are_contiguous)
{
    struct section section;
    struct section again;
    size_t rows = 0;
    size_t count = 0;
    for (; section_at(count, &section); count++) {
        cr_assert(section_find(section.name, &again));
        cr_assert_eq(again.options, section.options, "%.*s", (int)section.name.len, section.name.ptr);
        rows += section.list ? 0 : section.count;
    }
    cr_assert_eq(rows, config_options_count);
    cr_assert(!section_at(count, &section));
    cr_assert(!section_at(count + 1, &section));
}

static const char *nearest(const char *text, const char *const *words)
{
    const char *found = suggest(span_of(text), words);
    return found ? found : "";
}

Test(config_reference, suggestions)
{
    static const char *const words[] = {"max_header", "max_body", "listen", "id", NULL};
    cr_assert_str_eq(nearest("max_hedaer", words), "max_header");
    cr_assert_str_eq(nearest("maxheader", words), "max_header");
    cr_assert_str_eq(nearest("max_boddy", words), "max_body");
    cr_assert_str_eq(nearest("lsiten", words), "listen");
    cr_assert_str_eq(nearest("listening_on", words), "");
    cr_assert_str_eq(nearest("xy", words), "", "everything is near to two letters");
    cr_assert_str_eq(nearest("", words), "");
    char *const large = xmalloc(100001);
    memset(large, 'm', 100000);
    large[100000] = '\0';
    cr_assert_str_eq(nearest(large, words), "");
    free(large);
}
