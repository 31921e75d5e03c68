/* sweep.h - what the files of the command sweep share. sweep.c: which trials there are, and their
 * order; sweep_trials.c: a point as a process, and what became of it; sweep_tell.c: what came of
 * all of them. */
#ifndef KINDRED_SWEEP_H
#define KINDRED_SWEEP_H

#include "cmd/tracking.h"
#include "base/progress.h"
#include "sweep/space.h"
#include "sweep/trials.h"

#define SWEEP_OPTIONS(X, S)                                                                        \
    X(S, opt_text, data_dir, "data/processed", 0, 0, "DIR", "what preprocess wrote")               \
    X(S, struct opt_list, input, {0}, 0, 0, "FILE",                                                \
      "reviews, instead of --data-dir: the config's section 'preprocess' has preprocess' "         \
      "options, of which lists are axes too")                                                      \
    X(S, bool, keep, false, 0, 0, NULL, "with --input: leave the datasets in OUTPUT_DIR/data")     \
    X(S, opt_text, output_dir, "outputs/sweep", 0, 0, "DIR",                                       \
      "for the trials, a folder each, sweep.json, sweep.html and best.yaml")                       \
    X(S, opt_text, strategy, "grid", 0, 0, "grid|random|halving",                                  \
      "all points of the grid in their order; points at random, also of ranges; or many points "   \
      "for few epochs, of which the best go on to more")                                           \
    X(S, int, eta, 3, 2, 100, "N", "halving: of N points one goes on, to N times the epochs")      \
    X(S, int, rungs, 3, 1, 10, "N", "halving: how often; the last has all the epochs")             \
    X(S, int, max_trials, 100, 1, 10000, "N", "points that are tried, at most")                    \
    X(S, double, max_minutes, 0, 0, 1e6, "M", "after which no trial is begun; 0: no limit")        \
    X(S, opt_text, metric, "ndcg_at_20", 0, 0, "NAME",                                             \
      "what is best, of run.json's metrics on val: ndcg_at_10, ndcg_at_20, recall_at_10 or "       \
      "recall_at_20")                                                                              \
    X(S, bool, include_baselines, false, 0, 0, NULL,                                               \
      "train what needs no epochs too, by its defaults, to stand beside the trials")               \
    X(S, int, jobs, 0, 0, 1024, "N",                                                               \
      "trials at a time; 0: one for each processor. Each has one thread unless 'train' says "      \
      "threads")                                                                                   \
    X(S, int, ranks, 1, 1, 1024, "N", "ranks of each trial, started by 'mpirun'; jobs are fewer")  \
    X(S, opt_text, memory_budget, NULL, 0, 0, "SIZE",                                              \
      "such as 4GB, for all trials that run at a time (default 80 % of memory): a trial waits "    \
      "while what the others have come to hold leaves no room for it")                             \
    X(S, int64_t, seed, 1, 0, 1e15, "N", "of the random points")                                   \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "write sweep.json there too; - is stdout")

OPT_STRUCT(sweep_opts, SWEEP_OPTIONS);

enum { OF_TRAIN, OF_PREPROCESS }; /* sections of the config */

/* A dataset that points are trained on: --data-dir, or what preprocess made of --input by some
 * options. */
struct variant {
    struct trial trial;      /* that makes it; of --data-dir: its folder alone */
    char **values;           /* (space.n) of a point of it; borrowed */
    char digest[DIGEST_HEX]; /* "": it couldn't be made */
};

/* What a trial trains. */
struct point {
    char **values;     /* (space.n) what it gives each option */
    int variant;       /* by its dataset: of those with the same rows the first */
    int rung;          /* of halving */
    int epochs;        /* of that rung; 0: what the values, or the model, say */
    const char *model; /* a baseline's; NULL: what the values say */
};

struct sweep {
    const struct sweep_opts *o;
    struct tracking *tr;
    struct space space;
    char **values; /* (n_values) of all points, space.n each */
    int n_values;
    struct variant *variants; /* (n_variants) */
    int n_variants;
    struct trial *trials; /* (n) */
    struct point *points; /* (n) the trial's */
    int n;
    int n_rungs;
    double deadline;
    struct progress bar;
    int n_ended;
};

/* ---- sweep_trials.c ---- */

/* What the config's section train gives the point for that option; NULL: nothing. */
const char *sweep_option(const struct sweep *s, const struct point *p, const char *name);

/* The model that is trained. */
const char *sweep_model(const struct sweep *s, const struct point *p);

/* Whether the axis says something to this point: of train, if its model has the option. */
bool sweep_counts(const struct sweep *s, const struct point *p, int axis);

/* What an option of the config says that the sweep sees to itself. */
bool sweep_is_own(const struct axis *a);

/* Fill the trial's id, folder and command. */
void sweep_make_trial(const struct sweep *s, const struct point *p, struct trial *t);
void sweep_make_variant(const struct sweep *s, struct variant *v);

/* Run those, and what an earlier sweep has done find again. */
NODISCARD bool sweep_run_trials(struct sweep *s, int first, int n, const char *what,
                                struct err *err);
NODISCARD bool sweep_run_variants(struct sweep *s, struct err *err);

/* ---- sweep_tell.c ---- */

/* All trials (n), best first, failures last; to be freed. */
int *sweep_sorted(struct sweep *s);

/* Whether the trial has a value, and came no further. */
bool sweep_is_of_rung(const struct sweep *s, int trial, int rung);

/* The best trial that is no baseline; -1: none has a value. */
int sweep_best(const struct sweep *s);

/* Write the files, print the table, tell MLflow. ERR_DATA: there is no best. */
NODISCARD bool sweep_tell(struct sweep *s, struct err *err);

#endif
