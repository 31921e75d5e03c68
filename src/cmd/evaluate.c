#include "cmd/cmd.h"

#include "cmd/report.h"
#include "cmd/tracking.h"
#include "comm/comm.h"
#include "eval/compare.h"
#include "eval/eval_page.h"
#include "model/store.h"

#define DEFAULT_PATH "outputs/model.safetensors"

#define EVALUATE_OPTIONS(X, S)                                                                     \
    X(S, struct opt_list, model_path, {0}, 0, 0, "FILE",                                           \
      "the model (default " DEFAULT_PATH "); of several, each is compared with the first")         \
    X(S, opt_text, data_dir, "data/processed", 0, 0, "DIR",                                        \
      "the dataset that the models were trained on")                                               \
    X(S, opt_text, report, NULL, 0, 0, "FILE",                                                     \
      "a page to look at: curves, groups, what is listed, single users")

OPT_DEFINE(evaluate_opts, EVALUATE_OPTIONS);

enum { PATHS_MAX = 16 };

/* A model that was measured; its ranking is kept to compare others with. */
struct measured {
    const char *path;
    struct model *model;
    struct outcome outcome;
    struct ranking ranking;
    struct rank_means difference; /* to the first */
};

struct job {
    const struct evaluate_opts *o;
    const struct report *report;
    struct dataset d;
    struct heldout h;
    struct measured *models; /* (n) */
    int n;
};

static void job_release(struct job *j)
{
    for (int i = 0; j->models && i < j->n; i++) {
        outcome_release(&j->models[i].outcome);
        ranking_release(&j->models[i].ranking);
        model_free(j->models[i].model);
    }
    free(j->models);
    heldout_release(&j->h);
    dataset_release(&j->d);
}

/* ---- one model after the other ---- */

static char *results_path(const struct measured *m)
{
    AUTO_FREE char *dir = path_dir(m->path);

    return path_join(dir, "eval_results.json");
}

/* Rank 0 writes, here and below: all ranks have the same. */
static bool write_beside(const struct job *j, const struct measured *m, struct err *err)
{
    AUTO_FREE char *path = results_path(m);
    AUTO(json_out) json = {.pretty = true};

    json_open(&json, NULL, '{');
    report_write_json(j->report, &m->outcome, &json);
    json_close(&json, '}');
    return cmd_write_json(&json, path, err);
}

static bool measure(struct job *j, struct measured *out, struct err *err)
{
    if (!report_measure(j->report, out->model, &j->h, &out->ranking, &out->outcome, err))
        return false;
    compare_to(&j->models[0].ranking, &out->ranking, &j->models[0].outcome.result.known,
               &out->outcome.result.known, &out->difference);
    return comm_all_agree(comm_rank() > 0 || write_beside(j, out, err), err);
}

/* ---- several beside each other ---- */

enum { NAME_WIDTH = 16, CELL_WIDTH = 18 };

/* Models have letters in tables. */
static char letter(int i)
{
    return (char)('A' + i);
}

static void print_side_by_side(const struct job *j, bool all)
{
    const struct report *r = j->report;

    fprintf(r->out, "%-*s", NAME_WIDTH, all ? "all users" : "known users");
    for (int i = 0; i < j->n; i++)
        fprintf(r->out, " %*c", CELL_WIDTH, letter(i));
    fprintf(r->out, "\n");
    for (int s = 0; s < report_n_shown(r); s++) {
        char name[RANK_NUMBER];
        int v = report_shown(r, s, name);

        fprintf(r->out, "%-*s", NAME_WIDTH, name);
        for (int i = 0; i < j->n; i++) {
            const struct rank_result *result = &j->models[i].outcome.result;
            const struct rank_means *means = all ? &result->all : &result->known;

            report_print_cell(r, means->value[v], means->half[v], CELL_WIDTH + 1);
        }
        fprintf(r->out, "\n");
    }
}

