/* rest.c - a tracking server of MLflow, by its REST interface, version 2.0. */
#include "track/rest.h"

#include "base/clock.h"
#include "base/file.h"

#include <ctype.h>
#include <math.h>
#include <stdatomic.h>

/* ---- who we are ---- */

/* The value of a line "name = value" in ~/.mlflow/credentials, to be freed; NULL: there is none. */
static char *credential(const char *name)
{
    const char *home = getenv("HOME");
    AUTO_FREE char *path = path_join(home ? home : ".", ".mlflow/credentials");
    AUTO(buf) text = {0};
    struct err ignored;

    if (!file_read(path, 1 << 16, &text, &ignored))
        return NULL;
    for (const char *line = buf_str(&text); line; line = strchr(line, '\n')) {
        size_t n = strlen(name);

        line += strspn(line, " \t\r\n");
        if (!strncmp(line, name, n) && line[n + strspn(line + n, " \t")] == '=') {
            line = strchr(line, '=') + 1;
            line += strspn(line, " \t");
            n = strcspn(line, "\r\n");
            while (n && isspace((unsigned char)line[n - 1]))
                n--;
            return xstrndup(line, n);
        }
    }
    return NULL;
}

static bool is_true(const char *name)
{
    const char *said = getenv(name);

    return said && (!strcasecmp(said, "true") || !strcmp(said, "1"));
}

