/* A terminal taken over for a live view, and given back whatever happens: the view runs in a child process, the parent
 * only waits for its end, by any signal too, and restores the terminal. */
#ifndef TAI_APPS_CLI_SCREEN_H
#define TAI_APPS_CLI_SCREEN_H

#include "common/buf.h"

/* Whether standard input and output are one terminal that can be drawn on. */
bool screen_usable(void);
/* Runs body with the terminal in character mode on its other page; what body returned. A signal that ends the view ends
 * this process by the same signal, after the terminal is as it was. */
int screen_run(int (*body)(void *ctx), void *ctx);

/* Within body. Draws lines from the top left, each cut at the terminal's width (ASCII and escape sequences), as many as
 * fit. */
void screen_draw(struct span text);
/* Waits for a key, the window's size to change, or the time to pass: the key, or 0. */
int screen_wait(int64_t ms);

#endif
