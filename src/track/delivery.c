#include "track/delivery.h"

#include "base/file.h"
#include "base/log.h"
#include "track/journal.h"
#include "track/sink.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

enum { BATCH_BYTES = 512 << 10 }; /* of keys and texts: a body stays below 1 MB */

struct delivery {
    char *dir, *journal, *sent, *set_aside;
    struct sink *sink;
    bool begun;   /* s->run is set */
    bool tried;   /* the run may be there though nobody told us its id */
    char *known;  /* the store's id, of an earlier process; NULL: none */
    int64_t at;   /* bytes of the journal that have been sent */
    int64_t read; /* that have been read: more, by what is in the batch */
    struct batch batch;
    size_t batch_bytes;
    bool whole;
};

/* ---- how far it is ---- */

static bool note(struct delivery *d, const struct json_out *line, struct err *err)
{
    FILE *file = fopen(d->sent, "a");
    bool ok;

    if (!file)
        return err_errno(err, "open", d->sent);
    ok = fprintf(file, "%s\n", buf_str(&line->buf)) > 0;
    return (fclose(file) == 0 && ok) || err_errno(err, "write", d->sent);
}

static bool note_at(struct delivery *d, struct err *err)
{
    AUTO(json_out) line = {0};

    if (d->at == d->read)
        return true;
    json_open(&line, NULL, '{');
    json_put_int(&line, "at", d->read);
    json_close(&line, '}');
    d->at = d->read;
    return note(d, &line, err);
}

static bool note_text(struct delivery *d, const char *key, const char *text, struct err *err)
{
    AUTO(json_out) line = {0};

    json_open(&line, NULL, '{');
    json_put_str(&line, key, text);
    json_close(&line, '}');
    return note(d, &line, err);
}

static bool read_note(void *context, const struct json_t *line, struct err *)
{
    struct delivery *d = context;
    const char *run = json_text(json_get(line, "run"));

    d->at = json_int_or(json_get(line, "at"), d->at);
    d->tried |= json_text(json_get(line, "tried")) != NULL;
    if (run) {
        free(d->known);
        d->known = xstrdup(run);
    }
    return true;
}

bool delivery_open(struct delivery **out, const char *run_dir, struct err *err)
{
    struct delivery *d = *out = xcalloc(1, sizeof *d);
    int64_t from = 0;

    d->dir = xstrdup(run_dir);
    d->journal = path_join(run_dir, "journal.jsonl");
    d->sent = path_join(run_dir, "sent.jsonl");
    d->set_aside = path_join(run_dir, "refused.jsonl");
    d->batch.metrics = xcalloc(SINK_ENTRIES_MAX, sizeof *d->batch.metrics);
    d->batch.params = xcalloc(SINK_PARAMS_MAX, sizeof *d->batch.params);
    d->batch.tags = xcalloc(SINK_PARAMS_MAX, sizeof *d->batch.tags);
    if (!file_exists(d->journal))
        return err_set(err, ERR_IO, "there is no run in '%s'", run_dir);
    return !file_exists(d->sent) || journal_each(d->sent, &from, read_note, d, err);
}

/* ---- what the store doesn't take ---- */

static bool set_aside(struct delivery *d, const char *what, const struct err *why, struct err *err)
{
    AUTO(json_out) line = {0};
    FILE *file = fopen(d->set_aside, "a");

    log_warn("track.refused", "what=\"%s\" error=\"%s\"; it's kept in %s", what, why->msg,
             d->set_aside);
    json_open(&line, NULL, '{');
    json_put_str(&line, "what", what);
    json_put_str(&line, "error", why->msg);
    json_close(&line, '}');
    if (!file || fprintf(file, "%s\n", buf_str(&line.buf)) < 0 || fclose(file))
        return err_errno(err, "write", d->set_aside);
    return true;
}

/* Go on where the store has said no; stop where it has said nothing. */
static bool sent_or_aside(struct delivery *d, bool ok, const char *what, struct err *err)
{
    struct err why = *err;

    return ok || (err->kind == ERR_DATA && set_aside(d, what, &why, err));
}

/* ---- batches ---- */

