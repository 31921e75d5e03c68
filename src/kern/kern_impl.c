/* The loops themselves. The file's compiler flags make them vectors; see kern.h and meson.build. */
#include "kern/kern.h"

#include <math.h>

extern const struct kern KERN_TABLE;

static float dot(const float *restrict a, const float *restrict b, int dim)
{
    float sum = 0;

    for (int k = 0; k < dim; k++)
        sum += a[k] * b[k];
    return sum;
}

static void scores(const float *const *queries, int n, const float *items, int32_t count, int dim,
                   float *out, int64_t stride)
{
    for (int32_t c = 0; c < count; c++)
        for (int r = 0; r < n; r++)
            out[r * stride + c] = dot(queries[r], items + (int64_t)c * dim, dim);
}

static float bpr_step(float *restrict u, float *restrict i, float *restrict j, int dim, float lr,
                      struct kern_l2 l2)
{
    const float keep_u = 1 - lr * l2.u, keep_i = 1 - lr * l2.i, keep_j = 1 - lr * l2.j;
    float x = 0, g;

    for (int k = 0; k < dim; k++)
        x += u[k] * (i[k] - j[k]);
    g = lr / (1 + expf(x)); /* lr * sigmoid(-x): lr times the slope of log sigmoid at x */
    for (int k = 0; k < dim; k++) {
        float uk = u[k];

        u[k] = keep_u * uk + g * (i[k] - j[k]);
        i[k] = keep_i * i[k] + g * uk;
        j[k] = keep_j * j[k] - g * uk;
    }
    return x;
}

static bool any_above(const float *x, int32_t n, float limit)
{
    int found = 0;

    for (int32_t k = 0; k < n; k++)
        found |= x[k] > limit;
    return found;
}

const struct kern KERN_TABLE = {
    .isa = KERN_ISA,
    .scores = scores,
    .dot = dot,
    .bpr_step = bpr_step,
    .any_above = any_above,
};
