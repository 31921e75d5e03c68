/* moments.h - a mean, and how sure one can be of it. */
#ifndef KINDRED_MOMENTS_H
#define KINDRED_MOMENTS_H

#include "base/base.h"

struct moments {
    int64_t n;
    double mean;
    double squares; /* sum of squared distances from the mean */
};

/* Source: Welford, "Note on a method for calculating corrected sums of squares and products",
 * Technometrics 1962. */
static inline void moments_add(struct moments *m, double x)
{
    double from_old = x - m->mean;

    m->mean += from_old / (double)++m->n;
    m->squares += from_old * (x - m->mean);
}

/* The mean; NaN where nothing was added. */
double moments_mean(const struct moments *m);

/* Half the width of the 95 % interval of the mean by the normal approximation: 1.96 s / sqrt(n)
 * with the sample deviation s (n - 1 in its denominator). NaN for fewer than two. */
double moments_half(const struct moments *m);

/* What one of the things counted adds to sums (n_sums). */
typedef void moments_fn(const void *context, int64_t i, struct moments *sums);

/* Zero sums (n_sums), then add 0 .. n - 1: blocks of a fixed size on all `threads` (0: the caller's
 * number), joined in their order, so that the bits don't depend on the number.
 *
 * Memory: n_sums moments a block of 1024. */
void moments_over(int64_t n, int n_sums, int threads, moments_fn *add, const void *context,
                  struct moments *sums);

#endif