static void free_entries(struct entry *e, int *n)
{
    for (int i = 0; i < *n; i++) {
        free((char *)(uintptr_t)e[i].key);
        free((char *)(uintptr_t)e[i].text);
    }
    *n = 0;
}

static void empty(struct delivery *d)
{
    free_entries(d->batch.metrics, &d->batch.n_metrics);
    free_entries(d->batch.params, &d->batch.n_params);
    free_entries(d->batch.tags, &d->batch.n_tags);
    d->batch_bytes = 0;
}

static bool is_full(const struct delivery *d)
{
    const struct batch *b = &d->batch;

    return b->n_metrics + b->n_params + b->n_tags == SINK_ENTRIES_MAX ||
           b->n_params == SINK_PARAMS_MAX || b->n_tags == SINK_PARAMS_MAX ||
           d->batch_bytes > BATCH_BYTES;
}

static bool log_one(struct delivery *d, struct batch one, const struct entry *e, struct err *err)
{
    return sent_or_aside(d, d->sink->ops->log(d->sink, &one, err), e->key, err);
}

/* One that isn't taken takes down all that came with it. */
static bool log_each(struct delivery *d, struct err *err)
{
    const struct batch *b = &d->batch;
    bool ok = true;

    for (int i = 0; ok && i < b->n_metrics; i++)
        ok = log_one(d, (struct batch){.metrics = b->metrics + i, .n_metrics = 1}, b->metrics + i,
                     err);
    for (int i = 0; ok && i < b->n_params; i++)
        ok = log_one(d, (struct batch){.params = b->params + i, .n_params = 1}, b->params + i, err);
    for (int i = 0; ok && i < b->n_tags; i++)
        ok = log_one(d, (struct batch){.tags = b->tags + i, .n_tags = 1}, b->tags + i, err);
    return ok;
}

/* What the batch has; then all that was read is sent. */
static bool flush(struct delivery *d, struct err *err)
{
    const struct batch *b = &d->batch;

    if (b->n_metrics + b->n_params + b->n_tags > 0 && !d->sink->ops->log(d->sink, b, err) &&
        (err->kind != ERR_DATA || !log_each(d, err)))
        return false;
    empty(d);
    return note_at(d, err);
}

/* ---- lines ---- */

static const char *text_at(const struct json_t *array, int i)
{
    return json_text(json_at(array, i));
}

static double number_of(const struct json_t *v)
{
    const char *text = json_text(v);

    return text ? strtod(text, NULL) : json_real_or(v, NAN); /* "NaN", "-Infinity" */
}

static struct entry entry_of(const struct json_t *v, const char *key, const char *text)
{
    return (struct entry){.key = xstrdup(key),
                          .text = text ? xstrdup(text) : NULL,
                          .value = number_of(json_at(v, 1)),
                          .ms = json_int_or(json_at(v, 2), 0),
                          .step = json_int_or(json_at(v, 3), 0)};
}

static void add_entry(struct delivery *d, struct entry *list, int *n, const struct json_t *v)
{
    const char *key = text_at(v, 0), *text = list == d->batch.metrics ? NULL : text_at(v, 1);

    if (!key || (list != d->batch.metrics && !text))
        return;
    list[(*n)++] = entry_of(v, key, text);
    d->batch_bytes += strlen(key) + (text ? strlen(text) : 0) + sizeof(struct entry);
}

static bool send_metric(struct delivery *d, const struct json_t *v, struct err *)
{
    add_entry(d, d->batch.metrics, &d->batch.n_metrics, v);
    return true;
}

static bool send_param(struct delivery *d, const struct json_t *v, struct err *)
{
    add_entry(d, d->batch.params, &d->batch.n_params, v);
    return true;
}

static bool send_tag(struct delivery *d, const struct json_t *v, struct err *)
{
    add_entry(d, d->batch.tags, &d->batch.n_tags, v);
    return true;
}

static bool send_dataset(struct delivery *d, const struct json_t *v, struct err *err)
{
    struct run_input in = {
        .name = json_text(json_get(v, "name")),
        .digest = json_text(json_get(v, "digest")),
        .source = json_text(json_get(v, "source")),
        .profile = json_text(json_get(v, "profile")),
        .schema = json_text(json_get(v, "schema")),
        .context = json_text(json_get(v, "context")),
    };

    return sent_or_aside(d, d->sink->ops->input(d->sink, &in, err), "dataset", err);
}

