/* neumf_learn.c - NeuMF's gradients, by chunks of pairs.
 *
 * A slice of a cell goes through the towers in chunks that fit the cache: forward, the loss's
 * slopes, backward, then a step of each embedding row. The first layer's weights fall into those of
 * the user and those of the item, so that the user's part is computed once for all of a user's
 * pairs. Gradients of the dense part add up in the block's buffer until neumf_join(). */
#include "model/neumf.h"

#include <math.h>

enum { CHUNK_PAIRS = 256, SLICE_MIN = 16, AHEAD = 8 };

/* ---- the room for it ---- */

static int chunk_positives(const struct neumf_opts *o)
{
    return MAX(1, CHUNK_PAIRS / (1 + o->negatives));
}

/* Cut (rows, cols) numbers of 4 bytes off, in whole cache lines; only count them where there is no
 * memory yet. */
static void *cut(void *memory, size_t *at, int64_t rows, int cols)
{
    void *out = memory ? (char *)memory + *at * sizeof(float) : NULL;

    *at += ((size_t)rows * (size_t)cols + 15) / 16 * 16;
    return out;
}

/* Returns how many numbers it takes. */
static size_t lay_out(struct neumf_chunk *c, const struct neumf_shape *s, int positives,
                      int negatives, void *memory)
{
    int64_t pairs = (int64_t)positives * (1 + negatives), runs = positives;
    int widest = 0;
    size_t at = 0;

    for (int l = 1; l <= s->n_layers; l++)
        widest = MAX(widest, s->width[l]);
    c->items = cut(memory, &at, pairs, 1);
    c->users = cut(memory, &at, runs, 1);
    c->begin = cut(memory, &at, runs + 1, 1);
    c->counted = cut(memory, &at, runs, 1);
    c->scores = cut(memory, &at, pairs, 1);
    c->slopes = cut(memory, &at, pairs, 1);
    c->ones = cut(memory, &at, pairs, 1);
    c->gmf_items = cut(memory, &at, pairs, s->dim);
    c->gmf_users = cut(memory, &at, runs, s->dim);
    c->queries = cut(memory, &at, runs, s->dim);
    c->gmf_slopes = cut(memory, &at, runs, s->dim);
    c->mlp_items = cut(memory, &at, pairs, s->half);
    c->mlp_users = cut(memory, &at, runs, s->half);
    c->user_part = cut(memory, &at, runs, s->width[1]);
    for (int l = 0; l < s->n_layers; l++)
        c->z[l] = cut(memory, &at, pairs, s->width[l + 1]);
    c->slope[0] = cut(memory, &at, pairs, widest);
    c->slope[1] = cut(memory, &at, pairs, widest);
    c->user_slope = cut(memory, &at, runs, s->width[1]);
    c->item_grad = cut(memory, &at, pairs, s->half);
    c->user_grad = cut(memory, &at, runs, s->half);
    return at;
}

static void make_chunk(struct neumf *nm, int worker, const struct neumf_shape *s)
{
    const struct neumf_opts *o = neumf_opts_of(&nm->base);
    struct neumf_chunk *c = &nm->chunk[worker];
    int positives = chunk_positives(o), pairs = positives * (1 + o->negatives);

    nm->memory[worker] = xaligned(lay_out(c, s, positives, o->negatives, NULL), sizeof(float));
    lay_out(c, s, positives, o->negatives, nm->memory[worker]);
    for (int p = 0; p < pairs; p++)
        c->ones[p] = 1;
}

void neumf_learn_release(struct neumf *nm)
{
    for (int w = 0; w < nm->n_workers; w++)
        free(nm->memory[w]);
    free(nm->memory);
    free(nm->chunk);
    free(nm->transposed);
    free(nm->gradients);
    free(nm->sum);
    free(nm->counted);
    nm->n_blocks = nm->n_workers = 0;
    nm->memory = NULL;
    nm->chunk = NULL;
    nm->transposed = nm->gradients = nm->sum = NULL;
    nm->counted = NULL;
}

static void make_room(struct neumf *nm, const struct neumf_shape *s, int n_blocks, int n_workers)
{
    size_t n_dense = (size_t)s->at[NEUMF_TENSORS];

    neumf_learn_release(nm);
    nm->n_blocks = n_blocks;
    nm->n_workers = n_workers;
    nm->transposed = xaligned(n_dense, sizeof(float));
    nm->sum = xaligned(n_dense, sizeof(float));
    nm->gradients = xaligned(n_dense * (size_t)n_blocks, sizeof(float));
    nm->counted = xcalloc((size_t)n_blocks, sizeof *nm->counted);
    nm->chunk = xcalloc((size_t)n_workers, sizeof *nm->chunk);
    nm->memory = xcalloc((size_t)n_workers, sizeof *nm->memory);
    for (int w = 0; w < n_workers; w++)
        make_chunk(nm, w, s);
}

