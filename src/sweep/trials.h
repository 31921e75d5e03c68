/* trials.h - processes of a sweep: some at a time, each with a folder of its own, which tells
 * afterwards what became of it. */
#ifndef KINDRED_TRIALS_H
#define KINDRED_TRIALS_H

#include "base/err.h"

enum { TRIAL_ID = 13 };

enum trial_state { TRIAL_WAITS, TRIAL_RUNS, TRIAL_DONE, TRIAL_FAILED };

struct trial {
    char id[TRIAL_ID]; /* of its options: the same in every sweep */
    char *dir;         /* DIR/ID */
    char **argv;       /* of its process; NULL at the end */
    enum trial_state state;
    int process;
    char *error;  /* TRIAL_FAILED: the last line that it said */
    double value; /* TRIAL_DONE: of the metric; NAN: it has none */
    double seconds;
    int64_t peak; /* bytes of memory, as far as it is known; 0: not at all */
};

void trial_release(struct trial *t);

struct trials_plan {
    int jobs;        /* at a time */
    int ranks;       /* processes that each consists of */
    double memory;   /* bytes that all of them may hold */
    double deadline; /* by clock_seconds(), after which none is begun; INFINITY: no limit */
    char *const *environment; /* NULL at its end */

    /* Make it TRIAL_DONE where its folder says so. */
    void (*look)(void *context, struct trial *t);
    void (*ended)(void *context, const struct trial *t); /* after each */
    void *context;
};

/* Find what an earlier sweep has done, run the rest. What stops this process stops the trials, and
 * what they have done stays done. ERR_IO, ERR_INTERRUPTED. */
NODISCARD bool trials_run(struct trial *trials, int n, const struct trials_plan *plan,
                          struct err *err);

#endif
