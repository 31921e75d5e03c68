#include "cmd/sweep.h"

#include "base/clock.h"
#include "base/file.h"
#include "model/model.h"

#include <math.h>

OPT_TABLE(sweep_opts, SWEEP_OPTIONS);

static void sweep_release(struct sweep *s)
{
    for (int i = 0; i < s->n; i++)
        trial_release(&s->trials[i]);
    for (int i = 0; i < s->n_variants; i++)
        trial_release(&s->variants[i].trial);
    for (int i = 0; i < s->n_values; i++)
        free(s->values[i]);
    free(s->trials);
    free(s->points);
    free(s->variants);
    free(s->values);
    space_release(&s->space);
}

static bool is_strategy(const struct sweep *s, const char *name)
{
    return !strcmp(s->o->strategy, name);
}

/* ---- the points ---- */

/* Values of all points that are tried: (n, space.n). Returns how many points. */
static int choose_values(struct sweep *s)
{
    uint64_t seed = (uint64_t)s->o->seed;
    bool random = is_strategy(s, "random") || (is_strategy(s, "halving") && s->space.has_range);
    AUTO_FREE int64_t *points = xcalloc((size_t)s->o->max_trials, sizeof *points);
    int n = space_choose(&s->space, random, s->o->max_trials, seed, points);

    s->values = xcalloc((size_t)n * (size_t)s->space.n, sizeof *s->values);
    s->n_values = n * s->space.n;
    for (int i = 0; i < n; i++)
        space_values(&s->space, points[i], seed, i, s->values + (int64_t)i * s->space.n);
    return n;
}

/* What an axis says is the same for both. */
static bool same_section(const struct sweep *s, char *const *x, char *const *y, int section)
{
    for (int a = 0; a < s->space.n; a++)
        if (s->space.axes[a].section == section && strcmp(x[a], y[a]) != 0)
            return false;
    return true;
}

/* The dataset that these values ask for; a new one, if none of those that are there is. */
static int variant_of(struct sweep *s, char **values)
{
    struct variant *v;

    for (int i = 0; i < s->n_variants; i++)
        if (!s->o->input.n || same_section(s, s->variants[i].values, values, OF_PREPROCESS))
            return i;
    v = &s->variants[s->n_variants];
    v->values = values;
    if (s->o->input.n)
        sweep_make_variant(s, v);
    return s->n_variants++;
}

static bool open_data_dir(struct sweep *s, struct err *err)
{
    AUTO(dataset) d = {0};

    if (!dataset_open(&d, s->o->data_dir, 0, err))
        return false;
    s->variants[0].trial.dir = xstrdup(s->o->data_dir);
    memcpy(s->variants[0].digest, d.digest, sizeof d.digest);
    tracking_dataset(s->tr, s->o->data_dir, &d, "sweep");
    return true;
}

/* The first variant of the same rows; those that couldn't be made are each their own. */
static int same_rows(const struct sweep *s, int variant)
{
    int i = *s->variants[variant].digest ? 0 : variant;

    while (strcmp(s->variants[i].digest, s->variants[variant].digest) != 0)
        i++;
    return i;
}

/* ---- the trials ---- */

/* The trial of that point, which may be there: points that differ only by what their model doesn't
 * have are one. */
static void add_trial(struct sweep *s, const struct point *p)
{
    struct trial t = {0};

    sweep_make_trial(s, p, &t);
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->trials[i].id, t.id)) {
            s->points[i].rung = MAX(s->points[i].rung, p->rung);
            trial_release(&t);
            return;
        }
    if (!*s->variants[p->variant].digest) {
        t.state = TRIAL_FAILED;
        t.error = xasprintf("no dataset: %s", s->variants[p->variant].trial.error
                                                  ? s->variants[p->variant].trial.error
                                                  : "the time was over");
    }
    s->trials[s->n] = t;
    s->points[s->n] = *p;
    s->n++;
}

