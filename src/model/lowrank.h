/* lowrank.h - the largest singular values of a scaled matrix of interactions, and the item side of
 * their vectors.
 *
 * S = D_u R D_i; R (n_users, n_items) holds how often a row of interactions stands there, D_u and
 * D_i are diagonal. By randomised subspace iteration on S^T S: Halko, Martinsson and Tropp,
 * "Finding Structure with Randomness", SIAM Review 2011, algorithm 4.4. */
#ifndef KINDRED_LOWRANK_H
#define KINDRED_LOWRANK_H

#include "data/dataset.h"

struct lowrank_plan {
    int dim;                 /* how many values and vectors */
    int iterations;          /* products with S^T S: 2 for what ranks well, 8 for exact values */
    const float *user_scale; /* (n_users) D_u; NULL: 1 throughout */
    const float *item_scale; /* (n_items) D_i; likewise */
    uint64_t seed;
};

/* values (dim), falling; items (n_items, dim): row i is what item i has in each of the right
 * singular vectors, which are orthonormal. Values under a thousandth of the first, and those beyond
 * the rank, are 0 and so are their vectors.
 *
 * The caller's number of OpenMP threads share the work; the bits are the same for any. Memory:
 * n_users + 2 n_items rows of dim + 32 floats. ERR_IO: no LAPACK, ERR_INTERRUPTED. */
NODISCARD bool lowrank_items(const struct interactions *train, int32_t n_users, int32_t n_items,
                             const struct lowrank_plan *plan, float *values, float *items,
                             struct err *err);

#endif