static bool send_file(struct delivery *d, const struct json_t *v, struct err *err)
{
    AUTO_FREE char *under = xasprintf("files/%s", text_at(v, 0)), *path = path_join(d->dir, under);

    if (!file_exists(path)) /* gone with an earlier end */
        return true;
    return sent_or_aside(d, d->sink->ops->file(d->sink, path, text_at(v, 1), err), text_at(v, 1),
                         err);
}

static bool send_end(struct delivery *d, const struct json_t *v, struct err *err)
{
    d->whole = sent_or_aside(
        d, d->sink->ops->end(d->sink, text_at(v, 0), json_int_or(json_at(v, 1), 0), err), "end",
        err);
    return d->whole;
}

static void free_model(struct run_model *m)
{
    free_entries(m->metrics, &m->n_metrics);
    free(m->metrics);
    for (int i = 0; i < m->n_files; i++)
        free((char *)(uintptr_t)m->files[i].path);
    free(m->files);
}

static bool is_named(const struct json_t *names, const char *name)
{
    for (int i = 0; i < json_size(names); i++)
        if (text_at(names, i) && !strcmp(text_at(names, i), name))
            return true;
    return false;
}

struct judged {
    struct run_model *m;
    const struct json_t *names;
};

/* A line of the run's that is of the model's step. */
static bool take_metric(void *context, const struct json_t *line, struct err *)
{
    struct judged *j = context;
    const struct json_t *v = json_get(line, "metric");
    const char *key = text_at(v, 0);

    if (key && json_int_or(json_at(v, 3), -1) == j->m->step && is_named(j->names, key) &&
        j->m->n_metrics < json_size(j->names))
        j->m->metrics[j->m->n_metrics++] = entry_of(v, key, NULL);
    return true;
}

/* As the run has them, to the millisecond: said of the model, they aren't others of the run. */
static bool take_metrics(const struct delivery *d, struct run_model *m, const struct json_t *names,
                         struct err *err)
{
    struct judged j = {m, names};
    int64_t from = 0;

    m->metrics = xcalloc((size_t)MAX(json_size(names), 1), sizeof *m->metrics);
    return journal_each(d->journal, &from, take_metric, &j, err);
}

static void take_files(const struct delivery *d, struct run_model *m, const struct json_t *list)
{
    int n = json_size(list);

    m->files = xcalloc((size_t)MAX(n, 1), sizeof *m->files);
    for (int i = 0; i < n; i++) {
        AUTO_FREE char *under = xasprintf("files/%s", text_at(json_at(list, i), 0));

        m->files[m->n_files++] =
            (struct model_file){path_join(d->dir, under), text_at(json_at(list, i), 1)};
    }
}

static bool send_model(struct delivery *d, const struct json_t *v, struct err *err)
{
    struct run_model m = {
        .id = path_name(d->dir),
        .name = json_text(json_get(v, "name")),
        .registered = json_text(json_get(v, "registered")),
        .alias = json_text(json_get(v, "alias")),
        .dataset = json_text(json_get(v, "dataset")),
        .digest = json_text(json_get(v, "digest")),
        .step = json_int_or(json_get(v, "step"), 0),
    };
    bool ok;

    take_files(d, &m, json_get(v, "files"));
    ok = take_metrics(d, &m, json_get(v, "metrics"), err) &&
         sent_or_aside(d, d->sink->ops->model(d->sink, &m, err), "model", err);
    free_model(&m);
    return ok;
}

const struct sink_ops *sink_for(const char *uri, struct err *err)
{
    if (!strncmp(uri, "http://", 7) || !strncmp(uri, "https://", 8))
        return &sink_rest;
    if (!strncmp(uri, "sqlite:///", 10))
        return &sink_local;
    err_set(err, ERR_DATA,
            "tracking goes to http://, https:// or sqlite:///FILE, not to '%s': set "
            "MLFLOW_TRACKING_URI",
            uri);
    return NULL;
}

