/* itembased.h - what models share in which the items of a query's history speak for others: a score
 * is the sum over the history of weights that were found at once (sparse.h). A user needs a history
 * alone, so that those whom training didn't see are served too. */
#ifndef KINDRED_ITEMBASED_H
#define KINDRED_ITEMBASED_H

#include "model/sparse.h"

struct itembased {
    struct model base;
    struct neighbors near; /* row i: the items that speak for item i */
    struct votes votes;    /* the same by who speaks */
};

static inline struct itembased *itembased_of(struct model *m)
{
    return (struct itembased *)m;
}

/* "neighbor.index", "neighbor.weight": (n_items, width). Returns 2. */
int itembased_tensors(struct model *m, int32_t width, struct tensor out[MODEL_TENSORS_MAX]);

/* The other members of struct model_ops. state and score are for any model whose prepare() finds
 * the scores of all items: (n_queries, n_items). */
void itembased_adopt(struct model *m, const struct tensor *t);
bool itembased_serves(const struct model *m, const struct query *q);
int64_t itembased_state(const struct model *m);
void itembased_prepare(const struct model *m, const struct query *q, int n, float *state);
void itembased_score(const struct model *m, const struct query *q, int n_queries,
                     const float *state, int32_t first, int32_t n, float *out);
void itembased_forget(struct model *m);
void itembased_release(struct model *m);

#endif
