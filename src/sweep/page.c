#include "sweep/page.h"

#include "base/html.h"
#include "base/page.h"
#include "base/plot.h"

#include <math.h>

static bool is_done(const struct sweep_page_trial *t)
{
    return !t->error && !isnan(t->value);
}

/* ---- scales ---- */

/* From a number to a place between 0 and 1; what lies outside is at an end. */
struct scale {
    double from, to;
    bool log;
};

static double place(const struct scale *s, double x)
{
    if (s->to <= s->from)
        return 0.5;
    if (s->log)
        return log(x / s->from) / log(s->to / s->from);
    return MIN(1, MAX(0, (x - s->from) / (s->to - s->from)));
}

/* Round ends around what is there, and three to six ticks. */
static struct scale round_scale(double least, double most, struct plot_ticks *ticks)
{
    double width = most > least ? most - least : MAX(fabs(most), 1e-3);
    double step = pow(10, floor(log10(width)));
    struct scale s;

    while (width / step < 3)
        step /= width / step < 1.5 ? 5 : 2;
    s = (struct scale){floor(least / step + 1e-9) * step, ceil(most / step - 1e-9) * step, false};
    *ticks = (struct plot_ticks){0};
    for (int i = 0; s.from + i * step <= s.to + step / 2 && i < PLOT_TICKS_MAX; i++) {
        double x = s.from + i * step;

        ticks->at[ticks->n] = place(&s, x);
        snprintf(ticks->label[ticks->n++], PLOT_LABEL_MAX, "%.4g", fabs(x) < step / 2 ? 0 : x);
    }
    return s;
}

/* Of the trials that are done. What a baseline is worth that is worse than all trials (chance, say)
 * would leave no room for them. */
static void extent(const struct sweep_page *p, bool seconds, double *least, double *most)
{
    *least = (double)INFINITY;
    *most = -(double)INFINITY;
    for (int i = 0; i < p->n; i++) {
        double x = seconds ? p->trials[i].seconds : p->trials[i].value;

        if (!is_done(&p->trials[i]))
            continue;
        if (!p->trials[i].is_baseline)
            *least = MIN(*least, x);
        *most = MAX(*most, x);
    }
    *least = MIN(*least, *most);
}

/* ---- an axis of options ---- */

enum { LABELS_MAX = 6 };

/* What the trials give an option: numbers on a scale, else words one below the other. */
struct axis {
    const char **words; /* (n) each once, in the order of the trials */
    int n;
    bool numbers;
    struct scale scale;
};

static int word_index(const struct axis *a, const char *word)
{
    int i = 0;

    while (i < a->n && strcmp(a->words[i], word) != 0)
        i++;
    return i;
}

static bool is_number(const char *word, double *out)
{
    char *end;

    *out = strtod(word, &end);
    return end != word && !*end && isfinite(*out);
}

static void make_axis(const struct sweep_page *p, int which, struct axis *a)
{
    const double wide = 50; /* times the least: by its logarithm */
    double x;

    *a = (struct axis){xcalloc((size_t)p->n, sizeof *a->words), 0, true, {INFINITY, -INFINITY, 0}};
    for (int i = 0; i < p->n; i++) {
        const char *word = p->trials[i].values[which];

        if (!word || word_index(a, word) < a->n)
            continue;
        a->words[a->n++] = word;
        a->numbers = a->numbers && is_number(word, &x);
        if (a->numbers) {
            a->scale.from = MIN(a->scale.from, x);
            a->scale.to = MAX(a->scale.to, x);
        }
    }
    a->scale.log = a->scale.from > 0 && a->scale.to / a->scale.from >= wide;
}

static double place_of(const struct axis *a, const char *word)
{
    double x;

    if (a->numbers && is_number(word, &x))
        return place(&a->scale, x);
    return a->n > 1 ? (double)word_index(a, word) / (a->n - 1) : 0.5;
}

/* ---- parallel coordinates ---- */

/* Option by option, then seconds, then the metric. */
struct lines {
    const struct sweep_page *p;
    struct axis *axes; /* (p->n_axes) */
    struct scale seconds, value;
    struct plot_ticks seconds_ticks, value_ticks;
    int n;
};

static double across(const struct lines *l, int axis)
{
    return l->n > 1 ? (double)axis / (l->n - 1) : 0.5;
}

static void put_title(struct buf *b, const struct sweep_page *p, const struct sweep_page_trial *t)
{
    buf_puts(b, "<title>");
    html_put_text(b, t->id);
    buf_printf(b, "\n%s %.4f, %.2f s\n", p->metric, t->value, t->seconds);
    html_put_text(b, t->label);
    buf_puts(b, "</title>");
}

static const char *class_of(const struct sweep_page_trial *t)
{
    return t->is_best ? "best" : t->is_baseline ? "baseline" : "trial";
}

