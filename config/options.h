/* The option table and what the files of config/ share. One row per option: loader, environment, command line,
 * `config show` and the reference all come from these rows. Values are parsed and formatted by type in value.c. */
#ifndef TAI_CONFIG_OPTIONS_H
#define TAI_CONFIG_OPTIONS_H

#include "config/config.h"

#include "common/mem.h"
#include "common/suggest.h"

enum option_type {
    OPTION_BOOL,     /* bool */
    OPTION_INT,      /* int64_t; nullable ones hold -1 for null */
    OPTION_BYTES,    /* size_t */
    OPTION_DURATION, /* int64_t, milliseconds */
    OPTION_DECIMAL,  /* int64_t, micro-units */
    OPTION_RATIO,    /* int64_t, micro-units, 0 … 1 */
    OPTION_TEXT,     /* const char * */
    OPTION_ADDRESS,  /* struct config_address */
    OPTION_ENUM,     /* an enum whose constants are the indices of words */
    OPTION_SECRET,   /* const char *, only from the environment */
    OPTION_FILE,     /* const char *: the path of a file that holds a secret, read by secrets.c */
};

enum option_flag {
    OPTION_NULLABLE = 1,   /* `null` is a value */
    OPTION_OPTIONAL = 2,   /* no default and not required */
    OPTION_RELOADABLE = 4, /* taken over on SIGHUP */
};

/* Which texts an OPTION_TEXT takes. */
enum option_syntax {
    SYNTAX_WORD,
    SYNTAX_TENANT,
    SYNTAX_KEY_ID,
    SYNTAX_ORIGIN,
    SYNTAX_SOURCE,
    SYNTAX_PATH,
    SYNTAX_DIRECTORY,
    SYNTAX_SHA256,
    SYNTAX_TIME,
};

struct option {
    const char *name; /* "section.key"; of list items just "key" */
    enum option_type type;
    const char *fallback; /* the default as text; NULL = required (or OPTION_OPTIONAL). "<run.data>/x" is resolved */
    int64_t min;          /* in units of the stored value */
    int64_t max;
    const char *const *words; /* enums, ended by NULL */
    enum option_syntax syntax;
    unsigned flags; /* of enum option_flag */
    size_t offset;  /* within struct config, or within the item */
    const char *help;
};

/* A section that is a list of mappings. */
struct option_list {
    const char *section;
    const struct option *options;
    size_t count;
    size_t item_size; /* struct key_item, action_config, policy_item or token_item */
    size_t max_items;
    unsigned flags; /* of enum option_flag */
    const char *help;
};

extern const struct option config_options[];
extern const size_t config_options_count;
extern const struct option_list config_lists[];
enum config_list { LIST_KEYS, LIST_ACTIONS, LIST_POLICIES, LIST_TOKENS, LIST_COUNT };

/* A policy's action as written, until check.c has found it; lives behind the public struct. */
struct policy_item {
    struct policy_config policy;
    const char *action_name;
};

/* A key with where its secret came from. */
struct key_item {
    struct key_config key;
    const char *secret_file;   /* NULL: none was named */
    const char *previous_file; /* NULL: none was named */
};

/* A token as written; its own fields follow in derive. */
struct token_item {
    struct token_config token;
    const char *sha256;
    const char *expires; /* NULL: never */
};

/* Where a value stands, for messages and `config show`. */
enum origin_kind { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_COMMAND_LINE };
struct origin {
    enum origin_kind kind;
    size_t line;      /* ORIGIN_FILE */
    const char *name; /* ORIGIN_FILE: the file; ORIGIN_ENVIRONMENT: the variable */
};
void origin_write(const struct origin *origin, struct buf *out); /* "tai.yaml:12", "TAI_LOG_LEVEL", … */

/* A list as loaded. lines has count rows of 1 + the list's options: where the item and each of its values stand in the
 * file, 0 for a default. */
struct list_detail {
    const char *file; /* it stands in */
    void *items;
    size_t count;
    size_t *lines;
};

struct config_detail {
    struct arena arena;
    const char *file;       /* what the file is called in messages, or NULL */
    struct origin *origins; /* of config_options */
    struct list_detail lists[LIST_COUNT];
    const char **warnings;
    size_t warnings_cap;
    char sha256[CONFIG_SHA256_HEX + 1];
};

/* lookup.c: sections are the table's runs of rows with one prefix, then the lists. */
struct section {
    struct span name;
    const struct option *options;
    size_t count;
    const struct option_list *list; /* NULL: plain options */
};
bool section_at(size_t index, struct section *ret); /* false behind the last */
bool section_find(struct span name, struct section *ret);
const char *option_key(const struct option *option); /* the name without its section */
const struct option *option_find(const char *name);  /* "section.key", or NULL */
const struct option *section_option(const struct section *section, struct span key);
struct origin *option_origin(const struct config *config, const struct option *option);
void *list_item(const struct config *config, enum config_list list, size_t item);
/* Where the item's value of that key stands, or the item itself (key NULL). */
struct origin item_origin(const struct config *config, enum config_list list, size_t item, const char *key);

/* value.c: text to value and back. base is struct config or an item, arena owns texts. -EINVAL with what to write. */
must_check int option_parse(const struct option *option, struct span text, void *base, struct arena *arena,
                            struct error *err);
void option_format(const struct option *option, const void *base, struct buf *out);
/* A stored number in the option's notation: bounds in messages and in the reference. */
void option_format_number(const struct option *option, int64_t value, struct buf *out);
const char *option_type_name(enum option_type type);

/* text.c: the rules of texts and addresses */
must_check int text_check(enum option_syntax kind, struct span text, struct error *err);
must_check int address_parse(struct span text, struct config_address *ret, struct arena *arena, struct error *err);

/* problems.c */
enum { PROBLEMS_MAX = 100, PROBLEM_LINE_MAX = 1024 };
bool problems_full(const struct config_problems *problems);
void problems_add(struct config_problems *problems, const struct origin *origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline void *option_field(const struct option *option, void *base)
{
    return (char *)base + option->offset;
}

#endif
