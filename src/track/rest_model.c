/* rest_model.c - models that runs made, and the registry, by the REST interface. What an earlier
 * try may have made is looked for before it's made. */
#include "track/rest.h"

#include "base/file.h"

/* ---- the logged model ---- */

enum { URI_MAX = 1024 };

/* Where the model is: as a logged model, or, on servers before MLflow 3, below the run. */
struct place {
    char id[REST_ID_MAX]; /* "": below the run */
    char artifacts[URI_MAX];
};

static bool take_place(const struct rest *r, const struct json_t *model, struct place *out,
                       struct err *err)
{
    const struct json_t *info = json_get(model, "info");

    return rest_text(r, json_get(info, "model_id"), "model_id", out->id, sizeof out->id, err) &&
           rest_text(r, json_get(info, "artifact_uri"), "artifact_uri", out->artifacts,
                     sizeof out->artifacts, err);
}

/* true, and no id: there is none. */
static bool find_model(struct rest *r, const struct run_model *m, struct place *out,
                       struct err *err)
{
    AUTO_FREE char *filter =
        xasprintf("source_run_id = '%s' AND tags.`%s` = '%s'", r->sink.run, REST_CLIENT_ID, m->id);
    AUTO(json_doc) answer = {0};

    if (!rest_search(r, "logged-models/search", filter, &answer, err))
        return false;
    return json_size(json_get(answer.root, "models")) == 0 ||
           take_place(r, json_at(json_get(answer.root, "models"), 0), out, err);
}

static bool create_model(struct rest *r, const struct run_model *m, struct place *out,
                         struct err *err)
{
    AUTO(json_out) json = {0};
    AUTO(json_doc) answer = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "experiment_id", r->experiment);
    json_put_str(&json, "name", m->name);
    json_put_str(&json, "source_run_id", r->sink.run);
    json_open(&json, "tags", '[');
    rest_put_pair(&json, REST_CLIENT_ID, m->id);
    json_close(&json, ']');
    json_close(&json, '}');
    return rest_call(r, "POST", "logged-models", true, &json, &answer, err) &&
           take_place(r, json_get(answer.root, "model"), out, err);
}

static bool is_unknown_call(const struct rest *r)
{
    return r->status == 404 || r->status == 405;
}

static bool find_place(struct rest *r, const struct run_model *m, struct place *out,
                       struct err *err)
{
    if (find_model(r, m, out, err))
        return *out->id || create_model(r, m, out, err);
    if (!is_unknown_call(r))
        return false;
    snprintf(out->artifacts, sizeof out->artifacts, "%s/model", r->artifacts);
    return true;
}

static bool finish_model(struct rest *r, const struct place *p, struct err *err)
{
    AUTO_FREE char *path = xasprintf("logged-models/%s", p->id);
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "model_id", p->id);
    json_put_str(&json, "status", "LOGGED_MODEL_READY");
    json_close(&json, '}');
    return rest_call(r, "PATCH", path, false, &json, NULL, err);
}

/* The run made it: that is what its page shows, and said again is refused. */
static bool link_to_run(struct rest *r, const struct run_model *m, const struct place *p,
                        struct err *err)
{
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "run_id", r->sink.run);
    json_open(&json, "models", '[');
    json_open(&json, NULL, '{');
    json_put_str(&json, "model_id", p->id);
    json_put_int(&json, "step", m->step);
    json_close(&json, '}');
    json_close(&json, ']');
    json_close(&json, '}');
    return rest_call(r, "POST", "runs/outputs", false, &json, NULL, err) ||
           (r->status == 400 && strstr(err->msg, "UNIQUE"));
}

static bool judge(struct rest *r, const struct run_model *m, const struct place *p, struct err *err)
{
    AUTO(json_out) json = {0};

    if (!m->n_metrics)
        return true;
    json_open(&json, NULL, '{');
    json_put_str(&json, "run_id", r->sink.run);
    json_open(&json, "metrics", '[');
    for (int i = 0; i < m->n_metrics; i++) {
        json_open(&json, NULL, '{');
        rest_put_metric(&json, &m->metrics[i]);
        json_put_str(&json, "model_id", p->id);
        json_put_str(&json, "dataset_name", m->dataset);
        json_put_str(&json, "dataset_digest", m->digest);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    return rest_call(r, "POST", "runs/log-batch", false, &json, NULL, err);
}

/* ---- the registry ---- */

static bool create_name(struct rest *r, const char *name, struct err *err)
{
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "name", name);
    json_close(&json, '}');
    return rest_call(r, "POST", "registered-models/create", false, &json, NULL, err) ||
           !strcmp(r->code, "RESOURCE_ALREADY_EXISTS");
}

/* "'": doubled would be SQL's way; MLflow's filters have none, and take double quotes instead. */
static void put_quoted(struct buf *out, const char *text)
{
    char quote = strchr(text, '\'') ? '"' : '\'';

    buf_printf(out, "%c%s%c", quote, text, quote);
}

