/* The loops themselves. The file's compiler flags make them vectors; see kern.h and meson.build. */
#include "kern/kern.h"

#include <math.h>
#include <string.h>

extern const struct kern KERN_TABLE;

/* Inlined where sizes are constants, so that loops have no ends to look after. */
#define INLINE static inline __attribute__((always_inline))

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

typedef float group __attribute__((vector_size(KERN_GROUP * sizeof(float))));
typedef int32_t group_bits __attribute__((vector_size(KERN_GROUP * sizeof(int32_t))));

INLINE group choose(group_bits mask, group yes, group no)
{
    return (group)((mask & (group_bits)yes) | (~mask & (group_bits)no));
}

/* exp(x) to 2 ulp or so, for x in -87..88; beyond, what it is at the bounds; NaN of NaN.
 * exp(x) = 2^n exp(r), |r| <= ln 2 / 2; the polynomial is that of Cephes' expf. */
INLINE group exp_of(group x)
{
    const group zero = {0}, low = zero - 87.0f, high = zero + 88.0f;
    group r, y;
    group_bits n;

    x = choose(x < low, low, x);
    x = choose(x > high, high, x);
    r = x * 1.44269504f;
    n = __builtin_convertvector(r + choose(r < zero, zero - 0.5f, zero + 0.5f), group_bits);
    y = __builtin_convertvector(n, group);
    r = x - y * 0.693359375f + y * 2.12194440e-4f; /* ln 2 in two parts */
    y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    return y * (group)((n + 127) << 23);
}

INLINE group load(const float *x)
{
    group v;

    memcpy(&v, x, sizeof v);
    return v;
}

INLINE void store(float *x, group v)
{
    memcpy(x, &v, sizeof v);
}

INLINE void bpr_update(float *restrict u, float *restrict i, float *restrict j, int dim, float g,
                       struct kern_l2 keep)
{
    for (int k = 0; k < dim; k++) {
        float uk = u[k], ik = i[k], jk = j[k], gu = g * uk;

        u[k] = keep.u * uk + g * (ik - jk);
        i[k] = keep.i * ik + gu;
        j[k] = keep.j * jk - gu;
    }
}

/* <u, i - j>, a part in each lane. Two sums, so that one needn't wait for the other. */
INLINE group bpr_margin(const float *u, const float *i, const float *j, int dim)
{
    group even = {0}, odd = {0};
    int k = 0;

    for (; k + 2 * KERN_GROUP <= dim; k += 2 * KERN_GROUP) {
        const int next = k + KERN_GROUP;

        even += load(u + k) * (load(i + k) - load(j + k));
        odd += load(u + next) * (load(i + next) - load(j + next));
    }
    for (; k < dim; k++)
        even[0] += u[k] * (i[k] - j[k]);
    return even + odd;
}

/* Lane k of the result is the sum of the lanes of part[k]. */
INLINE group sum_lanes(group part[KERN_GROUP])
{
    group a, b, c, d;
#define PAIRS(x, y)                                                                                \
    (__builtin_shufflevector(x, y, 0, 8, 2, 10, 4, 12, 6, 14) +                                    \
     __builtin_shufflevector(x, y, 1, 9, 3, 11, 5, 13, 7, 15))
#define FOURS(x, y)                                                                                \
    (__builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13) +                                     \
     __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15))
    a = FOURS(PAIRS(part[0], part[1]), PAIRS(part[2], part[3]));
    b = FOURS(PAIRS(part[4], part[5]), PAIRS(part[6], part[7]));
    c = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    d = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    return c + d;
}

INLINE void prefetch_row(const float *row, int dim)
{
    for (int k = 0; k < dim; k += 16)
        __builtin_prefetch(row + k, 1);
}

INLINE void bpr_prefetch(const struct kern_triples *t, int64_t k, int dim)
{
    if (k >= t->n)
        return;
    prefetch_row(t->user_rows + (int64_t)t->users[k] * dim, dim);
    prefetch_row(t->item_rows + (int64_t)t->taken[k] * dim, dim);
    prefetch_row(t->item_rows + (int64_t)t->others[k] * dim, dim);
}

