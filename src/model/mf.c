/* mf.c - matrix factorisation: a user's score for an item is the dot product of two vectors, or the
 * cosine of the angle between them.
 *
 * By default trained by stochastic gradient descent on the BPR loss: -log sigmoid(score of an item
 * that the user took - score of one that the user didn't). Source: Rendle et al., "BPR: Bayesian
 * Personalized Ranking from Implicit Feedback", UAI 2009. Other ways to learn are in mf_batch.c.
 *
 * Rows start as uniform noise. Users without a row in train stay at zero: there is nothing to say
 * to them. */
#include "model/mf.h"

#include <math.h>

enum { AHEAD = 8, RING = 16, LOSS_EVERY = 16, QUERIES = 16 };

OPT_TABLE(mf_opts, MF_OPTIONS);

static struct mf *mf_of(struct model *m)
{
    return (struct mf *)m;
}

static int mf_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    int dim = mf_opts_of(m)->embedding_dim;

    out[0] = (struct tensor){"user_embedding.weight", m->n_users, dim, mf_of(m)->users};
    out[1] = (struct tensor){"item_embedding.weight", m->n_items, dim, mf_of(m)->items};
    out[2] = (struct tensor){"item_bias.weight", m->n_items, 1, mf_of(m)->bias};
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
    int dim = mf_opts_of(m)->embedding_dim;
    float a = 0.1f / sqrtf((float)dim);

    mf->users = xaligned((size_t)m->n_users * (size_t)dim, sizeof(float));
    mf->items = xaligned((size_t)m->n_items * (size_t)dim, sizeof(float));
    for (int64_t u = 0; u < m->n_users; u++)
        if (train->offsets[u + 1] > train->offsets[u])
            fill_row(mf->users + u * dim, dim, a, rng_key(m->seed, RNG_INIT, 0, (uint64_t)u));
    for (int64_t i = 0; i < m->n_items; i++)
        fill_row(mf->items + i * dim, dim, a, rng_key(m->seed, RNG_INIT, 1, (uint64_t)i));
    if (mf_opts_of(m)->item_bias)
        mf->bias = xaligned((size_t)m->n_items, sizeof(float));
    name_tables(m);
    for (int i = 0; i < (mf->bias ? 3 : 2); i++)
        optim_alloc(table(mf, i));
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

static struct kern_l2 l2_of(const struct mf_opts *o)
{
    return (struct kern_l2){(float)o->reg, (float)(o->reg * o->reg_positive),
                            (float)(o->reg * o->reg_negative)};
}

/* What is drawn for the positives to come: (RING) times the candidates for one's negative. */
struct ring {
    int32_t candidates[RING][HARDEST_MAX];
    int n; /* candidates each */
};

/* Draw for the next positive, whose place in the cell is k, and ask for the rows. */
static void draw(struct ring *r, struct sampler *s, const struct mf *mf, int64_t k, int dim)
{
    sampler_advance(s);
    prefetch_row(mf->items + (int64_t)s->cell->items[k] * dim, dim);
    for (int n = 0; n < r->n; n++) {
        int32_t j = sampler_draw(s);

        r->candidates[k % RING][n] = j;
        if (j != SAMPLER_NONE)
            prefetch_row(mf->items + (int64_t)j * dim, dim);
    }
}

/* The candidate that the user scores highest, of equals the first; SAMPLER_NONE where there is
 * none. Source: Zhang et al., "Optimizing Top-N Collaborative Filtering via Dynamic Negative Item
 * Sampling", SIGIR 2013. */
static int32_t hardest(const struct ring *r, const struct kern *kern, const struct mf *mf,
                       int32_t user, int64_t k, int dim)
{
    const int32_t *candidates = r->candidates[k % RING];
    int32_t best = candidates[0];
    float most = -INFINITY;

    for (int n = 0; r->n > 1 && n < r->n; n++) {
        float score;

        if (candidates[n] == SAMPLER_NONE)
            continue;
        score = kern->dot(mf->users + (int64_t)user * dim, mf->items + (int64_t)candidates[n] * dim,
                          dim);
        if (score > most) {
            most = score;
            best = candidates[n];
        }
    }
    return best;
}

/* Negatives are drawn AHEAD steps early, so that the rows are on their way when their turn comes.
 * The loss is taken at every LOSS_EVERY-th step: the logarithm costs as much as a fifth of one. */
