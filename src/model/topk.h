/* topk.h - the best k of many scores, exactly. */
#ifndef KINDRED_TOPK_H
#define KINDRED_TOPK_H

#include "base/base.h"

struct hit {
    int32_t item;
    float score;
};

/* The k best items, best first; equal scores are ordered by item index.
 *
 * scores  (n) one an item; NaN ranks nowhere
 * skip    (n_skip) items to leave out, in ascending order; may repeat
 * out     (k) 1 <= k
 *
 * Returns how many there are: k, or fewer where fewer items are left.
 * Allocates nothing. Time: one look at each score, and log2(k) + log2(n_skip) steps for each that
 * beats the worst of the best so far, which is about k * ln(n / k) of them in random order. */
int topk(const float *scores, int32_t n, const int32_t *skip, int32_t n_skip, int k,
         struct hit *out);

#endif
