#include "base/plot.h"

#include "base/html.h"

#include <math.h>

static void label_int(char out[static PLOT_LABEL_MAX], int64_t n)
{
    AUTO(buf) b = {0};

    html_put_int(&b, n);
    snprintf(out, PLOT_LABEL_MAX, "%s", buf_str(&b));
}

int64_t plot_count_ticks(struct plot_ticks *ticks, int64_t max)
{
    int64_t step = 1, top;

    for (int k = 0; step * 5 < max; k++)
        step = k % 3 == 1 ? step / 2 * 5 : step * 2; /* 1 2 5 10 20 50 ... */
    top = (max + step - 1) / step * step;
    for (int64_t y = 0; y <= top; y += step) {
        ticks->at[ticks->n] = (double)y / (double)top;
        label_int(ticks->label[ticks->n++], y);
    }
    return top;
}

double plot_real_ticks(struct plot_ticks *ticks, double max)
{
    double unit = pow(10, floor(log10(max))) / 10, step = unit;
    int n;

    for (int k = 0; step * 5 < max; k++)
        step = k % 3 == 1 ? step / 2 * 5 : step * 2;
    n = (int)ceil(max / step - 1e-9);
    for (int y = 0; y <= n; y++) {
        ticks->at[ticks->n] = (double)y / n;
        snprintf(ticks->label[ticks->n++], PLOT_LABEL_MAX, "%.4g", y * step);
    }
    return n * step;
}

void plot_decade_ticks(struct plot_ticks *ticks, int64_t max)
{
    for (int64_t x = 1; x <= max; x *= 10) {
        ticks->at[ticks->n] = log((double)x) / log((double)max);
        label_int(ticks->label[ticks->n++], x);
    }
}

static void put_label(struct buf *b, const char *class, const char *side, double at,
                      const char *text)
{
    buf_printf(b, "<span class=\"%s\" style=\"%s:%.2f%%\">", class, side, 100 * at);
    html_put_text(b, text);
    buf_puts(b, "</span>\n");
}

void plot_put_axes(struct buf *b, const struct plot_ticks *x, const struct plot_ticks *y)
{
    for (int i = 0; i < y->n; i++)
        put_label(b, "y", "bottom", y->at[i], y->label[i]);
    for (int i = 0; i < x->n; i++)
        put_label(b, i % 2 && x->n > 5 ? "x odd" : "x", "left", x->at[i], x->label[i]);
}

void plot_open(struct buf *b, const struct plot_ticks *y, const char *class, const char *label)
{
    size_t widest = 0;

    for (int i = 0; i < y->n; i++)
        widest = MAX(widest, strlen(y->label[i]));
    buf_printf(b, "<div class=\"plot %s\" style=\"--gutter:%zuch\">\n", class, widest + 1);
    buf_printf(b,
               "<svg role=\"img\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" aria-label=\"",
               PLOT_SIZE, PLOT_SIZE);
    html_put_text(b, label);
    buf_puts(b, "\">\n");
}

void plot_put_grid(struct buf *b, const struct plot_ticks *x, const struct plot_ticks *y)
{
    buf_puts(b, "<path class=\"grid\" d=\"");
    for (int i = 0; x && i < x->n; i++)
        buf_printf(b, "M%.1f,0V%d", PLOT_SIZE * x->at[i], PLOT_SIZE);
    for (int i = 0; i < y->n; i++)
        buf_printf(b, "M0,%.1fH%d", PLOT_SIZE * (1 - y->at[i]), PLOT_SIZE);
    buf_puts(b, "\"/>\n");
}

void plot_open_strip(struct buf *b, double x0, double x1)
{
    buf_printf(b, "<rect class=\"hit\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"%d\"><title>", x0,
               x1 - x0, PLOT_SIZE);
}

void plot_close_strip(struct buf *b)
{
    buf_puts(b, "</title></rect>\n");
}
