/* The token file: `tokens:` and a list of items, read as the configuration is, and judged with it. Only a regular file
 * that nobody but its owner can write is believed: who can write it decides who may use andon. */
#include "config/loader.h"

#include "common/clock.h"
#include "common/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config_detail *detail_of(const struct loader *loader)
{
    return loader->config->detail;
}

/* What is wrong with the file itself, or NULL and its text. */
static const char *read_file(const char *path, struct buf *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_text(-errno);
    const char *wrong = NULL;
    if (fstat(fd, &st) < 0)
        wrong = error_text(-errno);
    else if (!S_ISREG(st.st_mode))
        wrong = "not a regular file";
    else if (st.st_mode & (S_IWGRP | S_IWOTH))
        wrong = "others than its owner can write it, and so give themselves every right: chmod go-w";
    int code = wrong ? 0 : loader_read(fd, out);
    close(fd);
    return code < 0 ? error_text(code) : wrong;
}

void loader_read_tokens(struct loader *loader)
{
    const char *path = loader->config->andon.tokens_file, *file = detail_of(loader)->file;
    if (!path)
        return;
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX + 1);
    const char *wrong = read_file(path, &text);
    if (wrong) {
        problems_add(loader->problems, option_origin(loader->config, option_find("andon.tokens_file")),
                     "andon.tokens_file: %.200s: %s", path, wrong);
    } else {
        loader->tokens = true;
        detail_of(loader)->file = path;
        loader_apply_yaml(loader, buf_span(&text));
        detail_of(loader)->file = file;
        loader->tokens = false;
    }
    buf_done(&text);
}

void loader_derive_tokens(struct loader *loader)
{
    size_t count = detail_of(loader)->lists[LIST_TOKENS].count;
    struct token_config *tokens = arena_alloc(&detail_of(loader)->arena, count * sizeof(*tokens));
    for (size_t i = 0; i < count; i++) {
        const struct token_item *item = list_item(loader->config, LIST_TOKENS, i);
        tokens[i] = item->token;
        tokens[i].expires_ms = INT64_MAX;
        if (item->sha256)
            (void)hex_decode(span_of(item->sha256), tokens[i].sha256, sizeof(tokens[i].sha256));
        if (item->expires)
            (void)time_parse_rfc3339(span_of(item->expires), &tokens[i].expires_ms);
    }
    loader->config->andon.tokens = tokens;
    loader->config->andon.tokens_count = count;
}

void loader_check_tokens(struct loader *loader)
{
    const struct andon_config *andon = &loader->config->andon;
    size_t before = loader->problems->count;
    loader_check_unique(loader, LIST_TOKENS, offsetof(struct token_item, token.name), "name");
    loader_check_unique(loader, LIST_TOKENS, offsetof(struct token_item, sha256), "sha256");
    if (andon->tokens_file && andon->tokens_count == 0 && before == 0) {
        const struct origin origin = {ORIGIN_FILE, 0, andon->tokens_file};
        problems_add(loader->problems, &origin,
                     "names no token, so that nobody could use andon: add one (`tai key new token`), or leave "
                     "andon.tokens_file out");
    }
}