INLINE group margin_of(const struct kern_triples *t, int64_t k, int dim)
{
    if (k >= t->n)
        return (group){0};
    return bpr_margin(t->user_rows + (int64_t)t->users[k] * dim,
                      t->item_rows + (int64_t)t->taken[k] * dim,
                      t->item_rows + (int64_t)t->others[k] * dim, dim);
}

INLINE void update_of(const struct kern_triples *t, int64_t k, int dim, float g,
                      struct kern_l2 keep)
{
    if (k >= t->n)
        return;
    bpr_update(t->user_rows + (int64_t)t->users[k] * dim, t->item_rows + (int64_t)t->taken[k] * dim,
               t->item_rows + (int64_t)t->others[k] * dim, dim, g, keep);
}

/* A step's stores keep the store queue busy and the product that comes next waits for a sigmoid: so
 * steps of one group take turns with products of the next. */
INLINE void bpr_steps_of(const struct kern_triples *t, int dim, float lr, struct kern_l2 l2,
                         float *margins)
{
    const struct kern_l2 keep = {1 - lr * l2.u, 1 - lr * l2.i, 1 - lr * l2.j};
    group part[KERN_GROUP];

    for (int k = 0; k < KERN_GROUP; k++)
        part[k] = margin_of(t, k, dim);
    for (int64_t first = 0; first < t->n; first += KERN_GROUP) {
        group x = sum_lanes(part);
        group g = lr / (1 + exp_of(x)); /* lr * sigmoid(-x): lr times the slope of log sigmoid */

        store(margins + first, x);
        for (int64_t k = first; k < first + KERN_GROUP; k++) {
            bpr_prefetch(t, k + 2 * KERN_GROUP, dim);
            update_of(t, k, dim, g[k - first], keep);
            part[k - first] = margin_of(t, k + KERN_GROUP, dim);
        }
    }
}

/* The sizes that people take are compiled apart, so that their loops have no ends to look after. */
static void bpr_steps(const struct kern_triples *t, float lr, struct kern_l2 l2, float *margins)
{
    switch (t->dim) {
    case 32:
        bpr_steps_of(t, 32, lr, l2, margins);
        break;
    case 64:
        bpr_steps_of(t, 64, lr, l2, margins);
        break;
    case 128:
        bpr_steps_of(t, 128, lr, l2, margins);
        break;
    default:
        bpr_steps_of(t, t->dim, lr, l2, margins);
    }
}

static void may_have(const int32_t *owners, const int32_t *ids, const int32_t *others, int64_t n,
                     bool *maybe)
{
    int64_t k = 0;

    for (; k < n && k < KERN_WINDOW; k++)
        maybe[k] = true;
    for (; k < n - KERN_WINDOW; k++) {
        const int32_t *owner = owners + k - KERN_WINDOW, *id = ids + k - KERN_WINDOW;
        int32_t u = owners[k], j = others[k], found = 0;

        for (int w = 0; w < 2 * KERN_WINDOW; w++)
            found |= (owner[w] == u) & (id[w] == j);
        maybe[k] = found | (owner[0] == u) | (owner[2 * KERN_WINDOW - 1] == u);
    }
    for (; k < n; k++)
        maybe[k] = true;
}

static bool holds(const int32_t *ids, int64_t n, int32_t id)
{
    int32_t found = 0;

    for (int64_t k = 0; k < n; k++)
        found |= ids[k] == id;
    return found;
}

INLINE int best_of_dim(const float *query, const float *rows, const int32_t *ids, int n, int dim)
{
    float most = -INFINITY;
    int best = -1;

    for (int k = 0; k < n; k++) {
        float score = ids[k] < 0 ? -INFINITY : dot(query, rows + (int64_t)ids[k] * dim, dim);

        if (score > most) {
            most = score;
            best = k;
        }
    }
    return best;
}

static int best_of(const float *query, const float *rows, const int32_t *ids, int n, int dim)
{
    return dim == 64 ? best_of_dim(query, rows, ids, n, 64) : best_of_dim(query, rows, ids, n, dim);
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
    .best_of = best_of,
    .bpr_steps = bpr_steps,
    .may_have = may_have,
    .holds = holds,
    .any_above = any_above,
};