/* As MLflow's client: the environment, then the file. */
static bool open_client(struct client **out, struct err *err)
{
    AUTO_FREE char *user = credential("mlflow_tracking_username");
    AUTO_FREE char *password = credential("mlflow_tracking_password");
    struct client_login login = {
        .user = getenv("MLFLOW_TRACKING_USERNAME"),
        .password = getenv("MLFLOW_TRACKING_PASSWORD"),
        .token = getenv("MLFLOW_TRACKING_TOKEN"),
        .ca_file = getenv("MLFLOW_TRACKING_SERVER_CERT_PATH"),
        .client_file = getenv("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
        .insecure = is_true("MLFLOW_TRACKING_INSECURE_TLS"),
    };

    if (login.insecure && login.ca_file && *login.ca_file)
        return err_set(err, ERR_DATA,
                       "MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH exclude "
                       "each other");
    login.user = login.user ? login.user : user;
    login.password = login.password ? login.password : password;
    return client_open(out, &login, err);
}

static void rest_close(struct sink *s)
{
    struct rest *r = rest_of(s);

    client_close(r->http);
    free(r->server);
    free(r->artifacts);
    free(r);
}

static bool rest_open(struct sink **out, const char *uri, struct err *err)
{
    struct rest *r = xcalloc(1, sizeof *r);
    size_t n = strlen(uri);

    while (n && uri[n - 1] == '/')
        n--;
    r->sink.ops = &sink_rest;
    r->server = xstrndup(uri, n);
    if (!open_client(&r->http, err)) {
        rest_close(&r->sink);
        return false;
    }
    *out = &r->sink;
    return true;
}

/* ---- one call ---- */

static bool is_passing(long status)
{
    return status == 408 || status == 429 || status >= 500;
}

/* What an answer that isn't 2xx says; notes its code. */
static bool refused(struct rest *r, const char *what, const struct client_answer *a,
                    struct err *err)
{
    struct json_doc doc = {0};
    struct err ignored = {0};
    const char *code = NULL, *message = NULL;
    char why[256];

    if (json_parse(&doc, buf_str(&a->body), a->body.len, &ignored)) {
        code = json_text(json_get(doc.root, "error_code"));
        message = json_text(json_get(doc.root, "message"));
    }
    snprintf(r->code, sizeof r->code, "%s", code ? code : "");
    snprintf(why, sizeof why, "%s", message ? message : buf_str(&a->body));
    json_doc_release(&doc);
    r->wait_s = a->retry_after_s;
    return err_set(err, is_passing(a->status) ? ERR_IO : ERR_DATA, "'%s' answers %ld to %s: %s",
                   r->server, a->status, what, why);
}

/* How long the last call took, and since when one is on its way: ms, 0: none is. */
static _Atomic int64_t took_ms, begun_ms;

static int64_t clock_ms(void)
{
    return (int64_t)(clock_seconds() * 1000);
}

bool sink_is_slow(void)
{
    enum { SLOW_MS = 1000 };
    int64_t begun = begun_ms;

    return took_ms > SLOW_MS || (begun && clock_ms() - begun > SLOW_MS);
}

static bool timed_call(struct rest *r, const char *method, const char *url, bool once,
                       const struct json_out *json, struct client_answer *a, struct err *err)
{
    int64_t begun = clock_ms();
    bool ok;

    begun_ms = begun;
    ok = client_call(r->http, method, url, json ? &json->buf : NULL, once, a, err);
    took_ms = clock_ms() - begun;
    begun_ms = 0;
    return ok;
}

bool rest_call(struct rest *r, const char *method, const char *path, bool once,
               const struct json_out *json, struct json_doc *answer, struct err *err)
{
    AUTO_FREE char *url = xasprintf("%s/api/2.0/mlflow/%s", r->server, path);
    AUTO(client_answer) a = {0};

    r->status = 0;
    r->code[0] = '\0';
    r->wait_s = 0;
    if (!timed_call(r, method, url, once, json, &a, err))
        return false;
    r->status = a.status;
    if (a.status < 200 || a.status > 299)
        return refused(r, path, &a, err);
    if (!answer)
        return true;
    if (json_parse(answer, buf_str(&a.body), a.body.len, err))
        return true;
    err->kind = ERR_IO; /* a proxy's page, say */
    return err_wrap(err, "'%s' doesn't answer %s as MLflow does", r->server, path);
}

/* What may be made again, as all but the creation of a run. */
static bool call(struct rest *r, const char *method, const char *path, const struct json_out *json,
                 struct json_doc *answer, struct err *err)
{
    return rest_call(r, method, path, false, json, answer, err);
}

bool rest_text(const struct rest *r, const struct json_t *v, const char *what, char *out,
               size_t room, struct err *err)
{
    const char *text = json_text(v);

    if (!text || strlen(text) >= room)
        return err_set(err, ERR_IO, "'%s' tells no %s, as MLflow does", r->server, what);
    snprintf(out, room, "%s", text);
    return true;
}

/* ---- the experiment ---- */

static bool experiment_named(struct rest *r, const char *name, struct err *err)
{
    AUTO(buf) path = {0};
    struct json_doc answer = {0};
    const struct json_t *found;
    bool ok;

    buf_puts(&path, "experiments/get-by-name?experiment_name=");
    client_escape(&path, name);
    if (!call(r, "GET", buf_str(&path), NULL, &answer, err))
        return false;
    found = json_get(answer.root, "experiment");
    ok = rest_text(r, json_get(found, "experiment_id"), "experiment_id", r->experiment,
                   sizeof r->experiment, err);
    if (ok && json_text(json_get(found, "lifecycle_stage")) &&
        !strcmp(json_text(json_get(found, "lifecycle_stage")), "deleted"))
        ok = err_set(err, ERR_DATA,
                     "the experiment '%s' is deleted on '%s': restore it, or name "
                     "another",
                     name, r->server);
    json_doc_release(&answer);
    return ok;
}

static bool create_experiment(struct rest *r, const char *name, struct err *err)
{
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "name", name);
    json_close(&json, '}');
    return call(r, "POST", "experiments/create", &json, NULL, err) ||
           !strcmp(r->code, "RESOURCE_ALREADY_EXISTS"); /* another was faster */
}

static bool find_experiment(struct rest *r, const char *name, struct err *err)
{
    if (experiment_named(r, name, err))
        return true;
    return r->status == 404 && create_experiment(r, name, err) && experiment_named(r, name, err);
}

