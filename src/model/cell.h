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

enum { CELL_NEVER = INT32_MAX };

struct cell {
    const int32_t *users; /* (n) ascending: a user's positives stand together */
    const int32_t *items; /* (n) all that these users have in the pool */
    const int32_t *when;  /* (n) the positive's time */
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

/* Draws a negative for one positive after the other. */
struct sampler {
    const struct cell *cell;
    uint64_t future; /* how likely an item of the future is kept, times 2^32 */
    struct rng rng;
    int64_t next;       /* the positive after the present one */
    int64_t begin, end; /* the positives of its user */
};

enum { SAMPLER_TRIES = 32, SAMPLER_NONE = -1 };

/* future: how likely a draw is kept whose item had no row in train yet when the positive was taken;
 * 0 is never, 1 makes all items equal. What a user couldn't take says little of the user's taste;
 * drawn all the same, it teaches the model that new items are disliked. */
static inline void sampler_init(struct sampler *s, const struct cell *c, double future)
{
    *s = (struct sampler){.cell = c, .future = (uint64_t)(future * 0x1p32)};
    rng_init(&s->rng, c->key);
}

/* Go to the next positive. */
static inline void sampler_advance(struct sampler *s)
{
    const struct cell *c = s->cell;

    if (s->next++ < s->end)
        return;
    s->begin = s->end;
    while (s->end < c->n && c->users[s->end] == c->users[s->begin])
        s->end++;
}

/* A negative for the present positive: an item of the pool that the user doesn't have.
 * SAMPLER_NONE if SAMPLER_TRIES draws met none, so that a user who has (nearly) all of the pool, or
 * came before (nearly) all of it, costs no more than that. */
static inline int32_t sampler_draw(struct sampler *s)
{
    const struct cell *c = s->cell;
    int32_t when = c->when[s->next - 1];

    for (int try = 0; try < SAMPLER_TRIES; try++) {
        uint64_t bits = rng_next(&s->rng); /* the upper half draws, the lower half keeps */
        struct candidate j = c->pool[(bits >> 32) * (uint64_t)c->n_pool >> 32];
        bool has = false;

        if (j.since > when && (uint32_t)bits >= s->future)
            continue;
        for (int64_t k = s->begin; k < s->end; k++)
            has |= c->items[k] == j.item;
        if (!has)
            return j.item;
    }
    return SAMPLER_NONE;
}

#endif