/* A trial, the stronger the better it is. An option that its model doesn't have is below the axis.
 */
static void put_line(struct buf *b, const struct lines *l, const struct sweep_page_trial *t)
{
    const double below = -0.09;

    buf_printf(b, "<path class=\"way %s\" style=\"--strength:%.2f\" d=\"", class_of(t),
               0.15 + 0.7 * place(&l->value, t->value));
    for (int a = 0; a < l->n; a++) {
        int option = a < l->p->n_axes ? a : -1;
        double y = a == l->n - 2 ? place(&l->seconds, t->seconds) : place(&l->value, t->value);

        if (option >= 0)
            y = t->values[option] ? place_of(&l->axes[option], t->values[option]) : below;
        buf_printf(b, "%c%.1f,%.1f", a ? 'L' : 'M', PLOT_SIZE * across(l, a), PLOT_SIZE * (1 - y));
    }
    buf_puts(b, "\">");
    put_title(b, l->p, t);
    buf_puts(b, "</path>\n");
}

static void put_tick(struct buf *b, double x, double y, const char *text)
{
    buf_printf(b, "<span class=\"tick%s\" style=\"left:%.2f%%;bottom:%.2f%%\">",
               x > 0.99 ? " to-left" : "", 100 * x, 100 * y);
    html_put_text(b, text);
    buf_puts(b, "</span>\n");
}

/* Every second one a line below. */
static void put_axis_name(struct buf *b, double x, int axis, const char *name)
{
    buf_printf(b, "<span class=\"name%s%s\" style=\"left:%.2f%%\">", axis % 2 ? " low" : "",
               x > 0.99   ? " to-left"
               : x < 0.01 ? " to-right"
                          : "",
               100 * x);
    html_put_text(b, name);
    buf_puts(b, "</span>\n");
}

static void put_ticks(struct buf *b, double x, const struct plot_ticks *ticks)
{
    for (int i = 0; i < ticks->n; i++)
        put_tick(b, x, ticks->at[i], ticks->label[i]);
}

/* All words where there are few, else the ends. */
static void put_words(struct buf *b, double x, const struct axis *a)
{
    char text[32];

    for (int i = 0; i < a->n && (a->n <= LABELS_MAX || !a->numbers); i++)
        put_tick(b, x, place_of(a, a->words[i]), a->words[i]);
    if (a->n <= LABELS_MAX || !a->numbers)
        return;
    snprintf(text, sizeof text, "%.4g", a->scale.from);
    put_tick(b, x, 0, text);
    snprintf(text, sizeof text, "%.4g", a->scale.to);
    put_tick(b, x, 1, text);
}

enum { REMS_AN_AXIS = 6 };

static void put_lines(struct buf *b, const struct lines *l)
{
    const struct sweep_page *p = l->p;

    buf_printf(b,
               "<div class=\"wide\" tabindex=\"0\">\n<div class=\"plot parallel\" "
               "style=\"min-width:%drem\">\n<svg role=\"img\" viewBox=\"0 0 %d %d\" "
               "preserveAspectRatio=\"none\" aria-label=\"parallel coordinates\">\n"
               "<path class=\"grid\" d=\"",
               REMS_AN_AXIS * (l->n - 1), PLOT_SIZE, PLOT_SIZE);
    for (int a = 0; a < l->n; a++)
        buf_printf(b, "M%.1f,0V%d", PLOT_SIZE * across(l, a), PLOT_SIZE);
    buf_puts(b, "\"/>\n");
    for (int i = p->n - 1; i >= 0; i--) /* the best on top */
        if (is_done(&p->trials[i]))
            put_line(b, l, &p->trials[i]);
    buf_puts(b, "</svg>\n");
    for (int a = 0; a < l->n; a++) {
        put_axis_name(b, across(l, a), a,
                      a < p->n_axes   ? p->axes[a]
                      : a == l->n - 2 ? "epochs s"
                                      : p->metric);
        if (a < p->n_axes)
            put_words(b, across(l, a), &l->axes[a]);
    }
    put_ticks(b, across(l, l->n - 2), &l->seconds_ticks);
    put_ticks(b, across(l, l->n - 1), &l->value_ticks);
    buf_puts(b, "</div>\n</div>\n");
}

static void put_parallel(struct buf *b, const struct sweep_page *p)
{
    struct lines l = {.p = p, .n = p->n_axes + 2};
    double least, most;

    l.axes = xcalloc((size_t)p->n_axes + 1, sizeof *l.axes);
    for (int a = 0; a < p->n_axes; a++)
        make_axis(p, a, &l.axes[a]);
    extent(p, true, &least, &most);
    l.seconds = round_scale(least, most, &l.seconds_ticks);
    extent(p, false, &least, &most);
    l.value = round_scale(least, most, &l.value_ticks);
    page_open_card(b, "trials", "What was tried");
    buf_puts(b, "<p class=\"lead\">A line is a trial, the stronger the better, the best one red; "
                "dashed: baselines. Point at one to see what it is.</p>\n");
    put_lines(b, &l);
    page_close_card(b);
    for (int a = 0; a < p->n_axes; a++)
        free(l.axes[a].words);
    free(l.axes);
}

