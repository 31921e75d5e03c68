#include "data/chart.h"

#include "base/html.h"
#include "base/plot.h"
#include "data/timestamp.h"

#include <math.h>
#include <time.h>

enum { SIZE = PLOT_SIZE };

/* ---- dates ---- */

static void format_time(int64_t epoch_ms, const char *format, char out[static CHART_DATE_MAX])
{
    time_t seconds = epoch_ms / 1000;
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(out, CHART_DATE_MAX, format, &tm);
}

void chart_date(const struct summary *s, int64_t epoch_ms, char out[static CHART_DATE_MAX])
{
    format_time(epoch_ms,
                s->bin_ms >= MS_DAY      ? "%-d %b %Y"
                : s->bin_ms >= MS_MINUTE ? "%-d %b %Y, %H:%M"
                                         : "%-d %b %Y, %H:%M:%S",
                out);
}

void chart_put_bin(struct buf *b, const struct summary *s)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {{MS_WEEK, "week"},
                 {MS_DAY, "day"},
                 {MS_HOUR, "hour"},
                 {MS_MINUTE, "minute"},
                 {MS_SECOND, "second"}};
    int i = 0;

    while (s->bin_ms % units[i].ms)
        i++;
    if (s->bin_ms == units[i].ms)
        buf_puts(b, units[i].name);
    else
        buf_printf(b, "%lld %ss", (long long)(s->bin_ms / units[i].ms), units[i].name);
}

/* How far apart ticks may be, and what they then say. */
static const struct tick_step {
    int64_t ms; /* 0: `months` */
    int months;
    const char *format;
} tick_steps[] = {
    {MS_SECOND, 0, "%H:%M:%S"},
    {5 * MS_SECOND, 0, "%H:%M:%S"},
    {15 * MS_SECOND, 0, "%H:%M:%S"},
    {30 * MS_SECOND, 0, "%H:%M:%S"},
    {MS_MINUTE, 0, "%H:%M"},
    {5 * MS_MINUTE, 0, "%H:%M"},
    {15 * MS_MINUTE, 0, "%H:%M"},
    {30 * MS_MINUTE, 0, "%H:%M"},
    {MS_HOUR, 0, "%H:%M"},
    {3 * MS_HOUR, 0, "%H:%M"},
    {6 * MS_HOUR, 0, "%-d %b %H:%M"},
    {12 * MS_HOUR, 0, "%-d %b %H:%M"},
    {MS_DAY, 0, "%-d %b"},
    {2 * MS_DAY, 0, "%-d %b"},
    {MS_WEEK, 0, "%-d %b"},
    {2 * MS_WEEK, 0, "%-d %b"},
    {0, 1, "%b %Y"},
    {0, 3, "%b %Y"},
    {0, 6, "%b %Y"},
    {0, 12, "%Y"},
    {0, 24, "%Y"},
    {0, 60, "%Y"},
    {0, 120, "%Y"},
    {0, 240, "%Y"},
    {0, 600, "%Y"},
    {0, 1200, "%Y"},
    {0, 6000, "%Y"},
    {0, 12000, "%Y"},
    {0, 24000, "%Y"},
};

/* The first time that is k steps from the origin of all (year 0, or a Monday) and not before t. */
static int64_t next_tick(const struct tick_step *step, int64_t t)
{
    const int64_t monday = 4 * MS_DAY - MS_WEEK; /* the last one before 1970 */
    time_t seconds = t / 1000;
    struct tm tm;
    int month;

    if (step->ms)
        return monday + (t - monday + step->ms - 1) / step->ms * step->ms;
    gmtime_r(&seconds, &tm);
    month = (tm.tm_year + 1900) * 12 + tm.tm_mon;
    for (int k = month / step->months;; k++) {
        struct tm at = {
            .tm_year = k * step->months / 12 - 1900, .tm_mon = k * step->months % 12, .tm_mday = 1};
        int64_t ms = timegm(&at) * 1000;

        if (ms >= t)
            return ms;
    }
}

static void time_ticks(struct plot_ticks *ticks, int64_t start, int64_t end)
{
    for (int i = 0; i < ARRAY_LEN(tick_steps); i++) {
        const struct tick_step *step = &tick_steps[i];
        int64_t ms = step->ms ? step->ms : step->months * (730 * MS_HOUR); /* a mean month */
        int64_t t;

        if ((end - start) / ms > 8)
            continue;
        for (t = next_tick(step, start); t < end && ticks->n < PLOT_TICKS_MAX;
             t = next_tick(step, t + 1)) {
            ticks->at[ticks->n] = (double)(t - start) / (double)(end - start);
            format_time(t, step->format, ticks->label[ticks->n++]);
        }
        return;
    }
}

/* ---- rows over time ---- */

static int64_t bin_sum(const struct summary *s, int bin, int n_parts)
{
    int64_t sum = 0;

    for (int p = 0; p < n_parts; p++)
        sum += s->bins[bin][p];
    return sum;
}

/* A part's share of all bars as one path. */
static void put_bars(struct buf *b, const struct summary *s, int part, int64_t top)
{
    double width = (double)SIZE / s->n_bins, unit = SIZE / (double)top;
    double gap = s->n_bins > 1 ? 0.15 : 0;

    buf_printf(b, "<path class=\"%s\" d=\"", dataset_parts[part]);
    for (int i = 0; i < s->n_bins; i++)
        if (s->bins[i][part])
            buf_printf(b, "M%.2f,%.2fh%.2fv%.2fh-%.2fz", width * (i + gap / 2),
                       SIZE - unit * (double)bin_sum(s, i, part), width * (1 - gap),
                       -unit * (double)s->bins[i][part], width * (1 - gap));
    buf_puts(b, "\"/>\n");
}

