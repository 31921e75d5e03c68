/* journal.h - what a run says of itself, kept before it's sent: a folder a run.
 *
 *     DIR/ID/journal.jsonl   lines of JSON, only ever added to; locked while the run lives
 *     DIR/ID/files/          what the run made, as it was then
 *     DIR/ID/sent.jsonl      how far the store has it (delivery.h)
 *
 * A line is one object with one member:
 *
 *     {"run":{"id":...,"experiment":...,"name":...,"start_ms":...,"uri":...}}   the first, alone
 *     {"param":["lr","0.2"]}       {"tag":["mlflow.user","ann"]}
 *     {"metric":["loss",0.31,1760000000000,3]}    value (or "NaN", "Infinity"), time in ms, step
 *     {"dataset":{"name":...,"digest":...,"source":...,"profile":...,"context":...}}
 *     {"file":["0-run.json","run.json"]}          in files/, and its path among the artefacts
 *     {"model":{"name":...,"registered":...,"alias":...,"step":...,"dataset":...,"digest":...,
 *               "files":[["1-MLmodel","MLmodel"],...],"metrics":["val/ndcg_at_20",...]}}
 *     {"end":["FINISHED",1760000000000]}
 *
 * A process that is killed leaves all that it said; half a line at the end is none. */
#ifndef KINDRED_JOURNAL_H
#define KINDRED_JOURNAL_H

#include "base/json.h"

enum { JOURNAL_ID = 33 }; /* 32 hex digits and '\0', as MLflow's run ids */

/* ---- writing ---- */

struct journal {
    int file;
    char *path, *dir; /* of the run */
    char id[JOURNAL_ID];
    int n_files;
    bool broken; /* a line couldn't be written: said once */
};

/* A new run's folder below `dir`. ERR_IO. */
NODISCARD bool journal_create(struct journal *j, const char *dir, struct err *err);
void journal_close(struct journal *j); /* it stays there */

/* Add a line; from any thread. The object in `line` is closed. What can't be written is lost, and
 * a warning says so. */
void journal_add(struct journal *j, const struct json_out *line);

/* Keep the file as it is now, by another name of the same bytes where the file system has that.
 * Returns its name in files/, to be freed; NULL: ERR_IO. */
char *journal_keep(struct journal *j, const char *path, struct err *err);

/* ---- reading ---- */

/* Call f for each whole line from byte *at on, which moves behind what f took, until it returns
 * false. Lines that are no JSON are passed over. Returns whether none did. */
typedef bool journal_line_fn(void *context, const struct json_t *line, struct err *err);
NODISCARD bool journal_each(const char *path, int64_t *at, journal_line_fn *f, void *context,
                            struct err *err);

/* Hold a run that nobody else holds: neither the process that writes it nor one that sends it.
 * Returns a file to close; -1: it lives. */
int journal_hold(const char *path);

/* Call f for the folder of each run below `dir`, oldest first. */
NODISCARD bool journal_each_run(const char *dir,
                                bool (*f)(void *context, const char *run_dir, struct err *err),
                                void *context, struct err *err);

#endif
