/* Human text that travels with a negative errno. Functions that can fail return 0 or -errno and, where a person has to
 * mend something, fill an optional struct error. */
#ifndef TAI_COMMON_ERROR_H
#define TAI_COMMON_ERROR_H

#define must_check __attribute__((warn_unused_result))

struct error {
    char text[512]; /* NUL-terminated, one line, says what to mend */
};

/* error_set(err, code, format, …) formats the text into err (which may be NULL), error_prefix(err, code, format, …)
 * puts "prefix: " before the text that is there. Their value is code (a negative errno): macros, so that who reads the
 * code, and the static analyzer, sees that. */
#define error_set(err, code, ...)                                                                                      \
    ({                                                                                                                 \
        int error_code_ = (code);                                                                                      \
        error_format(err, __VA_ARGS__);                                                                                \
        error_code_;                                                                                                   \
    })
#define error_prefix(err, code, ...)                                                                                   \
    ({                                                                                                                 \
        int error_code_ = (code);                                                                                      \
        error_format_prefix(err, __VA_ARGS__);                                                                         \
        error_code_;                                                                                                   \
    })
void error_format(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
void error_format_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text of a negative errno, e.g. -ENOENT -> "No such file or directory". */
const char *error_text(int code);

#endif
