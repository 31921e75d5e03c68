/* ease.c - a linear model of items by items, without a weight of an item for itself, in closed
 * form.
 *
 * B minimises |R - R B|^2 + reg |B|^2 with a diagonal of 0, where R is the train rows as (n_users,
 * n_items): with P = (R^T R + reg)^-1, B_ij = -P_ij / P_jj. A score is (r B)_i for a row r: any
 * row, so that whoever has a history is served by it. Source: Steck, "Embarrassingly Shallow
 * Autoencoders for Sparse Data", WWW 2019. */
#include "model/itembased.h"

#include "base/interrupt.h"
#include "kern/kern.h"
#include "kern/lapack.h"

#define EASE_OPTIONS(X, S)                                                                         \
    X(S, double, reg, 100, 1e-6, 1e9, "R",                                                         \
      "L2 penalty on the weights; the denser the data, the more")                                  \
    X(S, int, max_items, 20000, 1, 200000, "N",                                                    \
      "refuse data with more items: memory grows with their square, time with their cube")

OPT_DEFINE(ease_opts, EASE_OPTIONS);

struct ease {
    struct model base;
    float *weight; /* (n_items, n_items) B: row i is what having item i says of each item */
};

static struct ease *ease_of(struct model *m)
{
    return (struct ease *)m;
}

static const struct ease_opts *ease_opts_of(const struct model *m)
{
    return m->options;
}

static int ease_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    out[0] = tensor_floats("item_item.weight", m->n_items, m->n_items, ease_of(m)->weight);
    return 1;
}

static void ease_adopt(struct model *m, const struct tensor *t)
{
    ease_of(m)->weight = t[0].data;
}

/* gram (n_items, n_items) = R^T R + reg. */
static void fill_gram(const struct interactions *train, const struct interactions *by_item,
                      int32_t n_items, float reg, float *gram)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (int32_t i = 0; i < n_items; i++) {
        float *row = gram + (int64_t)i * n_items;

        for (int64_t k = by_item->offsets[i]; k < by_item->offsets[i + 1]; k++) {
            int32_t n;
            const int32_t *taken = interactions_row(train, by_item->items[k], &n);

            for (int32_t t = 0; t < n; t++)
                row[taken[t]]++;
        }
        row[i] += reg;
    }
}

/* B of P, of which the lower triangle is there, in its place; tile by tile, as columns are far
 * apart.
 */
static void divide_by_diagonal(float *p, int32_t n, const float *diagonal)
{
    enum { TILE = 32 };

#pragma omp parallel for schedule(dynamic, 1)
    for (int32_t first = 0; first < n; first += TILE)
        for (int32_t j0 = 0; j0 <= first; j0 += TILE)
            for (int32_t i = first; i < MIN(first + TILE, n); i++)
                for (int32_t j = j0; j < MIN(j0 + TILE, i); j++) {
                    float both = p[(int64_t)i * n + j];

                    p[(int64_t)i * n + j] = -both / diagonal[j];
                    p[(int64_t)j * n + i] = -both / diagonal[i];
                }
    for (int32_t i = 0; i < n; i++)
        p[(int64_t)i * n + i] = 0;
}

static bool check_size(const struct model *m, struct err *err)
{
    int max = ease_opts_of(m)->max_items;
    double gb = 4e-9 * m->n_items * m->n_items;

    if (m->n_items <= max)
        return true;
    return err_set(err, ERR_DATA,
                   "ease on %d items takes %.1f GB, and --max-items is %d: raise it, or keep fewer "
                   "items with preprocess --min-item",
                   m->n_items, gb, max);
}

static bool ease_fit(struct model *m, const struct interactions *train, struct err *err)
{
    int32_t n = m->n_items;
    AUTO(interactions) by_item = {0};
    AUTO_FREE float *diagonal = NULL;
    float *p;

    if (!check_size(m, err) || !lapack_load(err))
        return false;
    p = ease_of(m)->weight = xaligned((size_t)n * (size_t)n, sizeof *p);
    diagonal = xaligned((size_t)n, sizeof *diagonal);
    interactions_transpose(&by_item, train, m->n_users, n);
    fill_gram(train, &by_item, n, (float)ease_opts_of(m)->reg, p);
    if (!interrupt_check(err))
        return false;
    if (!lapack_cholesky(n, p) || !interrupt_check(err) || !lapack_invert(n, p))
        return err->kind ? false
                         : err_set(err, ERR_DATA, "--reg %g is too small for this data",
                                   ease_opts_of(m)->reg);
    for (int32_t i = 0; i < n; i++)
        diagonal[i] = p[(int64_t)i * n + i];
    divide_by_diagonal(p, n, diagonal);
    return true;
}

/* Items that nobody took together with another say nothing. */
static bool ease_serves(const struct model *m, const struct query *q)
{
    for (int32_t k = 0; k < q->n_history; k++) {
        const float *row = ((const struct ease *)m)->weight + (int64_t)q->history[k] * m->n_items;

        for (int32_t i = 0; i < m->n_items; i++)
            if (row[i] != 0)
                return true;
    }
    return false;
}

static void ease_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    for (int r = 0; r < n; r++)
        kern_best()->sum_rows(((const struct ease *)m)->weight, q[r].history, q[r].n_history, NULL,
                              m->n_items, state + (int64_t)r * m->n_items);
}

static void ease_release(struct model *m)
{
    free(ease_of(m)->weight);
}

const struct model_ops model_ease = {
    .name = "ease",
    .summary = "each item's weight for each other item, in closed form (EASE)",
    .options = ease_opts_table,
    .defaults = &ease_opts_default,
    .options_size = sizeof(struct ease_opts),
    .size = sizeof(struct ease),
    .tensors = ease_tensors,
    .adopt = ease_adopt,
    .fit = ease_fit,
    .serves = ease_serves,
    .state = itembased_state,
    .prepare = ease_prepare,
    .score = itembased_score,
    .release = ease_release,
};
