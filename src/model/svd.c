/* svd.c - PureSVD: what a user's row becomes when projected on the largest singular vectors of all
 * rows. Source: Cremonesi, Koren and Turrin, "Performance of Recommender Algorithms on Top-N
 * Recommendation Tasks", RecSys 2010.
 *
 * Items may be scaled by a power of their number of rows before: Nikolakopoulos et al., "EigenRec:
 * Generalizing PureSVD for Effective and Efficient Top-N Recommendations", KAIS 2019.
 *
 * With S = D_u R D_i = U E V^T the score is r D_i V V^T D_i^-1 for a row r: any row, so that
 * whoever has a history is served by it, known from training or not. */
#include "model/lowrank.h"
#include "model/sparse.h"

#include "kern/kern.h"

#define SVD_OPTIONS(X, S)                                                                          \
    X(S, int, dim, 128, 1, 4096, "N", "singular vectors, of the largest values")                   \
    X(S, double, item_power, 0.4, 0, 1, "P",                                                       \
      "items count in proportion to (train rows)^-P; 0 is PureSVD as published")                   \
    X(S, double, user_power, 0.4, 0, 1, "P", "users' rows count in proportion to (train rows)^-P") \
    X(S, int, iterations, 3, 1, 100, "N", "of the subspace; the more, the more exact")

OPT_DEFINE(svd_opts, SVD_OPTIONS);

struct svd {
    struct model base;
    float *items;  /* (n_items, dim) V D_i^-1 */
    float *weight; /* (n_items, 1) D_i^2: what an item of a history counts; 0 without train rows */
};

static struct svd *svd_of(struct model *m)
{
    return (struct svd *)m;
}

static const struct svd_opts *svd_opts_of(const struct model *m)
{
    return m->options;
}

static int svd_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    out[0] =
        tensor_floats("item_embedding.weight", m->n_items, svd_opts_of(m)->dim, svd_of(m)->items);
    out[1] = tensor_floats("item_weight", m->n_items, 1, svd_of(m)->weight);
    return 2;
}

static void svd_adopt(struct model *m, const struct tensor *t)
{
    svd_of(m)->items = t[0].data;
    svd_of(m)->weight = t[1].data;
}

static bool svd_fit(struct model *m, const struct interactions *train, struct err *err)
{
    const struct svd_opts *o = svd_opts_of(m);
    struct svd *svd = svd_of(m);
    AUTO_FREE float *user_scale = xcalloc((size_t)m->n_users, sizeof *user_scale);
    AUTO_FREE float *item_scale = xcalloc((size_t)m->n_items, sizeof *item_scale);
    AUTO_FREE float *values = xcalloc((size_t)o->dim, sizeof *values);
    struct lowrank_plan plan = {o->dim, o->iterations, user_scale, item_scale, m->seed};
    AUTO(interactions) by_item = {0};

    interactions_transpose(&by_item, train, m->n_users, m->n_items);
    pattern_powers(&(struct pattern){m->n_users, train->offsets, train->items}, -o->user_power,
                   user_scale);
    pattern_powers(&(struct pattern){m->n_items, by_item.offsets, by_item.items}, -o->item_power,
                   item_scale);
    svd->items = xaligned((size_t)m->n_items * (size_t)o->dim, sizeof *svd->items);
    svd->weight = xaligned((size_t)m->n_items, sizeof *svd->weight);
    if (!lowrank_items(train, m->n_users, m->n_items, &plan, values, svd->items, err))
        return false;
    for (int32_t i = 0; i < m->n_items; i++) {
        float *row = svd->items + (int64_t)i * o->dim;

        svd->weight[i] = item_scale[i] * item_scale[i];
        kern_best()->scaled(row, item_scale[i] > 0 ? 1 / item_scale[i] : 0, row, o->dim);
    }
    return true;
}

static bool svd_serves(const struct model *m, const struct query *q)
{
    for (int32_t k = 0; k < q->n_history; k++)
        if (((const struct svd *)m)->weight[q->history[k]] > 0)
            return true;
    return false;
}

static int64_t svd_state(const struct model *m)
{
    return svd_opts_of(m)->dim;
}

static void svd_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    const struct svd *svd = (const struct svd *)m;
    int dim = svd_opts_of(m)->dim;

    for (int r = 0; r < n; r++)
        kern_best()->sum_rows(svd->items, q[r].history, q[r].n_history, svd->weight, dim,
                              state + (int64_t)r * dim);
}

static void svd_score(const struct model *m, const struct query *, int n_queries,
                      const float *state, int32_t first, int32_t n, float *out)
{
    int dim = svd_opts_of(m)->dim;

    kern_best()->scores(state, n_queries, ((const struct svd *)m)->items + (int64_t)first * dim, n,
                        dim, out);
}

static bool svd_vectors(const struct model *m, struct item_vectors *out)
{
    *out = (struct item_vectors){((const struct svd *)m)->items, NULL, svd_opts_of(m)->dim, false,
                                 false};
    return true;
}

static void svd_release(struct model *m)
{
    free(svd_of(m)->items);
    free(svd_of(m)->weight);
}

const struct model_ops model_svd = {
    .name = "svd",
    .summary = "projection on the largest singular vectors of all rows",
    .options = svd_opts_table,
    .defaults = &svd_opts_default,
    .options_size = sizeof(struct svd_opts),
    .size = sizeof(struct svd),
    .tensors = svd_tensors,
    .adopt = svd_adopt,
    .fit = svd_fit,
    .serves = svd_serves,
    .state = svd_state,
    .prepare = svd_prepare,
    .score = svd_score,
    .vectors = svd_vectors,
    .release = svd_release,
};