/* Of all epochs that the point is to have in the end; 0: its model has none. */
static int epochs_of(const struct sweep *s, const struct point *p)
{
    struct err ignored = {0};
    const struct model_ops *ops = model_find(sweep_model(s, p), &ignored);
    const char *said;

    if (!ops || !ops->epochs)
        return 0;
    said = sweep_option(s, p, "epochs");
    return said ? atoi(said) : ops->epochs;
}

/* The point at that rung, with its share of the epochs. */
static struct point at_rung(const struct sweep *s, struct point p, int rung)
{
    int all;

    p.rung = rung;
    p.epochs = 0;
    if (!is_strategy(s, "halving"))
        return p;
    all = epochs_of(s, &p);
    if (all)
        p.epochs = MAX(1, (int)lround(all / pow(s->o->eta, s->n_rungs - 1 - rung)));
    return p;
}

static void add_points(struct sweep *s, int n)
{
    for (int i = 0; i < n; i++) {
        char **values = s->values + (int64_t)i * s->space.n;
        struct point p = {.values = values, .variant = same_rows(s, variant_of(s, values))};

        p = at_rung(s, p, 0);
        add_trial(s, &p);
    }
}

static void add_baselines(struct sweep *s)
{
    for (int v = 0; v < s->n_variants; v++)
        for (int m = 0; models[m] && same_rows(s, v) == v; m++)
            if (models[m]->fit)
                add_trial(s, &(struct point){.values = s->variants[v].values,
                                             .variant = v,
                                             .model = models[m]->name});
}

static int n_baselines(void)
{
    int n = 0;

    for (int m = 0; models[m]; m++)
        n += models[m]->fit != NULL;
    return n;
}

/* ---- rungs ---- */

/* The best of the rung, one of eta, go on: their trials of the next are added. Returns how many of
 * them are new. */
static int add_rung(struct sweep *s, int rung)
{
    AUTO_FREE int *order = sweep_sorted(s);
    int n_before = s->n, n = 0, most;

    for (int i = 0; i < n_before; i++)
        if (sweep_is_of_rung(s, order[i], rung))
            order[n++] = order[i];
    most = (n + s->o->eta - 1) / s->o->eta;
    for (int i = 0; i < most; i++) {
        struct point p = at_rung(s, s->points[order[i]], rung + 1);

        add_trial(s, &p);
    }
    return s->n - n_before;
}

static bool climb(struct sweep *s, struct err *err)
{
    int from = 0, n = s->n;

    for (int rung = 0; rung < s->n_rungs; rung++) {
        AUTO_FREE char *what =
            s->n_rungs > 1 ? xasprintf("rung %d of %d", rung + 1, s->n_rungs) : xstrdup("sweep");

        if (!sweep_run_trials(s, from, n, what, err))
            return false;
        from = s->n;
        n = rung + 1 < s->n_rungs ? add_rung(s, rung) : 0;
    }
    return true;
}

/* ---- the command ---- */

static bool check_strategy(const struct sweep *s, struct err *err)
{
    for (int a = 0; a < s->space.n; a++)
        if (is_strategy(s, "halving") && s->space.axes[a].section == OF_TRAIN &&
            axis_varies(&s->space.axes[a]) && !strcmp(s->space.axes[a].name, "epochs"))
            return err_set(err, ERR_USAGE,
                           "%s:%d: epochs has several values, but --strategy halving shares the "
                           "epochs out itself: name one, which the last rung has",
                           cmd_config_path(), s->space.axes[a].line);
    return !s->space.has_range || !is_strategy(s, "grid") ||
           err_set(
               err, ERR_USAGE,
               "%s has a range, of which a grid has no points: --strategy random draws from it, "
               "--max-trials times",
               cmd_config_path());
}

