/* sink.h - where runs go: a store that MLflow reads. One file each: rest.c, a tracking server;
 * local.c, the database that `mlflow ui` opens by itself.
 *
 * Every call but begin's creation may be made again with the same effect. ERR_IO: nobody answers,
 * or the store is busy: try later. ERR_DATA: it will never take this. */
#ifndef KINDRED_SINK_H
#define KINDRED_SINK_H

#include "base/err.h"
#include "base/json.h"

/* How a run begins: what stands in the journal's first line. */
struct run_head {
    const char *id;            /* the journal's */
    const char *experiment;    /* a name */
    const char *experiment_id; /* the store's, instead of the name; NULL */
    const char *name;
    const char *resumed; /* the store's id of a run that goes on; NULL: a new one */
    const char *parent;  /* the journal's id of the run that this is a part of; NULL: none */
    int64_t start_ms;
};

/* A parameter, a tag, or a metric. */
struct entry {
    const char *key, *text; /* text: not of metrics */
    double value;           /* may be no number, or infinite */
    int64_t ms, step;
};

enum { SINK_ENTRIES_MAX = 1000, SINK_PARAMS_MAX = 100, SINK_RUN_MAX = 64 };

struct batch {
    struct entry *metrics, *params, *tags;
    int n_metrics, n_params, n_tags;
};

/* A dataset that the run had as input. */
struct run_input {
    const char *name, *digest, *source, *profile, *schema, *context;
};

/* A model that the run made. */
struct run_model {
    const char *id; /* the journal's: what was made for it is found again by that */
    const char *name;
    const char *registered, *alias; /* in the registry; NULL: not, without */
    const char *dataset, *digest;   /* what the metrics are of */
    int64_t step;
    struct entry *metrics; /* (n_metrics) */
    int n_metrics;
    struct model_file {
        const char *path, *as; /* as: among the model's artefacts */
    } * files;                 /* (n_files) */
    int n_files;
};

enum { SINK_VERSION_MAX = 24 };

struct sink {
    const struct sink_ops *ops;
    char run[SINK_RUN_MAX]; /* the store's id of the run at hand */
};

struct sink_ops {
    bool (*open)(struct sink **out, const char *uri, struct err *err);

    /* Make the run, or find it where an earlier try may have made it; or take it up by `known`, the
     * store's id, where that is. Sets s->run. */
    bool (*begin)(struct sink *s, const struct run_head *head, const char *known, bool tried,
                  struct err *err);
    bool (*log)(struct sink *s, const struct batch *b, struct err *err);
    bool (*input)(struct sink *s, const struct run_input *in, struct err *err);
    bool (*file)(struct sink *s, const char *path, const char *as, struct err *err);
    bool (*model)(struct sink *s, const struct run_model *m, struct err *err);
    bool (*end)(struct sink *s, const char *status, int64_t end_ms, struct err *err);

    /* The registry; no run is at hand. find: which version the alias is of, "" where there is no
     * such model or alias. fetch: one of a version's artefacts, as the file `to`. */
    bool (*find)(struct sink *s, const char *name, const char *alias,
                 char version[static SINK_VERSION_MAX], struct err *err);
    bool (*fetch)(struct sink *s, const char *name, const char *version, const char *as,
                  const char *to, struct err *err);
    bool (*set_alias)(struct sink *s, const char *name, const char *alias, const char *version,
                      struct err *err);
    bool (*tag_version)(struct sink *s, const char *name, const char *version, const char *key,
                        const char *value, struct err *err);

    double (*wait)(const struct sink *s); /* s that the store asks to be left alone; 0: nothing */
    void (*show)(const struct sink *s, struct buf *link); /* where a browser finds the run */
    void (*close)(struct sink *s);
};

extern const struct sink_ops sink_rest, sink_local;

/* Whether the server that this process speaks to takes more than a second for an answer. From any
 * thread. */
bool sink_is_slow(void);

/* Which of them takes a URI: http://, https://, sqlite:///FILE; NULL: ERR_DATA. */
const struct sink_ops *sink_for(const char *uri, struct err *err);

#endif
