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

void learn_fill(const struct model *m, const struct tensor *t, float a,
                const struct interactions *train, uint64_t which)
{
#pragma omp parallel for
    for (int64_t r = 0; r < t->rows; r++) {
        int64_t id = model_row_id(m, t, r);

        if (id >= 0 && (!train || train->offsets[r + 1] > train->offsets[r]))
            rng_fill(t->data + r * t->cols, t->cols, a,
                     rng_key(m->seed, RNG_INIT, which, (uint64_t)id));
    }
}
