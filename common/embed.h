/* A file as bytes within the program, read by the assembler when it is built. */
#ifndef TAI_COMMON_EMBED_H
#define TAI_COMMON_EMBED_H

#include "common/span.h"

/* Makes the span name_text() of this translation unit; path is a string literal. */
#define EMBED_FILE(name, path)                                                                                         \
    __asm__(".pushsection .rodata\n" #name "_begin:\n.incbin \"" path "\"\n" #name "_end:\n.byte 0\n.popsection\n");   \
    extern const char name##_begin[] __attribute__((visibility("hidden")));                                            \
    extern const char name##_end[] __attribute__((visibility("hidden")));                                              \
    static struct span name##_text(void)                                                                               \
    {                                                                                                                  \
        return (struct span){name##_begin, (size_t)(name##_end - name##_begin)};                                       \
    }

#endif
