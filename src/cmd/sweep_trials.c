#include "cmd/sweep.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"

#include <math.h>
#include <omp.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is told of a point ---- */

const char *sweep_option(const struct sweep *s, const struct point *p, const char *name)
{
    for (int a = 0; a < s->space.n; a++)
        if (s->space.axes[a].section == OF_TRAIN && !strcmp(s->space.axes[a].name, name))
            return p->values[a];
    return NULL;
}

const char *sweep_model(const struct sweep *s, const struct point *p)
{
    const char *said = p->model ? p->model : sweep_option(s, p, "model");

    return said ? said : "mf";
}

bool sweep_is_own(const struct axis *a)
{
    static const char *const own[][8] = {
        [OF_TRAIN] = {"data_dir", "output_dir", "resume", "json", NULL},
        [OF_PREPROCESS] = {"output_dir", "report", "json", "input", "temp_dir", NULL},
    };

    for (int i = 0; own[a->section][i]; i++)
        if (!strcmp(a->name, own[a->section][i]))
            return true;
    return false;
}

bool sweep_counts(const struct sweep *s, const struct point *p, int axis)
{
    const struct axis *a = &s->space.axes[axis];

    if (sweep_is_own(a))
        return false;
    if (a->section == OF_PREPROCESS)
        return preprocess_has_option(a->name);
    if (p->epochs && !strcmp(a->name, "epochs"))
        return false;
    return !p->model && train_has_option(sweep_model(s, p), a->name);
}

/* "embedding_dim=64\n" for each option that counts: the id is its digest. */
static void describe(const struct sweep *s, const struct point *p, int section, struct buf *out)
{
    for (int a = 0; a < s->space.n; a++)
        if (s->space.axes[a].section == section && sweep_counts(s, p, a))
            buf_printf(out, "%s=%s\n", s->space.axes[a].name, p->values[a]);
}

static void take_id(struct trial *t, const struct buf *text)
{
    char hex[DIGEST_HEX];

    digest_bytes(buf_str(text), text->len, hex);
    snprintf(t->id, sizeof t->id, "%.*s", TRIAL_ID - 1, hex);
}

/* ---- commands ---- */

struct words {
    char **argv;
    int n;
};

static void put(struct words *w, char *word)
{
    w->argv[w->n++] = word;
}

static void put_option(struct words *w, const char *name, const char *value)
{
    char *text = xasprintf("--%s=%s", name, value);

    for (char *c = text; *c && *c != '='; c++)
        *c = *c == '_' ? '-' : *c;
    put(w, text);
}

static void put_program(const struct sweep *s, struct words *w)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    if (s->o->ranks == 1) {
        put(w, xstrdup("kindred"));
        return;
    }
    path[MAX(n, 0)] = '\0';
    put(w, xstrdup("mpirun"));
    put(w, xstrdup("-n"));
    put(w, xasprintf("%d", s->o->ranks));
    put(w, xstrdup("-bind-to")); /* launchers side by side would bind to the same processors */
    put(w, xstrdup("none"));
    put(w, xstrdup(path));
}

/* A run of its own, below the sweep's. */
static void put_tracking(const struct sweep *s, const char *name, const char *id, struct words *w)
{
    put(w, xstrdup("--quiet"));
    put_option(w, "run_name", name);
    put(w, xasprintf("--tag=config_id=%s", id));
    if (s->tr->experiment)
        put_option(w, "experiment", s->tr->experiment);
    put_option(w, "track", s->tr->t ? "mlflow" : "off");
    if (s->tr->uri)
        put_option(w, "tracking_uri", s->tr->uri);
}

static struct words new_words(const struct sweep *s, int more)
{
    enum { OTHERS = 24 };

    return (struct words){xcalloc((size_t)(s->space.n + more + OTHERS), sizeof(char *)), 0};
}

static void put_options(const struct sweep *s, const struct point *p, int section, struct words *w)
{
    for (int a = 0; a < s->space.n; a++)
        if (s->space.axes[a].section == section && sweep_counts(s, p, a))
            put_option(w, s->space.axes[a].name, p->values[a]);
}

