/* finder.c - a query x and an item y are bytes times a scale, and what is left over:
 *
 *     x = sx bx + ex,  y = sy by + ey:   x.y <= sx sy (bx.by) + |x - ex| |ey| + |ex| |y|
 *
 * by Cauchy and Schwarz. A score is a sum of 32-bit floats, which is off by dim roundings of
 * |x| |y| at most; that much is added. */
#include "model/finder.h"

#include "kern/kern.h"

#include <math.h>

enum { BLOCK = 256, FIRST_BLOCK = 32, BYTES_ALIGN = 32 };

struct finder {
    const struct model *m;
    struct item_vectors items;     /* rows NULL: scores are no products */
    int dim, width;                /* with the bias; in bytes */
    int32_t *order;                /* (n) items, the longest first */
    int8_t *bytes;                 /* (n, width) */
    float *scale, *error, *length; /* (n) sy, |ey|, |y|; the latter two not too small */
    float slack;                   /* roundings, as a part of |x| |y| */
};

/* ---- the items ---- */

/* Item i's vector, with its bias behind. */
static void copy_vector(const struct finder *f, int32_t i, float *out)
{
    const struct item_vectors *v = &f->items;
    const float *row = v->rows + (int64_t)i * v->dim;
    float squares = kern_best()->dot(row, row, v->dim);

    kern_best()->scaled(out, v->unit && squares > 0 ? 1 / sqrtf(squares) : 1, row, v->dim);
    if (v->bias)
        out[v->dim] = v->bias[i];
}

/* A little more than the root: sums of squares may be too small by their roundings. */
static float length_of(const float *x, int n)
{
    double squares = 0;

    for (int k = 0; k < n; k++)
        squares += (double)x[k] * (double)x[k];
    return (float)(sqrt(squares) * (1 + 1e-6));
}

/* x as bytes; returns the scale. left: what they leave over. */
static float quantise(const float *x, int dim, int width, int8_t *bytes, float *left)
{
    float most = 0, scale, inverse;

    for (int k = 0; k < dim; k++)
        most = MAX(most, fabsf(x[k]));
    scale = most / 127;
    inverse = scale > 0 ? 1 / scale : 0;
    if (!isfinite(inverse)) /* too small to be told from nothing: all is left over */
        scale = inverse = 0;
    for (int k = 0; k < dim; k++) {
        float step = x[k] * inverse;
        int whole = (int)(step + (step < 0 ? -0.5f : 0.5f));

        bytes[k] = (int8_t)MIN(127, MAX(-127, whole));
        left[k] = x[k] - scale * (float)bytes[k];
    }
    memset(bytes + dim, 0, (size_t)(width - dim));
    return scale;
}

struct long_item {
    float length;
    int32_t item;
};

static int by_length(const void *a, const void *b)
{
    const struct long_item *x = a, *y = b;

    if (x->length != y->length)
        return x->length < y->length ? 1 : -1;
    return (x->item > y->item) - (x->item < y->item);
}

static struct long_item *sort_items(const struct finder *f)
{
    int32_t n = f->m->n_items;
    struct long_item *items = xcalloc((size_t)MAX(n, 1), sizeof *items);

#pragma omp parallel
    {
        AUTO_FREE float *vector = xaligned((size_t)f->dim, sizeof *vector);

#pragma omp for
        for (int32_t i = 0; i < n; i++) {
            copy_vector(f, i, vector);
            items[i] = (struct long_item){length_of(vector, f->dim), i};
        }
    }
    qsort(items, (size_t)n, sizeof *items, by_length);
    return items;
}

