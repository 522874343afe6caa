/* Human text that travels with a negative errno. Functions that can fail return 0 or -errno and, where a person has to
 * mend something, fill an optional struct error. */
#ifndef TAI_COMMON_ERROR_H
#define TAI_COMMON_ERROR_H

#define must_check __attribute__((warn_unused_result))

struct error {
    char text[512]; /* NUL-terminated, one line, says what to mend */
};

/* Formats the text into err (which may be NULL) and returns code (a negative errno). */
int error_set(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text that is there; returns code. */
int error_prefix(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The text of a negative errno, e.g. -ENOENT -> "No such file or directory". */
const char *error_text(int code);

#endif
