/* sparse.h - who took what as a sparse matrix, its product with itself, and of that the few largest
 * numbers of each row: what item-based models are made of. No items x items array is ever there. */
#ifndef KINDRED_SPARSE_H
#define KINDRED_SPARSE_H

#include "model/model.h"

/* A 0/1 matrix (rows, cols) by rows: those of row r are ids[begin[r]] .. ids[begin[r + 1] - 1],
 * ascending. */
struct pattern {
    int32_t n_rows;
    int64_t *begin; /* (n_rows + 1) */
    int32_t *ids;
};

/* R (n_users, n_items), both ways: what was taken twice is there once. */
struct sparse {
    struct pattern by_user, by_item;
};

void sparse_init(struct sparse *s, const struct interactions *train, int32_t n_users,
                 int32_t n_items);
void sparse_release(struct sparse *s);

/* How many a row has. */
static inline int32_t pattern_degree(const struct pattern *p, int32_t row)
{
    return (int32_t)(p->begin[row + 1] - p->begin[row]);
}

/* out (n_rows): each row's degree to that power; 0 where the degree is 0. */
void pattern_powers(const struct pattern *p, double power, float *out);

/* For each item the `width` others that weigh most, ascending by id. */
struct neighbors {
    int32_t n_items, width;
    int32_t *ids;   /* (n_items, width) -1 behind the last */
    float *weights; /* (n_items, width) 0 there */
};

void neighbors_release(struct neighbors *n);

/* What to make of row i of the product: values[k] is what stands at column ids[k], k < n, and
 * becomes its weight; 0 or less is no neighbour. Called from many threads at once. */
typedef void weigh_fn(const void *of, int32_t i, const int32_t *ids, int32_t n, float *values);

/* Allocate `out` and fill it from R' diag(user_weight) R, each row as `weigh` has it, without the
 * diagonal; of equal weights the lower id is taken. user_weight (n_users), NULL: all
 * 1. Cost: the sum over users of the square of their degrees. ERR_INTERRUPTED. */
NODISCARD bool sparse_neighbors(const struct sparse *s, const float *user_weight, int32_t width,
                                weigh_fn *weigh, const void *of, struct neighbors *out,
                                struct err *err);

/* Allocate `out` and fill it: row i is the largest of a's row i less t times the rows of `a` that
 * p's row i names, each by its weight: a - t p a, cut at the width of both. Cost: n_items width^2.
 * ERR_INTERRUPTED. */
NODISCARD bool neighbors_sharpen(const struct neighbors *a, const struct neighbors *p, float t,
                                 struct neighbors *out, struct err *err);

/* Neighbours the other way round: item j gives weights[k] to item ids[k], for k in begin[j] ..
 * begin[j + 1] - 1. */
struct votes {
    int64_t *begin; /* (n_items + 1) */
    int32_t *ids;
    float *weights;
};

void votes_init(struct votes *v, const struct neighbors *n);
void votes_release(struct votes *v);

/* The items of the history, each once, ascending, into *once, to be freed. Returns how many. */
int32_t history_once(const struct query *q, int32_t **once);

/* out (n_items): the sum of what the items of the history give, each once. Allocates. */
void votes_count(const struct votes *v, const struct query *q, int32_t n_items, float *out);

#endif
