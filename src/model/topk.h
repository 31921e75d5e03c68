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

enum {
    TOPK_QUERIES = 16, /* at most, a call */
    TOPK_MAX = 1000,
};

/* The k best items for each query, best first, without the items of its history if `leave_out`.
 * Equal scores are ordered by item index; a score that is no number ranks nowhere.
 *
 * q    (n) 1 <= n <= TOPK_QUERIES, all served by the model
 * k    1 <= k <= TOPK_MAX
 * out  (n, k) row r belongs to q[r]; out[r * k ..] holds n_out[r] <= k hits: fewer when the
 *      catalogue has no more to offer
 *
 * Safe from any thread; allocates nothing; takes 64 KiB of stack. Several queries a call are
 * cheaper than one each: a block of items is read once for all. */
void topk(const struct model *m, const struct query *q, int n, int k, bool leave_out,
          struct hit *out, int *n_out);

#endif
