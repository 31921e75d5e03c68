#include "eval/moments.h"

#include <math.h>
#include <omp.h>

enum { A_BLOCK = 1024 };

double moments_mean(const struct moments *m)
{
    return m->n ? m->mean : (double)NAN;
}

double moments_half(const struct moments *m)
{
    if (m->n < 2)
        return NAN;
    return 1.96 * sqrt(m->squares / (double)(m->n - 1) / (double)m->n);
}

/* Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979. */
static void join(struct moments *to, const struct moments *from)
{
    double n = (double)(to->n + from->n), apart = from->mean - to->mean;

    if (!from->n)
        return;
    to->mean += apart * ((double)from->n / n);
    to->squares += from->squares + apart * apart * ((double)to->n * (double)from->n / n);
    to->n += from->n;
}

void moments_over(int64_t n, int n_sums, int threads, moments_fn *add, const void *context,
                  struct moments *sums)
{
    int64_t n_blocks = (n + A_BLOCK - 1) / A_BLOCK;
    bool many = n_blocks > 8; /* fewer are done before threads have met */
    AUTO_FREE struct moments *parts = xcalloc((size_t)n_blocks * (size_t)n_sums + 1, sizeof *parts);

#pragma omp parallel for schedule(dynamic)                                                         \
    num_threads(threads ? threads : omp_get_max_threads()) if (many)
    for (int64_t b = 0; b < n_blocks; b++)
        for (int64_t i = b * A_BLOCK; i < MIN(n, (b + 1) * A_BLOCK); i++)
            add(context, i, parts + b * n_sums);
    memset(sums, 0, (size_t)n_sums * sizeof *sums);
    for (int64_t b = 0; b < n_blocks; b++)
        for (int s = 0; s < n_sums; s++)
            join(&sums[s], &parts[b * n_sums + s]);
}
