/* stderr: whole lines, and below them at most one progress bar that the lines push down. */
#include "app/app_int.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool bar_visible; /* under stderr's own lock */

static void clear_bar(void)
{
    if (bar_visible)
        fputs("\r\033[K", stderr);
    bar_visible = false;
}

void terminal_line(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    flockfile(stderr);
    clear_bar();
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    fflush(stderr);
    funlockfile(stderr);
    va_end(ap);
}

void terminal_bar(const char *bar)
{
    flockfile(stderr);
    clear_bar();
    if (bar && bar[0]) {
        fputs(bar, stderr);
        bar_visible = true;
    }
    fflush(stderr);
    funlockfile(stderr);
}

int terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
        return 80;
    return size.ws_col;
}