static void fill(struct finder *f)
{
    int32_t n = f->m->n_items;
    AUTO_FREE struct long_item *sorted = sort_items(f);

    f->order = xcalloc((size_t)MAX(n, 1), sizeof *f->order);
    f->bytes = xaligned((size_t)n * (size_t)f->width + BYTES_ALIGN, 1);
    f->scale = xaligned((size_t)n, sizeof *f->scale);
    f->error = xaligned((size_t)n, sizeof *f->error);
    f->length = xaligned((size_t)n, sizeof *f->length);
#pragma omp parallel
    {
        AUTO_FREE float *vector = xaligned((size_t)f->dim, sizeof *vector);
        AUTO_FREE float *left = xaligned((size_t)f->dim, sizeof *left);

#pragma omp for
        for (int32_t at = 0; at < n; at++) {
            f->order[at] = sorted[at].item;
            f->length[at] = sorted[at].length;
            copy_vector(f, sorted[at].item, vector);
            f->scale[at] =
                quantise(vector, f->dim, f->width, f->bytes + (int64_t)at * f->width, left);
            f->error[at] = length_of(left, f->dim);
        }
    }
}

struct finder *finder_new(const struct model *m)
{
    struct finder *f = xcalloc(1, sizeof *f);

    f->m = m;
    if (!m->ops->vectors || !m->ops->vectors(m, &f->items)) {
        f->items.rows = NULL;
        return f;
    }
    f->dim = f->items.dim + (f->items.bias != NULL);
    f->width = (f->dim + BYTES_ALIGN - 1) / BYTES_ALIGN * BYTES_ALIGN;
    f->slack = (float)(f->dim + 8) * 0x1p-22f;
    fill(f);
    return f;
}

void finder_free(struct finder *f)
{
    if (!f)
        return;
    free(f->order);
    free(f->bytes);
    free(f->scale);
    free(f->error);
    free(f->length);
    free(f);
}

bool finder_is_fast(const struct finder *f)
{
    return f->items.rows != NULL;
}

/* ---- a thread's room ---- */

void finder_room_init(struct finder_room *r, const struct finder *f)
{
    *r = (struct finder_room){
        .state = model_state(f->m, 1),
        .scores = xaligned(BLOCK, sizeof *r->scores),
        .dots = xaligned(BLOCK, sizeof *r->dots),
        .found = xcalloc(BLOCK, sizeof *r->found),
        .vector = xaligned((size_t)f->width + 1, sizeof *r->vector),
        .left = xaligned((size_t)f->width + 1, sizeof *r->left),
        .bytes = xaligned((size_t)f->width + BYTES_ALIGN, 1),
        .left_out = xcalloc((size_t)MAX(f->m->n_items, 1), 1),
    };
}

void finder_room_release(struct finder_room *r)
{
    free(r->state);
    free(r->scores);
    free(r->dots);
    free(r->found);
    free(r->vector);
    free(r->left);
    free(r->bytes);
    free(r->left_out);
    *r = (struct finder_room){0};
}

int64_t finder_scored(const struct finder_room *r)
{
    return r->scored;
}

void finder_mark(struct finder_room *r, const struct finder_query *q, bool as)
{
    for (int32_t h = 0; q->exclude_seen && h < q->q.n_history; h++)
        r->left_out[q->q.history[h]] = as;
    for (int e = 0; e < q->n_exclude; e++)
        r->left_out[q->exclude[e]] = as;
}

bool finder_lists(const struct finder_room *r, const struct finder_query *q, int32_t item)
{
    return !r->left_out[item] && (!q->among || (q->among[item / 64] >> (item % 64) & 1));
}

/* ---- searching ---- */

/* The list so far: a heap, the worst on top. */
struct list {
    struct hit *hits;
    int n, k;
};

static void consider(struct list *l, struct hit h)
{
    if (!(h.score > -INFINITY))
        return;
    if (l->n < l->k)
        hits_push(l->hits, &l->n, h);
    else if (hit_worse(l->hits[0], h))
        hits_replace(l->hits, l->n, h);
}

/* What an item must reach to be listed. */
static float limit_of(const struct list *l)
{
    return l->n < l->k ? -INFINITY : l->hits[0].score;
}

static void scan_all(const struct finder *f, struct finder_room *r, const struct finder_query *q,
                     struct list *l)
{
    const struct model *m = f->m;

