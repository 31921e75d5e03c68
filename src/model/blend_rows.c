/* blend_rows.c - what a part of a blend gives a query, normalised over the whole catalogue:
 *
 *     score   (s - mean of s) / deviation of s          0 where all are the same
 *     rank    1 / (60 + rank)                           ranks from 1, by score, then by item
 *
 * Source of the latter: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion Outperforms
 * Condorcet and Individual Rank Learning Methods", SIGIR 2009. A score that is no finite number
 * counts 0, as does all of a part that doesn't serve the query. */
#include "model/blend.h"

#include "model/topk.h"

#include <math.h>

enum { RANKS = 1000, RANK_OFFSET = 60, ITEMS_A_BLOCK = 512 };

/* In place: of equal bits for the same (n) numbers, as sums go in order. */
static void by_score(float *x, int32_t n, int32_t)
{
    double sum = 0, squares = 0, mean, deviation;
    int32_t finite = 0;

    for (int32_t i = 0; i < n; i++)
        if (isfinite(x[i])) {
            sum += (double)x[i];
            finite++;
        }
    mean = sum / MAX(finite, 1);
    for (int32_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    deviation = sqrt(squares / MAX(finite, 1));
    for (int32_t i = 0; i < n; i++)
        x[i] = deviation > 0 && isfinite(x[i]) ? (float)(((double)x[i] - mean) / deviation) : 0;
}

/* Only ranks that a list without the history can be made of. */
static void by_rank(float *x, int32_t n, int32_t n_history)
{
    int k = (int)MIN((int64_t)RANKS + n_history, n);
    AUTO_FREE struct hit *best = xmalloc((size_t)k, sizeof *best);

    for (int32_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            x[i] = -INFINITY;
    k = topk_best(x, n, k, best);
    memset(x, 0, (size_t)n * sizeof *x);
    for (int r = 0; r < k; r++)
        x[best[r].item] = 1.0f / (float)(RANK_OFFSET + 1 + r);
}

/* rows[at[r]] of (*, n_items): what the part gives query r of n, all served. */
static void fill_rows(const struct model *part, const struct query *q, const int *at, int n,
                      float *rows)
{
    AUTO_FREE float *state = model_state(part, n);
    AUTO_FREE float *block = xmalloc((size_t)ITEMS_A_BLOCK * (size_t)n, sizeof *block);

    model_prepare(part, q, n, state);
    for (int32_t first = 0; first < part->n_items; first += ITEMS_A_BLOCK) {
        int32_t count = MIN(ITEMS_A_BLOCK, part->n_items - first);

        part->ops->score(part, q, n, state, first, count, block);
        for (int r = 0; r < n; r++) {
            float *row = rows + (int64_t)at[r] * part->n_items + first;

            for (int32_t c = 0; c < count; c++)
                row[c] = block[(int64_t)c * n + r];
        }
    }
}

void blend_rows(const struct blend *b, int part, const struct query *q, int n, float *rows,
                bool *served)
{
    const struct model *m = b->parts[part];
    bool ranks = !strcmp(((const struct blend_opts *)b->base.options)->normalize, "rank");
    struct query own[BLEND_QUERIES];
    int at[BLEND_QUERIES], n_own = 0;

    assert(n <= BLEND_QUERIES);
    memset(rows, 0, (size_t)n * (size_t)m->n_items * sizeof *rows);
    for (int r = 0; r < n; r++) {
        served[r] = m->ops->serves(m, &q[r]);
        own[n_own] = q[r];
        at[n_own] = r;
        n_own += served[r];
    }
    if (n_own)
        fill_rows(m, own, at, n_own, rows);
    for (int r = 0; r < n_own; r++)
        (ranks ? by_rank : by_score)(rows + (int64_t)at[r] * m->n_items, m->n_items,
                                     own[r].n_history);
}
