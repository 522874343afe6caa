/* A list short enough to be compared from end to end, so that the time taken tells nothing. */
#include "andon/api/tokens.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

struct tokens {
    size_t count;
    struct token items[];
};

struct tokens *tokens_new(const struct token_config *configs, size_t count)
{
    if (count == 0)
        return NULL;
    struct tokens *tokens = xcalloc(1, sizeof(*tokens) + count * sizeof(tokens->items[0]));
    tokens->count = count;
    for (size_t i = 0; i < count; i++) {
        struct token *token = &tokens->items[i];
        snprintf(token->name, sizeof(token->name), "%s", configs[i].name);
        if (strcmp(configs[i].tenant, "*") != 0)
            snprintf(token->tenant, sizeof(token->tenant), "%s", configs[i].tenant);
        token->role = 1u << configs[i].role;
        token->expires_ms = configs[i].expires_ms;
        memcpy(token->sha256, configs[i].sha256, SHA256_SIZE);
    }
    return tokens;
}

void tokens_free(struct tokens *tokens)
{
    free(tokens);
}

const struct token *tokens_find(const struct tokens *tokens, const uint8_t sha256[SHA256_SIZE])
{
    const struct token *found = NULL;
    for (size_t i = 0; i < tokens->count; i++)
        if (hash_equal(tokens->items[i].sha256, sha256, SHA256_SIZE))
            found = &tokens->items[i];
    return found;
}
