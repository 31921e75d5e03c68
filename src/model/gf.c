/* gf.c - graph filtering: gram's filter over items that share users, and a low-pass filter that
 * keeps what the matrix is made of in the large. With V (n_items, dim) the first right singular
 * vectors of D_u^-L R D_i^-L,
 *
 *     score = h (P / rho + alpha D_i^-L V V' D_i^L)     h (n_items): 1 where the history is
 *
 * P is gram's matrix (gram.c), cut at `neighbors`; rho its Rayleigh quotient at d(i)^1/2, which is
 * 1 for a whole P of U = 1, A = B = 1/2: so alpha means the same by any powers. Source: Shen et
 * al., "How Powerful is Graph Convolution for Recommendation?", CIKM 2021 (GF-CF: those powers, L =
 * 1/2, no cut).
 *
 * Sharpened, in N steps, each s <- s - T/N s P / rho with the same P: Choi et al., "Blurring-
 * Sharpening Process Models for Collaborative Filtering", SIGIR 2023. The steps are taken at fit,
 * on both filters; the first one is cut at `neighbors` after each. */
#include "model/gram.h"
#include "model/lowrank.h"

#include "kern/kern.h"

#include <math.h>

#define GF_OPTIONS(X, S)                                                                           \
    GRAM_OPTIONS(X, S)                                                                             \
    X(S, int, dim, 256, 1, 4096, "K", "how many singular vectors the low-pass filter keeps")       \
    X(S, double, alpha, 0.3, 0, 1e6, "W",                                                          \
      "weight of the low-pass filter beside the other one's 1")                                    \
    X(S, double, low_pass_power, 0.33, 0, 2, "L",                                                  \
      "the singular vectors are those of rows over (degrees of user and item)^L")                  \
    X(S, double, sharpening, 0, 0, 10, "T",                                                        \
      "then take T times what P makes of the scores away from them; 0 is not at all")              \
    X(S, int, sharpening_steps, 1, 1, 100, "N", "in so many steps, of T / N each")

OPT_DEFINE(gf_opts, GF_OPTIONS);

enum { ITERATIONS = 3 };

struct gf {
    struct itembased base; /* P / rho, sharpened */
    float *sources;        /* (n_items, dim) D_i^L V; NULL: as items */
    float *scale;          /* (n_items) alpha d(i)^-2L: makes alpha D_i^-L V of it */
    float *items;          /* (n_items, dim) D_i^L V, sharpened */
};

static const struct gf_opts *opts_of(const struct model *m)
{
    return m->options;
}

static struct gf *gf_of(struct model *m)
{
    return (struct gf *)m;
}

static int gf_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    int n = itembased_tensors(m, opts_of(m)->neighbors, out);

    out[n] = tensor_floats("item_factor.weight", m->n_items, opts_of(m)->dim, gf_of(m)->items);
    out[n + 1] = tensor_floats("item_scale", m->n_items, 1, gf_of(m)->scale);
    if (opts_of(m)->sharpening == 0)
        return n + 2;
    out[n + 2] =
        tensor_floats("source_factor.weight", m->n_items, opts_of(m)->dim, gf_of(m)->sources);
    return n + 3;
}

static void gf_adopt(struct model *m, const struct tensor *t)
{
    itembased_adopt(m, t);
    gf_of(m)->items = t[2].data;
    gf_of(m)->scale = t[3].data;
    gf_of(m)->sources = opts_of(m)->sharpening == 0 ? NULL : t[4].data;
}

static void divide_by_quotient(const struct pattern *by_item, struct neighbors *near)
{
    double above = 0, below = 0;

    for (int32_t i = 0; i < near->n_items; i++) {
        double row = 0;

        for (int32_t k = 0; k < near->width; k++) {
            int64_t at = (int64_t)i * near->width + k;

            if (near->ids[at] >= 0)
                row += (double)near->weights[at] * sqrt(pattern_degree(by_item, near->ids[at]));
        }
        above += row * sqrt(pattern_degree(by_item, i));
        below += pattern_degree(by_item, i);
    }
    for (int64_t k = 0; above > 0 && k < (int64_t)near->n_items * near->width; k++)
        near->weights[k] *= (float)(below / above);
}

static bool find_factors(struct model *m, const struct sparse *s, struct err *err)
{
    struct gf *gf = gf_of(m);
    const struct gf_opts *o = opts_of(m);
    AUTO_FREE float *values = xcalloc((size_t)o->dim, sizeof *values);
    AUTO_FREE float *user = xmalloc((size_t)MAX(m->n_users, 1), sizeof *user);
    AUTO_FREE float *item = xmalloc((size_t)MAX(m->n_items, 1), sizeof *item);
    struct interactions once = {s->by_user.begin, s->by_user.ids, NULL,
                                s->by_user.begin[m->n_users]};
    struct lowrank_plan plan = {o->dim, ITERATIONS, user, item, m->seed};

    gf->items = xaligned((size_t)m->n_items * (size_t)o->dim, sizeof(float));
    gf->scale = xaligned((size_t)m->n_items, sizeof(float));
    pattern_powers(&s->by_user, -o->low_pass_power, user);
    pattern_powers(&s->by_item, -o->low_pass_power, item);
    if (!lowrank_items(&once, m->n_users, m->n_items, &plan, values, gf->items, err))
        return false;
    for (int32_t i = 0; i < m->n_items; i++) {
        float *row = gf->items + (int64_t)i * o->dim;

        kern_best()->scaled(row, item[i] > 0 ? 1 / item[i] : 0, row, o->dim);
        gf->scale[i] = (float)o->alpha * item[i] * item[i];
    }
    return true;
}

