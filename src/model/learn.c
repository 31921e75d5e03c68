#include "model/learn.h"

#include <math.h>

double learn_rate(double lr, const char *schedule, double end, double progress)
{
    if (!strcmp(schedule, "linear"))
        return lr * (1 - (1 - end) * progress);
    if (!strcmp(schedule, "cosine"))
        return lr * (end + (1 - end) * (1 + cos(M_PI * progress)) / 2);
    return lr;
}

void learn_fill(float *rows, int64_t n, int dim, float a, const struct interactions *of,
                uint64_t seed, uint64_t which)
{
#pragma omp parallel for
    for (int64_t r = 0; r < n; r++)
        if (!of || of->offsets[r + 1] > of->offsets[r])
            rng_fill(rows + r * dim, dim, a, rng_key(seed, RNG_INIT, which, (uint64_t)r));
}
