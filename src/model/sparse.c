#include "model/sparse.h"

#include "base/interrupt.h"
#include "base/progress.h"
#include "model/shares.h"

#include <math.h>
#include <omp.h>

/* ---- the matrix ---- */

/* Rows of `from` become columns; repeats stay. */
static void pattern_transpose(struct pattern *p, const struct interactions *from, int32_t n_rows,
                              int32_t n_cols)
{
    struct interactions turned;

    interactions_transpose(&turned, from, n_rows, n_cols);
    *p = (struct pattern){n_cols, turned.offsets, turned.items};
}

/* Leave one of equal ids that stand side by side. */
static void drop_repeats(struct pattern *p)
{
    int64_t left = 0, k = 0;

    for (int32_t r = 0; r < p->n_rows; r++) {
        int64_t begin = left;

        for (; k < p->begin[r + 1]; k++)
            if (left == begin || p->ids[left - 1] != p->ids[k])
                p->ids[left++] = p->ids[k];
        p->begin[r + 1] = left;
    }
}

void sparse_init(struct sparse *s, const struct interactions *train, int32_t n_users,
                 int32_t n_items)
{
    struct interactions once;

    pattern_transpose(&s->by_item, train, n_users, n_items);
    drop_repeats(&s->by_item);
    once = (struct interactions){s->by_item.begin, s->by_item.ids, NULL, s->by_item.begin[n_items]};
    pattern_transpose(&s->by_user, &once, n_items, n_users);
}

static void pattern_release(struct pattern *p)
{
    free(p->begin);
    free(p->ids);
    *p = (struct pattern){0};
}

void sparse_release(struct sparse *s)
{
    pattern_release(&s->by_user);
    pattern_release(&s->by_item);
}

void pattern_powers(const struct pattern *p, double power, float *out)
{
    for (int32_t r = 0; r < p->n_rows; r++) {
        int32_t degree = pattern_degree(p, r);

        out[r] = degree ? (float)pow(degree, power) : 0;
    }
}

/* ---- a row's largest ---- */

/* A weight and an id as one number: the smaller, the greater the weight, or equal and the id lower.
 * Weights are positive: their bits rise with them. */
static uint64_t key_of(float weight, int32_t id)
{
    uint32_t bits;

    memcpy(&bits, &weight, sizeof bits);
    return (uint64_t)~bits << 32 | (uint32_t)id;
}

static int32_t id_of(uint64_t key)
{
    return (int32_t)(key & 0xffffffffu);
}

static float weight_of(uint64_t key)
{
    uint32_t bits = ~(uint32_t)(key >> 32);
    float weight;

    memcpy(&weight, &bits, sizeof weight);
    return weight;
}

/* Into the heap of the `n` smallest, the largest on top, from place `at` down. */
static void sift(uint64_t *heap, int32_t n, int32_t at)
{
    uint64_t moved = heap[at];

    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] > heap[child])
            child++;
        if (heap[child] <= moved)
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

/* Bring the `width` smallest of n keys to the front, in any order. Returns how many there are. */
static int32_t select_keys(uint64_t *keys, int32_t n, int32_t width)
{
    if (n <= width)
        return n;
    for (int32_t at = width / 2 - 1; at >= 0; at--)
        sift(keys, width, at);
    for (int32_t k = width; k < n; k++)
        if (keys[k] < keys[0]) {
            keys[0] = keys[k];
            sift(keys, width, 0);
        }
    return width;
}

static int by_id(const void *a, const void *b)
{
    int32_t x = id_of(*(const uint64_t *)a), y = id_of(*(const uint64_t *)b);

    return (x > y) - (x < y);
}

/* ---- the product ---- */

/* One thread's: a row of the product, of which columns ids[0..n-1] were touched. */
struct row {
    float *sums;    /* (n_items) 0 between two rows */
    uint8_t *there; /* (n_items) likewise */
    int32_t *ids;   /* (n_items + 1) */
    float *values;  /* (n_items) */
    uint64_t *keys; /* (n_items) */
    int32_t n;
};

