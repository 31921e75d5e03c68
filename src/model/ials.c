/* ials.c - matrix factorisation by alternating least squares over all pairs of user and item.
 *
 * It minimises, over user vectors x_u and item vectors y_i,
 *
 *     sum over train rows (u, i) of w_u w_i (<x_u, y_i> - 1)^2
 *     + alpha sum over all (u, i) of w_u w_i <x_u, y_i>^2
 *     + sum over u of reg_u |x_u|^2 + sum over i of reg_i |y_i|^2
 *     reg_u = reg (rows of u + alpha n_items)^reg_power, and likewise reg_i
 *     w_i in proportion to (rows of i)^-item_power, with a mean of 1 over the train rows, and
 *     likewise w_u: popular items are not all that counts (docs/decisions/0008)
 *
 * Sources: Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM
 * 2008; Rendle, Krichene, Zhang and Koren, "Revisiting the Performance of iALS on Item
 * Recommendation Benchmarks", RecSys 2022, from which weights and penalties are.
 *
 * With one side fixed, each row of the other is a ridge regression: against the fixed side's rows
 * times the roots of their weights, with these roots as targets and reg over the row's own weight.
 * What all share, alpha times the gram of those rows, is made diagonal first: scores stay what they
 * are when both sides are turned by the eigenvectors, and the side that is solved next comes out
 * turned. Then the system of a row with few train rows is small (ridge.h). */
#include "model/learn.h"
#include "model/model.h"

#include "base/progress.h"
#include "kern/kern.h"
#include "kern/lapack.h"
#include "model/dense.h"
#include "model/ridge.h"
#include "model/shares.h"

#include <math.h>

#define IALS_OPTIONS(X, S)                                                                         \
    X(S, int, dim, 128, 1, 4096, "N", "numbers in the vector of a user or an item")                \
    X(S, int, iterations, 8, 1, 10000, "N", "times that both sides are solved")                    \
    X(S, double, alpha, 0.03, 1e-9, 1000, "A",                                                     \
      "weight of a pair that isn't in train, where one that is has 1 more")                        \
    X(S, double, reg, 3, 1e-12, 1e6, "R", "L2 penalty on vectors")                                 \
    X(S, double, reg_power, 0, 0, 1, "P",                                                          \
      "the penalty grows with the weight of the row's pairs to this power")                        \
    X(S, double, item_power, 0.4, 0, 2, "P",                                                       \
      "what concerns an item counts (its train rows)^-P, so that popular ones are not all")        \
    X(S, double, user_power, 0.2, 0, 2, "P", "likewise what concerns a user")                      \
    X(S, double, init, 0.1, 0, 100, "A",                                                           \
      "deviation of the noise that rows start as, divided by the root of dim")

OPT_DEFINE(ials_opts, IALS_OPTIONS);

struct ials {
    struct model base;
    float *users;       /* (n_users, dim) */
    float *items;       /* (n_items, dim) */
    float *gram;        /* (1, dim) that of the items times their roots, which is diagonal */
    float *item_root;   /* (n_items) of the item's weight */
    float *user_weight; /* (1, 1) of a user with one train row */
};

static struct ials *ials_of(struct model *m)
{
    return (struct ials *)m;
}

static const struct ials_opts *ials_opts_of(const struct model *m)
{
    return m->options;
}

static int ials_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    int dim = ials_opts_of(m)->dim;

    out[0] = tensor_rows("user_embedding.weight", OF_USERS, m->n_users, dim, ials_of(m)->users);
    out[1] = tensor_rows("item_embedding.weight", OF_ITEMS, m->n_items, dim, ials_of(m)->items);
    out[2] = tensor_floats("item_gram", 1, dim, ials_of(m)->gram);
    out[3] = tensor_floats("item_root", m->n_items, 1, ials_of(m)->item_root);
    out[4] = tensor_floats("user_weight", 1, 1, ials_of(m)->user_weight);
    return 5;
}

static void ials_adopt(struct model *m, const struct tensor *t)
{
    ials_of(m)->users = t[0].data;
    ials_of(m)->items = t[1].data;
    ials_of(m)->gram = t[2].data;
    ials_of(m)->item_root = t[3].data;
    ials_of(m)->user_weight = t[4].data;
}

/* One side, solved while the other is fixed. */
struct side {
    const struct interactions *rows; /* of this side, naming rows of the other */
    int32_t n, n_other;
    float *x, *other;               /* (n, dim), (n_other, dim) */
    const float *root, *other_root; /* (n), (n_other) of the rows' weights */
};

/* What concerns a row with n train rows weighs this, where one with a single one weighs `first`. */
static float weight_of(double first, double power, int32_t n)
{
    return n ? (float)(first * pow(n, -power)) : 1;
}