/* ---- quality against time ---- */

static int by_seconds(const void *a, const void *b)
{
    const struct sweep_page_trial *x = *(const struct sweep_page_trial *const *)a,
                                  *y = *(const struct sweep_page_trial *const *)b;

    return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

/* Those that are better than all that took less time. */
static void put_front(struct buf *b, const struct sweep_page_trial **sorted, int n,
                      const struct scale *x, const struct scale *y)
{
    double best = -(double)INFINITY;

    buf_puts(b, "<path class=\"line front\" d=\"");
    for (int i = 0; i < n; i++)
        if (sorted[i]->value > best) {
            double at = PLOT_SIZE * place(x, sorted[i]->seconds);

            if (isfinite(best))
                buf_printf(b, "H%.1fV%.1f", at, PLOT_SIZE * (1 - place(y, sorted[i]->value)));
            else
                buf_printf(b, "M%.1f,%.1f", at, PLOT_SIZE * (1 - place(y, sorted[i]->value)));
            best = sorted[i]->value;
        }
    buf_puts(b, "\"/>\n");
}

static void put_trade_off(struct buf *b, const struct sweep_page *p)
{
    AUTO_FREE const struct sweep_page_trial **sorted = xcalloc((size_t)p->n, sizeof *sorted);
    struct plot_ticks x = {0}, y = {0};
    struct scale xs, ys;
    double least, most;
    int n = 0;

    for (int i = 0; i < p->n; i++)
        if (is_done(&p->trials[i]))
            sorted[n++] = &p->trials[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_seconds);
    extent(p, true, &least, &most);
    xs = round_scale(0, most, &x);
    extent(p, false, &least, &most);
    ys = round_scale(least, most, &y);
    page_open_card(b, "trade-off", "Quality against time");
    buf_printf(b,
               "<p class=\"lead\">%s on val by the seconds of all epochs; the line is what "
               "can be had in that time.</p>\n",
               p->metric);
    plot_open(b, &y, "scatter", "quality against time");
    plot_put_grid(b, &x, &y);
    put_front(b, sorted, n, &xs, &ys);
    for (int i = 0; i < n; i++) {
        buf_printf(b, "<path class=\"dot %s\" d=\"M%.1f,%.1fh0\">", class_of(sorted[i]),
                   PLOT_SIZE * place(&xs, sorted[i]->seconds),
                   PLOT_SIZE * (1 - place(&ys, sorted[i]->value)));
        put_title(b, p, sorted[i]);
        buf_puts(b, "</path>\n");
    }
    buf_puts(b, "</svg>\n");
    plot_put_axes(b, &x, &y);
    buf_puts(b, "</div>\n<p class=\"axis right\">seconds</p>\n");
    page_close_card(b);
}

/* ---- the numbers ---- */

static void put_cell(struct buf *b, const char *text)
{
    buf_puts(b, "<td class=\"text\">");
    html_put_text(b, text);
    buf_puts(b, "</td>");
}

static void put_numbers(struct buf *b, const struct sweep_page *p)
{
    AUTO_FREE char *columns = xasprintf("config_id|%s|epochs s|", p->metric);

    page_open_card(b, "table", "All trials");
    page_open_wide_table(b, columns);
    for (int i = 0; i < p->n; i++) {
        const struct sweep_page_trial *t = &p->trials[i];

        buf_puts(b, "<tr><th scope=\"row\">");
        html_put_text(b, t->id);
        buf_puts(b, "</th>");
        if (is_done(t))
            buf_printf(b, "<td>%.4f</td><td>%.2f</td>", t->value, t->seconds);
        else
            buf_printf(b, "<td>%s</td><td></td>", t->error ? "failed" : "none");
        put_cell(b, t->error ? t->error : t->label);
        buf_puts(b, "</tr>\n");
    }
    page_close_wide_table(b);
    page_close_card(b);
}

bool sweep_page_write(const char *path, const struct sweep_page *page, struct err *err)
{
    AUTO(buf) b = {0};
    double least, most;

    page_open(&b, page->title);
    page_open_header(&b, "sweep", page->title);
    buf_puts(&b, "</header>\n");
    extent(page, false, &least, &most);
    if (least <= most) {
        put_parallel(&b, page);
        put_trade_off(&b, page);
    }
    put_numbers(&b, page);
    page_close(&b);
    return page_write(path, &b, err);
}