static void mf_learn_default(struct model *m, const struct cell *c, double progress,
                             struct tally *loss)
{
    const struct kern *kern = kern_best();
    struct mf *mf = mf_of(m);
    int64_t dim = mf_opts_of(m)->embedding_dim;
    float lr = (float)mf_rate(m, progress), x;
    struct kern_l2 l2 = l2_of(mf_opts_of(m));
    struct ring ring = {.n = mf_opts_of(m)->hardest_of};
    struct sampler s;

    sampler_init(&s, c, mf_opts_of(m)->future_negatives);
    for (int64_t k = -AHEAD; k < c->n; k++) {
        int32_t j;

        if (k + AHEAD < c->n)
            draw(&ring, &s, mf, k + AHEAD, (int)dim);
        if (k < 0)
            continue;
        j = hardest(&ring, kern, mf, c->users[k], k, (int)dim);
        if (j == SAMPLER_NONE)
            continue;
        x = kern->bpr_step(mf->users + c->users[k] * dim, mf->items + c->items[k] * dim,
                           mf->items + j * dim, (int)dim, lr, l2);
        if (k % LOSS_EVERY == 0) {
            loss->sum += (double)bpr_loss(x);
            loss->n++;
        }
    }
}

/* What mf_learn_default knows. */
static bool is_default(const struct mf_opts *o)
{
    return !strcmp(o->loss, "bpr") && !strcmp(o->optimizer, "sgd") && o->negatives == 1 &&
           o->batch_size == 1 && o->popularity_power == 0 && !strcmp(o->similarity, "dot") &&
           !o->item_bias;
}

static void mf_learn(struct model *m, const struct cell *c, double progress, struct tally *loss)
{
    if (is_default(mf_opts_of(m)))
        mf_learn_default(m, c, progress, loss);
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

static bool mf_serves(const struct model *m, const struct query *q)
{
    int64_t dim = mf_opts_of(m)->embedding_dim;
    const float *row = ((const struct mf *)m)->users + q->user * dim;

    if (q->user < 0)
        return false;
    for (int64_t k = 0; k < dim; k++)
        if (row[k] != 0)
            return true;
    return false;
}

/* From products of the vectors to scores: at length 1, with the bias. out (n_rows, n). */
static void finish_scores(const struct mf *mf, const float *const *rows, int n_rows, int32_t first,
                          int32_t n, float *out)
{
    const struct kern *kern = kern_best();
    int dim = mf_opts_of(&mf->base)->embedding_dim;
    bool cosine = !strcmp(mf_opts_of(&mf->base)->similarity, "cosine");
    float by_row[QUERIES];

    for (int r = 0; r < n_rows; r++)
        by_row[r] = cosine ? inverse_norm(kern, rows[r], dim) : 1;
    for (int32_t c = 0; c < n; c++) {
        int64_t i = first + c;
        float by = cosine ? inverse_norm(kern, mf->items + i * dim, dim) : 1;
        float bias = mf->bias ? mf->bias[i] : 0;

        for (int r = 0; r < n_rows; r++)
            out[(int64_t)r * n + c] = out[(int64_t)r * n + c] * by_row[r] * by + bias;
    }
}

static void mf_score(const struct model *m, const struct query *q, int n_queries, int32_t first,
                     int32_t n, float *out)
{
    const struct mf *mf = (const struct mf *)m;
    int64_t dim = mf_opts_of(m)->embedding_dim;
    const float *rows[QUERIES];

    for (int done = 0; done < n_queries; done += QUERIES) {
        int some = MIN(QUERIES, n_queries - done);

        for (int r = 0; r < some; r++)
            rows[r] = mf->users + q[done + r].user * dim;
        kern_best()->scores(rows, some, mf->items + first * dim, n, (int)dim,
                            out + (int64_t)done * n, n);
        if (mf->bias || !strcmp(mf_opts_of(m)->similarity, "cosine"))
            finish_scores(mf, rows, some, first, n, out + (int64_t)done * n);
    }
}

static void mf_release(struct model *m)
{
    free(mf_of(m)->users);
    free(mf_of(m)->items);
    free(mf_of(m)->bias);
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
    .size = sizeof(struct mf),
    .tensors = mf_tensors,
    .training = mf_training,
    .check = mf_check,
    .popularity_power = mf_popularity_power,
    .adopt = mf_adopt,
    .init = mf_init,
    .learn = mf_learn,
    .rate = mf_rate,
    .serves = mf_serves,
    .score = mf_score,
    .release = mf_release,
};