/* The roots of the weights of all n rows. Returns the weight of a row with one train row. */
static float find_roots(const struct interactions *rows, int32_t n, double power, float *root)
{
    double sum = 0, first;
    int32_t count;

    for (int32_t r = 0; r < n; r++) {
        interactions_row(rows, r, &count);
        sum += count ? pow(count, 1 - power) : 0;
    }
    first = sum > 0 ? (double)rows->n / sum : 1;
    for (int32_t r = 0; r < n; r++) {
        interactions_row(rows, r, &count);
        root[r] = sqrtf(weight_of(first, power, count));
    }
    return (float)first;
}

/* Rows x (n, dim) times their roots, or over them. */
static void weigh(float *x, int32_t n, int dim, const float *root, bool undo)
{
#pragma omp parallel for
    for (int32_t r = 0; r < n; r++) {
        float *row = x + (int64_t)r * dim;

        kern_best()->scaled(row, undo ? 1 / root[r] : root[r], row, dim);
    }
}

/* The penalty of a row with so many train rows. */
static float reg_of(const struct ials_opts *o, int32_t n, int32_t n_other)
{
    return (float)(o->reg * pow((double)n + o->alpha * n_other, o->reg_power));
}

/* Turn the rows x (n, dim) so that their gram is diagonal, and tell that diagonal. */
static bool turn(float *x, int32_t n, int dim, float *gram, struct err *err)
{
    size_t square = (size_t)dim * (size_t)dim;
    AUTO_FREE double *vectors = xaligned(square, sizeof *vectors);
    AUTO_FREE double *values = xcalloc((size_t)dim, sizeof *values);
    AUTO_FREE float *w = xaligned(square, sizeof *w);

    dense_gram(x, n, dim, vectors);
    if (!shares_eigen(dim, vectors, values))
        return err_set(err, ERR_DATA,
                       "vectors are no longer numbers: --reg or --alpha is too small");
    for (int c = 0; c < dim; c++) {
        gram[c] = (float)MAX(values[c], 0);
        for (int l = 0; l < dim; l++)
            w[(int64_t)l * dim + c] = (float)vectors[(int64_t)c * dim + l];
    }
    dense_product(x, n, dim, w, dim, x);
    return true;
}

static bool solve(const struct ials_opts *o, struct side *s, float *gram, struct err *err)
{
    AUTO_FREE int64_t *share = shares_of(s->rows->offsets, s->n);

    weigh(s->other, s->n_other, o->dim, s->other_root, false);
    if (!turn(s->other, s->n_other, o->dim, gram, err))
        return false;
#pragma omp parallel
    {
        AUTO(ridge) ridge;

        ridge_init(&ridge, o->dim);
#pragma omp for schedule(dynamic, 16)
        for (int32_t r = (int32_t)share[comm_rank()]; r < share[comm_rank() + 1]; r++) {
            int32_t n;
            const int32_t *ids = interactions_row(s->rows, r, &n);

            ridge_solve(&ridge, s->other, s->other_root, ids, n, gram, (float)o->alpha,
                        reg_of(o, n, s->n_other) / (s->root[r] * s->root[r]),
                        s->x + (int64_t)r * o->dim);
        }
    }
    shares_gather(s->x, o->dim * (int64_t)sizeof *s->x, share);
    return shares_go_on(err);
}

/* Uniform noise of the deviation that the options name. */
static void fill_users(struct model *m)
{
    const struct ials_opts *o = ials_opts_of(m);
    struct tensor t[MODEL_TENSORS_MAX];

    ials_tensors(m, t);
    learn_fill(m, &t[0], (float)(o->init * sqrt(3.0 / o->dim)), NULL, 0);
}

static bool ials_fit(struct model *m, const struct interactions *train, struct err *err)
{
    const struct ials_opts *o = ials_opts_of(m);
    struct ials *ials = ials_of(m);
    size_t dim = (size_t)o->dim;
    AUTO_FREE float *user_root = xaligned((size_t)m->n_users, sizeof *user_root);
    AUTO(interactions) by_item = {0};
    AUTO(progress) progress = {0};
    bool ok = true;

    ials->users = xaligned((size_t)m->n_users * dim, sizeof(float));
    ials->items = xaligned((size_t)m->n_items * dim, sizeof(float));
    ials->gram = xaligned(dim, sizeof(float));
    ials->item_root = xaligned((size_t)m->n_items, sizeof(float));
    ials->user_weight = xaligned(1, sizeof(float));
    if (!lapack_load(err))
        return false;
    interactions_transpose(&by_item, train, m->n_users, m->n_items);
    find_roots(&by_item, m->n_items, o->item_power, ials->item_root);
    *ials->user_weight = find_roots(train, m->n_users, o->user_power, user_root);
    fill_users(m);
    progress_init(&progress, "train", "iterations", o->iterations);
    for (int i = 0; ok && i < o->iterations; i++) {
        struct side items = {&by_item,    m->n_items,      m->n_users, ials->items,
                             ials->users, ials->item_root, user_root};
        struct side users = {train,       m->n_users, m->n_items,     ials->users,
                             ials->items, user_root,  ials->item_root};

        ok = solve(o, &items, ials->gram, err) && solve(o, &users, ials->gram, err);
        progress_update(&progress, i + 1, NULL);
    }
    weigh(ials->items, m->n_items, o->dim, ials->item_root, true);
    return ok;
}