    for (int32_t first = 0; first < m->n_items; first += BLOCK) {
        int32_t count = MIN(BLOCK, m->n_items - first);

        m->ops->score(m, &q->q, 1, r->state, first, count, r->scores);
        for (int32_t c = 0; c < count; c++)
            if (r->scores[c] >= limit_of(l) && finder_lists(r, q, first + c))
                consider(l, (struct hit){first + c, r->scores[c]});
    }
    r->scored += m->n_items;
}

/* Places in a block become items, those that may be listed; returns how many. */
static int listed_of(const struct finder *f, struct finder_room *r, const struct finder_query *q,
                     int32_t first, int n)
{
    int n_listed = 0;

    for (int k = 0; k < n; k++) {
        int32_t item = f->order[first + r->found[k]];

        if (finder_lists(r, q, item))
            r->found[n_listed++] = item;
    }
    return n_listed;
}

/* r->scores[k] of the items r->found[k], to the bits that the model's score() gives. */
static void score_exactly(const struct finder *f, struct finder_room *r, int n)
{
    const struct item_vectors *v = &f->items;
    const struct kern *kern = kern_best();

    kern->picked_scores(r->state, v->rows, r->found, n, v->dim, r->scores);
    for (int k = 0; v->unit && k < n; k++) {
        const float *row = v->rows + (int64_t)r->found[k] * v->dim;
        float squares = kern->dot(row, row, v->dim);

        r->scores[k] *= squares > 0 ? 1 / __builtin_sqrtf(squares) : 0;
    }
    for (int k = 0; v->bias && k < n; k++)
        r->scores[k] += v->bias[r->found[k]];
    r->scored += n;
}

/* Those of the block that may reach the limit, exactly. */
static void look_at_block(const struct finder *f, struct finder_room *r,
                          const struct finder_query *q, int32_t first, int32_t count,
                          struct kern_bound bound, struct list *l)
{
    int n;

    bound.limit = limit_of(l);
    kern_best()->byte_dots(r->bytes, f->bytes + (int64_t)first * f->width, count, f->width,
                           r->dots);
    n = kern_best()->reaching(r->dots, f->scale + first, f->error + first, f->length + first, count,
                              bound, r->found);
    n = listed_of(f, r, q, first, n);
    score_exactly(f, r, n);
    for (int k = 0; k < n; k++)
        consider(l, (struct hit){r->found[k], r->scores[k]});
}

static void scan_longest(const struct finder *f, struct finder_room *r,
                         const struct finder_query *q, struct list *l)
{
    struct kern_bound bound = {0};
    float length, left;
    int32_t block;

    memcpy(r->vector, r->state, (size_t)f->items.dim * sizeof *r->vector);
    if (f->items.bias)
        r->vector[f->items.dim] = 1;
    length = length_of(r->vector, f->dim);
    bound.scale = quantise(r->vector, f->dim, f->width, r->bytes, r->left);
    left = length_of(r->left, f->dim);
    bound.error = length + left; /* at least |x - ex| */
    bound.length = left + f->slack * length;
    block = FIRST_BLOCK; /* limits are to come soon */
    for (int32_t first = 0; first < f->m->n_items; block = MIN(2 * block, BLOCK)) {
        int32_t count = MIN(block, f->m->n_items - first);

        if (l->n == l->k && f->length[first] * length * (1 + 2 * f->slack) < limit_of(l))
            return; /* what follows is shorter */
        look_at_block(f, r, q, first, count, bound, l);
        first += count;
    }
}

int finder_find(const struct finder *f, struct finder_room *r, const struct finder_query *q,
                struct hit *out)
{
    struct list l = {out, 0, q->k};

    assert(q->k >= 1 && q->k <= TOPK_MAX);
    r->scored = 0;
    model_prepare(f->m, &q->q, 1, r->state);
    finder_mark(r, q, true);
    if (finder_is_fast(f))
        scan_longest(f, r, q, &l);
    else
        scan_all(f, r, q, &l);
    finder_mark(r, q, false);
    hits_sort(out, l.n);
    return l.n;
}
