/* The steps of loading, in their order. Each adds what it finds wrong to the problems and goes on; only load.c decides.
 * Used by config/ alone. */
#ifndef TAI_CONFIG_LOADER_H
#define TAI_CONFIG_LOADER_H

#include "config/options.h"

struct loader {
    struct config *config; /* under construction */
    struct config_problems *problems;
    bool tokens; /* the file is the one of andon.tokens_file */
};

/* Takes one value over from where it stands; a bad one is a problem and leaves what was there. */
void loader_set(struct loader *loader, const struct option *option, struct span text, struct origin origin);

/* The file: yaml.c refuses what is not plain YAML, tree.c walks the document. */
void loader_apply_yaml(struct loader *loader, struct span text);
struct yaml_document_s;
void loader_apply_tree(struct loader *loader, struct yaml_document_s *document);

/* environ.c: TAI_<SECTION>_<NAME>, TAI_KEYS_<ID>_SECRET, PORT; then the command line. */
void loader_apply_environment(struct loader *loader, char *const *env);
void loader_apply_overrides(struct loader *loader, const struct config_override *overrides, size_t count);

/* secrets.c: reads the files of keys that have no secret from the environment, and those of previous secrets. */
void loader_read_secrets(struct loader *loader);

/* tokens.c: reads andon.tokens_file, and makes what andon is given of it. */
void loader_read_tokens(struct loader *loader);
void loader_derive_tokens(struct loader *loader);
void loader_check_tokens(struct loader *loader);

/* load.c: appends what fd holds, at most one byte more than CONFIG_FILE_MAX. 0 or -errno. */
must_check int loader_read(int fd, struct buf *out);

/* check.c: fills in what follows from other values, then refuses what does not go together. */
void loader_derive(struct loader *loader);
void loader_check(struct loader *loader);
/* Names of items are unique; they are the `const char *` at offset, of the option called key. */
void loader_check_unique(struct loader *loader, enum config_list list, size_t offset, const char *key);
void loader_warn(struct loader *loader, const char *text); /* copied */

#endif
