#include "cmd/cmd.h"

#include "cmd/report.h"
#include "cmd/tracking.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "model/store.h"

#include <math.h>
#include <omp.h>

#define BASELINES_OPTIONS(X, S)                                                                    \
    X(S, opt_text, data_dir, "data/processed", 0, 0, "DIR", "what preprocess wrote")               \
    X(S, opt_text, models, "all", 0, 0, "NAME,...",                                                \
      "which; all is every model that needs no epochs and can be made of the data")                \
    X(S, opt_text, model_path, NULL, 0, 0, "FILE", "a trained model to stand beside them")         \
    X(S, int64_t, seed, 1, 0, 1e15, "N", "of what is random")

OPT_DEFINE(baselines_opts, BASELINES_OPTIONS);

enum { CHOSEN_MAX = 32 };

/* The command's state: what to measure, on what, and what is known so far. */
struct table {
    const struct baselines_opts *o;
    const struct report *report;
    const struct dataset *d;
    const struct heldout *heldout;
    struct outcome *outcomes; /* (n) */
    int n;
    struct tracking *tr;
    bool counts_memory; /* the system lets us begin anew for each model */
};

static int choose(const char *text, const struct model_ops *out[CHOSEN_MAX], struct err *err)
{
    int n = 0;

    if (!strcmp(text, "all")) {
        for (int i = 0; models[i]; i++)
            if (models[i]->fit)
                out[n++] = models[i];
        return n;
    }
    for (const char *p = text; n < CHOSEN_MAX; p++) {
        size_t len = strcspn(p, ",");
        AUTO_FREE char *name = xstrndup(p, len);

        out[n] = model_find(name, err);
        if (!out[n]) {
            err_wrap(err, "--models");
            return -1;
        }
        if (!out[n]->fit) {
            err_set(err, ERR_USAGE,
                    "--models: '%s' is %s; train it, and name its file by --model-path", name,
                    out[n]->learn ? "trained by epochs" : "made of other trained models");
            return -1;
        }
        n++;
        p += len;
        if (!*p)
            return n;
    }
    err_set(err, ERR_USAGE, "--models: more than %d names", CHOSEN_MAX);
    return -1;
}

/* The bit of dataset_open, if one of the models asks when rows are from. */
static unsigned times_for(const struct model_ops *const *chosen, int n)
{
    for (int i = 0; i < n; i++)
        if (chosen[i]->dated && chosen[i]->dated(chosen[i]->defaults))
            return DATASET_TIMES;
    return 0;
}

/* made_s: how long making took; NAN: it was made before. */
static bool add_row(struct table *t, const struct model *m, double made_s, struct err *err)
{
    const struct report *report = t->report;
    struct outcome *o = &t->outcomes[t->n];
    AUTO(ranking) r = {0};

    if (!report_measure(report, m, t->heldout, &r, o, err))
        return false;
    o->made = !isnan(made_s);
    o->fit_s = made_s;
    o->peak_bytes = t->counts_memory ? memory_peak() : 0;
    t->n++;
    if (report->out)
        report_print_row(report, o, 0, false, true);
    return true;
}

/* Of all models, one that can't be made of this data, or on this machine, is left out. */
static bool pass_over(const struct table *t, const struct model_ops *ops, struct err *err)
{
    if (strcmp(t->o->models, "all") || (err->kind != ERR_DATA && err->kind != ERR_IO))
        return false;
    log_warn("baselines.left_out", "model=%s error=\"%s\"", ops->name, err->msg);
    *err = (struct err){0};
    return true;
}

static bool add_fitted(struct table *t, const struct model_ops *ops, struct err *err)
{
    struct model *m = model_new(ops, t->d->n_users, t->d->n_items, t->d->digest, ops->defaults,
                                (uint64_t)t->o->seed);
    double start = clock_seconds();
    bool ok;

    t->counts_memory = memory_reset_peak();
    ok = ops->fit(m, &t->d->part[DATASET_TRAIN], err) ? add_row(t, m, clock_seconds() - start, err)
                                                      : pass_over(t, ops, err);
    model_free(m);
    return ok;
}

/* The first values are printed as models are done. */
static bool add_all(struct table *t, const struct model_ops *const *chosen, int n,
                    const struct model *trained, struct err *err)
{
    const struct heldout *h = t->heldout;
    const struct rank_result over = {.known.n_users = h->n_known,
                                     .all.n_users = h->n_users,
                                     .n_rows = h->n_rows,
                                     .n_new_rows = h->n_new_rows};

    if (t->report->out) {
        report_print_head(t->report, &over);
        fprintf(t->report->out, "known users\n");
        report_print_columns(t->report, 0, true);
    }
    for (int i = 0; i < n; i++)
        if (!add_fitted(t, chosen[i], err))
            return false;
    t->counts_memory = memory_reset_peak();
    return !trained || add_row(t, trained, (double)NAN, err);
}

