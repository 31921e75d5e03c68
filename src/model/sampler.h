/* sampler.h - negatives for the positives of a cell: items of its pool that the user doesn't have.
 */
#ifndef KINDRED_SAMPLER_H
#define KINDRED_SAMPLER_H

#include "model/cell.h"

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