/* ---- the run ---- */

static bool take_run(struct rest *r, const struct json_t *run, struct err *err)
{
    const struct json_t *info = json_get(run, "info");
    const char *artifacts = json_text(json_get(info, "artifact_uri"));

    free(r->artifacts);
    r->artifacts = xstrdup(artifacts ? artifacts : "");
    return rest_text(r, json_get(info, "run_id"), "run_id", r->sink.run, sizeof r->sink.run, err) &&
           rest_text(r, json_get(info, "experiment_id"), "experiment_id", r->experiment,
                     sizeof r->experiment, err);
}

static bool run_by_id(struct rest *r, const char *id, struct err *err)
{
    AUTO(buf) path = {0};
    struct json_doc answer = {0};
    bool ok;

    buf_puts(&path, "runs/get?run_id=");
    client_escape(&path, id);
    if (!call(r, "GET", buf_str(&path), NULL, &answer, err))
        return false;
    ok = take_run(r, json_get(answer.root, "run"), err);
    json_doc_release(&answer);
    return ok;
}

bool rest_search(struct rest *r, const char *path, const char *filter, struct json_doc *answer,
                 struct err *err)
{
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_open(&json, "experiment_ids", '[');
    json_put_str(&json, NULL, r->experiment);
    json_close(&json, ']');
    json_put_str(&json, "filter", filter);
    json_put_int(&json, "max_results", 1);
    json_close(&json, '}');
    return call(r, "POST", path, &json, answer, err);
}

/* The run that was made for a journal, in this experiment. true, and nothing in s->run: there is
 * none. */
static bool run_of_journal(struct rest *r, const char *journal, struct err *err)
{
    AUTO_FREE char *filter = xasprintf("tags.`%s` = '%s'", REST_CLIENT_ID, journal);
    struct json_doc answer = {0};
    const struct json_t *runs;
    bool ok = rest_search(r, "runs/search", filter, &answer, err);

    r->sink.run[0] = '\0';
    runs = ok ? json_get(answer.root, "runs") : NULL;
    if (json_size(runs) > 0)
        ok = take_run(r, json_at(runs, 0), err);
    json_doc_release(&answer);
    return ok;
}

void rest_put_pair(struct json_out *json, const char *key, const char *value)
{
    json_open(json, NULL, '{');
    json_put_str(json, "key", key);
    json_put_str(json, "value", value);
    json_close(json, '}');
}

/* parent: the store's id, "": none. */
static bool create_run(struct rest *r, const struct run_head *head, const char *parent,
                       struct err *err)
{
    AUTO(json_out) json = {0};
    struct json_doc answer = {0};
    bool ok;

    json_open(&json, NULL, '{');
    json_put_str(&json, "experiment_id", r->experiment);
    json_put_str(&json, "run_name", head->name);
    json_put_int(&json, "start_time", head->start_ms);
    json_open(&json, "tags", '[');
    rest_put_pair(&json, REST_CLIENT_ID, head->id);
    if (*parent)
        rest_put_pair(&json, "mlflow.parentRunId", parent);
    json_close(&json, ']');
    json_close(&json, '}');
    ok = rest_call(r, "POST", "runs/create", true, &json, &answer, err) &&
         take_run(r, json_get(answer.root, "run"), err);
    json_doc_release(&answer);
    return ok;
}

/* A run that goes on runs again. */
static bool resume_run(struct rest *r, const char *id, struct err *err)
{
    AUTO(json_out) json = {0};

    if (!run_by_id(r, id, err))
        return false;
    json_open(&json, NULL, '{');
    json_put_str(&json, "run_id", r->sink.run);
    json_put_str(&json, "status", "RUNNING");
    json_close(&json, '}');
    return call(r, "POST", "runs/update", &json, NULL, err);
}

