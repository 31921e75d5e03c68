/* local_model.c - models that runs made, and the registry, in MLflow's database. Ids follow from
 * the journal's: what is made again is there already. */
#include "track/local.h"

#include "base/clock.h"
#include "base/file.h"

/* ---- the logged model ---- */

enum { READY = 2 }; /* MLflow's number for a model that is whole */

static bool put_files(const struct run_model *m, const char *root, struct err *err)
{
    for (int i = 0; i < m->n_files; i++) {
        AUTO_FREE char *to = path_join(root, m->files[i].as), *dir = path_dir(to);

        if (!dir_create(dir, err) || !file_keep(m->files[i].path, to, err))
            return false;
    }
    return true;
}

static bool put_metric(struct local *l, const struct run_model *m, const char *id,
                       const struct entry *e, struct err *err)
{
    return local_sql(
        l, err, NULL, 0,
        "INSERT OR IGNORE INTO logged_model_metrics (model_id, metric_name, "
        "metric_timestamp_ms, metric_step, metric_value, experiment_id, run_id, "
        "dataset_uuid, dataset_name, dataset_digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, "
        "(SELECT dataset_uuid FROM datasets WHERE experiment_id = ?6 AND name = ?8 AND "
        "digest = ?9), ?8, ?9)",
        "ttiidtttt", id, e->key, e->ms, e->step, local_value(e->value), l->experiment, l->sink.run,
        m->dataset, m->digest);
}

static bool put_model(struct local *l, const struct run_model *m, const char *id, const char *root,
                      struct err *err)
{
    int64_t now = clock_epoch_ms();
    bool ok =
        local_sql(l, err, NULL, 0,
                  "INSERT OR IGNORE INTO logged_models (model_id, experiment_id, name, "
                  "artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, "
                  "lifecycle_stage, model_type, source_run_id) "
                  "VALUES (?, ?, ?, ?, ?, ?, ?, 'active', '', ?)",
                  "ttttiiit", id, l->experiment, m->name, root, now, now, (int64_t)READY,
                  l->sink.run) &&
        local_sql(l, err, NULL, 0,
                  "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, "
                  "destination_type, destination_id, step) "
                  "VALUES (lower(hex(randomblob(16))), 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?, ?)",
                  "tti", l->sink.run, id, m->step);

    for (int i = 0; ok && i < m->n_metrics; i++)
        ok = put_metric(l, m, id, &m->metrics[i], err);
    return ok;
}

/* ---- the registry ---- */

static bool set_alias(struct local *l, const char *name, const char *alias, const char *version,
                      struct err *err)
{
    return local_sql(l, err, NULL, 0,
                     "INSERT OR REPLACE INTO registered_model_aliases (alias, version, name) "
                     "VALUES (?, ?, ?)",
                     "ttt", alias, version, name);
}

/* The version of that source; made, unless it's there. */
static bool put_version(struct local *l, const char *name, const char *source, const char *root,
                        char version[static SINK_VERSION_MAX], struct err *err)
{
    int64_t now = clock_epoch_ms();

    return local_sql(l, err, NULL, 0,
                     "INSERT OR IGNORE INTO registered_models (name, creation_time, "
                     "last_updated_time, description) VALUES (?, ?, ?, '')",
                     "tii", name, now, now) &&
           local_sql(l, err, NULL, 0,
                     "INSERT INTO model_versions (name, version, creation_time, "
                     "last_updated_time, description, current_stage, source, run_id, status, "
                     "run_link, storage_location) "
                     "SELECT ?1, 1 + coalesce((SELECT max(version) FROM model_versions "
                     "WHERE name = ?1), 0), ?2, ?2, '', 'None', ?3, ?4, 'READY', '', ?5 "
                     "WHERE NOT EXISTS (SELECT 1 FROM model_versions WHERE name = ?1 AND "
                     "source = ?3)",
                     "tittt", name, now, source, l->sink.run, root) &&
           local_sql(l, err, version, SINK_VERSION_MAX,
                     "SELECT version FROM model_versions WHERE name = ? AND source = ?", "tt", name,
                     source) &&
           local_sql(l, err, NULL, 0,
                     "UPDATE registered_models SET last_updated_time = ? WHERE name = ?", "it", now,
                     name);
}

static bool register_model(struct local *l, const struct run_model *m, const char *id,
                           const char *root, struct err *err)
{
    AUTO_FREE char *source = xasprintf("models:/%s", id), *tag = NULL;
    char version[SINK_VERSION_MAX];

    if (!m->registered)
        return true;
    if (!put_version(l, m->registered, source, root, version, err))
        return false;
    tag = xasprintf("[{\"name\": \"%s\", \"version\": %s}]", m->registered, version);
    return local_sql(l, err, NULL, 0,
                     "INSERT OR REPLACE INTO logged_model_tags (model_id, experiment_id, tag_key, "
                     "tag_value) VALUES (?, ?, 'mlflow.modelVersions', ?)",
                     "ttt", id, l->experiment, tag) &&
           (!m->alias || set_alias(l, m->registered, m->alias, version, err));
}

bool local_model(struct sink *s, const struct run_model *m, struct err *err)
{
    struct local *l = local_of(s);
    AUTO_FREE char *id = xasprintf("m-%s", m->id);
    AUTO_FREE char *root = xasprintf("%s/mlruns/%s/models/%s/artifacts", l->dir, l->experiment, id);

    if (!put_files(m, root, err) || !local_begin_all(l, err))
        return false;
    return local_end_all(l, put_model(l, m, id, root, err) && register_model(l, m, id, root, err),
                         err);
}

bool local_find(struct sink *s, const char *name, const char *alias,
                char version[static SINK_VERSION_MAX], struct err *err)
{
    return local_sql(local_of(s), err, version, SINK_VERSION_MAX,
                     "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?",
                     "tt", name, alias);
}

bool local_fetch(struct sink *s, const char *name, const char *version, const char *as,
                 const char *to, struct err *err)
{
    static const char scheme[] = "file://";
    struct local *l = local_of(s);
    AUTO_FREE char *from = NULL;
    char root[LOCAL_PATH_MAX];
    const char *at = root;

    if (!local_sql(l, err, root, sizeof root,
                   "SELECT coalesce(storage_location, source) FROM model_versions "
                   "WHERE name = ? AND version = ?",
                   "tt", name, version))
        return false;
    if (!*root)
        return err_set(err, ERR_DATA, "'%s' has no version %s of '%s'", l->path, version, name);
    at += strncmp(root, scheme, sizeof scheme - 1) ? 0 : sizeof scheme - 1;
    if (*at != '/')
        return err_set(err, ERR_DATA, "'%s' keeps version %s of '%s' at '%s', not in a folder",
                       l->path, version, name, root);
    from = path_join(at, as);
    return file_keep(from, to, err);
}

bool local_set_alias(struct sink *s, const char *name, const char *alias, const char *version,
                     struct err *err)
{
    return set_alias(local_of(s), name, alias, version, err);
}

bool local_tag_version(struct sink *s, const char *name, const char *version, const char *key,
                       const char *value, struct err *err)
{
    return local_sql(local_of(s), err, NULL, 0,
                     "INSERT OR REPLACE INTO model_version_tags (key, value, name, version) "
                     "VALUES (?, ?, ?, ?)",
                     "tttt", key, value, name, version);
}
