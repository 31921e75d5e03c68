#include "model/topk.h"

#include "kern/kern.h"

#include <math.h>

/* A block's items and scores stay in the second cache; limits are renewed after a piece of it. */
enum { ITEMS_A_BLOCK = 512, ITEMS_A_PIECE = 32 };

static void sift_down(struct hit *heap, int n, int at)
{
    struct hit moved = heap[at];

    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && hit_worse(heap[child + 1], heap[child]))
            child++;
        if (!hit_worse(heap[child], moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void sift_up(struct hit *heap, int at)
{
    struct hit moved = heap[at];

    while (at && hit_worse(moved, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

void hits_push(struct hit *heap, int *n, struct hit h)
{
    heap[*n] = h;
    sift_up(heap, (*n)++);
}

void hits_replace(struct hit *heap, int n, struct hit h)
{
    heap[0] = h;
    sift_down(heap, n, 0);
}

/* Take an item that belongs there into the heap of the k best, worst on top. Returns the score that
 * the next must beat: items come in rising order, so that one that equals the worst stays out. */
static float keep(struct hit *heap, int *n, int k, struct hit h)
{
    if (*n < k)
        hits_push(heap, n, h);
    else
        hits_replace(heap, k, h);
    return *n < k ? -INFINITY : heap[0].score;
}

void hits_sort(struct hit *heap, int n)
{
    for (int end = n - 1; end > 0; end--) {
        struct hit worst = heap[0];

        heap[0] = heap[end];
        sift_down(heap, end, 0);
        heap[end] = worst;
    }
}

int topk_best(const float *scores, int32_t n, int k, struct hit *out)
{
    float limit = -INFINITY;
    int n_out = 0;

    for (int32_t i = 0; i < n; i++)
        if (scores[i] > limit)
            limit = keep(out, &n_out, k, (struct hit){i, scores[i]});
    hits_sort(out, n_out);
    return n_out;
}

static int n_blocks_of(const struct model *m)
{
    return (m->n_items + ITEMS_A_BLOCK - 1) / ITEMS_A_BLOCK;
}

void topk_init(struct topk *t, const struct model *m, int n_max)
{
    assert(n_max >= 1 && n_max <= TOPK_QUERIES);
    *t = (struct topk){
        .m = m,
        .n_max = n_max,
        .state = model_state(m, n_max),
        .scores = xaligned((size_t)ITEMS_A_BLOCK * (size_t)n_max, sizeof(float)),
        .found = xcalloc((size_t)ITEMS_A_PIECE * (size_t)n_max, sizeof(int32_t)),
        .begin = xcalloc((size_t)n_blocks_of(m) + 1, sizeof(int64_t)),
    };
}

void topk_release(struct topk *t)
{
    free(t->state);
    free(t->scores);
    free(t->found);
    free(t->begin);
    free(t->taken);
    *t = (struct topk){0};
}

/* Sort what the queries took by blocks of items, by counting: begin[b] .. begin[b + 1] - 1 of taken
 * are the places of block b's scores. */
static void sort_taken(struct topk *t, const struct query *q, int n)
{
    int n_blocks = n_blocks_of(t->m);
    int64_t total = 0;

    memset(t->begin, 0, ((size_t)n_blocks + 1) * sizeof *t->begin);
    for (int r = 0; r < n; r++)
        total += q[r].n_history;
    if (total > t->taken_cap) {
        t->taken_cap = total;
        t->taken = xrealloc(t->taken, (size_t)total, sizeof *t->taken);
    }
    for (int r = 0; r < n; r++)
        for (int32_t h = 0; h < q[r].n_history; h++)
            t->begin[q[r].history[h] / ITEMS_A_BLOCK + 1]++;
    for (int b = 0; b < n_blocks; b++)
        t->begin[b + 1] += t->begin[b];
    for (int r = 0; r < n; r++)
        for (int32_t h = 0; h < q[r].n_history; h++) {
            int32_t item = q[r].history[h];

            t->taken[t->begin[item / ITEMS_A_BLOCK]++] = (int64_t)(item % ITEMS_A_BLOCK) * n + r;
        }
    memmove(t->begin + 1, t->begin, (size_t)n_blocks * sizeof *t->begin);
    t->begin[0] = 0;
}

/* The scores (count, n) of the items from `first`: those that beat the n limits into the heaps. */
static void keep_best(struct topk *t, int32_t first, int count, int n, int k, float *limits,
                      struct hit *out, int *n_out)
{
    for (int c = 0; c < count; c += ITEMS_A_PIECE) {
        const float *scores = t->scores + (int64_t)c * n;
        int n_found =
            kern_best()->above(scores, MIN(ITEMS_A_PIECE, count - c), n, limits, t->found);

        for (int f = 0; f < n_found; f++) {
            int r = t->found[f] % n;
            struct hit h = {first + c + t->found[f] / n, scores[t->found[f]]};

            if (h.score > limits[r])
                limits[r] = keep(out + (int64_t)r * k, &n_out[r], k, h);
        }
    }
}

void topk_find(struct topk *t, const struct query *q, int n, int k, bool leave_out, struct hit *out,
               int *n_out)
{
    const struct model *m = t->m;
    float limits[TOPK_QUERIES];

    assert(n >= 1 && n <= t->n_max && k >= 1 && k <= TOPK_MAX);
    for (int r = 0; r < n; r++) {
        n_out[r] = 0;
        limits[r] = -INFINITY;
    }
    model_prepare(m, q, n, t->state);
    if (leave_out)
        sort_taken(t, q, n);
    for (int32_t first = 0; first < m->n_items; first += ITEMS_A_BLOCK) {
        int count = MIN(ITEMS_A_BLOCK, m->n_items - first), b = first / ITEMS_A_BLOCK;

        m->ops->score(m, q, n, t->state, first, count, t->scores);
        for (int64_t i = t->begin[b]; leave_out && i < t->begin[b + 1]; i++)
            t->scores[t->taken[i]] = -INFINITY;
        keep_best(t, first, count, n, k, limits, out, n_out);
    }
    for (int r = 0; r < n; r++)
        hits_sort(out + (int64_t)r * k, n_out[r]);
}
