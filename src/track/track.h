/* track.h - what a run is told to: its journal at once, and MLflow from a thread of its own, for
 * which nobody waits but the run's end, and that not for long. Nothing here fails a run: what goes
 * wrong is a warning, and what isn't sent waits in the journal for `kindred track sync`.
 *
 * A struct track * that is NULL isn't tracked: all calls do nothing. Calls may come from any
 * thread. */
#ifndef KINDRED_TRACK_H
#define KINDRED_TRACK_H

#include "base/err.h"

struct track;

struct track_plan {
    const char *dir; /* of journals */
    const char *uri; /* of the store: http://, https://, or sqlite:///FILE */
    const char *experiment, *name;
    const char *experiment_id; /* the store's, instead of the name; NULL */
    const char *resumed;       /* the store's id of a run that goes on; NULL */
    const char *parent;        /* the id of another run of kindred's that this is a part of; NULL */
    double wait_s; /* at the end, for what isn't sent yet; NAN: TRACK_WAIT_S, or where answers take
                      more than a second TRACK_WAIT_SLOW_S */
};

enum { TRACK_WAIT_S = 10, TRACK_WAIT_SLOW_S = 1 };

/* NULL, after a warning, where no journal can be written. */
struct track *track_begin(const struct track_plan *plan);

void track_param(struct track *t, const char *key, const char *value);
void track_tag(struct track *t, const char *key, const char *value);
void track_metric(struct track *t, const char *key, double value, int64_t step); /* of now */

/* What the run read. digest: at most 36 characters count; context: "training", "evaluation". */
void track_dataset(struct track *t, const char *name, const char *digest, const char *dir,
                   const char *profile, const char *context);

/* A file that is whole, by its path among the artefacts; it may be replaced from here on. */
void track_file(struct track *t, const char *path, const char *as);

/* A model that the run made, as a folder of files; and where it's to be found by name. */
struct track_model {
    const char *name;               /* "mf" */
    const char *registered, *alias; /* in the registry; NULL: not, without */
    const char *dir;
    const char *const *files;     /* below dir; NULL at the end */
    const char *dataset, *digest; /* what it was judged on */
    const char *const *metrics;   /* (n_metrics) how well: metrics of the run, at this step */
    int n_metrics;
    int64_t step; /* that it's of */
};

/* Its files are whole, and may be replaced from here on. */
void track_model(struct track *t, const struct track_model *m);

/* The journal's id. */
const char *track_id(const struct track *t);

/* "FINISHED", "FAILED" or "KILLED". Waits, and frees `t`; says where the run is to be seen, or what
 * waits. */
void track_end(struct track *t, const char *status);

/* Send what waits below `dir`. n_sent: runs that are whole now; n_left: that aren't, or live.
 * False: a store can't be reached, or doesn't take a run; the rest was tried all the same. */
NODISCARD bool track_sync(const char *dir, int *n_sent, int *n_left, struct err *err);

#endif
