/* mf.c - matrix factorisation: a user's score for an item is the dot product of two vectors.
 *
 * Trained by stochastic gradient descent on the BPR loss: -log sigmoid(score of an item that the
 * user took - score of one that the user didn't). Source: Rendle et al., "BPR: Bayesian
 * Personalized Ranking from Implicit Feedback", UAI 2009.
 *
 * Rows start as uniform noise. Users without a row in train stay at zero: there is nothing to say
 * to them. */
#include "model/model.h"

#include "kern/kern.h"

#include <math.h>

#define MF_OPTIONS(X, S)                                                                           \
    X(S, int, embedding_dim, 64, 1, 4096, "N", "numbers in the vector of a user or an item")       \
    X(S, double, lr, 0.2, 0, 10, "RATE", "learning rate at the start; it falls to a tenth")        \
    X(S, double, reg, 0.05, 0, 10, "R",                                                            \
      "L2 penalty on the user's vector at each step; the denser the data, the less")               \
    X(S, double, reg_positive, 0.2, 0, 100, "F",                                                   \
      "L2 penalty on the taken item's vector, as a multiple of reg")                               \
    X(S, double, reg_negative, 2, 0, 100, "F",                                                     \
      "L2 penalty on the negative's vector, as a multiple of reg")                                 \
    X(S, double, init, 1, 0, 100, "A",                                                             \
      "rows start as noise between -A and A, divided by the root of embedding-dim")                \
    X(S, double, future_negatives, 0.2, 0, 1, "P",                                                 \
      "share kept of negatives that had no row yet when the positive was taken; 1: uniform")       \
    X(S, int, hardest_of, 1, 1, HARDEST_MAX, "N",                                                  \
      "draw N negatives and learn from the one that the user would like best")

enum { HARDEST_MAX = 64, HARDEST_CHUNK = 4, LOSS_EVERY = 16, QUERIES = 16 };

OPT_DEFINE(mf_opts, MF_OPTIONS);

struct mf {
    struct model base;
    float *users; /* (n_users, dim) */
    float *items; /* (n_items, dim) */
};

static struct mf *mf_of(struct model *m)
{
    return (struct mf *)m;
}

static const struct mf_opts *opts_of(const struct model *m)
{
    return m->options;
}

static int mf_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    int dim = opts_of(m)->embedding_dim;

    out[0] = (struct tensor){"user_embedding.weight", m->n_users, dim, mf_of(m)->users};
    out[1] = (struct tensor){"item_embedding.weight", m->n_items, dim, mf_of(m)->items};
    return 2;
}

static void mf_adopt(struct model *m, const struct tensor *t)
{
    mf_of(m)->users = t[0].data;
    mf_of(m)->items = t[1].data;
}

/* Uniform in [-a, a). */
static void fill_row(float *row, int dim, float a, uint64_t key)
{
    struct rng r;

    rng_init(&r, key);
    for (int k = 0; k < dim; k++)
        row[k] = a * (2 * (float)rng_uniform(&r) - 1);
}

static void mf_init(struct model *m, const struct interactions *train)
{
    struct mf *mf = mf_of(m);
    int dim = opts_of(m)->embedding_dim;
    float a = (float)opts_of(m)->init / sqrtf((float)dim);

    mf->users = xaligned((size_t)m->n_users * (size_t)dim, sizeof(float));
    mf->items = xaligned((size_t)m->n_items * (size_t)dim, sizeof(float));
    for (int64_t u = 0; u < m->n_users; u++)
        if (train->offsets[u + 1] > train->offsets[u])
            fill_row(mf->users + u * dim, dim, a, rng_key(m->seed, RNG_INIT, 0, (uint64_t)u));
    for (int64_t i = 0; i < m->n_items; i++)
        fill_row(mf->items + i * dim, dim, a, rng_key(m->seed, RNG_INIT, 1, (uint64_t)i));
}

static double mf_rate(const struct model *m, double progress)
{
    return opts_of(m)->lr * (1 - 0.9 * progress);
}

/* -log sigmoid(x), without overflow. */
static float bpr_loss(float x)
{
    return x > 0 ? log1pf(expf(-x)) : log1pf(expf(x)) - x;
}

static bool mf_dated(const void *options)
{
    return ((const struct mf_opts *)options)->future_negatives < 1;
}

static struct kern_l2 l2_of(const struct mf_opts *o)
{
    return (struct kern_l2){(float)o->reg, (float)(o->reg * o->reg_positive),
                            (float)(o->reg * o->reg_negative)};
}

static void prefetch_rows(const struct mf *mf, const int32_t *items, int n)
{
    int dim = opts_of(&mf->base)->embedding_dim;

    for (int i = 0; i < n; i++)
        for (int k = 0; items[i] != SAMPLER_NONE && k < dim; k += 16)
            __builtin_prefetch(mf->items + (int64_t)items[i] * dim + k, 1);
}

