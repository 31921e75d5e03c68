/* mf_batch.c - matrix factorisation learned by any loss and any optimiser, from one positive at a
 * time or from a batch of them.
 *
 * B = batch_size positives, N = negatives. One at a time: N negatives are drawn for the positive,
 * which the user doesn't have. A batch: B positives that follow one another share N slots of
 * negatives; a slot that a positive's user has in the cell, or that is of its future, is left out
 * for it. The scores of all users against all slots, and both gradients, are products of matrices.
 *
 * What is lowered: the sum over the batch's positives of loss + l2_user/2 |u|^2 + l2_positive/2
 * |i|^2,
 * + l2_negative/2 B/N times the sum over the slots of |j|^2. A user steps once a batch, by the sum
 * over its positives; an item once for each time that it's a positive, and once for each slot. All
 * gradients are those of the rows as the batch found them.
 *
 * cosine: x is a row and y = x / |x|; with d the gradient to y, that to x is d / |x| - <d, y> x /
 * |x|^2, a step of coef 1 / |x| along d with -<d, y> / |x|^2 added to its L2 penalty. dot: y = x.
 */
#include "model/mf.h"

#include <math.h>

enum { AHEAD = 4, RING = 8, ALIGN = 16, STRIP = 16, NONE = -1 };

static const float one[] = {1}; /* the direction of a bias */

struct learner {
    struct mf *mf;
    const struct kern *kern;
    struct learn learn;
    const struct cell *cell;
    struct sampler sampler;
    struct tally *loss;
    int dim;
    bool cosine;
    float lr;
};

static float *row_of(const struct optim_table *t, int64_t row)
{
    return t->rows + row * t->dim;
}

static float bias_of(const struct learner *l, int32_t item)
{
    return l->mf->bias ? l->mf->bias[item] : 0;
}

/* 1, or for cosine 1 / |x|: y = this times x. */
static float length_of(const struct learner *l, const float *x)
{
    return l->cosine ? inverse_norm(l->kern, x, l->dim) : 1;
}

/* Step along coef * dir, the gradient to y; by: length_of the row; along: <gradient, y>. */
static void step(const struct learner *l, const struct optim_table *t, int64_t row,
                 const float *dir, float coef, float by, float along, float l2)
{
    if (l->cosine)
        l2 -= along * by * by;
    optim_step(t, l->kern, row, dir, (struct kern_step){l->lr, coef * by, l2});
}

static void step_bias(const struct learner *l, int32_t item, float slope, float l2)
{
    if (l->mf->bias)
        optim_step(&l->mf->bias_table, l->kern, item, one, (struct kern_step){l->lr, slope, l2});
}

/* ---- scratch ---- */

/* One piece of memory, cut into arrays; first without memory, to learn its size. */
struct scratch {
    float *base;
    int64_t used;
};

