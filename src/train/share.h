/* share.h - one rank's share of a model in training: the rows of its users, and those of the item
 * blocks that are with it for the time being (schedule.h says which). No rank holds a whole table.
 *
 * Ranks of one host have items in common that are few: one table in memory that all of them see
 * (comm/common.h), in which no block has to go anywhere. A rank learns from a cell once the next
 * one is done with it, as threads do.
 *
 * Calls whose names begin with share_all are made by all ranks, in the same order. */
#ifndef KINDRED_SHARE_H
#define KINDRED_SHARE_H

#include "comm/comm.h"
#include "eval/rank.h"
#include "train/schedule.h"

#include <stdatomic.h>

/* The state at rest: items in order, each rank its share of them. First the model's tensors, then
 * what learning carries besides. */
struct rested {
    struct tensor t[2 * MODEL_TENSORS_MAX];
    int n, n_model;
    enum { OWNS_NONE, OWNS_ITEMS, OWNS_ALL } owns; /* others are those that learn */
};

void rested_release(struct rested *r);

/* Item blocks on their way, while an epoch runs. */
struct travel {
    atomic_flag busy;   /* somebody sees to it */
    int sent, left;     /* visits that are on their way or gone, and those that are gone */
    int asked;          /* visits that are here or asked for */
    atomic_int arrived; /* visits that are here, or were */
    struct comm_request *out, *in; /* (n_slots, n_tensors) */
};

struct share {
    struct model *whole; /* sizes and options; borrowed, without tensors */
    struct model *m;     /* what learns */
    struct schedule *s;  /* borrowed */
    int32_t *user_first; /* (size + 1) where the ranks' users begin */
    int32_t *item_ids;   /* (n_rows) as the first epoch begins; in common: the rank's to fill */
    atomic_int *done;    /* (p) in common: for epoch.c; else NULL */
    struct tensor
        items[2 * MODEL_TENSORS_MAX]; /* those of m, learned and carried, with items' rows */
    int n_tensors;
    enum { SHARE_READY, SHARE_ENDED, SHARE_RESTED } state;
    struct rested rest; /* SHARE_RESTED */
    struct travel travel;
    float *room; /* room_size bytes, for rows that change places */
    size_t room_size;
    _Atomic int64_t waited_ns; /* for item blocks, all threads */
};

/* Room for schedule and items of `whole` in common, where there can be and it's worth it; by all
 * ranks. */
void share_all_map(struct model *whole, struct comm_memory *common);

/* Make the rank's part of `whole` and start it, as `whole` would start. user_begin (p + 1) of the
 * user blocks; s, train: the part's; common: as s has it. The first epoch must be `epoch` 0, or
 * follow share_all_take. */
void share_init(struct share *sh, struct model *whole, struct schedule *s,
                const int32_t *user_begin, const struct interactions *train);
void share_release(struct share *sh);

/* Deal the items for this epoch and move their rows to where it begins. */
void share_all_deal(struct share *sh, int epoch);

/* While it runs: send what the lowest user block has done with (`done` strata), take what comes.
 * From any thread, and often. */
void share_travel(struct share *sh, int done);

static inline bool share_is_here(const struct share *sh, int visit)
{
    return atomic_load_explicit(&sh->travel.arrived, memory_order_acquire) > visit;
}

static inline void share_waited(struct share *sh, double seconds)
{
    atomic_fetch_add(&sh->waited_ns, (int64_t)(seconds * 1e9));
}

static inline double share_waited_s(const struct share *sh)
{
    return (double)sh->waited_ns * 1e-9;
}

/* After the last stratum: until all is gone that others wait for. */
void share_leave(struct share *sh);

/* rows (p) of so many bytes: each rank has those of its user blocks, and then all. */
void share_all_gather(const struct schedule_part *part, int p, void *rows, size_t size);

/* ---- at rest: between epochs ---- */

/* Where the rank's rows of a whole tensor begin; those of the next one end them. */
int64_t share_row_begin(const struct share *sh, enum tensor_of of, int rank);

/* The state at rest. keep: a copy of all of it, that lives on. */
void share_all_rest(struct share *sh, bool keep, struct rested *out);

/* Rank 0 has a whole state in `from`, (n) tensors as rested lists them; each rank gets its share,
 * and goes on from there. */
void share_all_take(struct share *sh, const struct tensor *from);
void share_all_take_kept(struct share *sh, const struct tensor *from, struct rested *out);

/* Write a state through rank 0 as store_save_checkpoint does (training NULL: as store_save). */
NODISCARD bool share_all_save(struct share *sh, const struct rested *r, const char *training,
                              const char *path, struct err *err);

/* As rank_evaluate on val, of a plan of metrics of hits alone: bit for bit the same means, on all
 * ranks; not told is n_new_rows. d: the rank's users. Memory on rank 0: 8 bytes for each user and
 * value. */
NODISCARD bool share_all_evaluate(struct share *sh, const struct dataset *d,
                                  const struct rank_plan *plan, struct rank_result *out,
                                  struct err *err);

/* Whether all learned numbers are finite; else *bad names a tensor. */
bool share_all_finite(struct share *sh, const char **bad);

#endif
