#include "cmd/sweep.h"

#include "base/file.h"
#include "base/log.h"
#include "sweep/page.h"

#include <math.h>

/* ---- which is best ---- */

static bool has_value(const struct sweep *s, int i)
{
    return s->trials[i].state == TRIAL_DONE && !isnan(s->trials[i].value);
}

bool sweep_is_of_rung(const struct sweep *s, int i, int rung)
{
    return has_value(s, i) && !s->points[i].model && s->points[i].rung == rung;
}

static int compare(const struct sweep *s, int a, int b)
{
    const struct trial *x = &s->trials[a], *y = &s->trials[b];

    if (has_value(s, a) != has_value(s, b))
        return has_value(s, a) ? -1 : 1;
    if (!has_value(s, a))
        return strcmp(x->id, y->id);
    return x->value != y->value ? (x->value < y->value) - (x->value > y->value)
                                : strcmp(x->id, y->id);
}

static int by_order(const void *a, const void *b, void *s)
{
    return compare(s, *(const int *)a, *(const int *)b);
}

int *sweep_sorted(struct sweep *s)
{
    int *out = xcalloc((size_t)MAX(s->n, 1), sizeof *out);

    for (int i = 0; i < s->n; i++)
        out[i] = i;
    qsort_r(out, (size_t)s->n, sizeof *out, by_order, s);
    return out;
}

static int best_of(const struct sweep *s, bool baselines)
{
    int best = -1;

    for (int i = 0; i < s->n; i++)
        if (has_value(s, i) && (s->points[i].model != NULL) == baselines &&
            (best < 0 || compare(s, i, best) < 0))
            best = i;
    return best;
}

int sweep_best(const struct sweep *s)
{
    return best_of(s, false);
}

/* ---- in words ---- */

/* What differs between trials, of this one; NULL: nothing. */
static const char *shown(const struct sweep *s, int trial, int axis)
{
    const struct point *p = &s->points[trial];
    const struct axis *a = &s->space.axes[axis];

    return axis_varies(a) && sweep_counts(s, p, axis) ? p->values[axis] : NULL;
}

static const char *prefix_of(const struct axis *a)
{
    return a->section == OF_PREPROCESS ? "preprocess." : "";
}

/* "lr 0.1, embedding_dim 64" */
static void put_point(const struct sweep *s, int trial, struct buf *out)
{
    const struct point *p = &s->points[trial];
    const struct axis *axes = s->space.axes;

    if (p->model)
        buf_printf(out, "baseline %s", p->model);
    for (int a = 0; a < s->space.n; a++)
        if (shown(s, trial, a))
            buf_printf(out, "%s%s%s %s", out->len ? ", " : "", prefix_of(&axes[a]), axes[a].name,
                       p->values[a]);
    if (p->epochs)
        buf_printf(out, "%sepochs %d", out->len ? ", " : "", p->epochs);
}

static void print_table(struct sweep *s)
{
    AUTO_FREE int *order = sweep_sorted(s);

    printf("%-12s  %12s  %9s  %s\n", "config_id", s->o->metric, "epochs s", "options");
    for (int i = 0; i < s->n; i++) {
        const struct trial *t = &s->trials[order[i]];
        AUTO(buf) point = {0};

        put_point(s, order[i], &point);
        if (t->state == TRIAL_DONE)
            printf("%-12s  %12.4f  %9.2f  %s\n", t->id, t->value, t->seconds, buf_str(&point));
        else
            printf("%-12s  %12s  %9s  %s%s%s\n", t->id,
                   t->state == TRIAL_FAILED ? "failed" : "not run", "", buf_str(&point),
                   t->error ? ": " : "", t->error ? t->error : "");
    }
}

/* ---- files ---- */

static void put_options(const struct sweep *s, const struct point *p, int section, const char *key,
                        struct json_out *out)
{
    json_open(out, key, '{');
    for (int a = 0; a < s->space.n; a++)
        if (s->space.axes[a].section == section && sweep_counts(s, p, a))
            json_put_str(out, s->space.axes[a].name, p->values[a]);
    if (section == OF_TRAIN && p->model)
        json_put_str(out, "model", p->model);
    if (section == OF_TRAIN && p->epochs) {
        char epochs[16];

        snprintf(epochs, sizeof epochs, "%d", p->epochs);
        json_put_str(out, "epochs", epochs);
    }
    json_close(out, '}');
}

