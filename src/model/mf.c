/* mf.c - matrix factorisation: a user's score for an item is the dot product of two vectors, or the
 * cosine of the angle between them.
 *
 * By default trained by stochastic gradient descent on the BPR loss: -log sigmoid(score of an item
 * that the user took - score of one that the user didn't). Source: Rendle et al., "BPR: Bayesian
 * Personalized Ranking from Implicit Feedback", UAI 2009. Other ways to learn are in mf_batch.c.
 *
 * Rows start as uniform noise. Users without a row in train stay at zero; by a history they are
 * folded in (mf_fold.c). */
#include "model/mf.h"

#include <math.h>

enum { HARDEST_CHUNK = 16, LOSS_EVERY = 16 };

OPT_TABLE(mf_opts, MF_OPTIONS);

static struct mf *mf_of(struct model *m)
{
    return (struct mf *)m;
}

static int mf_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    int dim = mf_opts_of(m)->embedding_dim;

    out[0] = tensor_rows("user_embedding.weight", OF_USERS, m->n_users, dim, mf_of(m)->users);
    out[1] = tensor_rows("item_embedding.weight", OF_ITEMS, m->n_items, dim, mf_of(m)->items);
    out[2] = tensor_rows("item_bias.weight", OF_ITEMS, m->n_items, 1, mf_of(m)->bias);
    return mf_opts_of(m)->item_bias ? 3 : 2;
}

static struct optim_table *table(struct mf *mf, int n)
{
    struct optim_table *const tables[MF_TENSORS] = {&mf->user_table, &mf->item_table,
                                                    &mf->bias_table};

    return tables[n];
}

static void name_tables(struct model *m)
{
    const struct optimizer *how = optimizer_find(mf_opts_of(m)->optimizer);
    struct tensor t[MODEL_TENSORS_MAX];
    int n = m->ops->tensors(m, t);

    for (int i = 0; i < n; i++)
        optim_init(table(mf_of(m), i), how, &t[i]);
}

static int mf_training(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    int n = 0;

    if (!mf_of(m)->user_table.how)
        name_tables(m);
    for (int i = 0; i < (mf_opts_of(m)->item_bias ? 3 : 2); i++)
        n = optim_tensors(table(mf_of(m), i), out, n);
    return n;
}

static void mf_adopt(struct model *m, const struct tensor *t)
{
    mf_of(m)->users = t[0].data;
    mf_of(m)->items = t[1].data;
    if (mf_opts_of(m)->item_bias)
        mf_of(m)->bias = t[2].data;
}

static void mf_init(struct model *m, const struct interactions *train)
{
    struct mf *mf = mf_of(m);
    int dim = mf_opts_of(m)->embedding_dim;
    float a = (float)mf_opts_of(m)->init / sqrtf((float)dim);
    struct tensor t[MODEL_TENSORS_MAX];

    mf->users = model_room(m->common, OF_USERS, (size_t)m->n_users * (size_t)dim);
    mf->items = model_room(m->common, OF_ITEMS, (size_t)m->n_items * (size_t)dim);
    if (mf_opts_of(m)->item_bias)
        mf->bias = model_room(m->common, OF_ITEMS, (size_t)m->n_items);
    mf_tensors(m, t);
    learn_fill(m, &t[0], a, train, 0);
    learn_fill(m, &t[1], a, NULL, 1);
    name_tables(m);
    for (int i = 0; i < (mf->bias ? 3 : 2); i++)
        optim_alloc(table(mf, i), m->common);
}

static double mf_rate(const struct model *m, double progress)
{
    return LEARN_RATE(mf_opts_of(m), progress);
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
    int dim = mf_opts_of(&mf->base)->embedding_dim;

    for (int i = 0; i < n; i++)
        if (items[i] != SAMPLER_NONE)
            prefetch_row(mf->items + (int64_t)items[i] * dim, dim);
}

/* The one of n items on offer that positive k's user would like best and doesn't have. */
static int32_t hardest(struct sampler *s, const struct mf *mf, int64_t k, int32_t *offer, int n)
{
    int dim = mf_opts_of(&mf->base)->embedding_dim, best;
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
    int of = mf_opts_of(&mf->base)->hardest_of;

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
        kern_best()->bpr_steps(&t, lr, l2_of(mf_opts_of(&mf->base)), margins);
        add_loss(margins, t.n, loss);
    }
}

/* By BPR and plain gradient descent, one negative for each positive. */
static void mf_learn_triples(struct model *m, const struct cell *c, double progress,
                             struct tally *loss)
{
    struct mf *mf = mf_of(m);
    bool hardest = mf_opts_of(m)->hardest_of > 1;
    int chunk = hardest ? HARDEST_CHUNK : SAMPLER_CHUNK;
    float lr = (float)mf_rate(m, progress);
    int32_t negatives[SAMPLER_CHUNK];
    struct sampler s;

    sampler_init(&s, c, mf_opts_of(m)->future_negatives);
    for (int64_t k = 0; k < c->n; k += chunk) {
        int n = (int)MIN(chunk, c->n - k);
        struct kern_triples t = {
            c->users + k, c->items + k, negatives, n,
            mf->users,    mf->items,    mf->bias,  mf_opts_of(m)->embedding_dim};

        if (hardest)
            fill_hardest(&s, mf, k, n, negatives);
        else
            sampler_fill(&s, k, n, negatives);
        step(mf, &t, lr, loss);
    }
}