void sweep_make_trial(const struct sweep *s, const struct point *p, struct trial *t)
{
    const struct variant *v = &s->variants[p->variant];
    AUTO_FREE char *name = NULL;
    AUTO(buf) text = {0};
    struct words w = new_words(s, 0);

    if (s->o->input.n)
        buf_printf(&text, "data=%s\n", *v->digest ? v->digest : v->trial.id);
    describe(s, p, OF_TRAIN, &text);
    if (p->model)
        buf_printf(&text, "baseline=%s\n", p->model);
    if (p->epochs)
        buf_printf(&text, "epochs=%d\n", p->epochs);
    take_id(t, &text);
    t->dir = xasprintf("%s/trials/%s", s->o->output_dir, t->id);
    name = p->model ? xasprintf("%s %s", p->model, t->id) : xstrdup(t->id);
    put_program(s, &w);
    put(&w, xstrdup("train"));
    put_option(&w, "data_dir", v->trial.dir);
    put_option(&w, "output_dir", t->dir);
    put_tracking(s, name, t->id, &w);
    put_options(s, p, OF_TRAIN, &w);
    if (p->model)
        put_option(&w, "model", p->model);
    if (p->epochs)
        put(&w, xasprintf("--epochs=%d", p->epochs));
    if (p->model || !sweep_option(s, p, "threads"))
        put(&w, xstrdup("--threads=1"));
    t->argv = w.argv;
}

