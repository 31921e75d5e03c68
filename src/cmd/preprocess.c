#include "cmd/cmd.h"

#include "cmd/tracking.h"
#include "base/clock.h"
#include "base/log.h"
#include "data/preprocess.h"
#include "data/report_page.h"

#include <math.h>

#define INPUT_OPTIONS(X, S)                                                                        \
    X(S, struct opt_list, input, {0}, 0, 0, "FILE",                                                \
      "files and globs; JSONL, CSV, Parquet or sequences; plain, .gz or .zst; - is stdin")         \
    X(S, struct opt_list, train, {0}, 0, 0, "FILE",                                                \
      "instead of --input, where the split is given: the rows to train on")                        \
    X(S, struct opt_list, val, {0}, 0, 0, "FILE", "with --train: the rows to choose a model by")   \
    X(S, struct opt_list, test, {0}, 0, 0, "FILE", "with --train: the rows to test on")            \
    X(S, opt_text, format, "auto", 0, 0, INPUT_FORMATS,                                            \
      "what a file is; sequence: lines of a user and its items in order of time")                  \
    X(S, opt_text, columns, NULL, 0, 0, "LIST",                                                    \
      "for CSV without a header: what the columns are, as in user,item,rating,time; - for one of " \
      "no interest")                                                                               \
    X(S, opt_text, user_column, NULL, 0, 0, "NAME",                                                \
      "the user's column or JSON field, if not found by name")                                     \
    X(S, opt_text, item_column, NULL, 0, 0, "NAME", "the item's")                                  \
    X(S, opt_text, time_column, NULL, 0, 0, "NAME", "the time's")                                  \
    X(S, opt_text, rating_column, NULL, 0, 0, "NAME", "the rating's")                              \
    X(S, bool, times, true, 0, 0, NULL,                                                            \
      "look for no times: a user's rows are in the order of the input")                            \
    X(S, opt_text, bad_lines, "skip", 0, 0, "skip|fail", "what to do about a line that is no row") \
    X(S, int64_t, max_bad_lines, -1, -1, 1e15, "N", "fail where there are more; -1: no limit")     \
    X(S, struct opt_list, items, {0}, 0, 0, "FILE",                                                \
      "metadata of items (JSONL as of Amazon 2023): title, price, categories, store, image")
OPT_DEFINE(input_opts, INPUT_OPTIONS);

#define FILTER_OPTIONS(X, S)                                                                       \
    X(S, double, min_rating, NAN, -1e9, 1e9, "R", "drop rows with a lower rating or none")         \
    X(S, opt_text, after, NULL, 0, 0, "DATE",                                                      \
      "drop rows before it; 2015-09-04, or as in the file")                                        \
    X(S, opt_text, before, NULL, 0, 0, "DATE", "drop rows at or after it")                         \
    X(S, opt_text, repeats, "first", 0, 0, REPEATS_NAMES,                                          \
      "which of a user's rows of one item is kept")                                                \
    X(S, int, min_user, 5, 1, 1000000, "N", "rows that a user needs to be kept")                   \
    X(S, int, min_item, 5, 1, 1000000, "N", "rows that an item needs to be kept")
OPT_DEFINE(filter_opts, FILTER_OPTIONS);

#define SPLIT_OPTIONS(X, S)                                                                        \
    X(S, opt_text, split, "temporal", 0, 0, SPLIT_NAMES, "how rows are held out")                  \
    X(S, double, train_ratio, 0.7, 0, 1, "R",                                                      \
      "all but leave-one-out: share of the rows to train on")                                      \
    X(S, double, val_ratio, 0.15, 0, 1, "R",                                                       \
      "all but leave-one-out: share to choose a model by; the rest is the test")                   \
    X(S, int64_t, seed, 1, 0, 9e15, "N", "random: other seeds split in other ways")
OPT_DEFINE(split_opts, SPLIT_OPTIONS);

#define OUTPUT_OPTIONS(X, S)                                                                       \
    X(S, opt_text, output_dir, "data/processed", 1, 0, "DIR", "where the dataset goes")            \
    X(S, opt_text, report, NULL, 0, 0, "FILE", "a page to look at: what was read, kept and split") \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "the results for machines; - is stdout")              \
    X(S, opt_text, memory_limit, NULL, 0, 0, "SIZE",                                               \
      "such as 4GB; beyond it, temporary files are used (default 80 % of memory)")                 \
    X(S, opt_text, temp_dir, NULL, 0, 0, "DIR", "for temporary files (default beside the output)") \
    X(S, int, threads, 0, 0, 1024, "N", "0: all cores")
OPT_DEFINE(output_opts, OUTPUT_OPTIONS);

struct values {
    struct input_opts input;
    struct filter_opts filter;
    struct split_opts split;
    struct output_opts output;
};

static bool check_ratios(const struct split_opts *v, struct err *err)
{
    if (v->train_ratio > 0 && v->train_ratio + v->val_ratio <= 1)
        return true;
    return err_set(
        err, ERR_USAGE,
        "--train-ratio %g and --val-ratio %g: the first must be above 0, their sum at most 1",
        v->train_ratio, v->val_ratio);
}