static void print_differences(const struct job *j)
{
    const struct report *r = j->report;

    fprintf(r->out, "\n%-*s", NAME_WIDTH, "known users");
    for (int i = 1; i < j->n; i++)
        fprintf(r->out, " %*c - A  ", CELL_WIDTH - 4, letter(i));
    fprintf(r->out, "\n");
    for (int s = 0; s < report_n_shown(r); s++) {
        char name[RANK_NUMBER];
        int v = report_shown(r, s, name);

        fprintf(r->out, "%-*s", NAME_WIDTH, name);
        for (int i = 1; i < j->n; i++) {
            const struct rank_means *d = &j->models[i].difference;

            report_print_cell(r, d->value[v], d->half[v], CELL_WIDTH + 1);
            fprintf(r->out, compare_excludes_0(d->value[v], d->half[v]) ? " *" : "  ");
        }
        fprintf(r->out, "\n");
    }
    fprintf(r->out, "* the 95 %% interval of the difference over the same users excludes 0\n");
}

static void print_all(const struct job *j)
{
    const struct report *r = j->report;

    report_print_head(r, &j->models[0].outcome.result);
    for (int i = 0; i < j->n; i++)
        fprintf(r->out, "%c  %s, %s\n", letter(i), j->models[i].outcome.model, j->models[i].path);
    fprintf(r->out, "\n");
    print_side_by_side(j, false);
    print_differences(j);
    if (j->h.n_known < j->h.n_users) {
        fprintf(r->out, "\n");
        print_side_by_side(j, true);
    }
    for (int i = 0; r->n_by_shown && i < j->n; i++) {
        fprintf(r->out, "\n%c", letter(i));
        report_print_groups(r, &j->models[i].outcome);
    }
}

