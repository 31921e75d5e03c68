#include "cmd/cmd.h"

#include "cmd/tracking.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "sweep/space.h"
#include "sweep/trials.h"

#include <math.h>
#include <omp.h>
#include <unistd.h>

#define SWEEP_OPTIONS(X, S)                                                                        \
    X(S, opt_text, data_dir, "data/processed", 0, 0, "DIR", "what preprocess wrote")               \
    X(S, opt_text, output_dir, "outputs/sweep", 0, 0, "DIR",                                       \
      "for the trials, a folder each, sweep.json and best.yaml")                                   \
    X(S, opt_text, strategy, "grid", 0, 0, "grid|random",                                          \
      "all points of the grid in their order, or points at random, also of ranges")                \
    X(S, int, max_trials, 100, 1, 10000, "N", "points that are tried, at most")                    \
    X(S, double, max_minutes, 0, 0, 1e6, "M", "after which no trial is begun; 0: no limit")        \
    X(S, opt_text, metric, "ndcg_at_20", 0, 0, "NAME",                                             \
      "what is best, of run.json's metrics on val: ndcg_at_10, ndcg_at_20, recall_at_10 or "       \
      "recall_at_20")                                                                              \
    X(S, int, jobs, 0, 0, 1024, "N",                                                               \
      "trials at a time; 0: one for each processor. Each has one thread unless 'train' says "      \
      "threads")                                                                                   \
    X(S, opt_text, memory_budget, NULL, 0, 0, "SIZE",                                              \
      "such as 4GB, for all trials that run at a time (default 80 % of memory): a trial waits "    \
      "while what the others have come to hold leaves no room for it")                             \
    X(S, int64_t, seed, 1, 0, 1e15, "N", "of the random points")                                   \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "write sweep.json there too; - is stdout")

OPT_DEFINE(sweep_opts, SWEEP_OPTIONS);

struct sweep {
    const struct sweep_opts *o;
    struct tracking *tr;
    struct space space;
    struct trial *trials; /* (n) */
    char **values;        /* (n, space.n) what each gives each option */
    int n_values;
    int n, n_ended;
    struct progress bar;
};

static void sweep_release(struct sweep *s)
{
    for (int i = 0; i < s->n; i++)
        trial_release(&s->trials[i]);
    free(s->trials);
    for (int i = 0; i < s->n_values; i++)
        free(s->values[i]);
    free(s->values);
    space_release(&s->space);
}

/* ---- a point as a process ---- */

/* (space.n) */
static char **values_of(const struct sweep *s, const struct trial *t)
{
    return s->values + (t - s->trials) * s->space.n;
}

/* The point's model; mf unless the file says otherwise. */
static const char *model_at(const struct sweep *s, char *const *values)
{
    for (int a = 0; a < s->space.n; a++)
        if (!strcmp(s->space.axes[a].name, "model"))
            return values[a];
    return "mf";
}

/* What the sweep says itself. */
static bool is_own(const char *name)
{
    return !strcmp(name, "data_dir") || !strcmp(name, "output_dir") || !strcmp(name, "resume") ||
           !strcmp(name, "json");
}

static bool counts(const struct sweep *s, char *const *values, int axis)
{
    const char *name = s->space.axes[axis].name;

    return !is_own(name) && train_has_option(model_at(s, values), name);
}

/* "embedding_dim=64\n" for each option that counts: the trial's name is its digest. */
static void describe(const struct sweep *s, char *const *values, struct buf *out)
{
    for (int a = 0; a < s->space.n; a++)
        if (counts(s, values, a))
            buf_printf(out, "%s=%s\n", s->space.axes[a].name, values[a]);
}

static char *option(const char *name, const char *value)
{
    char *text = xasprintf("--%s=%s", name, value);

    for (char *c = text; *c && *c != '='; c++)
        *c = *c == '_' ? '-' : *c;
    return text;
}

