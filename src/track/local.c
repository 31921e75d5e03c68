/* local.c - the database that `mlflow ui` opens in its folder, by SQLite (owner: this file), loaded
 * when it's needed; artefacts beside it, in mlruns/.
 *
 * A database that isn't there is made as MLflow 3.1 makes it (schema.c). One that is there may be
 * of any later version: columns are named, and what has come to a table has a default or is
 * refused. Folders of MLflow's older kind (meta.yaml) are never written: newer versions end when
 * they see one. */
#include "track/local.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/library.h"
#include "track/schema.h"

#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>

enum { BUSY_MS = 60000 };

static struct {
    int (*open_v2)(const char *, sqlite3 **, int, const char *);
    int (*close)(sqlite3 *);
    int (*busy_timeout)(sqlite3 *, int);
    int (*exec)(sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *, char **);
    int (*prepare_v2)(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
    int (*bind_text)(sqlite3_stmt *, int, const char *, int, void (*)(void *));
    int (*bind_int64)(sqlite3_stmt *, int, sqlite3_int64);
    int (*bind_double)(sqlite3_stmt *, int, double);
    int (*step)(sqlite3_stmt *);
    const unsigned char *(*column_text)(sqlite3_stmt *, int);
    int (*finalize)(sqlite3_stmt *);
    const char *(*errmsg)(sqlite3 *);
} sqlite;

static bool load(struct err *err)
{
    static const struct library_call calls[] = {{"sqlite3_open_v2", &sqlite.open_v2},
                                                {"sqlite3_close", &sqlite.close},
                                                {"sqlite3_busy_timeout", &sqlite.busy_timeout},
                                                {"sqlite3_exec", &sqlite.exec},
                                                {"sqlite3_prepare_v2", &sqlite.prepare_v2},
                                                {"sqlite3_bind_text", &sqlite.bind_text},
                                                {"sqlite3_bind_int64", &sqlite.bind_int64},
                                                {"sqlite3_bind_double", &sqlite.bind_double},
                                                {"sqlite3_step", &sqlite.step},
                                                {"sqlite3_column_text", &sqlite.column_text},
                                                {"sqlite3_finalize", &sqlite.finalize},
                                                {"sqlite3_errmsg", &sqlite.errmsg},
                                                {0}};

    return sqlite.errmsg ||
           library_load("libsqlite3.so.0", calls,
                        "MLflow's database needs SQLite: install libsqlite3-0", err);
}

/* ---- statements ---- */

/* What passes, and what never will. */
static bool failed(const struct local *l, int code, struct err *err)
{
    bool passes;

    code &= 0xff;
    passes = code == SQLITE_BUSY || code == SQLITE_LOCKED || code == SQLITE_IOERR ||
             code == SQLITE_FULL || code == SQLITE_CANTOPEN || code == SQLITE_READONLY ||
             code == SQLITE_NOMEM;
    return err_set(err, passes ? ERR_IO : ERR_DATA, "'%s': %s", l->path, sqlite.errmsg(l->db));
}

static bool exec(struct local *l, const char *sql, struct err *err)
{
    int code = sqlite.exec(l->db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK || failed(l, code, err);
}

/* A NULL text is a NULL. */
static void bind(sqlite3_stmt *s, const char *kinds, va_list values)
{
    for (int i = 0; kinds[i]; i++)
        if (kinds[i] == 't')
            sqlite.bind_text(s, i + 1, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
        else if (kinds[i] == 'i')
            sqlite.bind_int64(s, i + 1, va_arg(values, int64_t));
        else
            sqlite.bind_double(s, i + 1, va_arg(values, double));
}

bool local_sql(struct local *l, struct err *err, char *out, size_t room, const char *text,
               const char *kinds, ...)
{
    sqlite3_stmt *s = NULL;
    const unsigned char *got;
    va_list values;
    int code = sqlite.prepare_v2(l->db, text, -1, &s, NULL);

    if (code != SQLITE_OK)
        return failed(l, code, err);
    va_start(values, kinds);
    bind(s, kinds, values);
    va_end(values);
    code = sqlite.step(s);
    got = code == SQLITE_ROW ? sqlite.column_text(s, 0) : NULL;
    if (out)
        snprintf(out, room, "%s", got ? (const char *)got : "");
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        failed(l, code, err);
    sqlite.finalize(s);
    return code == SQLITE_ROW || code == SQLITE_DONE;
}

bool local_begin_all(struct local *l, struct err *err)
{
    return exec(l, "BEGIN IMMEDIATE", err);
}

bool local_end_all(struct local *l, bool ok, struct err *err)
{
    struct err ignored;

    if (ok)
        return exec(l, "COMMIT", err);
    (void)!exec(l, "ROLLBACK", &ignored);
    return false;
}

/* ---- the file ---- */

static bool make_tables(struct local *l, struct err *err)
{
    AUTO_FREE char *root = path_join(l->dir, "mlruns/0");
    char found[LOCAL_NUMBER_MAX];
    int64_t now = clock_epoch_ms();
    bool ok;

    if (!local_begin_all(l, err))
        return false;
    ok = local_sql(l, err, found, sizeof found,
                   "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'experiments'", "");
    if (ok && !*found)
        ok = exec(l, mlflow_schema, err) &&
             local_sql(l, err, NULL, 0,
                       "INSERT INTO experiments (experiment_id, name, artifact_location, "
                       "lifecycle_stage, creation_time, last_update_time) "
                       "VALUES (0, 'Default', ?, 'active', ?, ?)",
                       "tii", root, now, now);
    return local_end_all(l, ok, err);
}

static void local_close(struct sink *s)
{
    struct local *l = local_of(s);

    if (l->db)
        sqlite.close(l->db);
    free(l->path);
    free(l->dir);
    free(l);
}

static bool open_file(struct local *l, struct err *err)
{
    int code = sqlite.open_v2(l->path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);

    if (code != SQLITE_OK)
        return failed(l, code, err);
    sqlite.busy_timeout(l->db, BUSY_MS);
    return make_tables(l, err);
}

static bool local_open(struct sink **out, const char *uri, struct err *err)
{
    static const char scheme[] = "sqlite:///";
    struct local *l;

    if (!load(err))
        return false;
    l = xcalloc(1, sizeof *l);
    l->sink.ops = &sink_local;
    l->path = xstrdup(uri + sizeof scheme - 1);
    l->dir = path_dir(l->path);
    if (!dir_create(l->dir, err) || !open_file(l, err)) {
        local_close(&l->sink);
        return false;
    }
    *out = &l->sink;
    return true;
}

/* ---- the run ---- */

static bool find_experiment(struct local *l, const char *name, struct err *err)
{
    AUTO_FREE char *root = path_join(l->dir, "mlruns");
    char stage[LOCAL_NUMBER_MAX];
    int64_t now = clock_epoch_ms();

    if (!local_sql(
            l, err, NULL, 0,
            "INSERT INTO experiments (name, lifecycle_stage, creation_time, last_update_time) "
            "SELECT ?, 'active', ?, ? WHERE NOT EXISTS "
            "(SELECT 1 FROM experiments WHERE name = ?)",
            "tiit", name, now, now, name) ||
        !local_sql(l, err, NULL, 0,
                   "UPDATE experiments SET artifact_location = ? || '/' || experiment_id "
                   "WHERE name = ? AND artifact_location IS NULL",
                   "tt", root, name) ||
        !local_sql(l, err, l->experiment, sizeof l->experiment,
                   "SELECT experiment_id FROM experiments WHERE name = ?", "t", name) ||
        !local_sql(l, err, stage, sizeof stage,
                   "SELECT lifecycle_stage FROM experiments WHERE name = ?", "t", name))
        return false;
    return strcmp(stage, "deleted") != 0 ||
           err_set(err, ERR_DATA,
                   "'%s': the experiment '%s' is deleted: restore it, or name another", l->path,
                   name);
}

static bool take_experiment(struct local *l, const char *id, struct err *err)
{
    return local_sql(l, err, l->experiment, sizeof l->experiment,
                     "SELECT experiment_id FROM experiments WHERE experiment_id = ?", "t", id) &&
           (*l->experiment ||
            err_set(err, ERR_DATA, "'%s' has no experiment of id '%s'", l->path, id));
}

static bool take_run(struct local *l, const char *run, struct err *err)
{
    snprintf(l->sink.run, sizeof l->sink.run, "%s", run);
    if (!local_sql(l, err, l->artifacts, sizeof l->artifacts,
                   "SELECT artifact_uri FROM runs WHERE run_uuid = ?", "t", run) ||
        !local_sql(l, err, l->experiment, sizeof l->experiment,
                   "SELECT experiment_id FROM runs WHERE run_uuid = ?", "t", run))
        return false;
    return *l->experiment || err_set(err, ERR_DATA, "'%s' has no run '%s'", l->path, run);
}

static bool put_tag(struct local *l, const char *key, const char *value, struct err *err)
{
    return local_sql(l, err, NULL, 0,
                     "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", "ttt",
                     key, value, l->sink.run);
}

static bool create_run(struct local *l, const struct run_head *head, struct err *err)
{
    AUTO_FREE char *artifacts = NULL;

    if (!(head->experiment_id ? take_experiment(l, head->experiment_id, err)
                              : find_experiment(l, head->experiment, err)))
        return false;
    artifacts = xasprintf("%s/mlruns/%s/%s/artifacts", l->dir, l->experiment, head->id);
    snprintf(l->sink.run, sizeof l->sink.run, "%s", head->id);
    return local_sql(
               l, err, NULL, 0,
               "INSERT OR IGNORE INTO runs (run_uuid, name, source_type, source_name, "
               "entry_point_name, user_id, status, start_time, source_version, lifecycle_stage, "
               "artifact_uri, experiment_id) "
               "VALUES (?, ?, 'UNKNOWN', '', '', '', 'RUNNING', ?, '', 'active', ?, ?)",
               "ttitt", head->id, head->name, head->start_ms, artifacts, l->experiment) &&
           put_tag(l, "mlflow.runName", head->name, err) &&
           (!head->parent || put_tag(l, "mlflow.parentRunId", head->parent, err));
}

/* The store's id of a new run is the journal's. */
static bool local_begin(struct sink *s, const struct run_head *head, const char *known, bool,
                        struct err *err)
{
    struct local *l = local_of(s);
    bool ok;

    if (known)
        return take_run(l, known, err);
    if (head->resumed)
        return take_run(l, head->resumed, err) &&
               local_sql(l, err, NULL, 0, "UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?",
                         "t", s->run);
    if (!local_begin_all(l, err))
        return false;
    ok = create_run(l, head, err);
    return local_end_all(l, ok, err) && take_run(l, head->id, err);
}

/* ---- what it says ---- */

double local_value(double x)
{
    const double most = 1.7976931348623157e308;

    return isnan(x) ? 0 : MIN(most, MAX(-most, x));
}

static bool put_metric(struct local *l, const struct entry *m, struct err *err)
{
    double value = local_value(m->value);
    int64_t no_number = isnan(m->value);

    return local_sql(
               l, err, NULL, 0,
               "INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
               "VALUES (?, ?, ?, ?, ?, ?)",
               "tditii", m->key, value, m->ms, l->sink.run, m->step, no_number) &&
           local_sql(
               l, err, NULL, 0,
               "INSERT INTO latest_metrics AS old (key, value, timestamp, run_uuid, step, is_nan) "
               "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key, run_uuid) DO UPDATE SET "
               "value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, "
               "is_nan = excluded.is_nan "
               "WHERE (excluded.step, excluded.timestamp, excluded.value) >= "
               "(old.step, old.timestamp, old.value)",
               "tditii", m->key, value, m->ms, l->sink.run, m->step, no_number);
}

static bool put_param(struct local *l, const struct entry *p, struct err *err)
{
    return local_sql(l, err, NULL, 0,
                     "INSERT OR IGNORE INTO params (key, value, run_uuid) VALUES (?, ?, ?)", "ttt",
                     p->key, p->text, l->sink.run);
}

static bool local_log(struct sink *s, const struct batch *b, struct err *err)
{
    struct local *l = local_of(s);
    bool ok = local_begin_all(l, err);

    if (!ok)
        return false;
    for (int i = 0; ok && i < b->n_metrics; i++)
        ok = put_metric(l, &b->metrics[i], err);
    for (int i = 0; ok && i < b->n_params; i++)
        ok = put_param(l, &b->params[i], err);
    for (int i = 0; ok && i < b->n_tags; i++)
        ok = put_tag(l, b->tags[i].key, b->tags[i].text, err);
    return local_end_all(l, ok, err);
}

/* SQLite's own random bytes. */
static bool new_id(struct local *l, char id[static LOCAL_UUID], struct err *err)
{
    return local_sql(l, err, id, LOCAL_UUID, "SELECT lower(hex(randomblob(16)))", "");
}

static bool put_input(struct local *l, const struct run_input *in, struct err *err)
{
    char dataset[LOCAL_UUID + 4], input[LOCAL_UUID + 4], fresh[LOCAL_UUID];

    return new_id(l, fresh, err) &&
           local_sql(l, err, NULL, 0,
                     "INSERT OR IGNORE INTO datasets (dataset_uuid, experiment_id, name, digest, "
                     "dataset_source_type, dataset_source, dataset_schema, dataset_profile) "
                     "VALUES (?, ?, ?, ?, 'local', ?, ?, ?)",
                     "ttttttt", fresh, l->experiment, in->name, in->digest, in->source, in->schema,
                     in->profile) &&
           local_sql(l, err, dataset, sizeof dataset,
                     "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND "
                     "digest = ?",
                     "ttt", l->experiment, in->name, in->digest) &&
           new_id(l, fresh, err) &&
           local_sql(l, err, NULL, 0,
                     "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, "
                     "destination_type, destination_id) VALUES (?, 'DATASET', ?, 'RUN', ?)",
                     "ttt", fresh, dataset, l->sink.run) &&
           local_sql(
               l, err, input, sizeof input,
               "SELECT input_uuid FROM inputs WHERE source_type = 'DATASET' AND source_id = ? AND "
               "destination_type = 'RUN' AND destination_id = ?",
               "tt", dataset, l->sink.run) &&
           local_sql(l, err, NULL, 0,
                     "INSERT OR IGNORE INTO input_tags (input_uuid, name, value) "
                     "VALUES (?, 'mlflow.data.context', ?)",
                     "tt", input, in->context);
}

static bool local_input(struct sink *s, const struct run_input *in, struct err *err)
{
    struct local *l = local_of(s);
    bool ok = local_begin_all(l, err);

    return ok && local_end_all(l, put_input(l, in, err), err);
}

static bool local_file(struct sink *s, const char *path, const char *as, struct err *err)
{
    struct local *l = local_of(s);
    AUTO_FREE char *to = path_join(l->artifacts, as), *dir = path_dir(to);

    if (*l->artifacts != '/')
        return err_set(err, ERR_DATA, "the run's artefacts are kept at '%s', not in a folder",
                       l->artifacts);
    return dir_create(dir, err) && file_keep(path, to, err);
}

static bool local_end(struct sink *s, const char *status, int64_t end_ms, struct err *err)
{
    return local_sql(local_of(s), err, NULL, 0,
                     "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?", "tit", status,
                     end_ms, s->run);
}

static double local_wait(const struct sink *)
{
    return 0;
}

static void local_show(const struct sink *s, struct buf *link)
{
    buf_printf(link, "http://127.0.0.1:5000/#/experiments/%s/runs/%s?workflowType=machine_learning",
               ((const struct local *)s)->experiment, s->run);
}

const struct sink_ops sink_local = {
    .open = local_open,
    .begin = local_begin,
    .log = local_log,
    .input = local_input,
    .file = local_file,
    .model = local_model,
    .end = local_end,
    .find = local_find,
    .fetch = local_fetch,
    .set_alias = local_set_alias,
    .tag_version = local_tag_version,
    .wait = local_wait,
    .show = local_show,
    .close = local_close,
};