static void write_comparison(const struct job *j, struct json_out *json)
{
    json_put_str(json, "split", dataset_parts[j->report->held_out]);
    json_put_str(json, "digest", j->d.digest);
    json_open(json, "models", '[');
    for (int i = 0; i < j->n; i++) {
        json_open(json, NULL, '{');
        json_put_str(json, "model_path", j->models[i].path);
        report_write_json(j->report, &j->models[i].outcome, json);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_open(json, "differences", '[');
    for (int i = 1; i < j->n; i++) {
        json_open(json, NULL, '{');
        json_put_str(json, "model_path", j->models[i].path);
        json_put_str(json, "to", j->models[0].path);
        json_put_int(json, "users", j->models[i].difference.n_users);
        compare_write_json(&j->report->plan, &j->models[i].difference, json);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* ---- a page ---- */

/* "mf" or "mf, mf and neumf" */
static void put_title(struct buf *b, const struct job *j)
{
    for (int i = 0; i < j->n; i++)
        buf_printf(b, "%s%s", !i ? "" : i + 1 < j->n ? ", " : " and ", j->models[i].outcome.model);
}

static bool write_page(const struct job *j, struct err *err)
{
    AUTO_FREE struct eval_page_model *shown = xcalloc((size_t)j->n, sizeof *shown);
    AUTO(ids) users = {0}, titles = {0};
    AUTO(buf) title = {0};
    struct examples examples;
    struct eval_page page = {.data_dir = j->o->data_dir,
                             .h = &j->h,
                             .plan = &j->report->plan,
                             .models = shown,
                             .n = j->n,
                             .n_groups = j->report->n_by,
                             .examples = &examples,
                             .users = &users,
                             .titles = &titles};

    if (!ids_open(&users, j->o->data_dir, "user", err) ||
        !titles_open(&titles, j->o->data_dir, err))
        return false;
    for (int i = 0; i < j->n; i++) {
        const struct measured *m = &j->models[i];

        shown[i] = (struct eval_page_model){m->outcome.model, m->path, &m->outcome.result,
                                            m->outcome.groups, &m->difference};
    }
    put_title(&title, j);
    page.title = buf_str(&title);
    examples_find(&j->models[0].ranking, j->models[0].model, &examples);
    return eval_page_write(j->o->report, &page, err);
}

/* ---- the command ---- */

static bool tell(const struct job *j, struct err *err)
{
    AUTO(json_out) json = {.pretty = true};

    report_warn(&j->models[0].outcome.result);
    if (j->o->report && !write_page(j, err))
        return false;
    json_open(&json, NULL, '{');
    if (j->n > 1)
        write_comparison(j, &json);
    else
        report_write_json(j->report, &j->models[0].outcome, &json);
    json_close(&json, '}');
    if (j->report->out && j->n > 1)
        print_all(j);
    else if (j->report->out)
        report_print(j->report, &j->models[0].outcome);
    return cmd_write_json(&json, j->report->o.json, err);
}

/* All are opened before the first is ranked. */
static bool open_models(struct job *j, struct err *err)
{
    static const char *usual[] = {DEFAULT_PATH};
    const struct opt_list by_default = {usual, 1};
    const struct opt_list *paths = j->o->model_path.n ? &j->o->model_path : &by_default;

    if (paths->n > PATHS_MAX)
        return err_set(err, ERR_USAGE, "--model-path: more than %d models", PATHS_MAX);
    j->n = paths->n;
    j->models = xcalloc((size_t)j->n, sizeof *j->models);
    for (int i = 0; i < j->n; i++) {
        j->models[i].path = paths->items[i];
        j->models[i].model = store_load(paths->items[i], err);
        if (!j->models[i].model)
            return false;
    }
    return true;
}

static bool open_all(struct job *j, struct err *err)
{
    const struct report *report = j->report;
    const char *dir = j->o->data_dir;

    if (!open_models(j, err) || !dataset_open(&j->d, dir, report_parts(report->held_out), err) ||
        !heldout_make(&j->h, &j->d, report->held_out, report->o.threads, err))
        return false;
    for (int i = 0; i < j->n; i++)
        if (!store_check(j->models[i].model, j->models[i].path, &j->d, dir, err))
            return false;
    return true;
}

/* At once: another model of the same folder writes it anew. */
static void track_file_of(struct tracking *tr, const struct job *j, int i)
{
    AUTO_FREE char *path = results_path(&j->models[i]);
    AUTO_FREE char *as =
        j->n > 1 ? xasprintf("%c/%s", letter(i), path_name(path)) : xstrdup(path_name(path));

    track_file(tr->t, path, as);
}

static void track_results(struct tracking *tr, const struct job *j)
{
    for (int i = 0; i < j->n; i++) {
        AUTO(json_out) json = {0};
        AUTO_FREE char *prefix = j->n > 1 ? xasprintf("%c/", letter(i)) : xstrdup("");

        json_open(&json, NULL, '{');
        report_write_json(j->report, &j->models[i].outcome, &json);
        json_close(&json, '}');
        tracking_metrics(tr, prefix, &json, 0);
        if (j->n == 1)
            track_tag(tr->t, "kindred.model", j->models[i].outcome.model);
    }
    if (j->o->report)
        track_file(tr->t, j->o->report, path_name(j->o->report));
}

static bool evaluate(const struct evaluate_opts *o, const struct report *report,
                     struct tracking *tr, struct err *err)
{
    AUTO(job) j = {.o = o, .report = report};

    if (!comm_all_agree(open_all(&j, err), err))
        return false;
    tracking_dataset(tr, o->data_dir, &j.d, "evaluation");
    for (int i = 0; i < j.n; i++) {
        if (!measure(&j, &j.models[i], err))
            return false;
        track_file_of(tr, &j, i);
    }
    if (!comm_all_agree(comm_rank() > 0 || tell(&j, err), err))
        return false;
    track_results(tr, &j);
    return true;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct evaluate_opts o;
    struct report report = {0};
    struct tracking tr;
    enum cmd_next next;

    OPT_ADD(&opts, "Options", evaluate_opts, &o);
    tracking_add(&tr, &opts);
    next = report_parse(&report, &cmd_evaluate, &opts, argv, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (o.report)
        report_widen(&report);
    if (!tracking_begin(&tr, &cmd_evaluate, &opts, "evaluation", err))
        return false;
    return tracking_end(&tr, evaluate(&o, &report, &tr, err), err);
}

const struct cmd cmd_evaluate = {
    .name = "evaluate",
    .summary = "rank held-out items and report the metrics",
    .about =
        "For each user with held-out rows all items are ranked, without those that the user\n"
        "took before (for test: train and val; for val: train), and the list's first K are\n"
        "compared with the held-out rows. The headline is the mean over users known from\n"
        "train; beside it stands the mean over all, where a user whom the model can't serve\n"
        "counts as 0. Means stand with half of their 95 % interval, 1.96 s / sqrt(users), s the\n"
        "sample deviation. Of several models, the differences to the first are told with\n"
        "intervals of their own, over the same users. What is known of a model is also written\n"
        "to eval_results.json beside it. Under mpirun the ranks share the users; what is told is\n"
        "the same to the last digit.",
    .run = run,
    .ranks = true,
};
