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

/* One rank's part of a schedule: neighbouring user blocks, whose users are numbered from 0, and
 * room for the items that these meet at a time.
 *
 * Item blocks travel: where user block b meets item block (b + s) mod P in stratum s, a rank with
 * the user blocks first .. first + n - 1 has n item blocks at a time, and from one stratum to the
 * next gives up one and gets one. Visit q is the rank's q-th item block, (first + q) mod P: user
 * block b meets visit b - first + s. It stands in slot q mod n_slots, two more than are in use, so
 * that one can leave and one arrive meanwhile. The k-th item of the block is row slot * slot_rows +
 * k of the rank's tables. */
struct schedule_part {
    int rank, size;
    int first, n; /* user blocks */
    int n_slots;
    int32_t slot_rows;
    int32_t n_rows; /* n_slots * slot_rows */
};

/* Of p blocks, p >= size. */
struct schedule_part schedule_part_of(int rank, int size, int p, int32_t n_items);

/* Where a row is. */
struct schedule_place {
    int rank;
    int32_t row;
};

/* Of `total` things in order, rank r's are schedule_share(total, r, size) and those that follow, up
 * to the next rank's; schedule_owner tells whose one is. */
int64_t schedule_share(int64_t total, int rank, int size);
int schedule_owner(int64_t total, int64_t index, int size);

struct schedule {
    const struct interactions *train; /* borrowed */
    int32_t n_users, n_items;
    int p;        /* blocks */
    bool apart;   /* `part` is not all */
    bool travels; /* item blocks go from rank to rank; else apart or not a row is an item */
    struct schedule_part part;
    struct comm_memory *common;                /* has pool and block_of for all ranks; else NULL */
    struct schedule_place start[SCHEDULE_MAX]; /* travels: of each block's first item */
    uint64_t seed;
    int epoch;              /* for which the items are dealt */
    int32_t *user_begin;    /* (p + 1) block b is users user_begin[b] .. user_begin[b + 1] - 1 */
    int32_t *by_popularity; /* (n_items) most popular first; equal ones by index */
    uint8_t *block_of;      /* (n_items) */
    int32_t *place_of; /* (n_items) within its block, always the same; NULL unless it travels */
    int32_t *end_item; /* (part.n_rows) whose row it is when the epoch has ended; -1: nobody's */
    struct candidate *pool; /* (n_items) items, block after block; travels: rows, visit after visit,
                               p + part.n - 1 of them */
    int32_t *pool_begin;    /* (p + 1) items of the blocks before */
    int32_t *visit_begin;   /* (p + part.n) into pool; NULL unless it travels */
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
 *
 * part: of a rank, NULL if it's alone; then all ranks call, `train` and n_users are of the part's
 * users, user_begin (partitions + 1) says where blocks begin among all. common: has items in common
 * for all ranks, who deal them together, if it has schedule_common(n_items) bytes or more; else, or
 * NULL, they travel: 21 bytes an item. */
void schedule_init(struct schedule *s, const struct interactions *train, int32_t n_users,
                   int32_t n_items, int partitions, uint64_t seed, const struct schedule_part *part,
                   const int32_t *user_begin, struct comm_memory *common);
size_t schedule_common(int32_t n_items);

/* Draw negatives in proportion to (train rows) ^ power: 32 bytes an item more; 0 changes nothing.
 * By all ranks. */
void schedule_weigh(struct schedule *s, double power);
void schedule_release(struct schedule *s);

/* Deal the items for this epoch. The caller's number of OpenMP threads share the work; then
 * schedule_sort for each user block, from any threads. */
void schedule_deal(struct schedule *s, int epoch);
void schedule_sort(struct schedule *s, int user_block);

/* What user block b learns from in this stratum; all in one round. */
struct cell schedule_cell(const struct schedule *s, int stratum, int user_block);

/* The number of positives in the stratum's largest cell, of those that are here. */
int64_t schedule_largest(const struct schedule *s, int stratum);

/* Where it travels: where the item's row is when the epoch begins; and at rest: between epochs,
 * items in order, each rank its share of them. */
struct schedule_place schedule_start(const struct schedule *s, int32_t item);
struct schedule_place schedule_rest(const struct schedule *s, int32_t item);

#endif