/* items less t P times items; `from` (n_items, dim) is room for what they were. */
static void sharpen_factors(struct gf *gf, const struct neighbors *p, int dim, float t, float *from)
{
    size_t row = (size_t)dim * sizeof *from;

    memcpy(from, gf->items, (size_t)p->n_items * row);
#pragma omp parallel for schedule(dynamic, 64)
    for (int32_t i = 0; i < p->n_items; i++)
        for (int64_t k = (int64_t)i * p->width; k < ((int64_t)i + 1) * p->width; k++)
            if (p->ids[k] >= 0)
                kern_best()->add_scaled(gf->items + (int64_t)i * dim, -t * p->weights[k],
                                        from + (int64_t)p->ids[k] * dim, dim);
}

static bool sharpen(struct model *m, struct err *err)
{
    const struct gf_opts *o = opts_of(m);
    struct gf *gf = gf_of(m);
    size_t size = (size_t)m->n_items * (size_t)o->dim;
    float t = (float)(o->sharpening / o->sharpening_steps);
    AUTO_FREE float *from = xaligned(size, sizeof *from);
    struct neighbors p = gf->base.near, now = p;
    bool ok = true;

    gf->sources = xaligned(size, sizeof *gf->sources);
    memcpy(gf->sources, gf->items, size * sizeof *gf->sources);
    for (int i = 0; ok && i < o->sharpening_steps; i++) {
        struct neighbors before = now;

        sharpen_factors(gf, &p, o->dim, t, from);
        ok = neighbors_sharpen(&before, &p, t, &now, err);
        if (i)
            neighbors_release(&before);
    }
    neighbors_release(&p);
    gf->base.near = now;
    return ok;
}

static bool gf_fit(struct model *m, const struct interactions *train, struct err *err)
{
    const struct gf_opts *o = opts_of(m);
    const struct gram_opts gram = {o->user_power, o->source_power, o->item_power, o->power,
                                   o->neighbors};
    AUTO(sparse) s = {0};

    sparse_init(&s, train, m->n_users, m->n_items);
    if (!gram_neighbors(m, &s, &gram, &gf_of(m)->base.near, err) || !find_factors(m, &s, err))
        return false;
    divide_by_quotient(&s.by_item, &gf_of(m)->base.near);
    if (o->sharpening > 0 && !sharpen(m, err))
        return false;
    votes_init(&gf_of(m)->base.votes, &gf_of(m)->base.near);
    return true;
}

static int64_t gf_state(const struct model *m)
{
    return m->n_items + opts_of(m)->dim;
}

/* First what P gives each item (n, n_items), then the queries' vectors (n, dim). */
static void gf_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    const struct gf *gf = (const struct gf *)m;
    int dim = opts_of(m)->dim;
    float *vectors = state + (int64_t)n * m->n_items;

    itembased_prepare(m, q, n, state);
    for (int r = 0; r < n; r++) {
        AUTO_FREE int32_t *once = NULL;
        int32_t n_once = history_once(&q[r], &once);

        kern_best()->sum_rows(gf->sources ? gf->sources : gf->items, once, n_once, gf->scale, dim,
                              vectors + (int64_t)r * dim);
    }
}

static void gf_score(const struct model *m, const struct query *, int n_queries, const float *state,
                     int32_t first, int32_t n, float *out)
{
    int dim = opts_of(m)->dim;

    kern_best()->scores(state + (int64_t)n_queries * m->n_items, n_queries,
                        ((const struct gf *)m)->items + (int64_t)first * dim, n, dim, out);
    for (int r = 0; r < n_queries; r++)
        for (int32_t c = 0; c < n; c++)
            out[(int64_t)c * n_queries + r] += state[(int64_t)r * m->n_items + first + c];
}

static bool gf_vectors(const struct model *m, struct item_vectors *out)
{
    *out = (struct item_vectors){
        .rows = ((const struct gf *)m)->items, .dim = opts_of(m)->dim, .extras = true};
    return true;
}

static void gf_release(struct model *m)
{
    itembased_release(m);
    free(gf_of(m)->items);
    free(gf_of(m)->scale);
    free(gf_of(m)->sources);
}

const struct model_ops model_gf = {
    .name = "gf",
    .summary = "graph filtering: gram, and the first singular vectors",
    .options = gf_opts_table,
    .defaults = &gf_opts_default,
    .options_size = sizeof(struct gf_opts),
    .size = sizeof(struct gf),
    .tensors = gf_tensors,
    .adopt = gf_adopt,
    .forget = itembased_forget,
    .fit = gf_fit,
    .serves = itembased_serves,
    .state = gf_state,
    .prepare = gf_prepare,
    .score = gf_score,
    .vectors = gf_vectors,
    .release = gf_release,
};