static float *transposed(const struct neumf *nm, const struct neumf_shape *s, int layer)
{
    return nm->transposed + s->at[neumf_weight(layer)];
}

static void transpose_layers(struct neumf *nm, const struct neumf_shape *s)
{
    for (int l = 0; l < s->n_layers; l++) {
        const float *from = nm->data[neumf_weight(l)];
        float *to = transposed(nm, s, l);
        int in = s->width[l], out = s->width[l + 1];

        for (int i = 0; i < in; i++)
            for (int j = 0; j < out; j++)
                to[j * in + i] = from[i * out + j];
    }
}

/* ---- forward ---- */

static const float *row(const float *table, int32_t i, int dim)
{
    return table + (int64_t)i * dim;
}

static void prefetch_row(const float *table, int32_t i, int dim)
{
    for (int k = 0; k < dim; k += 16)
        __builtin_prefetch(row(table, i, dim) + k, 1);
}

/* The run that the positives of `user` make. */
static void add_run(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c,
                    int32_t user)
{
    int r = c->n_runs++;

    c->users[r] = user;
    c->begin[r] = c->n_pairs;
    c->counted[r] = 0;
    prefetch_row(nm->data[NEUMF_GMF_USERS], user, s->dim);
    prefetch_row(nm->data[NEUMF_MLP_USERS], user, s->half);
}

static void add_pair(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c,
                     int32_t item)
{
    c->items[c->n_pairs++] = item;
    if (item == SAMPLER_NONE)
        return;
    prefetch_row(nm->data[NEUMF_GMF_ITEMS], item, s->dim);
    prefetch_row(nm->data[NEUMF_MLP_ITEMS], item, s->half);
}

/* The positives k .. k + n - 1, each with its negatives behind it; and ask for their rows. */
static void draw(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c,
                 struct sampler *from, const struct cell *cell, int64_t k, int n)
{
    int negatives = neumf_opts_of(&nm->base)->negatives;

    c->n_pairs = c->n_runs = 0;
    for (int64_t i = k; i < k + n; i++) {
        if (i == k || cell->users[i] != cell->users[i - 1])
            add_run(nm, s, c, cell->users[i]);
        add_pair(nm, s, c, cell->items[i]);
        for (int j = 0; j < negatives; j++)
            add_pair(nm, s, c, sampler_draw(from, i));
    }
    c->begin[c->n_runs] = c->n_pairs;
}

/* (n, dim) rows of a tensor, zeros for an id that is none. */
static void gather(const struct neumf *nm, int tensor, const int32_t *ids, int n, int dim,
                   float *out)
{
    for (int k = 0; k < n && dim; k++, out += dim) {
        if (ids[k] < 0) {
            memset(out, 0, (size_t)dim * sizeof *out);
            continue;
        }
        memcpy(out, row(nm->data[tensor], ids[k], dim), (size_t)dim * sizeof *out);
    }
}

static void gather_all(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c)
{
    gather(nm, NEUMF_GMF_USERS, c->users, c->n_runs, s->dim, c->gmf_users);
    gather(nm, NEUMF_MLP_USERS, c->users, c->n_runs, s->half, c->mlp_users);
    gather(nm, NEUMF_GMF_ITEMS, c->items, c->n_pairs, s->dim, c->gmf_items);
    gather(nm, NEUMF_MLP_ITEMS, c->items, c->n_pairs, s->half, c->mlp_items);
}

static int run_length(const struct neumf_chunk *c, int r)
{
    return c->begin[r + 1] - c->begin[r];
}

void neumf_forward(const struct neumf *nm, const struct neumf_shape *s, int rows, float *const *z)
{
    const struct kern *kern = kern_best();

    for (int l = 1; l < s->n_layers; l++) {
        int in = s->width[l], out = s->width[l + 1];

        kern->gemm(rows, out, in, z[l - 1], in, 1, nm->data[neumf_weight(l)], out, z[l], out,
                   false);
        kern->bias_relu(z[l], rows, out, nm->data[neumf_bias(l)], z[l]);
    }
}