static bool rest_begin(struct sink *s, const struct run_head *head, const char *known, bool tried,
                       struct err *err)
{
    struct rest *r = rest_of(s);
    char parent[SINK_RUN_MAX] = "";

    if (known)
        return run_by_id(r, known, err);
    if (head->resumed)
        return resume_run(r, head->resumed, err);
    if (head->experiment_id)
        snprintf(r->experiment, sizeof r->experiment, "%s", head->experiment_id);
    else if (!find_experiment(r, head->experiment, err))
        return false;
    if (tried) {
        if (!run_of_journal(r, head->id, err))
            return false;
        if (s->run[0])
            return true;
    }
    if (head->parent) {
        if (!run_of_journal(r, head->parent, err))
            return false;
        if (!s->run[0])
            return err_set(err, ERR_IO, "'%s' has not yet the run that this one is a part of",
                           r->server);
        snprintf(parent, sizeof parent, "%s", s->run);
    }
    return create_run(r, head, parent, err);
}

/* ---- what it says ---- */

/* The server stores a bare NaN or 1e400 as 0. */
static void put_value(struct json_out *json, double x)
{
    if (isfinite(x))
        json_put_real(json, "value", x);
    else
        json_put_str(json, "value", isnan(x) ? "NaN" : x > 0 ? "Infinity" : "-Infinity");
}

void rest_put_metric(struct json_out *json, const struct entry *m)
{
    json_put_str(json, "key", m->key);
    put_value(json, m->value);
    json_put_int(json, "timestamp", m->ms);
    json_put_int(json, "step", m->step);
}

static void put_texts(struct json_out *json, const char *name, const struct entry *e, int n)
{
    json_open(json, name, '[');
    for (int i = 0; i < n; i++)
        rest_put_pair(json, e[i].key, e[i].text);
    json_close(json, ']');
}

static bool rest_log(struct sink *s, const struct batch *b, struct err *err)
{
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "run_id", s->run);
    json_open(&json, "metrics", '[');
    for (int i = 0; i < b->n_metrics; i++) {
        json_open(&json, NULL, '{');
        rest_put_metric(&json, &b->metrics[i]);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    put_texts(&json, "params", b->params, b->n_params);
    put_texts(&json, "tags", b->tags, b->n_tags);
    json_close(&json, '}');
    return call(rest_of(s), "POST", "runs/log-batch", &json, NULL, err);
}

static bool rest_input(struct sink *s, const struct run_input *in, struct err *err)
{
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "run_id", s->run);
    json_open(&json, "datasets", '[');
    json_open(&json, NULL, '{');
    json_open(&json, "tags", '[');
    rest_put_pair(&json, "mlflow.data.context", in->context);
    json_close(&json, ']');
    json_open(&json, "dataset", '{');
    json_put_str(&json, "name", in->name);
    json_put_str(&json, "digest", in->digest);
    json_put_str(&json, "source_type", "local");
    json_put_str(&json, "source", in->source);
    json_put_str(&json, "schema", in->schema);
    json_put_str(&json, "profile", in->profile);
    json_close(&json, '}');
    json_close(&json, '}');
    json_close(&json, ']');
    json_close(&json, '}');
    return call(rest_of(s), "POST", "runs/log-inputs", &json, NULL, err);
}

static bool rest_end(struct sink *s, const char *status, int64_t end_ms, struct err *err)
{
    AUTO(json_out) json = {0};

    json_open(&json, NULL, '{');
    json_put_str(&json, "run_id", s->run);
    json_put_str(&json, "status", status);
    json_put_int(&json, "end_time", end_ms);
    json_close(&json, '}');
    return call(rest_of(s), "POST", "runs/update", &json, NULL, err);
}

/* ---- artefacts ---- */

/* Each part of the path escaped. */
static void put_path(struct buf *url, const char *path)
{
    while (*path) {
        size_t n = strcspn(path, "/");
        AUTO_FREE char *part = xstrndup(path, n);

        client_escape(url, part);
        path += n;
        if (*path) {
            buf_putc(url, '/');
            path++;
        }
    }
}

