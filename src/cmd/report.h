/* report.h - results of evaluations, as evaluate and baselines show them. */
#ifndef KINDRED_REPORT_H
#define KINDRED_REPORT_H

#include "cmd/cmd.h"
#include "eval/groups.h"
#include "eval/rank.h"

/* The options of a command that ranks. */
#define REPORT_OPTIONS(X, S)                                                                       \
    X(S, opt_text, split, "test", 0, 0, "test|val", "which held-out rows to look for")             \
    X(S, opt_text, k, "10,20", 0, 0, "K,...", "lengths of the list")                               \
    X(S, opt_text, metrics, "recall,ndcg", 0, 0, "NAME,...", "some of " METRICS_NAMES)             \
    X(S, opt_text, by, NULL, 0, 0, "NAME,...",                                                     \
      "the metrics for groups as well: users by activity or users (new or known to train), "       \
      "held-out items by popularity or newness")                                                   \
    X(S, bool, include_seen, false, 0, 0, NULL, "rank what the user took before too")              \
    X(S, int, threads, 0, 0, 1024, "N", "threads; 0 is one for each processor")                    \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "write the results as JSON there too; - is stdout")

OPT_STRUCT(report_opts, REPORT_OPTIONS);

/* What is to be measured, and where it's told. */
struct report {
    struct report_opts o;
    enum dataset_part held_out;
    struct rank_plan plan;
    const struct grouping *by[GROUPINGS_MAX];
    int n_by, n_by_shown; /* tables and JSON hold only the first of them */
    FILE *out;            /* for tables; NULL when stdout gets JSON */
};

/* cmd_parse, with these options beside those of `opts`. */
enum cmd_next report_parse(struct report *r, const struct cmd *c, struct opt_set *opts,
                           const char *const *argv, struct err *err);

/* Measure what a page shows besides: more metrics and ks, all groupings. */
void report_widen(struct report *r);

/* Bits for dataset_open: the held-out part and those before it. */
unsigned report_parts(enum dataset_part held_out);

/* What came of one model. */
struct outcome {
    const char *model;       /* its name */
    char digest[DIGEST_HEX]; /* of its dataset */
    struct rank_result result;
    struct group_means groups[GROUPINGS_MAX]; /* (n_by) */
    bool made;                                /* by this command: the two below are known */
    double fit_s;                             /* how long that took */
    int64_t peak_bytes;                       /* memory.h, over making and ranking; 0: unknown */
};

/* Rank, and measure all that the report asks for. The ranking is the caller's to release. */
NODISCARD bool report_measure(const struct report *r, const struct model *m,
                              const struct heldout *h, struct ranking *ranking, struct outcome *out,
                              struct err *err);
void outcome_release(struct outcome *o);

/* Warn where no user is known from train: the headline is then empty. */
void report_warn(const struct rank_result *r);

/* One model's results as members of the object that is open. */
void report_write_json(const struct report *r, const struct outcome *o, struct json_out *out);

/* How many users and rows the numbers are over. */
void report_print_head(const struct report *r, const struct rank_result *result);

/* One model, one row a metric: known users beside all of them; then its groups. */
void report_print(const struct report *r, const struct outcome *o);
void report_print_groups(const struct report *r, const struct outcome *o);

/* The values that tables show: metric by metric, k by k. report_shown() names the s-th,
 * "recall@20", and returns its place in rank_means. */
int report_n_shown(const struct report *r);
int report_shown(const struct report *r, int s, char name[static RANK_NUMBER]);

/* A mean and half its interval, "0.1811 ± 0.0021", right-aligned in `width` columns. */
void report_print_cell(const struct report *r, double mean, double half, int width);

/* Several models, a row for each: as many values from `first` on as a line has room for, and what
 * they cost: seconds of making and of ranking, megabytes. */
enum { REPORT_VALUES_A_LINE = 4 };
void report_print_columns(const struct report *r, int first, bool cost);
void report_print_row(const struct report *r, const struct outcome *o, int first, bool all,
                      bool cost);

#endif