/* Known users' further values, then all users' if there are others; groups last. */
static void print_rest(const struct table *t)
{
    const struct report *r = t->report;
    int tables = t->heldout->n_known < t->heldout->n_users ? 2 : 1;

    for (int all = 0; all < tables; all++)
        for (int first = all ? 0 : REPORT_VALUES_A_LINE; first < report_n_shown(r);
             first += REPORT_VALUES_A_LINE) {
            fprintf(r->out, all && !first ? "\nall users\n" : "\n");
            report_print_columns(r, first, false);
            for (int i = 0; i < t->n; i++)
                report_print_row(r, &t->outcomes[i], first, all, false);
        }
    for (int i = 0; r->n_by_shown && i < t->n; i++) {
        fprintf(r->out, "\n%s", t->outcomes[i].model);
        report_print_groups(r, &t->outcomes[i]);
    }
}

static void write_cost(const struct outcome *o, struct json_out *json)
{
    if (o->made)
        json_put_real(json, "fit_seconds", o->fit_s);
    if (o->peak_bytes)
        json_put_int(json, "peak_bytes", o->peak_bytes);
}

static bool write_results(const struct table *t, struct err *err)
{
    AUTO(json_out) json = {.pretty = true};

    json_open(&json, NULL, '{');
    json_put_str(&json, "split", t->report->o.split);
    json_put_str(&json, "digest", t->d->digest);
    json_open(&json, "results", '[');
    for (int i = 0; i < t->n; i++) {
        json_open(&json, NULL, '{');
        report_write_json(t->report, &t->outcomes[i], &json);
        write_cost(&t->outcomes[i], &json);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    return cmd_write_json(&json, t->report->o.json, err);
}

/* ials/ndcg_at_20, ials/fit_seconds. */
static void track_outcome(const struct table *t, const struct outcome *o)
{
    AUTO(json_out) json = {0};
    AUTO_FREE char *prefix = xasprintf("%s/", o->model);

    json_open(&json, NULL, '{');
    report_write_json(t->report, o, &json);
    write_cost(o, &json);
    json_close(&json, '}');
    tracking_metrics(t->tr, prefix, &json, 0);
}

static bool measure_all(struct table *t, const struct model_ops *const *chosen, int n,
                        const struct model *trained, struct err *err)
{
    bool ok;

    if (trained && !store_check(trained, t->o->model_path, t->d, t->o->data_dir, err))
        return false;
    t->outcomes = xcalloc((size_t)n + 1, sizeof *t->outcomes);
    ok = add_all(t, chosen, n, trained, err);
    if (ok && t->report->out)
        print_rest(t);
    ok = ok && write_results(t, err);
    for (int i = 0; ok && i < t->n; i++)
        track_outcome(t, &t->outcomes[i]);
    for (int i = 0; i <= n; i++)
        outcome_release(&t->outcomes[i]);
    free(t->outcomes);
    return ok;
}

static bool baselines(const struct baselines_opts *o, const struct report *report,
                      struct tracking *tr, struct err *err)
{
    const struct model_ops *chosen[CHOSEN_MAX];
    struct model *trained = NULL;
    AUTO(dataset) d = {0};
    AUTO(heldout) h = {0};
    struct table t = {.o = o, .report = report, .d = &d, .heldout = &h, .tr = tr};
    int n = choose(o->models, chosen, err);
    bool ok;

    if (n < 0 || (o->model_path && !(trained = store_load(o->model_path, err))))
        return false;
    if (report->o.threads)
        omp_set_num_threads(report->o.threads);
    ok =
        dataset_open(&d, o->data_dir, report_parts(report->held_out) | times_for(chosen, n), err) &&
        heldout_make(&h, &d, report->held_out, report->o.threads, err);
    if (ok)
        tracking_dataset(tr, o->data_dir, &d, "evaluation");
    ok = ok && measure_all(&t, chosen, n, trained, err);
    model_free(trained);
    return ok;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct baselines_opts o;
    struct report report = {0};
    struct tracking tr;
    enum cmd_next next;

    OPT_ADD(&opts, "Options", baselines_opts, &o);
    tracking_add(&tr, &opts);
    next = report_parse(&report, &cmd_baselines, &opts, argv, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (!tracking_begin(&tr, &cmd_baselines, &opts, "baselines", err))
        return false;
    return tracking_end(&tr, baselines(&o, &report, &tr, err), err);
}

const struct cmd cmd_baselines = {
    .name = "baselines",
    .summary = "what models without training reach, in one table",
    .about =
        "Makes each of the models from the train rows, ranks as evaluate does, and prints the\n"
        "means over users known from train, the seconds that making and ranking took, and the\n"
        "most memory that the program held meanwhile. A trained model that doesn't clearly beat\n"
        "them isn't worth its training.",
    .run = run,
};