/* A creation whose answer got lost must not be made twice: that one is under way is noted first. */
static bool begin_run(struct delivery *d, const struct run_head *head, struct err *err)
{
    if (!d->known && !d->tried && !note_text(d, "tried", head->id, err))
        return false;
    if (!d->sink->ops->begin(d->sink, head, d->known, d->tried, err)) {
        d->tried = true;
        return false;
    }
    d->begun = true;
    return d->known || note_text(d, "run", d->sink->run, err);
}

static bool send_run(struct delivery *d, const struct json_t *v, struct err *err)
{
    const char *uri = json_text(json_get(v, "uri"));
    const struct sink_ops *ops = d->sink ? d->sink->ops : sink_for(uri ? uri : "", err);
    struct run_head head = {
        .id = json_text(json_get(v, "id")),
        .experiment = json_text(json_get(v, "experiment")),
        .experiment_id = json_text(json_get(v, "experiment_id")),
        .name = json_text(json_get(v, "name")),
        .resumed = json_text(json_get(v, "resumed")),
        .parent = json_text(json_get(v, "parent")),
        .start_ms = json_int_or(json_get(v, "start_ms"), 0),
    };

    if (!ops || !head.id || !head.experiment)
        return ops ? err_set(err, ERR_DATA, "'%s' doesn't begin as a journal", d->journal) : false;
    if (!d->sink && !ops->open(&d->sink, uri, err))
        return false;
    return begin_run(d, &head, err);
}

static const struct {
    const char *name;
    bool (*send)(struct delivery *d, const struct json_t *value, struct err *err);
    bool batched;
} kinds[] = {
    {"metric", send_metric, true},    {"param", send_param, true}, {"tag", send_tag, true},
    {"dataset", send_dataset, false}, {"file", send_file, false},  {"model", send_model, false},
    {"end", send_end, false},
};

static bool send_line(void *context, const struct json_t *line, struct err *err)
{
    struct delivery *d = context;

    for (int i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct json_t *value = json_get(line, kinds[i].name);

        if (!value)
            continue;
        if ((!kinds[i].batched || is_full(d)) && !flush(d, err))
            return false;
        return kinds[i].send(d, value, err);
    }
    return true; /* "run", which take_up saw to, or of a later version */
}

static bool only_first(void *context, const struct json_t *line, struct err *err)
{
    const struct json_t *head = json_get(line, "run");

    (void)(!head ? err_set(err, ERR_DATA, "the journal doesn't begin as one")
                 : send_run(context, head, err));
    return false;
}

/* The first line again, for the store's sake alone. */
static bool take_up(struct delivery *d, struct err *err)
{
    int64_t from = 0;

    *err = (struct err){0};
    (void)!journal_each(d->journal, &from, only_first, d, err);
    if (d->begun)
        return true;
    return err->kind != ERR_NONE ? false : err_set(err, ERR_IO, "'%s' has no line yet", d->journal);
}

bool delivery_go(struct delivery *d, struct err *err)
{
    bool ok;

    if (!d->begun && !take_up(d, err))
        return false;
    d->read = d->at;
    ok = journal_each(d->journal, &d->read, send_line, d, err) && flush(d, err);
    empty(d);
    return ok;
}

/* ---- */

bool delivery_is_whole(const struct delivery *d)
{
    return d->whole;
}

double delivery_wait(const struct delivery *d)
{
    return d->sink ? d->sink->ops->wait(d->sink) : 0;
}

void delivery_show(const struct delivery *d, struct buf *link)
{
    if (d->begun)
        d->sink->ops->show(d->sink, link);
}

void delivery_forget(const struct delivery *d)
{
    AUTO_FREE char *files = path_join(d->dir, "files");

    dir_remove(files);
    unlink(d->journal);
    unlink(d->sent);
    rmdir(d->dir);
}

void delivery_close(struct delivery *d)
{
    if (!d)
        return;
    if (d->sink)
        d->sink->ops->close(d->sink);
    empty(d);
    free(d->batch.metrics);
    free(d->batch.params);
    free(d->batch.tags);
    free(d->known);
    free(d->dir);
    free(d->journal);
    free(d->sent);
    free(d->set_aside);
    free(d);
}