static void row_init(struct row *r, int32_t n_items)
{
    *r = (struct row){.sums = xcalloc((size_t)n_items, sizeof *r->sums),
                      .there = xcalloc((size_t)n_items, sizeof *r->there),
                      .ids = xmalloc((size_t)n_items + 1, sizeof *r->ids),
                      .values = xmalloc((size_t)n_items, sizeof *r->values),
                      .keys = xmalloc((size_t)n_items, sizeof *r->keys)};
}

static void row_release(struct row *r)
{
    free(r->sums);
    free(r->there);
    free(r->ids);
    free(r->values);
    free(r->keys);
}

static void row_add(struct row *r, int32_t id, float x)
{
    r->sums[id] += x;
    r->ids[r->n] = id; /* stays only if it's new */
    r->n += !r->there[id];
    r->there[id] = 1;
}

/* The sums become values, and the row is empty for the next. */
static void row_take(struct row *r)
{
    for (int32_t k = 0; k < r->n; k++) {
        r->values[k] = r->sums[r->ids[k]];
        r->sums[r->ids[k]] = 0;
        r->there[r->ids[k]] = 0;
    }
}

/* The row's largest values, ascending by id; ids, weights (width). */
static void row_keep(struct row *r, int32_t i, int32_t width, int32_t *ids, float *weights)
{
    int32_t n = 0;

    for (int32_t k = 0; k < r->n; k++)
        if (r->values[k] > 0 && r->ids[k] != i)
            r->keys[n++] = key_of(r->values[k], r->ids[k]);
    n = select_keys(r->keys, n, width);
    qsort(r->keys, (size_t)n, sizeof *r->keys, by_id);
    for (int32_t k = 0; k < width; k++) {
        ids[k] = k < n ? id_of(r->keys[k]) : -1;
        weights[k] = k < n ? weight_of(r->keys[k]) : 0;
    }
}

static void multiply(const struct sparse *s, const float *user_weight, int32_t i, struct row *r)
{
    for (int64_t k = s->by_item.begin[i]; k < s->by_item.begin[i + 1]; k++) {
        int32_t u = s->by_item.ids[k];
        float w = user_weight ? user_weight[u] : 1;

        for (int64_t h = s->by_user.begin[u]; h < s->by_user.begin[u + 1]; h++)
            row_add(r, s->by_user.ids[h], w);
    }
}

static void neighbors_init(struct neighbors *n, int32_t n_items, int32_t width)
{
    size_t size = MAX((size_t)n_items * (size_t)width, 1);

    *n = (struct neighbors){n_items, width, xaligned(size, sizeof(int32_t)),
                            xaligned(size, sizeof(float))};
}

void neighbors_release(struct neighbors *n)
{
    free(n->ids);
    free(n->weights);
    *n = (struct neighbors){0};
}

/* Fill r's ids and values with row i. Called from many threads at once. */
typedef void fill_fn(const void *of, int32_t i, struct row *r);

/* Allocate `out`, and keep the largest of each row. share: shares_of the rows. */
static bool make_neighbors(const char *what, int32_t n_items, int32_t width, const int64_t *share,
                           fill_fn *fill, const void *of, struct neighbors *out, struct err *err)
{
    int32_t begin = (int32_t)share[comm_rank()], end = (int32_t)share[comm_rank() + 1];
    AUTO(progress) bar = {0};

    neighbors_init(out, n_items, width);
    progress_init(&bar, what, "items", end - begin);
#pragma omp parallel
    {
        struct row r;

        row_init(&r, n_items);
#pragma omp for schedule(dynamic, 16)
        for (int32_t i = begin; i < end; i++) {
            if (interrupt_signal())
                continue;
            r.n = 0;
            fill(of, i, &r);
            row_keep(&r, i, width, out->ids + (int64_t)i * width,
                     out->weights + (int64_t)i * width);
            if (omp_get_thread_num() == 0)
                progress_update(&bar, i - begin, NULL);
        }
        row_release(&r);
    }
    shares_gather(out->ids, width * (int64_t)sizeof *out->ids, share);
    shares_gather(out->weights, width * (int64_t)sizeof *out->weights, share);
    return shares_go_on(err);
}

