/* cell.h - what a model learns from at a time: the positives of some users among some items.
 * Where their negatives come from: sampler.h.
 *
 * Whoever learns from a cell touches no other user's row than those of cell.users and no other
 * item's than those of cell.pool (cell.items is a part of it): cells without a common user block
 * or item block are learned from at the same time. */
#ifndef KINDRED_CELL_H
#define KINDRED_CELL_H

#include "base/alias.h"
#include "base/rng.h"

/* What random numbers are for; see rng_key. */
enum { RNG_INIT = 1, RNG_DEAL, RNG_CELL, RNG_SCORE, RNG_USERS };

/* An item that may be a negative, and when its first row in train is; CELL_NEVER if it has none.
 * Times are in units of the schedule's own: they only compare. */
struct candidate {
    int32_t item, since;
};

enum { CELL_NEVER = INT32_MAX, CELL_ALWAYS = INT32_MIN };

struct cell {
    const int32_t *users; /* (n) ascending: a user's positives stand together */
    const int32_t *items; /* (n) all that these users have in the pool */
    const int32_t *when;  /* (n) the positive's time; NULL: unknown, no item is of the future */
    int64_t n;
    const struct candidate *pool; /* (n_pool) the items of the block */
    int32_t n_pool;
    uint64_t key;              /* of the cell's stream of random numbers */
    const struct alias *alias; /* (n_pool) to draw from the pool by popularity; NULL: uniformly */

    /* For a model that learns in rounds (model.h). */
    int64_t from, to; /* the positives from .. to - 1 are this round's */
    int block;        /* the user block's number: cells of one round have different ones */
    int worker;       /* who learns: no two at a time have the same number */
};

/* A mean over a part of the steps: the sum of what was seen, and how often. */
struct tally {
    double sum;
    int64_t n;
};

#endif
