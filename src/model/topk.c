#include "model/topk.h"

/* `out` is a heap with the worst hit at its root. Items are looked at in ascending order, so that a
 * later one of equal score never displaces an earlier one. */

enum { BLOCK = 64 }; /* scores that are compared at once, to pass over those without a winner */

static bool worse(struct hit a, struct hit b)
{
    return a.score < b.score || (a.score == b.score && a.item > b.item);
}

static void sink(struct hit *heap, int n, int i)
{
    struct hit moving = heap[i];

    for (;;) {
        int child = 2 * i + 1;

        if (child + 1 < n && worse(heap[child + 1], heap[child]))
            child++;
        if (child >= n || !worse(heap[child], moving))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moving;
}

static bool contains(const int32_t *sorted, int32_t n, int32_t item)
{
    while (n > 0) {
        int32_t half = n / 2;

        if (sorted[half] == item)
            return true;
        if (sorted[half] < item) {
            sorted += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return false;
}

/* Whether any of the BLOCK scores is above `bar`: without branches, so that it is vectorised. */
static bool any_above(const float *scores, float bar)
{
    int above = 0;

    for (int i = 0; i < BLOCK; i++)
        above |= scores[i] > bar;
    return above;
}

/* The first k items that may be ranked, in order; *next is where the search goes on. */
static int fill(const float *scores, int32_t n, const int32_t *skip, int32_t n_skip, int k,
                struct hit *out, int32_t *next)
{
    int found = 0;
    int32_t i;

    for (i = 0; i < n && found < k; i++)
        if (scores[i] == scores[i] && !contains(skip, n_skip, i))
            out[found++] = (struct hit){i, scores[i]};
    *next = i;
    return found;
}

int topk(const float *scores, int32_t n, const int32_t *skip, int32_t n_skip, int k,
         struct hit *out)
{
    int32_t i;
    int found = fill(scores, n, skip, n_skip, k, out, &i);

    assert(k >= 1);
    for (int at = found / 2 - 1; at >= 0; at--)
        sink(out, found, at);

    while (i < n) {
        if (i % BLOCK == 0 && n - i >= BLOCK && !any_above(scores + i, out[0].score)) {
            i += BLOCK;
            continue;
        }
        if (scores[i] > out[0].score && !contains(skip, n_skip, i)) {
            out[0] = (struct hit){i, scores[i]};
            sink(out, found, 0);
        }
        i++;
    }

    for (int last = found - 1; last > 0; last--) { /* the worst goes last, and so on */
        struct hit worst = out[0];

        out[0] = out[last];
        out[last] = worst;
        sink(out, last, 0);
    }
    return found;
}
