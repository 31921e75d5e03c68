/* page.h - what a sweep came to, to look at: parallel coordinates, and quality against time. */
#ifndef KINDRED_SWEEP_PAGE_H
#define KINDRED_SWEEP_PAGE_H

#include "base/err.h"

struct sweep_page_trial {
    const char *id;
    const char *const *values; /* (n_axes) NULL: the trial's model has no such option */
    const char *label;         /* "lr 0.1, reg 0.01" */
    const char *error;         /* NULL: it's done */
    double value, seconds;     /* value NAN: it has none */
    bool is_baseline, is_best;
};

struct sweep_page {
    const char *title, *metric;
    const char *const *axes; /* (n_axes) what differs between trials */
    int n_axes;
    const struct sweep_page_trial *trials; /* (n) best first */
    int n;
};

/* ERR_IO. */
NODISCARD bool sweep_page_write(const char *path, const struct sweep_page *page, struct err *err);

#endif