static bool by_triples(const struct mf_opts *o)
{
    return !strcmp(o->loss, "bpr") && !strcmp(o->optimizer, "sgd") && o->negatives == 1 &&
           o->batch_size == 1 && !strcmp(o->similarity, "dot");
}

static void mf_learn(struct model *m, const struct cell *c, double progress, struct tally *loss)
{
    if (by_triples(mf_opts_of(m)))
        mf_learn_triples(m, c, progress, loss);
    else
        mf_learn_batches(mf_of(m), c, (float)mf_rate(m, progress), loss);
}

static bool mf_check(const void *options, struct err *err)
{
    const struct mf_opts *o = options;

    if (o->hardest_of > 1 && o->negatives > 1)
        return err_set(err, ERR_USAGE,
                       "--hardest-of %d leaves one negative of those that are drawn: it goes with "
                       "--negatives 1, not %d",
                       o->hardest_of, o->negatives);
    if (o->hardest_of > 1 && o->batch_size > 1)
        return err_set(
            err, ERR_USAGE,
            "--hardest-of %d draws for one positive at a time: it goes with --batch-size "
            "1, not %d",
            o->hardest_of, o->batch_size);
    return true;
}

static double mf_popularity_power(const struct model *m)
{
    return mf_opts_of(m)->popularity_power;
}

static bool is_known(const struct model *m, int32_t user)
{
    int dim = mf_opts_of(m)->embedding_dim;
    const float *row = ((const struct mf *)m)->users + (int64_t)MAX(user, 0) * dim;

    return user >= 0 && inverse_norm(kern_best(), row, dim) > 0;
}

static bool mf_serves(const struct model *m, const struct query *q)
{
    return q->n_history > 0 || is_known(m, q->user);
}

static int64_t mf_state(const struct model *m)
{
    return mf_opts_of(m)->embedding_dim;
}

/* The user's vector, for cosine at length 1; who has none is folded in. */
static void mf_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    const struct mf *mf = (const struct mf *)m;
    const struct kern *kern = kern_best();
    int dim = mf_opts_of(m)->embedding_dim;

    for (int r = 0; r < n; r++, state += dim) {
        if (is_known(m, q[r].user))
            memcpy(state, mf->users + (int64_t)q[r].user * dim, (size_t)dim * sizeof *state);
        else
            mf_fold_in(mf, &q[r], state);
        if (mf_cosine(mf))
            kern->scaled(state, inverse_norm(kern, state, dim), state, dim);
    }
}

static void mf_score(const struct model *m, const struct query *, int n_queries, const float *state,
                     int32_t first, int32_t n, float *out)
{
    const struct mf *mf = (const struct mf *)m;
    const struct kern *kern = kern_best();
    int dim = mf_opts_of(m)->embedding_dim;
    const float *items = mf->items + (int64_t)first * dim;

    kern->scores(state, n_queries, items, n, dim, out);
    for (int32_t c = 0; mf_cosine(mf) && c < n; c++) {
        float *of = out + (int64_t)c * n_queries;

        kern->scaled(of, inverse_norm(kern, items + (int64_t)c * dim, dim), of, n_queries);
    }
    for (int32_t c = 0; mf->bias && c < n; c++)
        for (int r = 0; r < n_queries; r++)
            out[(int64_t)c * n_queries + r] += mf->bias[first + c];
}

static bool mf_vectors(const struct model *m, struct item_vectors *out)
{
    const struct mf *mf = (const struct mf *)m;

    *out = (struct item_vectors){mf->items, mf->bias, mf_opts_of(m)->embedding_dim, mf_cosine(mf),
                                 false};
    return true;
}

static void mf_forget(struct model *m)
{
    mf_fold_release(mf_of(m));
}

static void mf_release(struct model *m)
{
    model_room_free(m->common, OF_USERS, mf_of(m)->users);
    model_room_free(m->common, OF_ITEMS, mf_of(m)->items);
    model_room_free(m->common, OF_ITEMS, mf_of(m)->bias);
    for (int i = 0; i < MF_TENSORS; i++)
        optim_table_release(table(mf_of(m), i));
    for (int i = 0; i < SCRATCH_MAX; i++)
        free(mf_of(m)->scratch[i]);
}

const struct model_ops model_mf = {
    .name = "mf",
    .summary = "matrix factorisation, by default trained by pairs (BPR)",
    .options = mf_opts_table,
    .defaults = &mf_opts_default,
    .options_size = sizeof(struct mf_opts),
    .epochs = 200,
    .size = sizeof(struct mf),
    .tensors = mf_tensors,
    .training = mf_training,
    .check = mf_check,
    .popularity_power = mf_popularity_power,
    .adopt = mf_adopt,
    .init = mf_init,
    .dated = mf_dated,
    .learn = mf_learn,
    .rate = mf_rate,
    .serves = mf_serves,
    .state = mf_state,
    .prepare = mf_prepare,
    .score = mf_score,
    .vectors = mf_vectors,
    .forget = mf_forget,
    .release = mf_release,
};
