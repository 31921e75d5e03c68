#include "cmd/cmd.h"

#include "base/clock.h"
#include "base/log.h"
#include "data/preprocess.h"

#define PREPROCESS_OPTIONS(X, S)                                                                   \
    X(S, struct opt_list, input, {0}, 1, 0, "FILE", "files and globs: JSONL or CSV, plain or .gz") \
    X(S, opt_text, output_dir, "data/processed", 1, 0, "DIR", "where the dataset goes")            \
    X(S, int, min_user, 5, 1, 1000000, "N", "rows that a user needs to be kept")                   \
    X(S, int, min_item, 5, 1, 1000000, "N", "rows that an item needs to be kept")                  \
    X(S, opt_text, split, "temporal", 0, 0, SPLIT_NAMES, "how rows are held out")                  \
    X(S, double, train_ratio, 0.7, 0, 1, "R", "temporal: share of the rows to train on")           \
    X(S, double, val_ratio, 0.15, 0, 1, "R",                                                       \
      "temporal: share to choose a model by; the rest is the test")                                \
    X(S, opt_text, user_column, NULL, 0, 0, "NAME",                                                \
      "the user's column or JSON field, if not found by name")                                     \
    X(S, opt_text, item_column, NULL, 0, 0, "NAME", "the item's")                                  \
    X(S, opt_text, time_column, NULL, 0, 0, "NAME", "the time's")                                  \
    X(S, opt_text, bad_lines, "skip", 0, 0, "skip|fail", "what to do about a line that is no row") \
    X(S, int64_t, max_bad_lines, -1, -1, 1e15, "N", "fail where there are more; -1: no limit")     \
    X(S, opt_text, memory_limit, NULL, 0, 0, "SIZE",                                               \
      "of the database, such as 4GB; beyond it, files are used (default 80 % of memory)")          \
    X(S, int, threads, 0, 0, 1024, "N", "0: all cores")                                            \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "the results for machines; - is stdout")

OPT_DEFINE(preprocess_opts, PREPROCESS_OPTIONS);

static bool check_ratios(const struct preprocess_opts *v, struct err *err)
{
    if (v->train_ratio > 0 && v->train_ratio + v->val_ratio <= 1)
        return true;
    return err_set(
        err, ERR_USAGE,
        "--train-ratio %g and --val-ratio %g: the first must be above 0, their sum at most 1",
        v->train_ratio, v->val_ratio);
}

static struct preprocess_options options_of(const struct preprocess_opts *v)
{
    return (struct preprocess_options){
        .in = {.input = v->input.items,
               .n_input = v->input.n,
               .user_column = v->user_column,
               .item_column = v->item_column,
               .time_column = v->time_column,
               .refuse_bad_lines = !strcmp(v->bad_lines, "fail"),
               .max_bad_lines = v->max_bad_lines},
        .output_dir = v->output_dir,
        .min_user = v->min_user,
        .min_item = v->min_item,
        .split = split_named(v->split),
        .train_ratio = v->train_ratio,
        .val_ratio = v->val_ratio,
        .threads = v->threads,
        .memory_limit = v->memory_limit,
    };
}

static void print_stats(const struct preprocess_stats *s)
{
    const struct {
        const char *what;
        int64_t n;
    } table[] = {
        {"lines read", s->in.lines_read},
        {"bad lines", s->in.bad_lines},
        {"repeats of a user and an item", s->n_repeated},
        {"too rare", s->in.lines_read - s->in.bad_lines - s->n_repeated - s->n_kept},
        {"rows kept", s->n_kept},
        {"  train", s->n_part[DATASET_TRAIN]},
        {"  val", s->n_part[DATASET_VAL]},
        {"  test", s->n_part[DATASET_TEST]},
        {"users", s->n_users},
        {"items", s->n_items},
    };

    for (int i = 0; i < ARRAY_LEN(table); i++)
        printf("%-30s %12lld\n", table[i].what, (long long)table[i].n);
}

static bool preprocess_run(const char *const *argv, struct err *err)
{
    double start = clock_seconds();
    struct preprocess_options o;
    struct preprocess_stats stats;
    struct preprocess_opts v;
    AUTO(opt_set) set = {0};
    AUTO(json_out) json = {0};
    enum cmd_next next;

    OPT_ADD(&set, "Options", preprocess_opts, &v);
    next = cmd_parse(&cmd_preprocess, &set, argv, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (!check_ratios(&v, err))
        return false;
    o = options_of(&v);
    if (!preprocess(&o, &stats, &json, err) || !cmd_write_json(&json, v.json, err))
        return false;
    if (stats.in.bad_lines)
        log_warn("preprocess.bad_lines", "skipped=%lld of=%lld", (long long)stats.in.bad_lines,
                 (long long)stats.in.lines_read);
    if (!v.json || strcmp(v.json, "-"))
        print_stats(&stats);
    log_info("preprocess.done", "output=%s config=%s seconds=%.2f", v.output_dir, stats.config_id,
             clock_seconds() - start);
    return true;
}

const struct cmd cmd_preprocess = {
    .name = "preprocess",
    .summary = "raw reviews to a split dataset",
    .about =
        "Reads reviews, drops repeats and what is too rare, numbers users and items, and splits "
        "the\n"
        "rows by time. The folder has train.parquet, val.parquet, test.parquet, users.parquet,\n"
        "items.parquet and stats.json; all of them are written, or none.",
    .run = preprocess_run,
};
