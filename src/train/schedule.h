/* schedule.h - who learns from what, and when: block rotation.
 *
 * Users fall into P blocks, once. Items are dealt to P blocks anew each epoch. An epoch is P
 * strata; in stratum s user block b meets item block (b + s) mod P. The P cells of a stratum share
 * no row of either table, so that workers take them in any order without a lock, and the result is
 * that of a serial run: it depends on P and the seed, never on the number of workers.
 *
 * Why anew: negatives come from the item block at hand, and blocks that stay for the whole run
 * never compare items of different blocks. Popular items are spread evenly, so that cells are of
 * one size. Within a cell users are in order: a user's row stays in the cache for all its samples.
 *
 * Source: Gemulla et al., "Large-Scale Matrix Factorization with Distributed Stochastic Gradient
 * Descent", KDD 2011. */
#ifndef KINDRED_SCHEDULE_H
#define KINDRED_SCHEDULE_H

#include "model/model.h"

enum { SCHEDULE_MAX = 256 }; /* blocks; 65,536 cells */

struct schedule {
    const struct interactions *train; /* borrowed */
    int32_t n_users, n_items;
    int p; /* blocks */
    uint64_t seed;
    int epoch;              /* for which the items are dealt */
    int32_t *user_begin;    /* (p + 1) block b is users user_begin[b] .. user_begin[b + 1] - 1 */
    int32_t *by_popularity; /* (n_items) most popular first; equal ones by index */
    uint8_t *block_of;      /* (n_items) */
    struct candidate *pool; /* (n_items) items, block after block */
    int32_t *pool_begin;    /* (p + 1) */
    int64_t *cell_begin;    /* (p * p + 1) cell of user block b and item block i at b * p + i */
    int32_t *users, *items,
        *when;      /* (train->n) positives, cell after cell; when: NULL without times */
    int32_t *since; /* (n_items) when the first row is; CELL_NEVER if there is none */
    double *weight; /* (n_items) how likely one is drawn; NULL: all alike, as the three below */
    struct alias *alias; /* (n_items) beside the pool, block after block */
    double *weight_left; /* (n_items) room to make it */
    int32_t *work;       /* (n_items) */
    int64_t start_ms;    /* a time in the cells is (ms - start_ms) >> shift */
    int shift;
};

/* A number of blocks that fits the data: enough for workers to be busy, few enough that a cell has
 * work to do and a block has negatives to offer. */
int schedule_partitions(int64_t n_samples, int32_t n_users, int32_t n_items);

/* Memory: 8 bytes a sample, 12 where train has times; 17 an item. 1 <= partitions <= SCHEDULE_MAX.
 */
void schedule_init(struct schedule *s, const struct interactions *train, int32_t n_users,
                   int32_t n_items, int partitions, uint64_t seed);
/* Draw negatives in proportion to (train rows) ^ power: 32 bytes an item more; 0 changes nothing.
 */
void schedule_weigh(struct schedule *s, double power);
void schedule_release(struct schedule *s);

/* Deal the items for this epoch. From one thread; then schedule_sort for each user block, from any
 * threads. */
void schedule_deal(struct schedule *s, int epoch);
void schedule_sort(struct schedule *s, int user_block);

/* What user block b learns from in this stratum; all in one round. */
struct cell schedule_cell(const struct schedule *s, int stratum, int user_block);

/* The number of positives in the stratum's largest cell. */
int64_t schedule_largest(const struct schedule *s, int stratum);

#endif
