#include "model/lowrank.h"

#include "base/rng.h"
#include "kern/kern.h"
#include "kern/lapack.h"
#include "model/cell.h"
#include "model/dense.h"
#include "model/shares.h"

#include <math.h>

enum { OVERSAMPLING = 32 };

/* The sketch of S: wide = dim and some more columns. */
struct sketch {
    struct interactions rows, cols; /* R, and R^T */
    const struct lowrank_plan *plan;
    int32_t n_users, n_items;
    int wide;
    float *users, *items; /* (n_users, wide), (n_items, wide) */
};

static void sketch_release(struct sketch *s)
{
    interactions_release(&s->cols);
    free(s->users);
    free(s->items);
}

/* out (n, wide) = D_row X D_col in, where X has these rows; in (*, wide). */
static void multiply(const struct interactions *x, int32_t n, const float *row_scale,
                     const float *col_scale, int wide, const float *in, float *out)
{
    const struct kern *kern = kern_best();
    AUTO_FREE int64_t *share = shares_of(x->offsets, n);

#pragma omp parallel for schedule(dynamic, 64)
    for (int32_t r = (int32_t)share[comm_rank()]; r < share[comm_rank() + 1]; r++) {
        float *to = out + (int64_t)r * wide;
        int32_t n_ids;
        const int32_t *ids = interactions_row(x, r, &n_ids);

        kern->sum_rows(in, ids, n_ids, col_scale, wide, to);
        if (row_scale)
            kern->scaled(to, row_scale[r], to, wide);
    }
    shares_gather(out, wide * (int64_t)sizeof *out, share);
}

static void to_users(struct sketch *s)
{
    multiply(&s->rows, s->n_users, s->plan->user_scale, s->plan->item_scale, s->wide, s->items,
             s->users);
}

static void to_items(struct sketch *s)
{
    multiply(&s->cols, s->n_items, s->plan->item_scale, s->plan->user_scale, s->wide, s->users,
             s->items);
}

/* Eigenvectors of x^T x, x (n, wide), of the largest value first: column c of w (wide, wide) is the
 * one of values[c]. */
static bool principal(const float *x, int64_t n, int wide, double *values, double *w)
{
    size_t size = (size_t)wide * (size_t)wide;
    AUTO_FREE double *gram = xaligned(size, sizeof *gram);
    AUTO_FREE double *rising = xcalloc((size_t)wide, sizeof *rising);

    dense_gram(x, n, wide, gram);
    if (!shares_eigen(wide, gram, rising))
        return false;
    for (int c = 0; c < wide; c++) {
        const double *vector = gram + (int64_t)(wide - 1 - c) * wide;

        values[c] = MAX(rising[wide - 1 - c], 0);
        for (int l = 0; l < wide; l++)
            w[(int64_t)l * wide + c] = vector[l];
    }
    return true;
}

/* Columns of x become orthonormal, but those that rounding alone tells from others: they stay
 * small, and the next product goes on with them. */
static bool orthonormalise(float *x, int64_t n, int wide)
{
    const double rounding = 1e-6;
    size_t size = (size_t)wide * (size_t)wide;
    AUTO_FREE double *values = xcalloc((size_t)wide, sizeof *values);
    AUTO_FREE double *vectors = xaligned(size, sizeof *vectors);
    AUTO_FREE float *w = xaligned(size, sizeof *w);

    if (!principal(x, n, wide, values, vectors))
        return false;
    for (int c = 0; c < wide; c++) {
        double by = values[0] > 0 ? 1 / sqrt(MAX(values[c], rounding * values[0])) : 0;

        for (int l = 0; l < wide; l++)
            w[(int64_t)l * wide + c] = (float)(vectors[(int64_t)l * wide + c] * by);
    }
    dense_product(x, n, wide, w, wide, x);
    return true;
}

/* What the subspace says of S (Rayleigh and Ritz): the principal axes of S times its basis. */
static bool extract(struct sketch *s, float *values, float *items)
{
    const double rounding = 1e-6;
    int wide = s->wide, dim = s->plan->dim;
    AUTO_FREE double *squares = xcalloc((size_t)wide, sizeof *squares);
    AUTO_FREE double *vectors = xaligned((size_t)wide * (size_t)wide, sizeof *vectors);
    AUTO_FREE float *w = xaligned((size_t)wide * (size_t)dim, sizeof *w);

    to_users(s);
    if (!principal(s->users, s->n_users, wide, squares, vectors))
        return false;
    for (int c = 0; c < dim; c++) {
        bool there = c < wide && squares[c] > rounding * squares[0];

        values[c] = there ? (float)sqrt(squares[c]) : 0;
        for (int l = 0; there && l < wide; l++)
            w[(int64_t)l * dim + c] = (float)vectors[(int64_t)l * wide + c];
    }
    dense_product(s->items, s->n_items, wide, w, dim, items);
    return true;
}

static bool iterate(struct sketch *s, struct err *err)
{
    for (int i = 0; i < s->plan->iterations; i++) {
        if (!shares_go_on(err))
            return false;
        to_users(s);
        to_items(s);
        if (!orthonormalise(s->items, s->n_items, s->wide))
            return err_set(err, ERR_DATA, "the singular vectors of the data don't converge");
    }
    return true;
}

bool lowrank_items(const struct interactions *train, int32_t n_users, int32_t n_items,
                   const struct lowrank_plan *plan, float *values, float *items, struct err *err)
{
    int wide = MIN(plan->dim + OVERSAMPLING, MIN(n_users, n_items));
    AUTO(sketch)
    s = {.rows = *train,
         .plan = plan,
         .n_users = n_users,
         .n_items = n_items,
         .wide = wide,
         .users = xaligned((size_t)n_users * (size_t)wide, sizeof(float)),
         .items = xaligned((size_t)n_items * (size_t)wide, sizeof(float))};

    assert(plan->dim >= 1 && plan->iterations >= 1);
    if (!lapack_load(err))
        return false;
    interactions_transpose(&s.cols, train, n_users, n_items);
#pragma omp parallel for
    for (int32_t i = 0; i < n_items; i++)
        rng_fill(s.items + (int64_t)i * wide, wide, 1,
                 rng_key(plan->seed, RNG_INIT, 0, (uint64_t)i));
    if (!iterate(&s, err))
        return false;
    if (!orthonormalise(s.items, n_items, wide) || !extract(&s, values, items))
        return err_set(err, ERR_DATA, "the singular vectors of the data don't converge");
    return true;
}