/* Files whose split is given are taken as they are. */
static bool check_given(const struct values *v, struct err *err)
{
    const struct {
        const char *option;
        bool changed;
    } useless[] = {
        {"--split", strcmp(v->split.split, split_opts_default.split) != 0},
        {"--train-ratio", v->split.train_ratio != split_opts_default.train_ratio},
        {"--val-ratio", v->split.val_ratio != split_opts_default.val_ratio},
        {"--min-user", v->filter.min_user != filter_opts_default.min_user},
        {"--min-item", v->filter.min_item != filter_opts_default.min_item},
    };

    if (v->input.input.n)
        return err_set(err, ERR_USAGE, "--input and --train don't go together: give one of them");
    for (int i = 0; i < ARRAY_LEN(useless); i++)
        if (useless[i].changed)
            return err_set(err, ERR_USAGE,
                           "--train gives the split, whose rows are taken as they are: %s has no "
                           "place beside it",
                           useless[i].option);
    return true;
}

static bool check(const struct values *v, struct err *err)
{
    const struct input_opts *in = &v->input;

    if (in->train.n)
        return check_given(v, err) && check_ratios(&v->split, err);
    if (in->val.n || in->test.n)
        return err_set(err, ERR_USAGE, "%s needs --train beside it",
                       in->val.n ? "--val" : "--test");
    if (!in->input.n)
        return err_set(err, ERR_USAGE, "no input: give --input FILE, or --train, --val and --test");
    return check_ratios(&v->split, err);
}

static struct ingest_options ingest_options_of(const struct values *v)
{
    const struct input_opts *in = &v->input;
    struct ingest_options o = {
        .form = {.format = in->format,
                 .columns = in->columns,
                 .names = {in->user_column, in->item_column, in->time_column, in->rating_column},
                 .has_times = in->times},
        .min_rating = v->filter.min_rating,
        .after = v->filter.after,
        .before = v->filter.before,
        .refuse_bad_lines = !strcmp(in->bad_lines, "fail"),
        .max_bad_lines = in->max_bad_lines,
    };

    o.files[DATASET_TRAIN] = in->train.n ? (struct ingest_files){in->train.items, in->train.n}
                                         : (struct ingest_files){in->input.items, in->input.n};
    o.files[DATASET_VAL] = (struct ingest_files){in->val.items, in->val.n};
    o.files[DATASET_TEST] = (struct ingest_files){in->test.items, in->test.n};
    return o;
}

static struct preprocess_options options_of(const struct values *v)
{
    bool is_given = v->input.train.n > 0;

    return (struct preprocess_options){
        .in = ingest_options_of(v),
        .items = {v->input.items.items, v->input.items.n},
        .output_dir = v->output.output_dir,
        .temp_dir = v->output.temp_dir,
        .min_user = is_given ? 1 : v->filter.min_user,
        .min_item = is_given ? 1 : v->filter.min_item,
        .repeats = repeats_named(v->filter.repeats),
        .split = {is_given ? split_given : split_named(v->split.split), v->split.train_ratio,
                  v->split.val_ratio, v->split.seed},
        .threads = v->output.threads,
        .memory_limit = v->output.memory_limit,
    };
}

static void print_row(const char *what, int64_t n)
{
    printf("%-32s %12lld\n", what, (long long)n);
}

/* Steps that took nothing are left out. */
static void print_stats(const struct preprocess_stats *s)
{
    struct preprocess_step steps[PREPROCESS_STEPS];

    preprocess_account(s, steps);
    for (int i = 0; i < PREPROCESS_STEPS; i++)
        if (steps[i].n || i == 0)
            print_row(steps[i].what, steps[i].n);
    print_row("  train", s->n_part[DATASET_TRAIN]);
    print_row("  val", s->n_part[DATASET_VAL]);
    print_row("  test", s->n_part[DATASET_TEST]);
    print_row("users", s->n_users);
    print_row("items", s->n_items);
    if (s->items.lines_read)
        print_row("  with a title", s->n_titles);
}

static void warn(const struct preprocess_stats *s)
{
    int64_t bad = ingest_bad_lines(&s->in);

    if (bad)
        log_warn("preprocess.bad_lines", "skipped=%lld of=%lld", (long long)bad,
                 (long long)ingest_lines(&s->in));
    if (s->items.bad_lines)
        log_warn("preprocess.bad_item_lines", "skipped=%lld of=%lld", (long long)s->items.bad_lines,
                 (long long)s->items.lines_read);
}

/* ---- for machines, and a page ---- */

static bool write_json(const struct preprocess_options *o, const struct preprocess_stats *stats,
                       const struct summary *summary, const char *path, struct err *err)
{
    AUTO(json_out) json = {0};

    json.pretty = true;
    json_open(&json, NULL, '{');
    preprocess_put_stats(o, stats, &json);
    json_open(&json, "summary", '{');
    summary_put_json(summary, &json);
    json_close(&json, '}');
    json_close(&json, '}');
    return cmd_write_json(&json, path, err);
}

