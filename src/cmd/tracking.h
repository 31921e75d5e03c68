/* tracking.h - what commands tell MLflow, through track/. */
#ifndef KINDRED_TRACKING_H
#define KINDRED_TRACKING_H

#include "cmd/cmd.h"
#include "data/dataset.h"
#include "track/machine.h"
#include "track/track.h"

#include <math.h>

#define TRACKING_OPTIONS(X, S)                                                                     \
    X(S, opt_text, track, NULL, 0, 0, "mlflow|off",                                                \
      "tell MLflow of this run, or don't (default mlflow, or what KINDRED_TRACK says)")            \
    X(S, opt_text, tracking_uri, NULL, 0, 0, "URI",                                                \
      "http://, https:// or sqlite:///FILE (default what MLFLOW_TRACKING_URI says, else "          \
      "./mlflow.db, which 'mlflow ui' opens)")                                                     \
    X(S, opt_text, experiment, NULL, 0, 0, "NAME",                                                 \
      "MLflow's experiment (default what MLFLOW_EXPERIMENT_NAME says, else one for each command)") \
    X(S, opt_text, run_name, NULL, 0, 0, "NAME", "what MLflow calls this run")                     \
    X(S, struct opt_list, tag, {0}, 0, 0, "KEY=VALUE", "tags of the run")                          \
    X(S, opt_text, track_dir, ".kindred/runs", 0, 0, "DIR",                                        \
      "where a run is written down before it's sent; 'kindred track sync' sends what waits there") \
    X(S, double, track_wait, NAN, 0, 3600, "SECONDS",                                              \
      "how long the end waits for what isn't sent, which then stays in track-dir (default 10; 1 "  \
      "where the server takes a second and more for an answer)")

OPT_STRUCT(tracking_opts, TRACKING_OPTIONS);

struct tracking {
    struct tracking_opts o;
    struct track *t; /* NULL: not tracked */
    char *uri, *name;
    const char *experiment; /* by name; NULL: by the id that the environment has */
    bool on_ranks;          /* rank 0 tracks, and there are others */
    struct machine machine; /* on_ranks: of this rank */
    double started_at;
    double asked_at; /* when rank 0 last asked the others, s; 0: never */
    int64_t n_asked;
};

/* Add the options, before cmd_parse. */
void tracking_add(struct tracking *tr, struct opt_set *opts);

/* The run begins, on rank 0 alone: its options become parameters. experiment: where none is asked
 * for. By all ranks. ERR_USAGE: a tag that is none. */
NODISCARD bool tracking_begin(struct tracking *tr, const struct cmd *c, const struct opt_set *opts,
                              const char *experiment, struct err *err);

/* Whether the options or the environment say so. */
bool tracking_is_off(const struct tracking *tr);

/* The store that the option, else MLFLOW_TRACKING_URI, names, else ./mlflow.db; to be freed. */
char *tracking_uri(const char *asked);

/* That of the registry: MLFLOW_REGISTRY_URI counts before MLFLOW_TRACKING_URI. */
char *tracking_registry_uri(const char *asked);

/* What the run reads; context: "training" or "evaluation". */
void tracking_dataset(struct tracking *tr, const char *dir, const struct dataset *d,
                      const char *context);

/* Each number of the finished JSON object as a metric, "prefix" and its key; what isn't a number
 * is passed over. */
void tracking_metrics(struct tracking *tr, const char *prefix, const struct json_out *json,
                      int64_t step);

/* By all ranks, as often as they like: system/rank_1/cpu_utilization_percentage and so on, of the
 * ranks that don't track, about as often as rank 0's own. */
void tracking_all_ranks(struct tracking *tr);

/* How the run ends; returns `ok`. */
bool tracking_end(struct tracking *tr, bool ok, const struct err *err);

#endif
