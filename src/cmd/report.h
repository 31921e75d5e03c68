/* report.h - results of evaluations, as evaluate and baselines show them. */
#ifndef KINDRED_REPORT_H
#define KINDRED_REPORT_H

#include "eval/rank.h"

/* What --split allows: train and val come before test, train before val. */
#define REPORT_SPLITS "test|val"
enum dataset_part report_split(const char *name);

/* Bits for dataset_open: the held-out part and those before it. */
unsigned report_parts(enum dataset_part held_out);

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