static void put_trial(const struct sweep *s, int i, struct json_out *json)
{
    static const char *const states[] = {"waits", "runs", "done", "failed"};
    const struct trial *t = &s->trials[i];
    const struct point *p = &s->points[i];

    json_open(json, NULL, '{');
    json_put_str(json, "config_id", t->id);
    json_put_str(json, "state", states[t->state]);
    if (t->state == TRIAL_DONE) {
        json_put_real(json, "value", t->value);
        json_put_real(json, "epochs_s", t->seconds);
        if (t->peak)
            json_put_int(json, "peak_bytes", t->peak);
    }
    if (t->error)
        json_put_str(json, "error", t->error);
    if (s->n_rungs > 1)
        json_put_int(json, "rung", p->rung);
    if (p->model)
        json_put_bool(json, "baseline", true);
    put_options(s, p, OF_TRAIN, "options", json);
    if (s->o->input.n) {
        put_options(s, p, OF_PREPROCESS, "preprocess", json);
        json_put_str(json, "digest", s->variants[p->variant].digest);
    }
    json_close(json, '}');
}

static bool write_json(const struct sweep *s, struct err *err)
{
    AUTO_FREE char *path = path_join(s->o->output_dir, "sweep.json");
    int best = sweep_best(s);
    AUTO(json_out) json = {.pretty = true};

    json_open(&json, NULL, '{');
    json_put_str(&json, "metric", s->o->metric);
    if (!s->o->input.n)
        json_put_str(&json, "digest", s->variants[0].digest);
    json_put_str(&json, "best", best >= 0 ? s->trials[best].id : NULL);
    json_open(&json, "trials", '[');
    for (int i = 0; i < s->n; i++)
        put_trial(s, i, &json);
    json_close(&json, ']');
    json_close(&json, '}');
    return file_write(path, json.buf.data, json.buf.len, err) &&
           cmd_write_json(&json, s->o->json, err);
}

/* Texts in double quotes are YAML as they are JSON. */
static void put_section(const struct sweep *s, const struct point *p, int section, const char *name,
                        struct buf *out)
{
    buf_printf(out, "%s:\n", name);
    for (int a = 0; a < s->space.n; a++)
        if (s->space.axes[a].section == section && sweep_counts(s, p, a)) {
            AUTO(json_out) value = {0};

            json_put_str(&value, NULL, p->values[a]);
            buf_printf(out, "  %s: %s\n", s->space.axes[a].name, buf_str(&value.buf));
        }
    if (section == OF_TRAIN && p->epochs)
        buf_printf(out, "  epochs: %d\n", p->epochs);
}

/* What `kindred train --config` takes, and with --input `kindred preprocess` too. */
static bool write_best(const struct sweep *s, int best, struct err *err)
{
    AUTO_FREE char *path = path_join(s->o->output_dir, "best.yaml");
    const struct point *p = &s->points[best];
    AUTO(buf) text = {0};

    buf_printf(&text, "# %s %.6f on val, config_id %s\n", s->o->metric, s->trials[best].value,
               s->trials[best].id);
    if (s->o->input.n)
        put_section(s, p, OF_PREPROCESS, "preprocess", &text);
    put_section(s, p, OF_TRAIN, "train", &text);
    return file_write(path, text.data, text.len, err);
}

/* ---- the page ---- */

struct page_rows {
    struct sweep_page_trial *trials; /* (s->n) */
    const char **values;             /* (s->n, n_axes) */
    struct buf *labels;              /* (s->n) */
    char **axes;                     /* (n_axes) */
    int *of;                         /* (n_axes) which axis of the space */
    int n_axes;
};

