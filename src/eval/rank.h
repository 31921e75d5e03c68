/* rank.h - all items ranked for a user, and what the rankings are worth.
 *
 * Every item of the catalogue is scored: there is no sampled variant on purpose (Krichene and
 * Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020). What the user took before is
 * left out. Of equal scores the lower item index comes first. */
#ifndef KINDRED_RANK_H
#define KINDRED_RANK_H

#include "eval/metrics.h"
#include "model/topk.h"

enum { RANK_KS_MAX = 8 };

/* What to measure: each metric at each k. */
struct rank_plan {
    const struct metric *metrics[METRICS_MAX];
    int n_metrics;
    int k[RANK_KS_MAX];
    int n_k;
    bool include_seen; /* rank what the user took before too */
    int threads;       /* 0: all */
};

/* "recall,ndcg" and "10,20" into the plan; the options are named --metrics and --k. ERR_USAGE */
NODISCARD bool rank_plan_parse(struct rank_plan *p, const char *metrics, const char *k,
                               struct err *err);

/* Means over users, metric by metric, k by k: value[m * n_k + j]; NaN where there is no user. */
struct rank_means {
    int32_t n_users;
    double value[METRICS_MAX * RANK_KS_MAX];
};

struct rank_result {
    struct rank_means known; /* users with a row in train and a held-out one: the headline */
    struct rank_means all;   /* with a held-out one; 0 for whom the model can't serve */
    double seconds;          /* wall time */
};

/* Rank for each user with held-out rows. The history of a user, which is left out of the list, are
 * the rows of the parts before `held_out`: train for val; train and val for test. Those parts must
 * be in memory.
 *
 * Memory: a double a user and value. The sums are taken in the order of users: the numbers do not
 * depend on the number of threads. ERR_DATA when nobody has a held-out row, ERR_INTERRUPTED. */
NODISCARD bool rank_evaluate(const struct model *m, const struct dataset *d,
                             enum dataset_part held_out, const struct rank_plan *plan,
                             struct rank_result *out, struct err *err);

/* The means as members "recall_at_10" of the object that is open, and back from such an object;
 * false where it has none of them. */
void rank_write_json(const struct rank_plan *plan, const struct rank_means *means,
                     struct json_out *out);
bool rank_read_json(const struct rank_plan *plan, const struct json_t *from,
                    struct rank_means *means);

#endif
