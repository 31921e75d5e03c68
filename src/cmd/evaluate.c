#include "cmd/cmd.h"

#include "cmd/report.h"
#include "model/store.h"

#define EVALUATE_OPTIONS(X, S)                                                                     \
    X(S, opt_text, model_path, "outputs/model.safetensors", 0, 0, "FILE", "the model")             \
    X(S, opt_text, data_dir, "data/processed", 0, 0, "DIR",                                        \
      "the dataset that the model was trained on")

OPT_DEFINE(evaluate_opts, EVALUATE_OPTIONS);

static bool evaluate(const struct evaluate_opts *o, const struct report *report, struct err *err)
{
    struct model *m = store_load(o->model_path, err);
    AUTO_FREE char *dir = path_dir(o->model_path);
    AUTO_FREE char *beside = path_join(dir, "eval_results.json");
    AUTO(json_out) json = {.pretty = true};
    AUTO(dataset) d = {0};
    AUTO(heldout) h = {0};
    AUTO(ranking) r = {0};
    AUTO(outcome) outcome = {0};
    bool ok;

    if (!m)
        return false;
    ok = dataset_open(&d, o->data_dir, report_parts(report->held_out), err) &&
         store_check(m, o->model_path, &d, o->data_dir, err) &&
         heldout_make(&h, &d, report->held_out, report->o.threads, err) &&
         report_measure(report, m, &h, &r, &outcome, err);
    if (ok) {
        report_warn(&outcome.result);
        json_open(&json, NULL, '{');
        report_write_json(report, &outcome, &json);
        json_close(&json, '}');
        if (report->out)
            report_print(report, &outcome);
        ok = cmd_write_json(&json, beside, err) && cmd_write_json(&json, report->o.json, err);
    }
    model_free(m);
    return ok;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct evaluate_opts o;
    struct report report = {0};
    enum cmd_next next;

    OPT_ADD(&opts, "Options", evaluate_opts, &o);
    next = report_parse(&report, &cmd_evaluate, &opts, argv, err);
    return next == CMD_GO ? evaluate(&o, &report, err) : next == CMD_DONE;
}

const struct cmd cmd_evaluate = {
    .name = "evaluate",
    .summary = "rank held-out items and report the metrics",
    .about = "For each user with held-out rows all items are ranked, without those that the user\n"
             "took before (for test: train and val; for val: train), and the list's first K are\n"
             "compared with the held-out rows. The headline is the mean over users known from\n"
             "train; beside it stands the mean over all, where a user whom the model can't serve\n"
             "counts as 0. The results are also written to eval_results.json beside the model.",
    .run = run,
};
