/* cell.h - what a model learns from at a time: the positives of some users among some items, and
 * where their negatives come from.
 *
 * Whoever learns from a cell touches no other user's row than those of cell.users and no other
 * item's than those of cell.pool (cell.items is a part of it): cells without a common user block
 * or item block are learned from at the same time. */
#ifndef KINDRED_CELL_H
#define KINDRED_CELL_H

#include "base/alias.h"
#include "base/rng.h"

/* What random numbers are for; see rng_key. */
enum { RNG_INIT = 1, RNG_DEAL, RNG_CELL, RNG_SCORE };

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

/* Draws negatives for the cell's positives, in any order: uniformly, or by popularity where the
 * cell has a table for that. */
struct sampler {
    const struct cell *cell;
    uint64_t future; /* how likely an item of the future is kept, times 2^32 */
    struct rng rng;
    int64_t begin, end; /* the positives of the user that was drawn for last */
};

enum { SAMPLER_TRIES = 32, SAMPLER_NONE = -1, SAMPLER_CHUNK = 512 };

/* future: how likely a draw is kept whose item had no row in train yet when the positive was taken;
 * 0 is never, 1 makes all items equal. What a user couldn't take says little of the user's taste;
 * drawn all the same, it teaches the model that new items are disliked. */
void sampler_init(struct sampler *s, const struct cell *c, double future);

/* A negative for positive k: an item of the pool that the user doesn't have.
 * SAMPLER_NONE if SAMPLER_TRIES draws met none, so that a user who has (nearly) all of the pool, or
 * came before (nearly) all of it, costs no more than that. */
int32_t sampler_draw(struct sampler *s, int64_t k);

/* The same for the positives first .. first + n - 1, n <= SAMPLER_CHUNK, at once. */
void sampler_fill(struct sampler *s, int64_t first, int n, int32_t *out);

/* Items of the pool for positive k, whether the user has them or not; those too new are
 * SAMPLER_NONE. */
void sampler_offer(struct sampler *s, int64_t k, int n, int32_t *out);

/* An item of the pool for several positives: whoever has it, or came before `since`, is to leave it
 * out. With the chance that an item of the future is kept, since is CELL_ALWAYS. */
struct candidate sampler_draw_shared(struct sampler *s);

/* Set begin and end to the positives of k's user. */
void sampler_find(struct sampler *s, int64_t k);

/* Whether positive k's user has the item. */
bool sampler_has(struct sampler *s, int64_t k, int32_t item);

#endif