struct product {
    const struct sparse *s;
    const float *user_weight;
    weigh_fn *weigh;
    const void *of;
};

static void fill_product(const void *of, int32_t i, struct row *r)
{
    const struct product *p = of;

    multiply(p->s, p->user_weight, i, r);
    row_take(r);
    p->weigh(p->of, i, r->ids, r->n, r->values);
}

bool sparse_neighbors(const struct sparse *s, const float *user_weight, int32_t width,
                      weigh_fn *weigh, const void *of, struct neighbors *out, struct err *err)
{
    struct product p = {s, user_weight, weigh, of};
    AUTO_FREE int64_t *share = shares_of(s->by_item.begin, s->by_item.n_rows);

    return make_neighbors("fit", s->by_item.n_rows, width, share, fill_product, &p, out, err);
}

/* ---- sharpened ---- */

/* weight times row i of `n` */
static void add_neighbors(struct row *r, const struct neighbors *n, int32_t i, float weight)
{
    const int32_t *ids = n->ids + (int64_t)i * n->width;
    const float *weights = n->weights + (int64_t)i * n->width;

    for (int32_t k = 0; k < n->width && ids[k] >= 0; k++)
        row_add(r, ids[k], weight * weights[k]);
}

struct sharpening {
    const struct neighbors *a, *p;
    float t;
};

static void fill_sharpened(const void *of, int32_t i, struct row *r)
{
    const struct sharpening *s = of;
    int64_t first = (int64_t)i * s->p->width;

    add_neighbors(r, s->a, i, 1);
    for (int32_t k = 0; k < s->p->width && s->p->ids[first + k] >= 0; k++)
        add_neighbors(r, s->a, s->p->ids[first + k], -s->t * s->p->weights[first + k]);
    row_take(r);
}

bool neighbors_sharpen(const struct neighbors *a, const struct neighbors *p, float t,
                       struct neighbors *out, struct err *err)
{
    struct sharpening s = {a, p, t};
    AUTO_FREE int64_t *share = shares_of(NULL, a->n_items);

    return make_neighbors("sharpen", a->n_items, a->width, share, fill_sharpened, &s, out, err);
}

/* ---- the other way round ---- */

void votes_init(struct votes *v, const struct neighbors *n)
{
    int64_t all = (int64_t)n->n_items * n->width, total;

    v->begin = xcalloc((size_t)n->n_items + 1, sizeof *v->begin);
    for (int64_t k = 0; k < all; k++)
        if (n->ids[k] >= 0)
            v->begin[n->ids[k] + 1]++;
    for (int32_t j = 0; j < n->n_items; j++)
        v->begin[j + 1] += v->begin[j];
    total = v->begin[n->n_items];
    v->ids = xmalloc((size_t)MAX(total, 1), sizeof *v->ids);
    v->weights = xmalloc((size_t)MAX(total, 1), sizeof *v->weights);
    for (int64_t k = 0; k < all; k++)
        if (n->ids[k] >= 0) {
            int64_t at = v->begin[n->ids[k]]++;

            v->ids[at] = (int32_t)(k / n->width);
            v->weights[at] = n->weights[k];
        }
    memmove(v->begin + 1, v->begin, (size_t)n->n_items * sizeof *v->begin);
    v->begin[0] = 0;
}

void votes_release(struct votes *v)
{
    free(v->begin);
    free(v->ids);
    free(v->weights);
    *v = (struct votes){0};
}

int32_t history_once(const struct query *q, int32_t **once)
{
    *once = xmalloc((size_t)MAX(q->n_history, 1), sizeof **once);
    if (q->n_history)
        memcpy(*once, q->history, (size_t)q->n_history * sizeof **once);
    return sort_unique(*once, q->n_history);
}

void votes_count(const struct votes *v, const struct query *q, int32_t n_items, float *out)
{
    AUTO_FREE int32_t *once = NULL;
    int32_t n = history_once(q, &once);

    memset(out, 0, (size_t)n_items * sizeof *out);
    for (int32_t h = 0; h < n; h++)
        for (int64_t k = v->begin[once[h]]; k < v->begin[once[h] + 1]; k++)
            out[v->ids[k]] += v->weights[k];
}