static bool put_stamp(void *context, const char *path, struct err *)
{
    struct stat st = {0};

    (void)!stat(path, &st); /* preprocess says what is wrong */
    buf_printf(context, "%s %lld %lld.%09ld\n", path, (long long)st.st_size,
               (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return true;
}

/* The same options of the same files are the same variant. */
void sweep_make_variant(const struct sweep *s, struct variant *v)
{
    const struct point p = {.values = v->values};
    struct words w = new_words(s, s->o->input.n);
    struct err ignored = {0};
    AUTO(buf) text = {0};

    for (int i = 0; i < s->o->input.n; i++)
        (void)!glob_each(s->o->input.items[i], put_stamp, &text, &ignored);
    describe(s, &p, OF_PREPROCESS, &text);
    take_id(&v->trial, &text);
    v->trial.dir = xasprintf("%s/data/%s", s->o->output_dir, v->trial.id);
    put(&w, xstrdup("kindred"));
    put(&w, xstrdup("preprocess"));
    put(&w, xstrdup("--input"));
    for (int i = 0; i < s->o->input.n; i++)
        put(&w, xstrdup(s->o->input.items[i]));
    put_option(&w, "output_dir", v->trial.dir);
    put_tracking(s, v->trial.id, v->trial.id, &w);
    put_options(s, &p, OF_PREPROCESS, &w);
    v->trial.argv = w.argv;
}

/* ---- what became of it ---- */

/* The metric of the epoch that the model is of: the best, where one was chosen, else the last that
 * has one. */
static double value_of(const struct json_t *run, const char *metric)
{
    const struct json_t *epochs = json_get(run, "epochs");
    int64_t last = json_int_or(json_get(run, "best_epoch"), json_size(epochs));

    for (int e = (int)last - 1; e >= 0; e--) {
        const struct json_t *value = json_get(json_at(epochs, e), metric);

        if (json_kind(value) == JVAL_REAL || json_kind(value) == JVAL_INT)
            return json_real_or(value, 0);
    }
    return NAN;
}

static void read_run(const struct sweep *s, struct trial *t, const struct json_t *run)
{
    const char *digest = json_text(json_get(run, "digest"));
    const struct point *p = &s->points[t - s->trials];

    if (!digest || strcmp(digest, s->variants[p->variant].digest) != 0)
        return; /* of another dataset */
    t->value = value_of(run, s->o->metric);
    t->seconds = json_real_or(json_get(json_get(run, "timings"), "epochs_s"), 0);
    t->state = TRIAL_DONE;
}

/* The model's file comes last: where it is, the run is whole. */
static void look(void *context, struct trial *t)
{
    AUTO_FREE char *model = path_join(t->dir, "model.safetensors");
    AUTO_FREE char *run = path_join(t->dir, "run.json");
    AUTO(buf) text = {0};
    AUTO(json_doc) doc = {0};
    struct err ignored = {0};

    if (file_exists(model) && file_read(run, 64 << 20, &text, &ignored) &&
        json_parse(&doc, buf_str(&text), text.len, &ignored))
        read_run(context, t, doc.root);
}

static int variant_index(const struct sweep *s, const struct trial *t)
{
    int i = 0;

    while (t != &s->variants[i].trial)
        i++;
    return i;
}

static void look_at_variant(void *context, struct trial *t)
{
    struct sweep *s = context;
    AUTO(dataset) d = {0};
    struct err ignored = {0};

    if (!dataset_open(&d, t->dir, 0, &ignored))
        return;
    memcpy(s->variants[variant_index(s, t)].digest, d.digest, sizeof d.digest);
    t->state = TRIAL_DONE;
}

static void ended(void *context, const struct trial *t)
{
    struct sweep *s = context;

    s->n_ended++;
    progress_update(&s->bar, s->n_ended, NULL);
    if (t->state == TRIAL_FAILED)
        log_warn("sweep.failed", "config_id=%s error=\"%s\"; the others go on", t->id, t->error);
    else
        log_info("sweep.trial", "config_id=%s %s=%.4f done=%d of=%lld", t->id, s->o->metric,
                 t->value, s->n_ended, (long long)s->bar.total);
}

static void variant_ended(void *context, const struct trial *t)
{
    struct sweep *s = context;

    progress_update(&s->bar, ++s->n_ended, NULL);
    if (t->state == TRIAL_FAILED)
        log_warn("sweep.failed", "data=%s error=\"%s\"; the others go on", t->id, t->error);
    else
        log_info("sweep.data", "data=%s digest=%.12s", t->id,
                 s->variants[variant_index(s, t)].digest);
}

/* ---- running them ---- */

/* This process's, and where the trials' runs belong; to be freed, but for what is this process's.
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

static bool run(struct sweep *s, struct trial *trials, int n, const char *what,
                struct trials_plan *plan, struct err *err)
{
    AUTO_FREE char *parent =
        s->tr->t ? xasprintf("KINDRED_PARENT_RUN=%s", track_id(s->tr->t)) : NULL;
    AUTO_FREE char **environment = make_environment(parent);
    bool ok;

    plan->memory = 0.8 * memory_of_machine();
    plan->deadline = s->deadline;
    plan->environment = environment;
    plan->context = s;
    if (s->o->memory_budget &&
        !memory_parse("--memory-budget", s->o->memory_budget, &plan->memory, err))
        return false;
    s->n_ended = 0;
    progress_init(&s->bar, what, "trials", n);
    ok = trials_run(trials, n, plan, err);
    progress_release(&s->bar);
    return ok;
}

bool sweep_run_trials(struct sweep *s, int first, int n, const char *what, struct err *err)
{
    struct trials_plan plan = {.jobs = s->o->jobs ? s->o->jobs
                                                  : MAX(1, omp_get_num_procs() / s->o->ranks),
                               .ranks = s->o->ranks,
                               .look = look,
                               .ended = ended};

    return run(s, s->trials + first, n, what, &plan, err);
}

/* One after the other: each takes all processors. */
bool sweep_run_variants(struct sweep *s, struct err *err)
{
    struct trials_plan plan = {
        .jobs = 1, .ranks = 1, .look = look_at_variant, .ended = variant_ended};
    bool ok = true;

    for (int i = 0; ok && i < s->n_variants; i++)
        ok = run(s, &s->variants[i].trial, 1, "preprocess", &plan, err);
    return ok;
}