static char **make_argv(const struct sweep *s, const struct trial *t, char *const *values)
{
    char **argv = xcalloc((size_t)s->space.n + 16, sizeof *argv);
    bool has_threads = false;
    int n = 0;

    argv[n++] = xstrdup("kindred");
    argv[n++] = xstrdup("train");
    argv[n++] = option("data_dir", s->o->data_dir);
    argv[n++] = option("output_dir", t->dir);
    argv[n++] = xstrdup("--quiet");
    argv[n++] = option("run_name", t->id);
    argv[n++] = xasprintf("--tag=config_id=%s", t->id);
    if (s->tr->experiment)
        argv[n++] = option("experiment", s->tr->experiment);
    argv[n++] = option("track", s->tr->t ? "mlflow" : "off");
    if (s->tr->uri)
        argv[n++] = option("tracking_uri", s->tr->uri);
    for (int a = 0; a < s->space.n; a++)
        if (counts(s, values, a)) {
            argv[n++] = option(s->space.axes[a].name, values[a]);
            has_threads |= !strcmp(s->space.axes[a].name, "threads");
        }
    if (!has_threads)
        argv[n++] = xstrdup("--threads=1");
    return argv;
}

static bool is_there(const struct sweep *s, const char *id)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->trials[i].id, id))
            return true;
    return false;
}

/* Points that differ only by what their model doesn't have are one. */
static void add_trial(struct sweep *s, int64_t point, int number)
{
    struct trial *t = &s->trials[s->n];
    char **values = values_of(s, t);
    AUTO(buf) text = {0};
    char hex[DIGEST_HEX];

    for (int a = 0; a < s->space.n; a++)
        free(values[a]); /* of a point that was there already */
    space_values(&s->space, point, (uint64_t)s->o->seed, number, values);
    s->n_values = (s->n + 1) * s->space.n;
    describe(s, values, &text);
    digest_bytes(buf_str(&text), text.len, hex);
    snprintf(t->id, sizeof t->id, "%.*s", TRIAL_ID - 1, hex);
    if (is_there(s, t->id)) {
        *t = (struct trial){0};
        return;
    }
    t->dir = xasprintf("%s/trials/%s", s->o->output_dir, t->id);
    t->argv = make_argv(s, t, values);
    s->n++;
}

static void make_trials(struct sweep *s)
{
    AUTO_FREE int64_t *points = xcalloc((size_t)s->o->max_trials, sizeof *points);
    int n = space_choose(&s->space, !strcmp(s->o->strategy, "random"), s->o->max_trials,
                         (uint64_t)s->o->seed, points);

    s->trials = xcalloc((size_t)n, sizeof *s->trials);
    s->values = xcalloc((size_t)n * (size_t)s->space.n, sizeof *s->values);
    for (int i = 0; i < n; i++)
        add_trial(s, points[i], i);
}

static bool check_strategy(const struct sweep *s, struct err *err)
{
    return !s->space.has_range || !strcmp(s->o->strategy, "random") ||
           err_set(
               err, ERR_USAGE,
               "%s has a range, of which a grid has no points: --strategy random draws from it, "
               "--max-trials times",
               cmd_config_path());
}

/* An option that no model of the sweep has is a slip. */
static bool check_names(const struct sweep *s, const char *path, struct err *err)
{
    for (int a = 0; a < s->space.n; a++) {
        bool known = false;

        for (int i = 0; i < s->n && !known; i++)
            known = is_own(s->space.axes[a].name) || counts(s, values_of(s, &s->trials[i]), a);
        if (!known)
            return err_set(err, ERR_USAGE,
                           "%s:%d: no model of this sweep has an option '%s'; 'kindred help train' "
                           "lists them",
                           path, s->space.axes[a].line, s->space.axes[a].name);
    }
    return true;
}

/* ---- what came of it ---- */

static const struct trial *best_of(const struct sweep *s)
{
    const struct trial *best = NULL;

    for (int i = 0; i < s->n; i++)
        if (s->trials[i].state == TRIAL_DONE && !isnan(s->trials[i].value) &&
            (!best || s->trials[i].value > best->value))
            best = &s->trials[i];
    return best;
}

/* "lr 0.1, embedding_dim 64": what differs between trials. */
static void put_point(const struct sweep *s, const struct trial *t, struct buf *out)
{
    char *const *values = values_of(s, t);

    for (int a = 0; a < s->space.n; a++)
        if ((s->space.axes[a].n > 1 || s->space.axes[a].is_range) && counts(s, values, a))
            buf_printf(out, "%s%s %s", out->len ? ", " : "", s->space.axes[a].name, values[a]);
}

