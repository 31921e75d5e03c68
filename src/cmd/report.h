/* report.h - results of evaluations, as evaluate and baselines show them. */
#ifndef KINDRED_REPORT_H
#define KINDRED_REPORT_H

#include "cmd/cmd.h"
#include "eval/rank.h"

/* The options of a command that ranks. */
#define REPORT_OPTIONS(X, S)                                                                       \
    X(S, opt_text, split, "test", 0, 0, "test|val", "which held-out rows to look for")             \
    X(S, opt_text, k, "10,20", 0, 0, "K,...", "lengths of the list")                               \
    X(S, opt_text, metrics, "recall,ndcg", 0, 0, "NAME,...",                                       \
      "some of recall, ndcg, hit, precision, map, mrr")                                            \
    X(S, bool, include_seen, false, 0, 0, NULL, "rank what the user took before too")              \
    X(S, int, threads, 0, 0, 1024, "N", "threads; 0 is one for each processor")                    \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "write the results as JSON there too; - is stdout")

OPT_STRUCT(report_opts, REPORT_OPTIONS);

/* What is to be measured, and where it's told. */
struct report {
    struct report_opts o;
    enum dataset_part held_out;
    struct rank_plan plan;
    FILE *out; /* for tables; NULL when stdout gets JSON */
};

/* cmd_parse, with these options beside those of `opts`. */
enum cmd_next report_parse(struct report *r, const struct cmd *c, struct opt_set *opts,
                           const char *const *argv, struct err *err);

/* Bits for dataset_open: the held-out part and those before it. */
unsigned report_parts(enum dataset_part held_out);

/* "0.0318", or "-" for a mean over nobody. */
enum { REPORT_MEAN_MAX = 16 };
const char *report_mean(double mean, char out[static REPORT_MEAN_MAX]);

/* Warn where no user is known from train: the headline is then empty. */
void report_warn(const struct rank_result *r);

/* One model's results as members of the object that is open. */
void report_write_json(const struct model *m, enum dataset_part held_out,
                       const struct rank_plan *plan, const struct rank_result *r,
                       struct json_out *out);

/* One model, one row a metric: known users beside all of them. */
void report_print(const struct model *m, enum dataset_part held_out, const struct rank_plan *plan,
                  const struct rank_result *r, FILE *out);

/* Several models, one row each, over the known users. */
void report_print_head(const struct rank_plan *plan, FILE *out);
void report_print_row(const struct model *m, const struct rank_plan *plan,
                      const struct rank_result *r, FILE *out);

#endif
