/* Loading: defaults, file, environment, command line, then what follows from them and the checks. The struct under
 * construction is handed out only without a problem; its memory is one arena, freed by config_free. Runs once at the
 * start of every process (and of `tai config`). */
#include "config/loader.h"

#include "common/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

_Static_assert(sizeof(enum config_period) == sizeof(unsigned), "enums are stored through unsigned");

struct input {
    const char *path; /* NULL: none */
    struct span text; /* of the file, once read */
    const struct config_override *overrides;
    size_t overrides_count;
    char *const *env;
};

static struct config *config_new(const char *file)
{
    struct config *config = xcalloc(1, sizeof(*config));
    struct config_detail *detail = config->detail = xcalloc(1, sizeof(*config->detail));
    detail->file = file ? arena_copy(&detail->arena, file, strlen(file)) : NULL;
    detail->origins = arena_alloc(&detail->arena, config_options_count * sizeof(*detail->origins));
    for (size_t i = 0; i < config_options_count; i++) {
        const struct option *option = &config_options[i];
        detail->origins[i] = (struct origin){ORIGIN_DEFAULT, 0, NULL};
        if (option->fallback && option_parse(option, span_of(option->fallback), config, &detail->arena, NULL) < 0)
            abort(); /* a wrong row of the table */
    }
    return config;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->detail->lists[LIST_KEYS].count; i++) {
        struct key_item *item = list_item(config, LIST_KEYS, i);
        if (item->key.secret)
            explicit_bzero((char *)item->key.secret, item->key.secret_len);
        if (item->key.previous)
            explicit_bzero((char *)item->key.previous, item->key.previous_len);
    }
    arena_done(&config->detail->arena);
    free((void *)config->detail->warnings);
    free(config->detail);
    free(config);
}

void loader_set(struct loader *loader, const struct option *option, struct span text, struct origin origin)
{
    struct error err;
    if (option_parse(option, text, loader->config, &loader->config->detail->arena, &err) < 0)
        problems_add(loader->problems, &origin, "%s: %s", option->name, err.text);
    else
        *option_origin(loader->config, option) = origin;
}

void loader_warn(struct loader *loader, const char *text)
{
    struct config_detail *detail = loader->config->detail;
    size_t count = loader->config->warnings_count;
    if (count >= PROBLEMS_MAX)
        return;
    mem_grow((void *)&detail->warnings, &detail->warnings_cap, count + 1, sizeof(*detail->warnings));
    detail->warnings[count] = arena_copy(&detail->arena, text, strlen(text));
    loader->config->warnings = detail->warnings;
    loader->config->warnings_count = count + 1;
}

static void write_sha256(struct config *config)
{
    struct buf text;
    struct hasher *hasher = hasher_new();
    uint8_t digest[SHA256_SIZE];
    buf_init(&text, SIZE_MAX);
    config_write_show(config, CONFIG_SHOW_JSON, &text);
    hasher_sha256(hasher, buf_span(&text), digest);
    hex_encode(digest, sizeof(digest), config->detail->sha256);
    buf_done(&text);
    hasher_free(hasher);
}

const char *config_sha256(const struct config *config)
{
    return config->detail->sha256;
}

static int load_text(const struct input *input, struct config **ret, struct config_problems *problems)
{
    size_t before = problems->count;
    struct loader loader = {.config = config_new(input->path), .problems = problems};
    if (input->text.len > 0)
        loader_apply_yaml(&loader, input->text);
    loader_apply_environment(&loader, input->env);
    loader_apply_overrides(&loader, input->overrides, input->overrides_count);
    loader_read_secrets(&loader);
    loader_read_tokens(&loader);
    loader_derive(&loader);
    loader_check(&loader);
    bool good = problems->count == before && !problems_full(problems);
    if (good)
        write_sha256(loader.config);
    if (good && ret)
        *ret = loader.config;
    else
        config_free(loader.config);
    return good ? 0 : -EINVAL;
}

/* The whole file, or one byte more than is allowed, so that yaml.c sees that it is too large. */
int loader_read(int fd, struct buf *out)
{
    while (out->len <= CONFIG_FILE_MAX) {
        char *end = buf_reserve(out, CONFIG_FILE_MAX + 1 - out->len);
        ssize_t n = read(fd, end, CONFIG_FILE_MAX + 1 - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        out->len += (size_t)n;
    }
    return 0;
}

static int read_config(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int code = loader_read(fd, out);
    close(fd);
    return code;
}

int config_check(const char *path, const struct config_override *overrides, size_t overrides_count, char *const *env,
                 struct config **ret, struct config_problems *problems)
{
    struct input input = {path, {NULL, 0}, overrides, overrides_count, env};
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX + 1);
    int code = path ? read_config(path, &text) : 0;
    if (code < 0) {
        const struct origin origin = {ORIGIN_FILE, 0, path};
        problems_add(problems, &origin, "%s", error_text(code));
    } else {
        input.text = buf_span(&text);
        code = load_text(&input, ret, problems);
    }
    buf_done(&text);
    return code;
}

int config_parse(struct span text, const char *name, const struct config_override *overrides, size_t overrides_count,
                 char *const *env, struct config **ret, struct config_problems *problems)
{
    const struct input input = {name, text, overrides, overrides_count, env};
    return load_text(&input, ret, problems);
}

int config_load(const char *path, const struct config_override *overrides, size_t overrides_count, char *const *env,
                struct config **ret, struct error *err)
{
    struct config_problems problems = {0};
    int code = config_check(path, overrides, overrides_count, env, ret, &problems);
    if (code < 0)
        code = error_set(err, code, "%s", problems.lines[0]);
    config_problems_done(&problems);
    return code;
}