static int by_value(const void *a, const void *b)
{
    const struct trial *x = *(const struct trial *const *)a, *y = *(const struct trial *const *)b;
    double p = x->state == TRIAL_DONE && !isnan(x->value) ? x->value : -(double)INFINITY;
    double q = y->state == TRIAL_DONE && !isnan(y->value) ? y->value : -(double)INFINITY;

    return p != q ? (p < q) - (p > q) : strcmp(x->id, y->id);
}

static void print_table(const struct sweep *s)
{
    AUTO_FREE const struct trial **sorted = xcalloc((size_t)s->n, sizeof *sorted);

    for (int i = 0; i < s->n; i++)
        sorted[i] = &s->trials[i];
    qsort(sorted, (size_t)s->n, sizeof *sorted, by_value);
    printf("%-12s  %12s  %9s  %s\n", "config_id", s->o->metric, "epochs s", "options");
    for (int i = 0; i < s->n; i++) {
        const struct trial *t = sorted[i];
        AUTO(buf) point = {0};

        put_point(s, t, &point);
        if (t->state == TRIAL_DONE)
            printf("%-12s  %12.4f  %9.2f  %s\n", t->id, t->value, t->seconds, buf_str(&point));
        else
            printf("%-12s  %12s  %9s  %s%s%s\n", t->id,
                   t->state == TRIAL_FAILED ? "failed" : "not run", "", buf_str(&point),
                   t->error ? ": " : "", t->error ? t->error : "");
    }
}

static void put_options(const struct sweep *s, const struct trial *t, struct json_out *out)
{
    char *const *values = values_of(s, t);

    json_open(out, "options", '{');
    for (int a = 0; a < s->space.n; a++)
        if (counts(s, values, a))
            json_put_str(out, s->space.axes[a].name, values[a]);
    json_close(out, '}');
}