/* The one of n items on offer that positive k's user would like best and doesn't have. */
static int32_t hardest(struct sampler *s, const struct mf *mf, int64_t k, int32_t *offer, int n)
{
    int dim = opts_of(&mf->base)->embedding_dim, best;
    const float *user = mf->users + (int64_t)s->cell->users[k] * dim;

    while ((best = kern_best()->best_of(user, mf->items, offer, n, dim)) >= 0) {
        if (!sampler_has(s, k, offer[best]))
            return offer[best];
        offer[best] = SAMPLER_NONE;
    }
    return SAMPLER_NONE;
}

/* For each positive first .. first + n - 1, n <= HARDEST_CHUNK, the one of `hardest_of` negatives
 * that its user would like best. Source: Zhang et al., "Optimizing Top-N Collaborative Filtering
 * via Dynamic Negative Item Sampling", SIGIR 2013. */
static void fill_hardest(struct sampler *s, const struct mf *mf, int64_t first, int n, int32_t *out)
{
    int32_t offers[HARDEST_CHUNK][HARDEST_MAX];
    int of = opts_of(&mf->base)->hardest_of;

    for (int k = 0; k < n; k++) {
        sampler_offer(s, first + k, of, offers[k]);
        prefetch_rows(mf, offers[k], of);
    }
    for (int k = 0; k < n; k++)
        out[k] = hardest(s, mf, first + k, offers[k], of);
}

/* Every LOSS_EVERY-th margin alone: the logarithm costs as much as a fifth of a step. */
static void add_loss(const float *margins, int64_t n, struct tally *loss)
{
    for (int64_t k = 0; k < n; k += LOSS_EVERY) {
        loss->sum += (double)bpr_loss(margins[k]);
        loss->n++;
    }
}

/* Steps for the triples, of which those without a negative are passed over. */
static void step(const struct mf *mf, const struct kern_triples *all, float lr, struct tally *loss)
{
    float margins[SAMPLER_CHUNK];
    struct kern_triples t = *all;

    for (int64_t k = 0, end; k < all->n; k = end + 1) {
        for (end = k; end < all->n && all->others[end] != SAMPLER_NONE;)
            end++;
        t.users = all->users + k;
        t.taken = all->taken + k;
        t.others = all->others + k;
        t.n = end - k;
        kern_best()->bpr_steps(&t, lr, l2_of(opts_of(&mf->base)), margins);
        add_loss(margins, t.n, loss);
    }
}

static void mf_learn(struct model *m, const struct cell *c, double progress, struct tally *loss)
{
    struct mf *mf = mf_of(m);
    bool hardest = opts_of(m)->hardest_of > 1;
    int chunk = hardest ? HARDEST_CHUNK : SAMPLER_CHUNK;
    int32_t negatives[SAMPLER_CHUNK];
    struct sampler s;

    sampler_init(&s, c, opts_of(m)->future_negatives);
    for (int64_t k = 0; k < c->n; k += chunk) {
        int n = (int)MIN(chunk, c->n - k);
        struct kern_triples t = {c->users + k,
                                 c->items + k,
                                 negatives,
                                 n,
                                 mf->users,
                                 mf->items,
                                 opts_of(m)->embedding_dim};

        if (hardest)
            fill_hardest(&s, mf, k, n, negatives);
        else
            sampler_fill(&s, k, n, negatives);
        step(mf, &t, (float)mf_rate(m, progress), loss);
    }
}

static bool mf_serves(const struct model *m, const struct query *q)
{
    int64_t dim = opts_of(m)->embedding_dim;
    const float *row = ((const struct mf *)m)->users + q->user * dim;

    if (q->user < 0)
        return false;
    for (int64_t k = 0; k < dim; k++)
        if (row[k] != 0)
            return true;
    return false;
}

static void mf_score(const struct model *m, const struct query *q, int n_queries, int32_t first,
                     int32_t n, float *out)
{
    const struct mf *mf = (const struct mf *)m;
    int64_t dim = opts_of(m)->embedding_dim;
    const float *rows[QUERIES];

    for (int done = 0; done < n_queries; done += QUERIES) {
        int some = MIN(QUERIES, n_queries - done);

        for (int r = 0; r < some; r++)
            rows[r] = mf->users + q[done + r].user * dim;
        kern_best()->scores(rows, some, mf->items + first * dim, n, (int)dim,
                            out + (int64_t)done * n, n);
    }
}

static void mf_release(struct model *m)
{
    free(mf_of(m)->users);
    free(mf_of(m)->items);
}

const struct model_ops model_mf = {
    .name = "mf",
    .summary = "matrix factorisation, trained by pairs (BPR)",
    .options = mf_opts_table,
    .defaults = &mf_opts_default,
    .options_size = sizeof(struct mf_opts),
    .size = sizeof(struct mf),
    .tensors = mf_tensors,
    .adopt = mf_adopt,
    .init = mf_init,
    .dated = mf_dated,
    .learn = mf_learn,
    .rate = mf_rate,
    .serves = mf_serves,
    .score = mf_score,
    .release = mf_release,
};