static void *cut(struct scratch *s, int64_t n)
{
    float *at = s->base ? s->base + s->used : NULL;

    s->used += (n + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

/* A piece that the learner of another cell gave back, or a new one. What it holds doesn't matter.
 */
static float *take_scratch(struct mf *mf, int64_t n)
{
    for (int i = 0; i < SCRATCH_MAX; i++) {
        float *p = atomic_exchange(&mf->scratch[i], NULL);

        if (p)
            return p;
    }
    return xaligned((size_t)n, sizeof(float));
}

static void give_scratch(struct mf *mf, float *p)
{
    for (int i = 0; p && i < SCRATCH_MAX; i++)
        p = atomic_exchange(&mf->scratch[i], p);
    free(p);
}

/* ---- one positive at a time ---- */

/* A positive, which is item 0, and its negatives. */
struct pairs {
    int n; /* that are drawn */
    int32_t *drawn[RING];
    int32_t *items;              /* (1 + n) */
    float *scores, *slopes, *by; /* (1 + n) */
    float *gradient;             /* (dim) to the user's y */
};

static void cut_pairs(struct pairs *p, const struct learner *l, struct scratch *s)
{
    p->n = MAX(l->learn.negatives, mf_opts_of(&l->mf->base)->hardest_of);
    for (int i = 0; i < RING; i++)
        p->drawn[i] = cut(s, p->n);
    p->items = cut(s, 1 + p->n);
    p->scores = cut(s, 1 + p->n);
    p->slopes = cut(s, 1 + p->n);
    p->by = cut(s, 1 + p->n);
    p->gradient = cut(s, l->dim);
}

/* For the next positive, whose place in the cell is k; and ask for the rows. */
static void draw_pairs(struct learner *l, struct pairs *p, int64_t k)
{
    const struct optim_table *items = &l->mf->item_table;

    prefetch_row(row_of(items, l->cell->items[k]), l->dim);
    for (int j = 0; j < p->n; j++) {
        int32_t item = sampler_draw(&l->sampler, k);

        p->drawn[k % RING][j] = item;
        if (item != SAMPLER_NONE)
            prefetch_row(row_of(items, item), l->dim);
    }
}

/* As place `at` of the pairs. */
static void score_item(const struct learner *l, struct pairs *p, int at, int32_t item,
                       const float *user, float user_by)
{
    const float *row = row_of(&l->mf->item_table, item);

    p->items[at] = item;
    p->by[at] = length_of(l, row);
    p->scores[at] = l->kern->dot(user, row, l->dim) * user_by * p->by[at] + bias_of(l, item);
}

/* The highest score of 1..n comes to place 1, of equals the first. Source: Zhang et al.,
 * "Optimizing Top-N Collaborative Filtering via Dynamic Negative Item Sampling", SIGIR 2013. */
static void keep_hardest(struct pairs *p, int n)
{
    int best = 1;

    for (int j = 2; j <= n; j++)
        if (p->scores[j] > p->scores[best])
            best = j;
    p->items[1] = p->items[best];
    p->by[1] = p->by[best];
    p->scores[1] = p->scores[best];
}

/* The positive, whose place in the cell is k, and what was drawn for it. Returns how many negatives
 * there are to learn from. */
static int score_pairs(const struct learner *l, struct pairs *p, int64_t k, const float *user,
                       float user_by)
{
    const int32_t *drawn = p->drawn[k % RING];
    int n = 0;

    score_item(l, p, 0, l->cell->items[k], user, user_by);
    for (int j = 0; j < p->n; j++)
        if (drawn[j] != SAMPLER_NONE)
            score_item(l, p, ++n, drawn[j], user, user_by);
    if (n <= l->learn.negatives)
        return n;
    keep_hardest(p, n);
    return 1;
}

/* The gradient to the user's y. Returns its product with y. */
static float gradient_of_user(const struct learner *l, struct pairs *p, int n)
{
    float along = 0;

    memset(p->gradient, 0, (size_t)l->dim * sizeof(float));
    for (int j = 0; j <= n; j++) {
        l->kern->add_scaled(p->gradient, p->slopes[j] * p->by[j],
                            row_of(&l->mf->item_table, p->items[j]), l->dim);
        along += p->slopes[j] * (p->scores[j] - bias_of(l, p->items[j]));
    }
    return along;
}

static void learn_pair(const struct learner *l, struct pairs *p, int64_t k)
{
    const struct learn *o = &l->learn;
    int32_t u = l->cell->users[k];
    const float *user = row_of(&l->mf->user_table, u);
    float user_by = length_of(l, user), along;
    int n = score_pairs(l, p, k, user, user_by);

    if (n == 0)
        return;
    l->loss->sum += (double)o->loss->slopes(p->scores, n, &o->loss_options, p->slopes);
    l->loss->n++;
    along = gradient_of_user(l, p, n);
    for (int j = 0; j <= n; j++) {
        float slope = p->slopes[j], l2 = j ? learn_l2_negative(o, 1, n) : o->l2_positive;
        float cosine = p->scores[j] - bias_of(l, p->items[j]);

        step(l, &l->mf->item_table, p->items[j], user, slope * user_by, p->by[j], slope * cosine,
             l2);
        step_bias(l, p->items[j], slope, l2);
    }
    step(l, &l->mf->user_table, u, p->gradient, 1, user_by, along, o->l2_user);
}

static void learn_pairs(struct learner *l)
{
    struct pairs p = {0};
    struct scratch s = {0};

    cut_pairs(&p, l, &s);
    s = (struct scratch){.base = take_scratch(l->mf, s.used)};
    cut_pairs(&p, l, &s);
    for (int64_t k = -AHEAD; k < l->cell->n; k++) {
        if (k + AHEAD < l->cell->n)
            draw_pairs(l, &p, k + AHEAD);
        if (k >= 0)
            learn_pair(l, &p, k);
    }
    give_scratch(l->mf, s.base);
}

/* ---- batches ---- */

struct batch {
    int n; /* slots: N */
    int n_users;

    /* (B) of each user */
    int32_t *users;
    int64_t *begin, *end; /* of all its positives in the cell */
    int *learned;         /* positives of the batch that have a negative */
    float *user_by;
    float *u, *du; /* (B, dim) y, and the gradient to it */

    /* (B) of each positive */
    int *row; /* its user's */
    bool *counts;
    float *positive_by, *positive_cosine, *positive_slope;

    /* (N) of each slot */
    int32_t *items, *since;
    float *slot_by, *slot_bias, *slot_slope;
    float *v, *v_transposed, *dv; /* (N, dim), (dim, N), (N, dim) */
    int32_t *place;               /* (n_places) slots by a hash of their items, or NONE */
    uint32_t n_places;            /* a power of 2, at least 2 N */

    /* (B, 1 + N) of each user: the first is room for a positive's */
    float *scores, *slopes;
    float *some_scores, *some_slopes; /* (1 + N) of one positive */
};

static void cut_batch(struct batch *b, const struct learner *l, struct scratch *s)
{
    int64_t size = l->learn.batch_size, n = l->learn.negatives, dim = l->dim;

    b->n = (int)n;
    for (b->n_places = 2; b->n_places < 2 * n;)
        b->n_places *= 2;
    b->users = cut(s, size);
    b->begin = cut(s, 2 * size);
    b->end = cut(s, 2 * size);
    b->learned = cut(s, size);
    b->user_by = cut(s, size);
    b->u = cut(s, size * dim);
    b->du = cut(s, size * dim);
    b->row = cut(s, size);
    b->counts = cut(s, size);
    b->positive_by = cut(s, size);
    b->positive_cosine = cut(s, size);
    b->positive_slope = cut(s, size);
    b->items = cut(s, n);
    b->since = cut(s, n);
    b->slot_by = cut(s, n);
    b->slot_bias = cut(s, n);
    b->slot_slope = cut(s, n);
    b->v = cut(s, n * dim);
    b->v_transposed = cut(s, n * dim);
    b->dv = cut(s, n * dim);
    b->place = cut(s, b->n_places);
    b->scores = cut(s, size * (1 + n));
    b->slopes = cut(s, size * (1 + n));
    b->some_scores = cut(s, 1 + n);
    b->some_slopes = cut(s, 1 + n);
}

static uint32_t place_of(const struct batch *b, int32_t item)
{
    return ((uint32_t)item * 0x9e3779b1u >> 16) & (b->n_places - 1);
}

/* Draw the slots, and note where each item stands: equal ones follow one another. */
static void draw_slots(struct learner *l, struct batch *b)
{
    memset(b->place, NONE, b->n_places * sizeof *b->place);
    for (int j = 0; j < b->n; j++) {
        struct candidate c = sampler_draw_shared(&l->sampler);
        uint32_t at = place_of(b, c.item);

        b->items[j] = c.item;
        b->since[j] = c.since;
        while (b->place[at] != NONE)
            at = (at + 1) & (b->n_places - 1);
        b->place[at] = j;
        prefetch_row(row_of(&l->mf->item_table, c.item), l->dim);
    }
}

/* In strips as wide as a line of the cache, whose lines would else push one another out. */
static void transpose_slots(const struct learner *l, struct batch *b)
{
    for (int first = 0; first < b->n; first += STRIP)
        for (int c = 0; c < l->dim; c++)
            for (int j = first; j < MIN(first + STRIP, b->n); j++)
                b->v_transposed[(int64_t)c * b->n + j] = b->v[(int64_t)j * l->dim + c];
}

static void gather_slots(const struct learner *l, struct batch *b)
{
    for (int j = 0; j < b->n; j++) {
        const float *row = row_of(&l->mf->item_table, b->items[j]);

        b->slot_by[j] = length_of(l, row);
        b->slot_bias[j] = bias_of(l, b->items[j]);
        l->kern->scaled(b->v + (int64_t)j * l->dim, b->slot_by[j], row, l->dim);
    }
    transpose_slots(l, b);
}

/* Of the positives first .. first + size - 1. */
static void gather_users(struct learner *l, struct batch *b, int64_t first, int size)
{
    b->n_users = 0;
    for (int k = 0; k < size; k++) {
        int32_t user = l->cell->users[first + k];
        const float *row = row_of(&l->mf->user_table, user);
        int r = b->n_users;

        if (k == 0 || user != b->users[r - 1]) {
            b->users[r] = user;
            sampler_find(&l->sampler, first + k);
            b->begin[r] = l->sampler.begin;
            b->end[r] = l->sampler.end;
            b->learned[r] = 0;
            b->user_by[r] = length_of(l, row);
            l->kern->scaled(b->u + (int64_t)r * l->dim, b->user_by[r], row, l->dim);
            b->n_users++;
        }
        b->row[k] = b->n_users - 1;
    }
}

/* Leave out the slots whose items the user of row r has. */
static void mask_own(const struct learner *l, struct batch *b, int r, float *scores)
{
    for (int64_t k = b->begin[r]; k < b->end[r]; k++) {
        int32_t item = l->cell->items[k];

        for (uint32_t at = place_of(b, item); b->place[at] != NONE;
             at = (at + 1) & (b->n_places - 1))
            if (b->items[b->place[at]] == item)
                scores[b->place[at]] = -INFINITY;
    }
}

/* All users' scores for all slots. */
static void score_slots(const struct learner *l, struct batch *b)
{
    int stride = 1 + b->n;
    bool bias = l->mf->bias;

    for (int r = 0; bias && r < b->n_users; r++)
        memcpy(b->scores + (int64_t)r * stride + 1, b->slot_bias, (size_t)b->n * sizeof(float));
    l->kern->gemm(b->n_users, b->n, l->dim, b->u, l->dim, 1, b->v_transposed, b->n, b->scores + 1,
                  stride, bias);
    for (int r = 0; r < b->n_users; r++)
        mask_own(l, b, r, b->scores + (int64_t)r * stride + 1);
}

static int32_t when_of(const struct cell *c, int64_t k)
{
    return c->when ? c->when[k] : CELL_NEVER;
}

/* Slopes of a positive, place k of the batch, into its user's. */
static void slopes_of_positive(const struct learner *l, struct batch *b, int64_t first, int k)
{
    int r = b->row[k], stride = 1 + b->n;
    int32_t item = l->cell->items[first + k];
    const float *i = row_of(&l->mf->item_table, item), *u = b->u + (int64_t)r * l->dim;
    float *sum = b->slopes + (int64_t)r * stride, *slopes = b->learned[r] ? b->some_slopes : sum;

    b->counts[k] = l->kern->mask_later(b->scores + (int64_t)r * stride + 1, b->since, b->n,
                                       when_of(l->cell, first + k), b->some_scores + 1) > 0;
    if (!b->counts[k])
        return;
    b->positive_by[k] = length_of(l, i);
    b->positive_cosine[k] = l->kern->dot(u, i, l->dim) * b->positive_by[k];
    b->some_scores[0] = b->positive_cosine[k] + bias_of(l, item);
    l->loss->sum +=
        (double)l->learn.loss->slopes(b->some_scores, b->n, &l->learn.loss_options, slopes);
    l->loss->n++;
    if (b->learned[r]++)
        l->kern->add_scaled(sum + 1, 1, slopes + 1, b->n);
    b->positive_slope[k] = slopes[0];
    l->kern->add_scaled(b->du + (int64_t)r * l->dim, slopes[0] * b->positive_by[k], i, l->dim);
}

/* The gradients to users and slots. Returns how many positives are learned from. */
static int find_gradients(const struct learner *l, struct batch *b, int64_t first, int size)
{
    int stride = 1 + b->n, learned = 0;

    memset(b->du, 0, (size_t)b->n_users * (size_t)l->dim * sizeof(float));
    for (int k = 0; k < size; k++)
        slopes_of_positive(l, b, first, k);
    for (int r = 0; r < b->n_users; r++) {
        if (!b->learned[r])
            memset(b->slopes + (int64_t)r * stride, 0, (size_t)stride * sizeof(float));
        learned += b->learned[r];
    }
    l->kern->gemm(b->n_users, l->dim, b->n, b->slopes + 1, stride, 1, b->v, l->dim, b->du, l->dim,
                  true);
    l->kern->gemm(b->n, l->dim, b->n_users, b->slopes + 1, 1, stride, b->u, l->dim, b->dv, l->dim,
                  false);
    if (!l->mf->bias)
        return learned;
    memset(b->slot_slope, 0, (size_t)b->n * sizeof(float));
    for (int r = 0; r < b->n_users; r++)
        l->kern->add_scaled(b->slot_slope, 1, b->slopes + (int64_t)r * stride + 1, b->n);
    return learned;
}

static void step_positives(const struct learner *l, const struct batch *b, int64_t first, int size)
{
    for (int k = 0; k < size; k++) {
        int32_t item = l->cell->items[first + k];
        float slope = b->positive_slope[k];

        if (!b->counts[k])
            continue;
        step(l, &l->mf->item_table, item, b->u + (int64_t)b->row[k] * l->dim, slope,
             b->positive_by[k], slope * b->positive_cosine[k], l->learn.l2_positive);
        step_bias(l, item, slope, l->learn.l2_positive);
    }
}

/* <gradient, y>, where it's asked for. */
static float along_of(const struct learner *l, const float *gradient, const float *y)
{
    return l->cosine ? l->kern->dot(gradient, y, l->dim) : 0;
}

static void step_slots(const struct learner *l, const struct batch *b, float l2)
{
    for (int j = 0; j < b->n; j++) {
        const float *dv = b->dv + (int64_t)j * l->dim;

        step(l, &l->mf->item_table, b->items[j], dv, 1, b->slot_by[j],
             along_of(l, dv, b->v + (int64_t)j * l->dim), l2);
        step_bias(l, b->items[j], b->slot_slope[j], l2);
    }
}

static void step_users(const struct learner *l, const struct batch *b)
{
    for (int r = 0; r < b->n_users; r++) {
        const float *du = b->du + (int64_t)r * l->dim;

        if (b->learned[r])
            step(l, &l->mf->user_table, b->users[r], du, 1, b->user_by[r],
                 along_of(l, du, b->u + (int64_t)r * l->dim),
                 l->learn.l2_user * (float)b->learned[r]);
    }
}

static void learn_batch(struct learner *l, struct batch *b, int64_t first, int size)
{
    int learned;

    draw_slots(l, b);
    gather_slots(l, b);
    gather_users(l, b, first, size);
    score_slots(l, b);
    learned = find_gradients(l, b, first, size);
    if (learned == 0)
        return;
    step_positives(l, b, first, size);
    step_slots(l, b, learn_l2_negative(&l->learn, learned, b->n));
    step_users(l, b);
}

static void learn_batches(struct learner *l)
{
    int size = l->learn.batch_size;
    struct batch b = {0};
    struct scratch s = {0};

    cut_batch(&b, l, &s);
    s = (struct scratch){.base = take_scratch(l->mf, s.used)};
    cut_batch(&b, l, &s);
    for (int64_t k = 0; k < l->cell->n; k += size)
        learn_batch(l, &b, k, (int)MIN(size, l->cell->n - k));
    give_scratch(l->mf, s.base);
}

void mf_learn_batches(struct mf *mf, const struct cell *c, float lr, struct tally *loss)
{
    const struct mf_opts *o = mf_opts_of(&mf->base);
    struct learner l = {.mf = mf,
                        .kern = kern_best(),
                        .learn = LEARN_OF(o),
                        .cell = c,
                        .loss = loss,
                        .dim = o->embedding_dim,
                        .cosine = !strcmp(o->similarity, "cosine"),
                        .lr = lr};

    sampler_init(&l.sampler, c, o->future_negatives);
    if (o->batch_size > 1)
        learn_batches(&l);
    else
        learn_pairs(&l);
}