static bool write_json(const struct sweep *s, const char *digest, struct err *err)
{
    static const char *const states[] = {"waits", "runs", "done", "failed"};
    AUTO_FREE char *path = path_join(s->o->output_dir, "sweep.json");
    const struct trial *best = best_of(s);
    AUTO(json_out) json = {.pretty = true};

    json_open(&json, NULL, '{');
    json_put_str(&json, "metric", s->o->metric);
    json_put_str(&json, "digest", digest);
    json_put_str(&json, "best", best ? best->id : NULL);
    json_open(&json, "trials", '[');
    for (int i = 0; i < s->n; i++) {
        const struct trial *t = &s->trials[i];

        json_open(&json, NULL, '{');
        json_put_str(&json, "config_id", t->id);
        json_put_str(&json, "state", states[t->state]);
        if (t->state == TRIAL_DONE) {
            json_put_real(&json, "value", t->value);
            json_put_real(&json, "epochs_s", t->seconds);
            if (t->peak)
                json_put_int(&json, "peak_bytes", t->peak);
        }
        if (t->error)
            json_put_str(&json, "error", t->error);
        put_options(s, t, &json);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    return file_write(path, json.buf.data, json.buf.len, err) &&
           cmd_write_json(&json, s->o->json, err);
}

/* What `kindred train --config` takes; texts in double quotes are YAML as they are JSON. */
static bool write_best(const struct sweep *s, const struct trial *best, struct err *err)
{
    AUTO_FREE char *path = path_join(s->o->output_dir, "best.yaml");
    char *const *values = values_of(s, best);
    AUTO(buf) text = {0};

    buf_printf(&text, "# %s %.6f on val, config_id %s\ntrain:\n", s->o->metric, best->value,
               best->id);
    for (int a = 0; a < s->space.n; a++)
        if (counts(s, values, a)) {
            AUTO(json_out) value = {0};

            json_put_str(&value, NULL, values[a]);
            buf_printf(&text, "  %s: %s\n", s->space.axes[a].name, buf_str(&value.buf));
        }
    return file_write(path, text.data, text.len, err);
}

static void track_result(struct sweep *s, const struct trial *best)
{
    AUTO_FREE char *table = path_join(s->o->output_dir, "sweep.json");
    AUTO_FREE char *yaml = path_join(s->o->output_dir, "best.yaml");

    track_file(s->tr->t, table, "sweep.json");
    if (!best)
        return;
    track_metric(s->tr->t, s->o->metric, best->value, 0);
    track_tag(s->tr->t, "best_config_id", best->id);
    track_file(s->tr->t, yaml, "best.yaml");
}

static bool tell(struct sweep *s, const char *digest, struct err *err)
{
    const struct trial *best = best_of(s);

    if (!write_json(s, digest, err) || (best && !write_best(s, best, err)))
        return false;
    track_result(s, best);
    if (!s->o->json || strcmp(s->o->json, "-")) {
        print_table(s);
        if (best)
            printf("%s/best.yaml\n", s->o->output_dir);
    }
    return best || err_set(err, ERR_DATA,
                           "no trial has a '%s' on val: see the logs in '%s/trials', and whether "
                           "the dataset has val rows",
                           s->o->metric, s->o->output_dir);
}

/* ---- the command ---- */

static void ended(void *context, const struct trial *t)
{
    struct sweep *s = context;

    s->n_ended++;
    progress_update(&s->bar, s->n_ended, NULL);
    if (t->state == TRIAL_FAILED)
        log_warn("sweep.failed", "config_id=%s error=\"%s\"; the others go on", t->id, t->error);
    else
        log_info("sweep.trial", "config_id=%s %s=%.4f done=%d of=%d", t->id, s->o->metric, t->value,
                 s->n_ended, s->n);
}

/* This process's, and where the trials' run belongs; to be freed, but for what is this process's.
 */
static char **make_environment(char *parent)
{
    int n = 0;
    char **out;

    while (environ[n])
        n++;
    out = xcalloc((size_t)n + 2, sizeof *out);
    memcpy(out + (parent ? 1 : 0), environ, (size_t)n * sizeof *out);
    if (parent)
        out[0] = parent; /* the first of a name counts */
    return out;
}

static bool run_trials(struct sweep *s, const char *digest, struct err *err)
{
    AUTO_FREE char *parent =
        s->tr->t ? xasprintf("KINDRED_PARENT_RUN=%s", track_id(s->tr->t)) : NULL;
    AUTO_FREE char **environment = make_environment(parent);
    struct trials_plan plan = {.jobs = s->o->jobs ? s->o->jobs : omp_get_num_procs(),
                               .memory = 0.8 * memory_of_machine(),
                               .minutes = s->o->max_minutes,
                               .digest = digest,
                               .metric = s->o->metric,
                               .environment = environment,
                               .ended = ended,
                               .context = s};
    bool ok;

    if (s->o->memory_budget &&
        !memory_parse("--memory-budget", s->o->memory_budget, &plan.memory, err))
        return false;
    progress_init(&s->bar, "sweep", "trials", s->n);
    ok = trials_run(s->trials, s->n, &plan, err);
    progress_release(&s->bar);
    return ok;
}

static bool sweep(const struct sweep_opts *o, struct tracking *tr, struct err *err)
{
    AUTO(sweep) s = {.o = o, .tr = tr};
    AUTO(dataset) d = {0};

    if (!space_load(&s.space, cmd_config_path(), err) || !check_strategy(&s, err) ||
        !dataset_open(&d, o->data_dir, 0, err))
        return false;
    make_trials(&s);
    if (!check_names(&s, cmd_config_path(), err))
        return false;
    tracking_dataset(tr, o->data_dir, &d, "sweep");
    return run_trials(&s, d.digest, err) && tell(&s, d.digest, err);
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct sweep_opts o;
    struct tracking tr;
    enum cmd_next next;

    OPT_ADD(&opts, "Options", sweep_opts, &o);
    tracking_add(&tr, &opts);
    next = cmd_parse(&cmd_sweep, &opts, argv, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (!cmd_config_path())
        return err_set(err, ERR_USAGE,
                       "--config FILE is needed: its section 'train' has the options to try");
    if (!tracking_begin(&tr, &cmd_sweep, &opts, "sweep", err))
        return false;
    return tracking_end(&tr, sweep(&o, &tr, err), err);
}

const struct cmd cmd_sweep = {
    .name = "sweep",
    .summary = "train with a grid of options, side by side, and name the best",
    .about =
        "The section 'train' of --config has train's options; one whose value is a list is an\n"
        "axis, {min: A, max: B, scale: log} a range, and each point a trial: a process that\n"
        "trains, in a folder of its own. Trials are judged on val; test is never read. What an\n"
        "earlier sweep has done in the same folder with the same options and data isn't done\n"
        "again, so that a sweep that was stopped goes on where it was. A trial that fails is\n"
        "told, and the others go on.",
    .run = run,
};