static void forward_mlp(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c)
{
    const struct kern *kern = kern_best();
    const float *weight = nm->data[neumf_weight(0)], *bias = nm->data[neumf_bias(0)];
    const float *output = nm->data[NEUMF_OUTPUT] + s->dim;
    int half = s->half, out = s->width[1];

    kern->gemm(c->n_runs, out, half, c->mlp_users, half, 1, weight, out, c->user_part, out, false);
    kern->gemm(c->n_pairs, out, half, c->mlp_items, half, 1, weight + half * out, out, c->z[0], out,
               false);
    for (int r = 0; r < c->n_runs; r++) {
        float *z = c->z[0] + c->begin[r] * out;

        kern->add_scaled(c->user_part + r * out, 1, bias, out);
        kern->bias_relu(z, run_length(c, r), out, c->user_part + r * out, z);
    }
    neumf_forward(nm, s, c->n_pairs, c->z);
    kern->scores(output, 1, c->z[s->n_layers - 1], c->n_pairs, s->last, c->scores);
}

static void forward_gmf(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c)
{
    const struct kern *kern = kern_best();
    float *scores = c->slopes; /* which aren't there yet */

    memset(c->queries, 0, (size_t)c->n_runs * (size_t)s->dim * sizeof *c->queries);
    for (int r = 0; r < c->n_runs; r++) {
        float *query = c->queries + r * s->dim;

        kern->add_product(query, c->gmf_users + r * s->dim, nm->data[NEUMF_OUTPUT], s->dim);
        kern->scores(query, 1, c->gmf_items + c->begin[r] * s->dim, run_length(c, r), s->dim,
                     scores + c->begin[r]);
    }
    kern->add_scaled(c->scores, 1, scores, c->n_pairs);
}

static void forward(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c)
{
    float bias = *nm->data[NEUMF_OUTPUT_BIAS];

    memset(c->scores, 0, (size_t)c->n_pairs * sizeof *c->scores);
    if (s->half)
        forward_mlp(nm, s, c);
    if (s->dim)
        forward_gmf(nm, s, c);
    for (int p = 0; p < c->n_pairs; p++)
        c->scores[p] = c->items[p] == SAMPLER_NONE ? -INFINITY : c->scores[p] + bias;
}

/* ---- the loss ---- */

/* The slopes of all pairs. A positive without a negative is left out: its item becomes SAMPLER_NONE
 * too. Returns how many count. */
static int64_t lower(const struct learn *how, struct neumf_chunk *c, struct tally *loss)
{
    int64_t counted = 0;

    for (int r = 0; r < c->n_runs; r++)
        for (int p = c->begin[r]; p < c->begin[r + 1]; p += 1 + how->negatives) {
            float seen =
                how->loss->slopes(c->scores + p, how->negatives, &how->loss_options, c->slopes + p);
            bool any = false;

            for (int j = 1; j <= how->negatives; j++)
                any |= c->items[p + j] != SAMPLER_NONE;
            if (!any) {
                c->items[p] = SAMPLER_NONE;
                continue;
            }
            loss->sum += (double)seen;
            c->counted[r]++;
            counted++;
        }
    loss->n += counted;
    return counted;
}

/* ---- backward ---- */

/* What the output's slopes say of the gmf tower: gradient of its output weights; gmf_slopes become
 * the users' gradients. An item's is its pair's slope times queries. */
static void backward_gmf(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c,
                         float *gradient)
{
    const struct kern *kern = kern_best();

    for (int r = 0; r < c->n_runs; r++) {
        float *sum = c->gmf_slopes + r * s->dim;

        memset(sum, 0, (size_t)s->dim * sizeof *sum);
        for (int p = c->begin[r]; p < c->begin[r + 1]; p++)
            kern->add_scaled(sum, c->slopes[p], c->gmf_items + p * s->dim, s->dim);
        kern->add_product(gradient + s->at[NEUMF_OUTPUT], sum, c->gmf_users + r * s->dim, s->dim);
        kern->product(sum, sum, nm->data[NEUMF_OUTPUT], s->dim);
    }
}

/* The slopes by the last layer's output, and the gradient of its output weights. */
static void backward_output(const struct neumf *nm, const struct neumf_shape *s,
                            struct neumf_chunk *c, float *gradient)
{
    const struct kern *kern = kern_best();
    const float *weight = nm->data[NEUMF_OUTPUT] + s->dim, *z = c->z[s->n_layers - 1];

    kern->gemm(1, s->last, c->n_pairs, c->slopes, 0, 1, z, s->last,
               gradient + s->at[NEUMF_OUTPUT] + s->dim, s->last, true);
    kern->gemm(c->n_pairs, s->last, 1, c->slopes, 1, 1, weight, s->last, c->slope[0], s->last,
               false);
    kern->relu_slope(c->slope[0], z, (int64_t)c->n_pairs * s->last);
}

