/* The bearer tokens of the API, known by their SHA-256. On andon's loop. */
#ifndef TAI_ANDON_API_TOKENS_H
#define TAI_ANDON_API_TOKENS_H

#include "common/hash.h"
#include "config/config.h"

enum { TOKEN_NAME_MAX = 64, TOKEN_TENANT_MAX = 64 };

struct token {
    char name[TOKEN_NAME_MAX + 1];
    char tenant[TOKEN_TENANT_MAX + 1]; /* empty: all tenants */
    unsigned role;                     /* one bit of enum api_role */
    int64_t expires_ms;                /* wall */
    uint8_t sha256[SHA256_SIZE];
};

struct tokens;
/* Copies what it needs. NULL if there are none. */
struct tokens *tokens_new(const struct token_config *configs, size_t count);
void tokens_free(struct tokens *tokens);

/* The token with that hash, or NULL; it is compared with all of them, each in constant time. */
const struct token *tokens_find(const struct tokens *tokens, const uint8_t sha256[SHA256_SIZE]);

#endif
