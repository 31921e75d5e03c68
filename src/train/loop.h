/* loop.h - a run of training: epochs over the schedule, and what is seen on the way. */
#ifndef KINDRED_LOOP_H
#define KINDRED_LOOP_H

#include "train/share.h"

struct loop_result;

struct loop_plan {
    int epochs;
    int threads;    /* 0: all processors */
    int partitions; /* blocks of the schedule; 0: what fits the data */
    int eval_every; /* epochs between two looks at val; 0: only after the last */
    int early_stop; /* looks without a better NDCG@20 after which it ends, and the best epoch's
                       model counts; 0: never */
    int checkpoint_every;       /* epochs; 0: none is written */
    const char *checkpoint_dir; /* checkpoint.h */
    bool resume;                /* go on from the newest there */

    /* Of one of several ranks; it has a part of the users, and `partitions` isn't 0. */
    const int32_t *user_begin; /* (partitions + 1) where blocks begin among all users */

    /* Called after each epoch, and its look at val, on all ranks; NULL: nobody listens. r->n_epochs
     * are done. */
    void (*after_epoch)(void *context, const struct loop_result *r);
    void *context;

    int64_t n_train, n_val; /* rows, of all ranks; found by loop_train */
};

struct loop_epoch {
    double loss; /* mean over the steps that were looked at */
    double seconds;
    double samples_per_s;
    bool has_val;
    struct rank_result val;
};

/* The best epoch so far, where early_stop asks for it. */
struct loop_best {
    int epoch; /* counted from 1; 0: none */
    double value;
    int looks_since;      /* that were no better */
    struct model *model;  /* its state, alone */
    struct rested rested; /* and on a rank */
};

/* What one rank did. */
struct loop_rank {
    int64_t samples; /* train rows */
    int64_t sent;    /* bytes */
    double waited_s; /* for others, and for their item blocks */
};

struct loop_result {
    int partitions;
    struct loop_epoch *epochs; /* (n_epochs) */
    int n_epochs;              /* 1 for a model that learns at once */
    struct loop_best best;
    struct rank_plan metrics; /* of the looks at val */
    double init_s, epochs_s, val_s;
    struct comm_memory common; /* of the schedule and the share, where ranks can have it */
    struct schedule schedule;
    struct loop_rank *ranks; /* (n_ranks) */
    int n_ranks;             /* 0: alone */
    struct share *share;     /* the rank's part of the model; NULL: alone */
};

/* Train `m`, which is new, on d's train rows and watch it on its val rows, by which some models
 * also choose (model.h, combine); test is never looked at. The model is the same, bit for bit, on
 * any number of threads and ranks. To be released even on failure. A rank of several with a part of
 * the users (plan->user_begin) gives the whole model, which gets no tensors.
 *
 * ERR_USAGE        resume: the checkpoint is of a run with other options
 * ERR_IO           a checkpoint can't be written; the earlier ones are still there
 * ERR_DATA         train is empty, or the numbers went out of bounds: names epoch and learning rate
 * ERR_INTERRUPTED  a signal came. With checkpoints the epoch was finished and one written; else the
 *                  model is in the midst of an epoch */
NODISCARD bool loop_train(struct model *m, const struct dataset *d, const struct loop_plan *plan,
                          struct loop_result *out, struct err *err);
void loop_result_release(struct loop_result *r);

/* What each rank did, for loop_write_json; by all ranks. */
void loop_count_ranks(struct loop_result *r);

/* Write the model that was trained, by all ranks. ERR_IO. */
NODISCARD bool loop_save(struct loop_result *r, struct model *m, const char *path, struct err *err);

/* "partitions", "epochs", "timings" as members of the object that is open. */
void loop_write_json(const struct loop_result *r, struct json_out *out);

#endif
