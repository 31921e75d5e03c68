#include "base/progress.h"

#include "base/clock.h"

#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

enum { BAR_WIDTH = 24 };

static bool quiet;
static atomic_bool on_line; /* a bar stands on the terminal's current line */

void progress_quiet(void)
{
    quiet = true;
}

void progress_clear(void)
{
    if (atomic_exchange(&on_line, false))
        fputs("\r\033[K", stderr);
}

void progress_init(struct progress *p, const char *what, const char *unit, int64_t total)
{
    *p = (struct progress){.what = what, .unit = unit, .total = total, .start = clock_seconds()};
}

/* 12345678 -> "12.3M": four characters of number are enough for a rate. */
static void put_count(char *out, size_t size, double n)
{
    static const char *const suffix[] = {"", "k", "M", "G", "T"};
    int s = 0;

    for (; n >= 9999.5 && s + 1 < ARRAY_LEN(suffix); s++)
        n /= 1000;
    snprintf(out, size, n < 10 && n != floor(n) ? "%.2f%s" : "%.0f%s", n, suffix[s]);
}

static void put_left(char *out, size_t size, double seconds)
{
    long s = (long)ceil(seconds);

    if (s < 60)
        snprintf(out, size, "%lds left", s);
    else if (s < 3600)
        snprintf(out, size, "%ldm%02lds left", s / 60, s % 60);
    else
        snprintf(out, size, "%ldh%02ldm left", s / 3600, s / 60 % 60);
}

static void put_bar(char out[static BAR_WIDTH * 3 + 1], double share)
{
    int full = (int)(share * BAR_WIDTH);
    size_t n = 0;

    for (int i = 0; i < BAR_WIDTH; i++) {
        const char *cell = i < full ? "\u2588" : "\u2591";

        memcpy(out + n, cell, strlen(cell));
        n += strlen(cell);
    }
    out[n] = '\0';
}

static void show(const struct progress *p, int64_t done, const char *note, bool terminal, double t)
{
    double rate = (double)done / (t - p->start);
    char count[16], total[16], per_s[16], left[32] = "", bar[BAR_WIDTH * 3 + 1] = "";

    put_count(count, sizeof count, (double)done);
    put_count(per_s, sizeof per_s, rate);
    put_count(total, sizeof total, (double)p->total);
    if (p->total > 0) {
        double share = MIN(1.0, (double)done / (double)p->total);

        if (rate > 0)
            put_left(left, sizeof left, (double)(p->total - done) / rate);
        put_bar(bar, share);
    }
    if (terminal)
        fprintf(stderr, "\r\033[K%s %s ", p->what, bar);
    else
        fprintf(stderr, "%s: ", p->what);
    fprintf(stderr, "%s%s%s %s, %s/s%s%s%s%s", count, p->total > 0 ? "/" : "",
            p->total > 0 ? total : "", p->unit, per_s, *left ? ", " : "", left, note ? ", " : "",
            note ? note : "");
    if (!terminal)
        fputc('\n', stderr);
    fflush(stderr);
    if (terminal)
        on_line = true;
}

void progress_update(struct progress *p, int64_t done, const char *note)
{
    bool terminal;
    double t;

    if (quiet)
        return;
    t = clock_seconds();
    terminal = isatty(STDERR_FILENO);
    if (t - p->start < 0.5 || t - p->last_shown < (terminal ? 0.1 : 5.0))
        return;
    if (!terminal && !p->shown && t - p->start < 5.0)
        return;
    p->last_shown = t;
    p->shown = true;
    show(p, done, note, terminal, t);
}

void progress_release(struct progress *p)
{
    if (p->shown)
        progress_clear();
    *p = (struct progress){0};
}
