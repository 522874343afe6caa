/* Plain ANSI sequences, no terminal database. Ctrl-Z is off while the view is up: a stopped view would leave its page
 * behind. Redraws after a change of size come from asking for the size, not from a signal. */
#include "apps/cli/screen.h"
#include "common/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { SLICE_MS = 200, COLUMNS_DEFAULT = 80, ROWS_DEFAULT = 24 };

static const char enter[] = "\033[?1049h\033[?25l\033[2J";
static const char leave[] = "\033[0m\033[?25h\033[?1049l";

bool screen_usable(void)
{
    const char *term = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static void put(const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
}

static struct winsize size_now(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
        size = (struct winsize){.ws_row = ROWS_DEFAULT, .ws_col = COLUMNS_DEFAULT};
    return size;
}

/* --- the parent -------------------------------------------------------------------------------------------------- */

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD};

static void hold_signals(sigset_t *ret_before)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        sigaddset(&set, caught[i]);
    sigprocmask(SIG_BLOCK, &set, ret_before);
}

/* Until the child is gone: how it ended. A signal to this process goes on to the child. */
static int wait_child(pid_t child, int *ret_signal)
{
    sigset_t set;
    int status;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        sigaddset(&set, caught[i]);
    while (waitpid(child, &status, WNOHANG) != child) {
        int number = sigwaitinfo(&set, NULL);
        if (number > 0 && number != SIGCHLD) {
            *ret_signal = number;
            kill(child, SIGKILL);
        }
    }
    return status;
}

static void take_terminal(const struct termios *before)
{
    struct termios raw = *before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    put(enter, sizeof(enter) - 1);
}

int screen_run(int (*body)(void *ctx), void *ctx)
{
    struct termios before;
    sigset_t mask;
    int number = 0;
    fflush(stdout);
    if (tcgetattr(STDIN_FILENO, &before))
        return body(ctx);
    hold_signals(&mask);
    take_terminal(&before);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        _exit(getppid() == parent ? body(ctx) : EXIT_FAILURE);
    }
    int status = child > 0 ? wait_child(child, &number) : 0;
    put(leave, sizeof(leave) - 1);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    if (!number && WIFSIGNALED(status))
        number = WTERMSIG(status);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (number) {
        signal(number, SIG_DFL);
        raise(number);
    }
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* --- the view ---------------------------------------------------------------------------------------------------- */

/* Bytes of the line that fit: escape sequences take no column, of UTF-8 only the first byte does. */
static size_t fitting(struct span line, unsigned columns)
{
    unsigned used = 0;
    size_t i = 0;
    while (i < line.len) {
        if (line.ptr[i] == '\033') {
            while (i < line.len && line.ptr[i] != 'm')
                i++;
            i += i < line.len;
            continue;
        }
        if (((unsigned char)line.ptr[i] & 0xc0) != 0x80 && ++used > columns)
            break;
        i++;
    }
    return i;
}

void screen_draw(struct span text)
{
    struct winsize size = size_now();
    struct buf out;
    buf_init(&out, SIZE_MAX);
    buf_add_str(&out, "\033[H");
    for (unsigned row = 0; text.len && row < size.ws_row; row++) {
        const char *end = memchr(text.ptr, '\n', text.len);
        struct span line = {text.ptr, end ? (size_t)(end - text.ptr) : text.len};
        if (row)
            buf_add_str(&out, "\r\n");
        buf_add(&out, line.ptr, fitting(line, size.ws_col));
        buf_add_str(&out, "\033[0m\033[K");
        text.ptr += line.len + (end ? 1 : 0);
        text.len -= line.len + (end ? 1 : 0);
    }
    buf_add_str(&out, "\033[J");
    put(out.data, out.len);
    buf_done(&out);
}

int screen_wait(int64_t ms)
{
    struct winsize before = size_now();
    int64_t until = clock_mono_ms(&clock_system) + ms;
    for (;;) {
        int64_t left = until - clock_mono_ms(&clock_system);
        struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
        if (left <= 0)
            return 0;
        int n = poll(&fd, 1, (int)(left < SLICE_MS ? left : SLICE_MS));
        if (n > 0) {
            unsigned char key;
            return read(STDIN_FILENO, &key, 1) == 1 ? key : 'q'; /* a terminal that is gone quits */
        }
        struct winsize now = size_now();
        if (now.ws_row != before.ws_row || now.ws_col != before.ws_col)
            return 0;
    }
}