/* (in) of the layer's weight: gradient += input^T slope; with a bias too. */
static void add_gradient(int rows, int in, int out, const float *input, const float *slope,
                         const float *ones, float *weight, float *bias)
{
    const struct kern *kern = kern_best();

    kern->gemm(in, out, rows, input, 1, in, slope, out, weight, out, true);
    if (bias)
        kern->gemm(1, out, rows, ones, 0, 1, slope, out, bias, out, true);
}

/* From the slopes by the last output to those by the first layer's; returns these. */
static const float *backward_layers(const struct neumf *nm, const struct neumf_shape *s,
                                    struct neumf_chunk *c, float *gradient)
{
    const struct kern *kern = kern_best();
    float *slope = c->slope[0], *next = c->slope[1];

    for (int l = s->n_layers - 1; l > 0; l--) {
        int in = s->width[l], out = s->width[l + 1];
        float *done = slope;

        add_gradient(c->n_pairs, in, out, c->z[l - 1], slope, c->ones,
                     gradient + s->at[neumf_weight(l)], gradient + s->at[neumf_bias(l)]);
        kern->gemm(c->n_pairs, in, out, slope, out, 1, transposed(nm, s, l), in, next, in, false);
        kern->relu_slope(next, c->z[l - 1], (int64_t)c->n_pairs * in);
        slope = next;
        next = done;
    }
    return slope;
}

static void backward_mlp(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c,
                         float *gradient)
{
    const struct kern *kern = kern_best();
    int half = s->half, out = s->width[1];
    float *weight = gradient + s->at[neumf_weight(0)], *bias = gradient + s->at[neumf_bias(0)];
    const float *back = transposed(nm, s, 0), *slope;

    backward_output(nm, s, c, gradient);
    slope = backward_layers(nm, s, c, gradient);
    for (int r = 0; r < c->n_runs; r++) {
        float *sum = c->user_slope + r * out;

        memset(sum, 0, (size_t)out * sizeof *sum);
        for (int p = c->begin[r]; p < c->begin[r + 1]; p++)
            kern->add_scaled(sum, 1, slope + p * out, out);
    }
    add_gradient(c->n_runs, half, out, c->mlp_users, c->user_slope, c->ones, weight, bias);
    add_gradient(c->n_pairs, half, out, c->mlp_items, slope, c->ones, weight + half * out, NULL);
    kern->gemm(c->n_runs, half, out, c->user_slope, out, 1, back, 2 * half, c->user_grad, half,
               false);
    kern->gemm(c->n_pairs, half, out, slope, out, 1, back + half, 2 * half, c->item_grad, half,
               false);
}

static void backward(const struct neumf *nm, const struct neumf_shape *s, struct neumf_chunk *c,
                     float *gradient)
{
    float *bias = gradient + s->at[NEUMF_OUTPUT_BIAS];

    for (int p = 0; p < c->n_pairs; p++)
        *bias += c->slopes[p];
    if (s->dim)
        backward_gmf(nm, s, c, gradient);
    if (s->half)
        backward_mlp(nm, s, c, gradient);
}

/* ---- steps ---- */

/* Ask for what steps of the row will touch; a chunk's worth of it would not stay in the cache from
 * when the rows were gathered. */
static void prefetch_step(const struct neumf *nm, const struct neumf_shape *s, int gmf, int mlp,
                          int32_t id)
{
    if (id == SAMPLER_NONE)
        return;
    if (s->dim)
        optim_prefetch(&nm->table[gmf], id);
    if (s->half)
        optim_prefetch(&nm->table[mlp], id);
}

/* An item for each of its pairs, one after the other. */
static void step_items(const struct neumf *nm, const struct neumf_shape *s,
                       const struct neumf_chunk *c, const struct learn *how, float lr)
{
    const struct kern *kern = kern_best();
    float negative = learn_l2_negative(how, 1, how->negatives);

    for (int r = 0; r < c->n_runs; r++)
        for (int p = c->begin[r]; p < c->begin[r + 1]; p++) {
            float l2 = (p - c->begin[r]) % (1 + how->negatives) ? negative : how->l2_positive;

            if (p + AHEAD < c->n_pairs)
                prefetch_step(nm, s, NEUMF_GMF_ITEMS, NEUMF_MLP_ITEMS, c->items[p + AHEAD]);
            if (c->items[p] == SAMPLER_NONE)
                continue;
            if (s->dim)
                optim_step(&nm->table[NEUMF_GMF_ITEMS], kern, c->items[p], c->queries + r * s->dim,
                           (struct kern_step){lr, c->slopes[p], l2});
            if (s->half)
                optim_step(&nm->table[NEUMF_MLP_ITEMS], kern, c->items[p],
                           c->item_grad + p * s->half, (struct kern_step){lr, 1, l2});
        }
}