static void list_axes(const struct sweep *s, struct page_rows *r)
{
    r->axes = xcalloc((size_t)s->space.n, sizeof *r->axes);
    r->of = xcalloc((size_t)s->space.n, sizeof *r->of);
    for (int a = 0; a < s->space.n; a++)
        if (axis_varies(&s->space.axes[a])) {
            r->of[r->n_axes] = a;
            r->axes[r->n_axes++] =
                xasprintf("%s%s", prefix_of(&s->space.axes[a]), s->space.axes[a].name);
        }
}

static void fill_rows(struct sweep *s, struct page_rows *r)
{
    AUTO_FREE int *order = sweep_sorted(s);
    int best = sweep_best(s);

    r->trials = xcalloc((size_t)s->n, sizeof *r->trials);
    r->values = xcalloc((size_t)s->n * (size_t)(r->n_axes + 1), sizeof *r->values);
    r->labels = xcalloc((size_t)s->n, sizeof *r->labels);
    for (int i = 0; i < s->n; i++) {
        int at = order[i];
        const struct trial *t = &s->trials[at];
        const char **values = r->values + (int64_t)i * r->n_axes;

        for (int a = 0; a < r->n_axes; a++)
            values[a] = shown(s, at, r->of[a]);
        put_point(s, at, &r->labels[i]);
        r->trials[i] =
            (struct sweep_page_trial){.id = t->id,
                                      .values = values,
                                      .label = buf_str(&r->labels[i]),
                                      .error = t->error,
                                      .value = t->state == TRIAL_DONE ? t->value : (double)NAN,
                                      .seconds = t->seconds,
                                      .is_baseline = s->points[at].model != NULL,
                                      .is_best = at == best};
    }
}

static bool write_page(struct sweep *s, struct err *err)
{
    AUTO_FREE char *path = path_join(s->o->output_dir, "sweep.html");
    struct page_rows r = {0};
    struct sweep_page page = {.metric = s->o->metric, .n = s->n};
    bool ok;

    list_axes(s, &r);
    fill_rows(s, &r);
    page.title = cmd_config_path();
    page.axes = (const char *const *)r.axes;
    page.n_axes = r.n_axes;
    page.trials = r.trials;
    ok = sweep_page_write(path, &page, err);
    for (int i = 0; i < s->n; i++)
        buf_release(&r.labels[i]);
    for (int a = 0; a < r.n_axes; a++)
        free(r.axes[a]);
    free(r.axes);
    free(r.of);
    free(r.labels);
    free(r.values);
    free(r.trials);
    return ok;
}

/* ---- all of it ---- */

static void track_result(const struct sweep *s, int best)
{
    static const char *const files[] = {"sweep.json", "sweep.html", "best.yaml"};

    for (int i = 0; i < ARRAY_LEN(files) - (best < 0); i++) {
        AUTO_FREE char *path = path_join(s->o->output_dir, files[i]);

        track_file(s->tr->t, path, files[i]);
    }
    if (best < 0)
        return;
    track_metric(s->tr->t, s->o->metric, s->trials[best].value, 0);
    track_tag(s->tr->t, "best_config_id", s->trials[best].id);
}

static void warn(const struct sweep *s, int best)
{
    int baseline = best_of(s, true);

    if (best >= 0 && baseline >= 0 && s->trials[baseline].value > s->trials[best].value)
        log_warn("sweep.baseline", "model=%s %s=%.4f best=%.4f: it's better than all trials",
                 s->points[baseline].model, s->o->metric, s->trials[baseline].value,
                 s->trials[best].value);
}

bool sweep_tell(struct sweep *s, struct err *err)
{
    int best = sweep_best(s);

    if (!write_json(s, err) || !write_page(s, err) || (best >= 0 && !write_best(s, best, err)))
        return false;
    track_result(s, best);
    if (!s->o->json || strcmp(s->o->json, "-")) {
        print_table(s);
        if (best >= 0)
            printf("%s/best.yaml\n", s->o->output_dir);
    }
    warn(s, best);
    return best >= 0 ||
           err_set(err, ERR_DATA,
                   "no trial has a '%s' on val: see the logs in '%s/trials', and whether "
                   "the dataset has val rows",
                   s->o->metric, s->o->output_dir);
}