/* The version of that source, if there is one. */
static bool find_version(struct rest *r, const char *name, const char *source,
                         char version[static SINK_VERSION_MAX], struct err *err)
{
    AUTO(buf) filter = {0}, path = {0};
    AUTO(json_doc) answer = {0};
    const struct json_t *list;

    buf_puts(&filter, "name = ");
    put_quoted(&filter, name);
    buf_printf(&filter, " and run_id = '%s'", r->sink.run);
    buf_puts(&path, "model-versions/search?max_results=1000&filter=");
    client_escape(&path, buf_str(&filter));
    version[0] = '\0';
    if (!rest_call(r, "GET", buf_str(&path), false, NULL, &answer, err))
        return false;
    list = json_get(answer.root, "model_versions");
    for (int i = 0; i < json_size(list); i++) {
        const char *of = json_text(json_get(json_at(list, i), "source"));

        if (of && !strcmp(of, source))
            return rest_text(r, json_get(json_at(list, i), "version"), "version", version,
                             SINK_VERSION_MAX, err);
    }
    return true;
}

static bool create_version(struct rest *r, const char *name, const char *source,
                           const struct place *p, char version[static SINK_VERSION_MAX],
                           struct err *err)
{
    AUTO(json_out) json = {0};
    AUTO(json_doc) answer = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "name", name);
    json_put_str(&json, "source", source);
    json_put_str(&json, "run_id", r->sink.run);
    if (*p->id)
        json_put_str(&json, "model_id", p->id);
    json_close(&json, '}');
    return rest_call(r, "POST", "model-versions/create", true, &json, &answer, err) &&
           rest_text(r, json_get(json_get(answer.root, "model_version"), "version"), "version",
                     version, SINK_VERSION_MAX, err);
}

static bool register_model(struct rest *r, const struct run_model *m, const struct place *p,
                           struct err *err)
{
    AUTO_FREE char *source =
        *p->id ? xasprintf("models:/%s", p->id) : xasprintf("%s/model", r->artifacts);
    char version[SINK_VERSION_MAX];

    return create_name(r, m->registered, err) &&
           find_version(r, m->registered, source, version, err) &&
           (*version || create_version(r, m->registered, source, p, version, err)) &&
           (!m->alias || rest_set_alias(&r->sink, m->registered, m->alias, version, err));
}

bool rest_model(struct sink *s, const struct run_model *m, struct err *err)
{
    struct rest *r = rest_of(s);
    struct place p = {0};

    if (!find_place(r, m, &p, err))
        return false;
    for (int i = 0; i < m->n_files; i++)
        if (!rest_put_file(r, p.artifacts, m->files[i].path, m->files[i].as, err))
            return false;
    if (*p.id &&
        (!finish_model(r, &p, err) || !link_to_run(r, m, &p, err) || !judge(r, m, &p, err)))
        return false;
    return !m->registered || register_model(r, m, &p, err);
}

/* "PATH?name=NAME&KEY=VALUE" */
static void put_query(struct buf *path, const char *call, const char *name, const char *key,
                      const char *value)
{
    buf_printf(path, "%s?name=", call);
    client_escape(path, name);
    buf_printf(path, "&%s=", key);
    client_escape(path, value);
}

bool rest_find(struct sink *s, const char *name, const char *alias,
               char version[static SINK_VERSION_MAX], struct err *err)
{
    struct rest *r = rest_of(s);
    AUTO(buf) path = {0};
    AUTO(json_doc) answer = {0};

    version[0] = '\0';
    put_query(&path, "registered-models/alias", name, "alias", alias);
    if (rest_call(r, "GET", buf_str(&path), false, NULL, &answer, err))
        return rest_text(r, json_get(json_get(answer.root, "model_version"), "version"), "version",
                         version, SINK_VERSION_MAX, err);
    return r->status == 404 || !strcmp(r->code, "INVALID_PARAMETER_VALUE"); /* no such alias */
}

bool rest_fetch(struct sink *s, const char *name, const char *version, const char *as,
                const char *to, struct err *err)
{
    struct rest *r = rest_of(s);
    AUTO(buf) path = {0};
    AUTO(json_doc) answer = {0};
    char root[URI_MAX];

    put_query(&path, "model-versions/get-download-uri", name, "version", version);
    return rest_call(r, "GET", buf_str(&path), false, NULL, &answer, err) &&
           rest_text(r, json_get(answer.root, "artifact_uri"), "artifact_uri", root, sizeof root,
                     err) &&
           rest_get_file(r, root, as, to, err);
}

static bool say_of(struct sink *s, const char *call, const char *name, const char *version,
                   const char *key, const char *value, const char *alias, struct err *err)
{
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "name", name);
    json_put_str(&json, "version", version);
    if (alias)
        json_put_str(&json, "alias", alias);
    if (key) {
        json_put_str(&json, "key", key);
        json_put_str(&json, "value", value);
    }
    json_close(&json, '}');
    return rest_call(rest_of(s), "POST", call, false, &json, NULL, err);
}

bool rest_set_alias(struct sink *s, const char *name, const char *alias, const char *version,
                    struct err *err)
{
    return say_of(s, "registered-models/alias", name, version, NULL, NULL, alias, err);
}

bool rest_tag_version(struct sink *s, const char *name, const char *version, const char *key,
                      const char *value, struct err *err)
{
    return say_of(s, "model-versions/set-tag", name, version, key, value, NULL, err);
}