static bool check_input(const struct sweep *s, struct err *err)
{
    for (int i = 0; i < s->o->input.n; i++)
        if (!strcmp(s->o->input.items[i], "-"))
            return err_set(err, ERR_USAGE,
                           "--input -: a sweep reads it more than once: a file, "
                           "please");
    return !s->o->keep || s->o->input.n ||
           err_set(err, ERR_USAGE,
                   "--keep leaves datasets that are made of --input, which isn't "
                   "given");
}

/* An option that nothing in the sweep has is a slip. */
static bool check_names(const struct sweep *s, int n_points, struct err *err)
{
    for (int a = 0; a < s->space.n; a++) {
        const struct axis *axis = &s->space.axes[a];
        bool known = sweep_is_own(axis);

        for (int i = 0; i < n_points && !known; i++) {
            struct point p = {.values = s->values + (int64_t)i * s->space.n};

            known = sweep_counts(s, &p, a);
        }
        if (!known && axis->section == OF_PREPROCESS)
            return err_set(err, ERR_USAGE,
                           "%s:%d: preprocess has no option '%s' to try; 'kindred help preprocess' "
                           "lists them",
                           cmd_config_path(), axis->line, axis->name);
        if (!known)
            return err_set(err, ERR_USAGE,
                           "%s:%d: no model of this sweep has an option '%s'; 'kindred help train' "
                           "lists them",
                           cmd_config_path(), axis->line, axis->name);
    }
    return true;
}

/* All trials that there can be have their room, for others point to them. */
static void make_room(struct sweep *s, int n_points)
{
    int n_variants = s->o->input.n ? n_points : 1;
    size_t n = (size_t)n_points * (size_t)s->n_rungs + (size_t)n_variants * (size_t)n_baselines();

    s->variants = xcalloc((size_t)n_variants, sizeof *s->variants);
    s->trials = xcalloc(n, sizeof *s->trials);
    s->points = xcalloc(n, sizeof *s->points);
}

static bool make_data(struct sweep *s, int n_points, struct err *err)
{
    for (int i = 0; i < n_points; i++)
        variant_of(s, s->values + (int64_t)i * s->space.n);
    return s->o->input.n ? sweep_run_variants(s, err) : open_data_dir(s, err);
}

static void remove_data(const struct sweep *s)
{
    AUTO_FREE char *dir = path_join(s->o->output_dir, "data");

    for (int i = 0; s->o->input.n && !s->o->keep && i < s->n_variants; i++)
        dir_remove(s->variants[i].trial.dir);
    if (s->o->input.n && !s->o->keep)
        dir_remove(dir);
}

static bool sweep(const struct sweep_opts *o, struct tracking *tr, struct err *err)
{
    static const char *const sections[] = {"train", "preprocess", NULL};
    const char *const *asked = o->input.n ? sections : (const char *const[]){"train", NULL};
    AUTO(sweep) s = {.o = o, .tr = tr, .deadline = (double)INFINITY};
    int n_points;
    bool ok;

    s.n_rungs = !strcmp(o->strategy, "halving") ? o->rungs : 1;
    if (o->max_minutes > 0)
        s.deadline = clock_seconds() + 60 * o->max_minutes;
    if (!check_input(&s, err) || !space_load(&s.space, cmd_config_path(), asked, err) ||
        !check_strategy(&s, err))
        return false;
    n_points = choose_values(&s);
    make_room(&s, n_points);
    if (!check_names(&s, n_points, err) || !make_data(&s, n_points, err))
        return false;
    add_points(&s, n_points);
    if (o->include_baselines)
        add_baselines(&s);
    if (!climb(&s, err)) /* it's to go on: the datasets stay */
        return false;
    ok = sweep_tell(&s, err);
    remove_data(&s);
    return ok;
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
        "trains, in a folder of its own. With --input the section 'preprocess' has axes too: each\n"
        "of its points is a dataset. Trials are judged on val; test is never read. What an\n"
        "earlier sweep has done in the same folder with the same options and data isn't done\n"
        "again, so that a sweep that was stopped goes on where it was. A trial that fails is\n"
        "told, and the others go on.",
    .run = run,
};
