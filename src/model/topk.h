/* topk.h - the best k items for a user, exactly: every item is scored.
 *
 * What evaluation, recommend and serve all rank by, so that they cannot differ. */
#ifndef KINDRED_TOPK_H
#define KINDRED_TOPK_H

#include "model/model.h"

struct hit {
    int32_t item;
    float score;
};

/* The order of all lists. */
static inline bool hit_worse(struct hit a, struct hit b)
{
    return a.score < b.score || (a.score == b.score && a.item > b.item);
}

/* A heap of hits, the worst on top: add one, put one in the worst's place, make it a list that has
 * the best first. */
void hits_push(struct hit *heap, int *n, struct hit h);
void hits_replace(struct hit *heap, int n, struct hit h);
void hits_sort(struct hit *heap, int n);

enum {
    TOPK_QUERIES = 64, /* at most, a call */
    TOPK_MAX = 1000,
};

/* What one thread ranks with, again and again. */
struct topk {
    const struct model *m;
    int n_max;
    float *state;   /* what the model prepares for n_max queries */
    float *scores;  /* (a block of items, n_max) */
    int32_t *found; /* places in a piece of the block */
    int64_t *begin; /* (n_blocks + 1) into taken */
    int64_t *taken; /* (taken_cap) what is left out, by blocks: a place in the block */
    int64_t taken_cap;
};

/* The k best of n scores, best first, as topk_find has it. out: room for k. Returns how many. */
int topk_best(const float *scores, int32_t n, int k, struct hit *out);

/* For calls of up to n_max <= TOPK_QUERIES queries. Cost: memory for the states of n_max queries
 * and 512 * n_max scores. */
void topk_init(struct topk *t, const struct model *m, int n_max);
void topk_release(struct topk *t);

/* The k best items for each query, best first, without the items of its history if `leave_out`.
 * Equal scores are ordered by item index; a score that is no number ranks nowhere.
 *
 * q    (n) 1 <= n <= n_max, all served by the model
 * k    1 <= k <= TOPK_MAX
 * out  (n, k) row r belongs to q[r]; out[r * k ..] holds n_out[r] <= k hits: fewer when the
 *      catalogue has no more to offer
 *
 * Many queries a call are cheaper than one each: a block of items is read once for all. */
void topk_find(struct topk *t, const struct query *q, int n, int k, bool leave_out, struct hit *out,
               int *n_out);

#endif