/* A user once, for all of its pairs. */
static void step_users(const struct neumf *nm, const struct neumf_shape *s,
                       const struct neumf_chunk *c, const struct learn *how, float lr)
{
    const struct kern *kern = kern_best();

    for (int r = 0; r < c->n_runs; r++) {
        struct kern_step step = {lr, 1, how->l2_user * (float)c->counted[r]};

        if (r + AHEAD < c->n_runs)
            prefetch_step(nm, s, NEUMF_GMF_USERS, NEUMF_MLP_USERS, c->users[r + AHEAD]);
        if (c->counted[r] && s->dim)
            optim_step(&nm->table[NEUMF_GMF_USERS], kern, c->users[r], c->gmf_slopes + r * s->dim,
                       step);
        if (c->counted[r] && s->half)
            optim_step(&nm->table[NEUMF_MLP_USERS], kern, c->users[r], c->user_grad + r * s->half,
                       step);
    }
}

void neumf_learn(struct model *m, const struct cell *cell, double progress, struct tally *loss)
{
    struct neumf *nm = (struct neumf *)m;
    struct neumf_shape s = neumf_shape_of(m);
    struct learn how = LEARN_OF(neumf_opts_of(m));
    struct neumf_chunk *c = &nm->chunk[cell->worker];
    int n_dense = s.at[NEUMF_TENSORS], most = chunk_positives(neumf_opts_of(m));
    float *gradient = nm->gradients + (int64_t)cell->block * n_dense;
    float lr = (float)neumf_rate(m, progress);
    struct sampler sampler;

    memset(gradient, 0, (size_t)n_dense * sizeof *gradient);
    nm->counted[cell->block] = 0;
    if (cell->from == cell->to)
        return;
    sampler_init(&sampler, cell, how.future_negatives);
    rng_init(&sampler.rng, rng_key(cell->key, RNG_CELL, (uint64_t)cell->from, 0));
    for (int64_t k = cell->from; k < cell->to; k += most) {
        draw(nm, &s, c, &sampler, cell, k, (int)MIN(most, cell->to - k));
        gather_all(nm, &s, c);
        forward(nm, &s, c);
        nm->counted[cell->block] += lower(&how, c, loss);
        backward(nm, &s, c, gradient);
        step_items(nm, &s, c, &how, lr);
        step_users(nm, &s, c, &how, lr);
    }
}

/* ---- rounds ---- */

int64_t neumf_slice(const struct model *m, int n_blocks)
{
    return MAX(SLICE_MIN, neumf_opts_of(m)->batch_size / n_blocks);
}

void neumf_begin(struct model *m, int n_blocks, int n_workers)
{
    struct neumf *nm = (struct neumf *)m;
    struct neumf_shape s = neumf_shape_of(m);

    if (n_blocks != nm->n_blocks || n_workers != nm->n_workers)
        make_room(nm, &s, n_blocks, n_workers);
    transpose_layers(nm, &s);
}

/* The dense part goes down the gradient of the mean loss of the round's positives. */
void neumf_join(struct model *m, int n_blocks, double progress)
{
    const struct kern *kern = kern_best();
    struct neumf *nm = (struct neumf *)m;
    struct neumf_shape s = neumf_shape_of(m);
    int n_dense = s.at[NEUMF_TENSORS];
    struct kern_step step = {.lr = (float)neumf_rate(m, progress)};
    int64_t counted = 0;

    memset(nm->sum, 0, (size_t)n_dense * sizeof *nm->sum);
    for (int b = 0; b < n_blocks; b++) {
        kern->add_scaled(nm->sum, 1, nm->gradients + (int64_t)b * n_dense, n_dense);
        counted += nm->counted[b];
    }
    if (!counted)
        return;
    step.coef = 1 / (float)counted;
    for (int t = NEUMF_OUTPUT; t < NEUMF_TENSORS; t++)
        if (nm->data[t])
            optim_step(&nm->table[t], kern, 0, nm->sum + s.at[t], step);
    transpose_layers(nm, &s);
}

int neumf_joined(struct model *m, struct block_rows out[MODEL_JOINED_MAX])
{
    struct neumf *nm = (struct neumf *)m;
    size_t n_dense = (size_t)neumf_shape_of(m).at[NEUMF_TENSORS];

    out[0] = (struct block_rows){nm->gradients, n_dense * sizeof *nm->gradients};
    out[1] = (struct block_rows){nm->counted, sizeof *nm->counted};
    return 2;
}
