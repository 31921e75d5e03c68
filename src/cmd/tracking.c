#include "cmd/tracking.h"

#include "base/clock.h"
#include "base/file.h"
#include "comm/comm.h"
#include "track/origin.h"

#include <math.h>

OPT_TABLE(tracking_opts, TRACKING_OPTIONS);

static const char TITLE[] = "MLflow";

void tracking_add(struct tracking *tr, struct opt_set *opts)
{
    *tr = (struct tracking){0};
    OPT_ADD(opts, TITLE, tracking_opts, &tr->o);
}

/* ---- where to ---- */

static const char *said(const char *variable)
{
    const char *value = getenv(variable);

    return value && *value ? value : NULL;
}

bool tracking_is_off(const struct tracking *tr)
{
    const char *how = tr->o.track ? tr->o.track : said("KINDRED_TRACK");

    return how && !strcmp(how, "off");
}

static bool is_wanted(const struct tracking *tr)
{
    return comm_rank() == 0 && !tracking_is_off(tr);
}

/* A journal may be sent from another folder: paths are absolute. */
char *tracking_uri(const char *asked)
{
    static const char scheme[] = "sqlite:///";
    const char *uri = asked ? asked : said("MLFLOW_TRACKING_URI");
    const char *path = uri ? uri + sizeof scheme - 1 : "mlflow.db";
    AUTO_FREE char *here = realpath(".", NULL);

    if (uri && (strncmp(uri, scheme, sizeof scheme - 1) != 0 || *path == '/'))
        return xstrdup(uri);
    return xasprintf("%s%s/%s", scheme, here ? here : ".", path);
}

char *tracking_registry_uri(const char *asked)
{
    return tracking_uri(asked ? asked : said("MLFLOW_REGISTRY_URI"));
}

/* ---- what the options say ---- */

static bool put_param(void *context, const char *key, const struct json_t *value, struct err *)
{
    AUTO(json_out) text = {0};
    const char *words = json_text(value);

    json_put_copy(&text, NULL, value);
    track_param(context, key,
                words                           ? words
                : json_kind(value) == JVAL_NULL ? ""
                                                : buf_str(&text.buf));
    return true;
}

/* Call f for each member of the finished object. */
static void each_member(const struct json_out *json, json_member_fn *f, void *context)
{
    struct json_doc doc = {0};
    struct err ignored = {0};

    if (json_parse(&doc, buf_str(&json->buf), json->buf.len, &ignored))
        (void)json_each(doc.root, f, context, &ignored);
    json_doc_release(&doc);
}

/* All but how it's told. */
static void put_params(struct tracking *tr, const struct opt_set *opts)
{
    for (int g = 0; g < opts->n; g++) {
        AUTO(json_out) json = {0};

        if (!strcmp(opts->groups[g].title, TITLE) ||
            !strcmp(opts->groups[g].title, "Common options"))
            continue;
        json_open(&json, NULL, '{');
        opt_write_json(&opts->groups[g], &json);
        json_close(&json, '}');
        each_member(&json, put_param, tr->t);
    }
}

/* ---- tags ---- */

static bool check_tags(const struct opt_list *tags, struct err *err)
{
    for (int i = 0; i < tags->n; i++)
        if (tags->items[i][0] == '=' || !strchr(tags->items[i], '='))
            return err_set(err, ERR_USAGE, "--tag %s: a tag is KEY=VALUE", tags->items[i]);
    return true;
}

static bool put_tag(void *context, const char *key, const struct json_t *value, struct err *)
{
    if (json_text(value))
        track_tag(context, key, json_text(value));
    return true;
}

/* MLFLOW_RUN_CONTEXT: an object of tags. */
static void put_context(struct tracking *tr)
{
    const char *text = said("MLFLOW_RUN_CONTEXT");
    AUTO(json_out) json = {0};

    if (text)
        buf_puts(&json.buf, text);
    if (text)
        each_member(&json, put_tag, tr->t);
}

static void put_tags(struct tracking *tr, const char *source)
{
    AUTO_FREE char *user = origin_user(), *host = origin_host(), *commit = origin_commit();
    char ranks[16];

    snprintf(ranks, sizeof ranks, "%d", comm_size());
    track_tag(tr->t, "mlflow.user", user);
    track_tag(tr->t, "mlflow.source.name", source);
    track_tag(tr->t, "mlflow.source.type", "LOCAL");
    if (commit)
        track_tag(tr->t, "mlflow.source.git.commit", commit);
    track_tag(tr->t, "kindred.version", KINDRED_VERSION);
    track_tag(tr->t, "kindred.host", host);
    track_tag(tr->t, "kindred.ranks", ranks);
    put_context(tr);
    for (int i = 0; i < tr->o.tag.n; i++) {
        const char *tag = tr->o.tag.items[i], *equals = strchr(tag, '=');
        AUTO_FREE char *key = xstrndup(tag, (size_t)(equals - tag));

        track_tag(tr->t, key, equals + 1);
    }
}

/* ---- other ranks ---- */

static void begin_on_ranks(struct tracking *tr)
{
    int64_t tracks = is_wanted(tr);

    if (comm_size() > 1)
        comm_all_fold(&tracks, 1, COMM_MAX);
    tr->on_ranks = comm_size() > 1 && tracks;
    machine_begin(&tr->machine);
    tr->started_at = clock_seconds();
}

