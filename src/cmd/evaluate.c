#include "cmd/cmd.h"

#include "cmd/report.h"
#include "model/store.h"

#define EVALUATE_OPTIONS(X, S)                                                                     \
    X(S, opt_text, model_path, "outputs/model.safetensors", 0, 0, "FILE", "the model")             \
    X(S, opt_text, data_dir, "data/processed", 0, 0, "DIR",                                        \
      "the dataset that the model was trained on")                                                 \
    X(S, opt_text, split, "test", 0, 0, REPORT_SPLITS, "which held-out rows to look for")          \
    X(S, opt_text, k, "10,20", 0, 0, "K,...", "lengths of the list")                               \
    X(S, opt_text, metrics, "recall,ndcg", 0, 0, "NAME,...",                                       \
      "some of recall, ndcg, hit, precision, map, mrr")                                            \
    X(S, bool, include_seen, false, 0, 0, NULL, "rank what the user took before too")              \
    X(S, int, threads, 0, 0, 1024, "N", "threads; 0 is one for each processor")                    \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "write the results as JSON there too; - is stdout")

OPT_DEFINE(evaluate_opts, EVALUATE_OPTIONS);

static bool evaluate(const struct evaluate_opts *o, struct rank_plan *plan, struct err *err)
{
    enum dataset_part held_out = report_split(o->split);
    struct model *m = store_load(o->model_path, err);
    AUTO_FREE char *dir = path_dir(o->model_path);
    AUTO_FREE char *beside = path_join(dir, "eval_results.json");
    AUTO(json_out) json = {.pretty = true};
    AUTO(dataset) d = {0};
    struct rank_result r;
    bool ok;

    if (!m)
        return false;
    ok = dataset_open(&d, o->data_dir, report_parts(held_out), err) &&
         store_check(m, o->model_path, &d, o->data_dir, err) &&
         rank_evaluate(m, &d, held_out, plan, &r, err);
    if (ok) {
        json_open(&json, NULL, '{');
        report_write_json(m, held_out, plan, &r, &json);
        json_close(&json, '}');
        if (!o->json || strcmp(o->json, "-"))
            report_print(m, held_out, plan, &r, stdout);
        ok = cmd_write_json(&json, beside, err) && cmd_write_json(&json, o->json, err);
    }
    model_free(m);
    return ok;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct evaluate_opts o;
    struct rank_plan plan = {0};
    enum cmd_next next;

    OPT_ADD(&opts, "Options", evaluate_opts, &o);
    next = cmd_parse(&cmd_evaluate, &opts, argv, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (!rank_plan_parse(&plan, o.metrics, o.k, err))
        return false;
    plan.include_seen = o.include_seen;
    plan.threads = o.threads;
    return evaluate(&o, &plan, err);
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