/* The URL of what lies below root, where the server passes files on; else nothing. */
static void put_url(const struct rest *r, const char *root, const char *as, struct buf *url)
{
    static const char scheme[] = "mlflow-artifacts:";
    const char *at = root + sizeof scheme - 1;

    if (strncmp(root, scheme, sizeof scheme - 1) != 0)
        return;
    if (!strncmp(at, "//", 2)) /* an authority: the server itself */
        at += 2 + strcspn(at + 2, "/");
    at += strspn(at, "/");
    buf_printf(url, "%s/api/2.0/mlflow-artifacts/artifacts/", r->server);
    put_path(url, at);
    buf_putc(url, '/');
    put_path(url, as);
}

/* The folder, where root is one; NULL, and ERR_DATA. */
static const char *folder_of(const struct rest *r, const char *root, struct err *err)
{
    static const char scheme[] = "file://";
    const char *at = !strncmp(root, scheme, sizeof scheme - 1) ? root + sizeof scheme - 1 : root;

    if (*at == '/')
        return at;
    err_set(err, ERR_DATA,
            "'%s' keeps artefacts at '%s', which takes MLflow's own client: start the server with "
            "--serve-artifacts",
            r->server, root);
    return NULL;
}

static bool is_taken(struct rest *r, const struct client_answer *a, const char *what,
                     struct err *err)
{
    return (a->status >= 200 && a->status <= 299) || refused(r, what, a, err);
}

bool rest_put_file(struct rest *r, const char *root, const char *path, const char *as,
                   struct err *err)
{
    AUTO(buf) url = {0};
    AUTO(client_answer) a = {0};
    AUTO_FREE char *to = NULL, *dir = NULL;
    const char *folder;

    put_url(r, root, as, &url);
    if (url.len)
        return client_put(r->http, buf_str(&url), path, &a, err) && is_taken(r, &a, as, err);
    folder = folder_of(r, root, err);
    if (!folder)
        return false;
    to = path_join(folder, as);
    dir = path_dir(to);
    return dir_create(dir, err) && file_keep(path, to, err);
}

bool rest_get_file(struct rest *r, const char *root, const char *as, const char *to,
                   struct err *err)
{
    AUTO(buf) url = {0};
    AUTO(client_answer) a = {0};
    AUTO(outfile) out = {0};
    AUTO_FREE char *from = NULL;
    const char *folder;

    put_url(r, root, as, &url);
    if (url.len)
        return outfile_open(&out, to, err) && client_get(r->http, buf_str(&url), out.f, &a, err) &&
               is_taken(r, &a, as, err) && outfile_commit(&out, err);
    folder = folder_of(r, root, err);
    if (!folder)
        return false;
    from = path_join(folder, as);
    return file_keep(from, to, err);
}

static bool rest_file(struct sink *s, const char *path, const char *as, struct err *err)
{
    return rest_put_file(rest_of(s), rest_of(s)->artifacts, path, as, err);
}

/* ---- */

static double rest_wait(const struct sink *s)
{
    return ((const struct rest *)s)->wait_s;
}

static void rest_show(const struct sink *s, struct buf *link)
{
    const struct rest *r = (const struct rest *)s;

    buf_printf(link, "%s/#/experiments/%s/runs/%s?workflowType=machine_learning", r->server,
               r->experiment, s->run);
}

const struct sink_ops sink_rest = {
    .open = rest_open,
    .begin = rest_begin,
    .log = rest_log,
    .input = rest_input,
    .file = rest_file,
    .model = rest_model,
    .end = rest_end,
    .find = rest_find,
    .fetch = rest_fetch,
    .set_alias = rest_set_alias,
    .tag_version = rest_tag_version,
    .wait = rest_wait,
    .show = rest_show,
    .close = rest_close,
};