/* Rank 0 says when: every second at first, later every hundredth part of the time. */
static bool is_time(struct tracking *tr)
{
    double now = clock_seconds();
    int32_t asks = now - tr->asked_at >= MAX(1, (now - tr->started_at) / 100);

    comm_all_share(&asks, sizeof asks, 0);
    if (asks)
        tr->asked_at = now;
    return asks;
}

static void put_rank(struct tracking *tr, int rank, const double values[MACHINE_VALUES])
{
    for (int i = 0; i < MACHINE_VALUES; i++) {
        AUTO_FREE char *key = xasprintf("system/rank_%d/%s", rank, machine_names[i]);

        if (!isnan(values[i]))
            track_metric(tr->t, key, values[i], tr->n_asked);
    }
}

void tracking_all_ranks(struct tracking *tr)
{
    enum { ROW = MACHINE_VALUES * sizeof(double) };
    AUTO_FREE double *rows = NULL;
    AUTO_FREE int64_t *begin = NULL;
    int size = comm_size();

    if (!tr->on_ranks || !is_time(tr))
        return;
    rows = xcalloc((size_t)size, ROW);
    begin = xcalloc((size_t)size + 1, sizeof *begin);
    for (int r = 0; r <= size; r++)
        begin[r] = (int64_t)r * ROW;
    machine_read(&tr->machine, rows + comm_rank() * MACHINE_VALUES);
    comm_all_gather(rows, begin);
    for (int r = 1; r < size; r++)
        put_rank(tr, r, rows + r * MACHINE_VALUES);
    tr->n_asked++;
}

/* ---- begin, and end ---- */

bool tracking_begin(struct tracking *tr, const struct cmd *c, const struct opt_set *opts,
                    const char *experiment, struct err *err)
{
    AUTO_FREE char *source = xasprintf("kindred %s", c->name);
    const char *asked = tr->o.experiment ? tr->o.experiment : said("MLFLOW_EXPERIMENT_NAME");
    const char *id = asked ? NULL : said("MLFLOW_EXPERIMENT_ID");
    char now[CLOCK_ISO_MAX];

    if (!check_tags(&tr->o.tag, err))
        return false;
    begin_on_ranks(tr);
    if (!is_wanted(tr))
        return true;
    clock_iso(clock_epoch_ms(), now);
    tr->experiment = id ? NULL : asked ? asked : experiment;
    tr->uri = tracking_uri(tr->o.tracking_uri);
    tr->name = tr->o.run_name ? xstrdup(tr->o.run_name) : xasprintf("%s %s", c->name, now);
    tr->t = track_begin(&(struct track_plan){.dir = tr->o.track_dir,
                                             .uri = tr->uri,
                                             .experiment = asked ? asked : experiment,
                                             .experiment_id = id,
                                             .name = tr->name,
                                             .resumed = said("MLFLOW_RUN_ID"),
                                             .parent = said("KINDRED_PARENT_RUN"),
                                             .wait_s = tr->o.track_wait});
    if (tr->t) {
        put_tags(tr, source);
        put_params(tr, opts);
    }
    return true;
}

bool tracking_end(struct tracking *tr, bool ok, const struct err *err)
{
    if (tr->t && !ok)
        track_tag(tr->t, "kindred.error", err->msg);
    track_end(tr->t, ok ? "FINISHED" : err->kind == ERR_INTERRUPTED ? "KILLED" : "FAILED");
    free(tr->uri);
    free(tr->name);
    tr->t = NULL;
    tr->uri = tr->name = NULL;
    return ok;
}

/* ---- on the way ---- */

/* Rows: of the parts that are open, on this rank. */
void tracking_dataset(struct tracking *tr, const char *dir, const struct dataset *d,
                      const char *context)
{
    AUTO_FREE char *at = realpath(dir, NULL);
    AUTO(json_out) profile = {0};
    int64_t n_rows = 0;

    if (!tr->t)
        return;
    json_open(&profile, NULL, '{');
    for (int p = 0; p < ARRAY_LEN(d->part); p++)
        n_rows += d->part[p].n;
    json_put_int(&profile, "num_rows", n_rows);
    json_put_int(&profile, "num_users", d->n_users);
    json_put_int(&profile, "num_items", d->n_items);
    json_close(&profile, '}');
    track_tag(tr->t, "kindred.dataset_digest", d->digest);
    track_dataset(tr->t, path_name(at ? at : dir), d->digest, at ? at : dir, buf_str(&profile.buf),
                  context);
}

struct metrics {
    struct track *t;
    const char *prefix;
    int64_t step;
};

static bool put_metric(void *context, const char *key, const struct json_t *value, struct err *)
{
    const struct metrics *m = context;
    AUTO_FREE char *name = xasprintf("%s%s", m->prefix, key);

    if (json_kind(value) == JVAL_INT || json_kind(value) == JVAL_REAL)
        track_metric(m->t, name, json_real_or(value, 0), m->step);
    return true;
}

void tracking_metrics(struct tracking *tr, const char *prefix, const struct json_out *json,
                      int64_t step)
{
    struct metrics m = {tr->t, prefix, step};

    if (tr->t)
        each_member(json, put_metric, &m);
}