/* "a.jsonl, b.jsonl and 3 more" */
static void put_files(struct buf *b, const struct opt_list *files)
{
    enum { SHOWN = 3 };

    for (int i = 0; i < MIN(files->n, SHOWN); i++)
        buf_printf(b, "%s%s", i ? ", " : "", files->items[i]);
    if (files->n > SHOWN)
        buf_printf(b, " and %d more", files->n - SHOWN);
}

static bool write_page(const struct values *v, const struct preprocess_stats *stats,
                       const struct summary *summary, struct err *err)
{
    struct preprocess_step steps[PREPROCESS_STEPS];
    struct report_step funnel[PREPROCESS_STEPS];
    const struct input_opts *in = &v->input;
    AUTO(buf) files = {0};
    struct report_page page = {v->output.output_dir, funnel, PREPROCESS_STEPS, .n_facts = 3,
                               .summary = summary};

    preprocess_account(stats, steps);
    for (int i = 0; i < PREPROCESS_STEPS; i++)
        funnel[i] = (struct report_step){steps[i].what, steps[i].n};
    put_files(&files, in->train.n ? &in->train : &in->input);
    page.facts = (struct report_fact[]){
        {"input", buf_str(&files)}, {"configuration", stats->config_id}, {"digest", stats->digest}};
    return report_page_write(v->output.report, &page, err);
}

/* What MLflow is told: the counts, what they count, and the page. */
static void track_results(struct tracking *tr, const struct values *v,
                          const struct preprocess_options *o, const struct preprocess_stats *stats)
{
    AUTO(json_out) json = {0};
    AUTO_FREE char *path = path_join(v->output.output_dir, "stats.json");
    struct dataset made = {.n_users = stats->n_users, .n_items = stats->n_items};

    json_open(&json, NULL, '{');
    preprocess_put_stats(o, stats, &json);
    json_close(&json, '}');
    tracking_metrics(tr, "", &json, 0);
    snprintf(made.digest, sizeof made.digest, "%s", stats->digest);
    for (int p = 0; p < ARRAY_LEN(made.part); p++)
        made.part[p].n = stats->n_part[p];
    tracking_dataset(tr, v->output.output_dir, &made, "output");
    track_tag(tr->t, "config_id", stats->config_id);
    track_file(tr->t, path, "stats.json");
    if (v->output.report)
        track_file(tr->t, v->output.report, path_name(v->output.report));
}

static bool make(const struct values *v, struct tracking *tr, struct err *err)
{
    double start = clock_seconds();
    struct preprocess_options o = options_of(v);
    struct preprocess_stats stats;
    AUTO_FREE struct summary *summary = NULL;

    if (v->output.report || v->output.json)
        summary = xcalloc(1, sizeof *summary);
    if (!preprocess(&o, &stats, summary, err) ||
        (v->output.json && !write_json(&o, &stats, summary, v->output.json, err)) ||
        (v->output.report && !write_page(v, &stats, summary, err)))
        return false;
    warn(&stats);
    if (!v->output.json || strcmp(v->output.json, "-"))
        print_stats(&stats);
    log_info("preprocess.done", "output=\"%s\" config=\"%s\" seconds=%.2f", v->output.output_dir,
             stats.config_id, clock_seconds() - start);
    track_results(tr, v, &o, &stats);
    return true;
}

static bool preprocess_run(const char *const *argv, struct err *err)
{
    struct values v;
    struct tracking tr;
    AUTO(opt_set) set = {0};
    enum cmd_next next;

    OPT_ADD(&set, "Input", input_opts, &v.input);
    OPT_ADD(&set, "Filters, in this order", filter_opts, &v.filter);
    OPT_ADD(&set, "Split", split_opts, &v.split);
    OPT_ADD(&set, "Output", output_opts, &v.output);
    tracking_add(&tr, &set);
    next = cmd_parse(&cmd_preprocess, &set, argv, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (!check(&v, err) || !tracking_begin(&tr, &cmd_preprocess, &set, "preprocessing", err))
        return false;
    return tracking_end(&tr, make(&v, &tr, err), err);
}

bool preprocess_has_option(const char *name)
{
    const struct opt *const tables[] = {input_opts_table, filter_opts_table, split_opts_table,
                                        output_opts_table};
    const struct opt *found = NULL;

    for (int i = 0; i < ARRAY_LEN(tables) && !found; i++)
        found = opt_in_table(tables[i], name);
    return found && found->kind != OPT_LIST;
}

const struct cmd cmd_preprocess = {
    .name = "preprocess",
    .summary = "raw reviews to a split dataset",
    .about =
        "Reads reviews, drops repeats and what is too rare, numbers users and items, and holds "
        "rows\n"
        "out. The folder has train.parquet, val.parquet, test.parquet, users.parquet, "
        "items.parquet\n"
        "and stats.json; all of them are written, or none. What became of each line is printed.",
    .run = preprocess_run,
};
