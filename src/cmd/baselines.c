#include "cmd/cmd.h"

#include "cmd/report.h"
#include "base/log.h"
#include "model/store.h"

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
    struct json_out *json;
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
            err_set(
                err, ERR_USAGE,
                "--models: '%s' is trained by epochs; train it, and name its file by --model-path",
                name);
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

static bool add_row(const struct table *t, const struct model *m, struct err *err)
{
    const struct report *report = t->report;
    struct rank_result r;

    if (!rank_evaluate(m, t->d, report->held_out, &report->plan, &r, err))
        return false;
    json_open(t->json, NULL, '{');
    report_write_json(m, report->held_out, &report->plan, &r, t->json);
    json_close(t->json, '}');
    if (report->out)
        report_print_row(m, &report->plan, &r, report->out);
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

static bool add_fitted(const struct table *t, const struct model_ops *ops, struct err *err)
{
    struct model *m = model_new(ops, t->d->n_users, t->d->n_items, t->d->digest, ops->defaults,
                                (uint64_t)t->o->seed);
    bool ok =
        ops->fit(m, &t->d->part[DATASET_TRAIN], err) ? add_row(t, m, err) : pass_over(t, ops, err);

    model_free(m);
    return ok;
}

static bool add_all(const struct table *t, const struct model_ops *const *chosen, int n,
                    const struct model *trained, struct err *err)
{
    if (trained && !store_check(trained, t->o->model_path, t->d, t->o->data_dir, err))
        return false;
    json_open(t->json, NULL, '{');
    json_put_str(t->json, "split", t->report->o.split);
    json_put_str(t->json, "digest", t->d->digest);
    json_open(t->json, "results", '[');
    if (t->report->out)
        report_print_head(&t->report->plan, t->report->out);
    for (int i = 0; i < n; i++)
        if (!add_fitted(t, chosen[i], err))
            return false;
    if (trained && !add_row(t, trained, err))
        return false;
    json_close(t->json, ']');
    json_close(t->json, '}');
    return cmd_write_json(t->json, t->report->o.json, err);
}

static bool baselines(const struct baselines_opts *o, const struct report *report, struct err *err)
{
    const struct model_ops *chosen[CHOSEN_MAX];
    struct model *trained = NULL;
    AUTO(json_out) json = {.pretty = true};
    AUTO(dataset) d = {0};
    struct table t = {o, report, &d, &json};
    int n = choose(o->models, chosen, err);
    bool ok;

    if (n < 0 || (o->model_path && !(trained = store_load(o->model_path, err))))
        return false;
    if (report->o.threads)
        omp_set_num_threads(report->o.threads);
    ok =
        dataset_open(&d, o->data_dir, report_parts(report->held_out) | times_for(chosen, n), err) &&
        add_all(&t, chosen, n, trained, err);
    model_free(trained);
    return ok;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct baselines_opts o;
    struct report report = {0};
    enum cmd_next next;

    OPT_ADD(&opts, "Options", baselines_opts, &o);
    next = report_parse(&report, &cmd_baselines, &opts, argv, err);
    return next == CMD_GO ? baselines(&o, &report, err) : next == CMD_DONE;
}

const struct cmd cmd_baselines = {
    .name = "baselines",
    .summary = "what models without training reach, in one table",
    .about =
        "Makes each of the models from the train rows, ranks as evaluate does, and prints the\n"
        "means over users known from train. A trained model that doesn't clearly beat them\n"
        "isn't worth its training.",
    .run = run,
};
