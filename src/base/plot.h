/* plot.h - axes and grid of a chart on a page: SVG that stretches, words around it that don't.
 *
 * The marks are in an SVG of PLOT_SIZE by PLOT_SIZE without an aspect of its own, so that a chart
 * is as wide as its page; axis labels are HTML beside it, so that they are as large on a phone. The
 * looks are page_style.c's. In this order:
 *
 *     plot_open, plot_put_grid, paths and strips, </svg>, plot_put_axes, </div> */
#ifndef KINDRED_PLOT_H
#define KINDRED_PLOT_H

#include "base/buf.h"

enum { PLOT_SIZE = 1000, PLOT_TICKS_MAX = 12, PLOT_LABEL_MAX = 40 };

/* Places on an axis, from 0 to 1, and their labels. */
struct plot_ticks {
    int n;
    double at[PLOT_TICKS_MAX];
    char label[PLOT_TICKS_MAX][PLOT_LABEL_MAX];
};

/* 0, step, 2 step, ... up to the first that isn't below max, which is returned: three to five of
 * them for each max of 5 or more. */
int64_t plot_count_ticks(struct plot_ticks *ticks, int64_t max);

/* The same for a max > 0 of any size: steps of 1, 2 or 5 times a power of ten. */
double plot_real_ticks(struct plot_ticks *ticks, double max);

/* The powers of ten from 1 to max, on a logarithmic axis. */
void plot_decade_ticks(struct plot_ticks *ticks, int64_t max);

/* Open the plot, with room on the left for the widest of the labels, and its SVG. class: of its
 * div; label: for those who can't see it. */
void plot_open(struct buf *b, const struct plot_ticks *y, const char *class, const char *label);

/* Lines at the ticks; x NULL: none across. */
void plot_put_grid(struct buf *b, const struct plot_ticks *x, const struct plot_ticks *y);

/* What shows its text when pointed at: a strip of the plot from x0 to x1, 0 to PLOT_SIZE. */
void plot_open_strip(struct buf *b, double x0, double x1);
void plot_close_strip(struct buf *b);

/* Both axes' labels, behind the SVG. Where many stand on the x axis, a phone shows every second. */
void plot_put_axes(struct buf *b, const struct plot_ticks *x, const struct plot_ticks *y);

#endif
