#include "model/topk.h"

#include "kern/kern.h"

#include <math.h>

enum { ITEMS_A_BLOCK = 1024, ITEMS_A_LOOK = 64 };

static bool worse(struct hit a, struct hit b)
{
    return a.score < b.score || (a.score == b.score && a.item > b.item);
}

static void sift_down(struct hit *heap, int n, int at)
{
    struct hit moved = heap[at];

    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && worse(heap[child + 1], heap[child]))
            child++;
        if (!worse(heap[child], moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void sift_up(struct hit *heap, int at)
{
    struct hit moved = heap[at];

    while (at && worse(moved, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

/* Take item into the heap of the k best, worst on top. Items come in rising order, so that one that
 * equals the worst stays out. Returns the score that the next must beat. */
static float keep(struct hit *heap, int *n, int k, struct hit h)
{
    if (*n < k) {
        heap[*n] = h;
        sift_up(heap, (*n)++);
    } else {
        heap[0] = h;
        sift_down(heap, k, 0);
    }
    return *n < k ? -INFINITY : heap[0].score;
}

static void keep_best(const float *scores, int32_t first, int32_t count, struct hit *heap, int *n,
                      int k)
{
    const struct kern *kern = kern_best();
    float limit = *n < k ? -INFINITY : heap[0].score;

    for (int32_t look = 0; look < count; look += ITEMS_A_LOOK) {
        int32_t end = MIN(look + ITEMS_A_LOOK, count);

        if (!kern->any_above(scores + look, end - look, limit))
            continue;
        for (int32_t c = look; c < end; c++)
            if (scores[c] > limit)
                limit = keep(heap, n, k, (struct hit){first + c, scores[c]});
    }
}

/* The heap becomes a list, best first. */
static void unheap(struct hit *heap, int n)
{
    for (int end = n - 1; end > 0; end--) {
        struct hit worst = heap[0];

        heap[0] = heap[end];
        sift_down(heap, end, 0);
        heap[end] = worst;
    }
}

static void mask(float *scores, int32_t first, int32_t count, const struct query *q)
{
    for (int32_t h = 0; h < q->n_history; h++) {
        uint32_t c = (uint32_t)(q->history[h] - first);

        if (c < (uint32_t)count)
            scores[c] = -INFINITY;
    }
}

void topk(const struct model *m, const struct query *q, int n, int k, bool leave_out,
          struct hit *out, int *n_out)
{
    float scores[TOPK_QUERIES * ITEMS_A_BLOCK];

    assert(n >= 1 && n <= TOPK_QUERIES && k >= 1 && k <= TOPK_MAX);
    for (int r = 0; r < n; r++)
        n_out[r] = 0;
    for (int32_t first = 0; first < m->n_items; first += ITEMS_A_BLOCK) {
        int32_t count = MIN(ITEMS_A_BLOCK, m->n_items - first);

        m->ops->score(m, q, n, first, count, scores);
        for (int r = 0; r < n; r++) {
            if (leave_out)
                mask(scores + r * count, first, count, &q[r]);
            keep_best(scores + r * count, first, count, out + (int64_t)r * k, &n_out[r], k);
        }
    }
    for (int r = 0; r < n; r++)
        unheap(out + (int64_t)r * k, n_out[r]);
}
