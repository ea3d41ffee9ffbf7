/* Progress as one line of text. */
#include "app/app_int.h"

#include "base/str.h"

#include <string.h>

#define BAR_MIN 10
#define BAR_MAX 40

/* 0 to 100; -1 where the total is not known. */
static int percent_of(const struct progress_state *s)
{
    uint64_t done = s->bytes_total ? s->bytes_done : s->files_done;
    uint64_t total = s->bytes_total ? s->bytes_total : s->files_total;

    if (total == 0)
        return -1;
    return done >= total ? 100 : (int)((double)done * 100 / (double)total);
}

static void append(char *to, size_t size, const char *text)
{
    size_t len = strlen(to);

    str_copy(to + len, size - len, text);
}

/* "3.2 GB of 7.4 GB, 210 MB/s, ETA 20 s" */
static void figures(const struct progress_state *s, char *to, size_t size)
{
    char a[32], b[32];

    to[0] = '\0';
    if (s->bytes_total || s->bytes_done) {
        append(to, size, format_size(s->bytes_done, a));
        if (s->bytes_total) {
            append(to, size, " of ");
            append(to, size, format_size(s->bytes_total, b));
        }
    } else if (s->files_total || s->files_done) {
        snprintf(to, size, s->files_total ? "%llu of %llu files" : "%llu files",
                 (unsigned long long)s->files_done, (unsigned long long)s->files_total);
    }
    if (s->bytes_per_second < 1)
        return;
    append(to, size, ", ");
    append(to, size, format_size((uint64_t)s->bytes_per_second, a));
    append(to, size, "/s");
    if (s->bytes_total > s->bytes_done) {
        append(to, size, ", ETA ");
        append(to, size,
               format_duration((double)(s->bytes_total - s->bytes_done) / s->bytes_per_second, b));
    }
}

static void draw_bar(int percent, int cells, char *to)
{
    int full = percent * cells / 100;

    *to++ = '[';
    for (int i = 0; i < cells; i++)
        *to++ = i < full ? '#' : '-';
    *to++ = ']';
    *to = '\0';
}

void progress_text(const struct progress_state *s, int width, char *to, size_t size)
{
    const char *phase = s->phase ? s->phase : "working";
    int percent = percent_of(s);
    char known[160], bar[BAR_MAX + 3] = "";

    figures(s, known, sizeof(known));
    if (percent < 0) {
        snprintf(to, size, "%s%s%s", phase, known[0] ? ": " : "", known);
    } else if (width == 0) {
        snprintf(to, size, "%s: %d %% (%s)", phase, percent, known);
    } else {
        int cells = width - 1 - (int)strlen(phase) - (int)strlen(known) - 12;
        if (cells >= BAR_MIN)
            draw_bar(percent, cells < BAR_MAX ? cells : BAR_MAX, bar);
        snprintf(to, size, "%s %s %3d %%  %s", phase, bar, percent, known);
    }
    if (width > 0 && strlen(to) > (size_t)width - 1)
        to[width - 1] = '\0';
}