static void put_bin_strips(struct buf *b, const struct summary *s)
{
    double width = (double)SIZE / s->n_bins;
    char date[CHART_DATE_MAX];

    for (int i = 0; i < s->n_bins; i++) {
        plot_open_strip(b, width * i, width * (i + 1));
        chart_date(s, s->bins_start + i * s->bin_ms, date);
        buf_puts(b, "The ");
        chart_put_bin(b, s);
        buf_printf(b, " from %s", date);
        for (int p = 0; p < DATASET_PARTS; p++)
            if (s->bins[i][p]) {
                buf_printf(b, "\n%s: ", dataset_parts[p]);
                html_put_int(b, s->bins[i][p]);
            }
        plot_close_strip(b);
    }
}

/* Both labels stand on one side of their lines, the first cut's lower on the left side and higher
 * on the right one, so that no line runs through the other's label. */
static void put_cuts(struct buf *b, const struct summary *s)
{
    double span = (double)(s->n_bins * s->bin_ms);
    int n = 0;

    for (int p = DATASET_TRAIN + 1; p < DATASET_PARTS; p++) {
        double at = (double)(s->cuts[p] - s->bins_start) / span;
        bool to_left = at > 0.45;
        char date[CHART_DATE_MAX];

        if (!s->cuts[p])
            continue;
        chart_date(s, s->cuts[p], date);
        buf_printf(b,
                   "<div class=\"cut %s %s\" style=\"left:%.2f%%\"><span>%s from %s</span></div>\n",
                   to_left ? "to-left" : "to-right", to_left == (n > 0) ? "high" : "low", 100 * at,
                   dataset_parts[p], date);
        n++;
    }
}

void chart_over_time(struct buf *b, const struct summary *s)
{
    struct plot_ticks x = {0}, y = {0};
    AUTO(buf) label = {0};
    int64_t max = 1, top;

    for (int i = 0; i < s->n_bins; i++)
        max = MAX(max, bin_sum(s, i, DATASET_PARTS));
    top = plot_count_ticks(&y, max);
    time_ticks(&x, s->bins_start, s->bins_start + s->n_bins * s->bin_ms);
    buf_puts(&label, "Rows for each ");
    chart_put_bin(&label, s);
    buf_puts(&label, ", stacked by train, val and test; at most ");
    html_put_int(&label, max);
    plot_open(b, &y, s->has_cuts ? "time has-cuts" : "time", buf_str(&label));
    plot_put_grid(b, NULL, &y);
    for (int p = 0; p < DATASET_PARTS; p++)
        put_bars(b, s, p, top);
    put_bin_strips(b, s);
    buf_puts(b, "</svg>\n");
    plot_put_axes(b, &x, &y);
    put_cuts(b, s);
    buf_puts(b, "</div>\n");
}

/* ---- long tails ---- */

/* Where a rank or a number of rows is on its axis, 0 to SIZE. */
static double log_place(int64_t n, int64_t max)
{
    return SIZE * log((double)n) / log((double)max);
}

static void put_line(struct buf *b, const struct summary_tail *t, const char *class, int64_t x_max,
                     int64_t y_max)
{
    buf_printf(b, "<path class=\"line %s\" d=\"", class);
    for (int i = 0; i < t->n_points; i++)
        buf_printf(b, "%c%.1f,%.1f", i ? 'L' : 'M', log_place(t->points[i].rank, x_max),
                   SIZE - log_place(t->points[i].n_rows, y_max));
    buf_puts(b, "\"/>\n");
}

/* (The last point of the shorter tail stands at a rank of its own.) */
static void put_at_rank(struct buf *b, const struct summary_tail *t, int i, int64_t rank,
                        const char *what)
{
    if (i >= t->n_points || t->points[i].rank != rank)
        return;
    buf_printf(b, "\n%s: ", what);
    html_put_int(b, t->points[i].n_rows);
    buf_puts(b, " rows");
}

/* For each rank of the longer tail a strip that reaches half-way to its neighbours. */
static void put_rank_strips(struct buf *b, const struct summary *s, int64_t x_max)
{
    bool items_longer = s->items.n_points > s->users.n_points;
    const struct summary_tail *t = items_longer ? &s->items : &s->users;
    double from = 0;

    for (int i = 0; i < t->n_points; i++) {
        double here = log_place(t->points[i].rank, x_max);
        double to =
            i + 1 < t->n_points ? (here + log_place(t->points[i + 1].rank, x_max)) / 2 : here;

        plot_open_strip(b, from, to);
        buf_puts(b, "Rank ");
        html_put_int(b, t->points[i].rank);
        put_at_rank(b, &s->items, i, t->points[i].rank, "item");
        put_at_rank(b, &s->users, i, t->points[i].rank, "user");
        plot_close_strip(b);
        from = to;
    }
}

void chart_tails(struct buf *b, const struct summary *s)
{
    int64_t x_max = MAX(10, MAX(s->users.n, s->items.n));
    int64_t y_max = MAX(10, MAX(s->users.max, s->items.max));
    struct plot_ticks x = {0}, y = {0};

    plot_decade_ticks(&x, x_max);
    plot_decade_ticks(&y, y_max);
    plot_open(b, &y, "tails",
              "Rows by rank of items and of users, both axes logarithmic: the most first");
    plot_put_grid(b, &x, &y);
    put_line(b, &s->users, "users", x_max, y_max);
    put_line(b, &s->items, "items", x_max, y_max);
    put_rank_strips(b, s, x_max);
    buf_puts(b, "</svg>\n");
    plot_put_axes(b, &x, &y);
    buf_puts(b, "</div>\n");
}