static bool has_length(const float *row, int dim)
{
    return kern_best()->dot(row, row, dim) > 0;
}

static bool is_known(const struct ials *ials, int32_t user)
{
    int64_t dim = ials_opts_of(&ials->base)->dim;

    return user >= 0 && has_length(ials->users + user * dim, (int)dim);
}

/* Items without a train row have no vector to fold in by. */
static bool ials_serves(const struct model *m, const struct query *q)
{
    const struct ials *ials = (const struct ials *)m;
    int64_t dim = ials_opts_of(m)->dim;

    if (is_known(ials, q->user))
        return true;
    for (int32_t k = 0; k < q->n_history; k++)
        if (has_length(ials->items + q->history[k] * dim, (int)dim))
            return true;
    return false;
}

static int64_t ials_state(const struct model *m)
{
    return ials_opts_of(m)->dim;
}

/* The vector of a user whom training didn't see: what the last half-step would have made of the
 * history. */
static void fold_in(const struct ials *ials, const struct query *q, float *out)
{
    const struct ials_opts *o = ials_opts_of(&ials->base);
    int32_t n = q->n_history;
    size_t room = (size_t)MAX(n, 1);
    AUTO_FREE float *rows = xaligned(room * (size_t)o->dim, sizeof *rows);
    AUTO_FREE float *targets = xmalloc(room, sizeof *targets);
    AUTO_FREE int32_t *ids = xmalloc(room, sizeof *ids);
    AUTO(ridge) ridge;

    for (int32_t k = 0; k < n; k++) {
        ids[k] = k;
        targets[k] = ials->item_root[q->history[k]];
        kern_best()->scaled(rows + (int64_t)k * o->dim, targets[k],
                            ials->items + (int64_t)q->history[k] * o->dim, o->dim);
    }
    ridge_init(&ridge, o->dim);
    ridge_solve(&ridge, rows, targets, ids, n, ials->gram, (float)o->alpha,
                reg_of(o, n, ials->base.n_items) / weight_of(*ials->user_weight, o->user_power, n),
                out);
}

static void ials_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    const struct ials *ials = (const struct ials *)m;
    int64_t dim = ials_opts_of(m)->dim;

    for (int r = 0; r < n; r++, state += dim)
        if (is_known(ials, q[r].user))
            memcpy(state, ials->users + q[r].user * dim, (size_t)dim * sizeof *state);
        else
            fold_in(ials, &q[r], state);
}

static void ials_score(const struct model *m, const struct query *, int n_queries,
                       const float *state, int32_t first, int32_t n, float *out)
{
    int dim = ials_opts_of(m)->dim;

    kern_best()->scores(state, n_queries, ((const struct ials *)m)->items + (int64_t)first * dim, n,
                        dim, out);
}

static bool ials_vectors(const struct model *m, struct item_vectors *out)
{
    *out = (struct item_vectors){((const struct ials *)m)->items, NULL, ials_opts_of(m)->dim, false,
                                 false};
    return true;
}

static void ials_release(struct model *m)
{
    free(ials_of(m)->users);
    free(ials_of(m)->items);
    free(ials_of(m)->gram);
    free(ials_of(m)->item_root);
    free(ials_of(m)->user_weight);
}

const struct model_ops model_ials = {
    .name = "ials",
    .summary = "matrix factorisation by alternating least squares over all pairs",
    .options = ials_opts_table,
    .defaults = &ials_opts_default,
    .options_size = sizeof(struct ials_opts),
    .size = sizeof(struct ials),
    .tensors = ials_tensors,
    .adopt = ials_adopt,
    .fit = ials_fit,
    .serves = ials_serves,
    .state = ials_state,
    .prepare = ials_prepare,
    .score = ials_score,
    .vectors = ials_vectors,
    .release = ials_release,
};
