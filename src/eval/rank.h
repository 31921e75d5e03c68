/* rank.h - all items ranked for a user, and what the rankings are worth.
 *
 * Every item of the catalogue is scored: there is no sampled variant on purpose (Krichene and
 * Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020). What the user took before is
 * left out. Of equal scores the lower item index comes first. */
#ifndef KINDRED_RANK_H
#define KINDRED_RANK_H

#include "eval/heldout.h"
#include "eval/metrics.h"
#include "eval/moments.h"
#include "model/topk.h"

enum { RANK_KS_ASKED = 8, RANK_KS_MAX = 32, RANK_VALUES_MAX = METRICS_MAX * RANK_KS_MAX };

/* What to measure: each metric at each k. Value v = m * n_k + j is of metric m at k[j]. */
struct rank_plan {
    const struct metric *metrics[METRICS_MAX];
    int n_metrics;
    int k[RANK_KS_MAX];
    int n_k;
    int n_metrics_shown, n_k_shown; /* tables and JSON hold only the first of them */
    bool include_seen;              /* rank what the user took before too */
    int threads;                    /* 0: the caller's number */
};

/* "recall,ndcg" and "10,20" into the plan; the options are named --metrics and --k. ERR_USAGE */
NODISCARD bool rank_plan_parse(struct rank_plan *p, const char *metrics, const char *k,
                               struct err *err);

/* For a page: recall where no metric of hits is asked for, all metrics of what is listed, and more
 * ks up to the largest asked for, so that curves can be drawn. Tables and JSON don't show them. */
void rank_plan_widen(struct rank_plan *p);

/* The largest k that is shown. */
int rank_k_shown(const struct rank_plan *p);

static inline int rank_n_values(const struct rank_plan *p)
{
    return p->n_metrics * p->n_k;
}

/* ---- ranking ---- */

/* What a model's lists hold of that which was held out. Users go by their place in heldout.users.
 *
 * Memory: 16 bytes a user and 8 a held-out row; 8 a user and value of a metric by item; 4 an item
 * and k, twice, for the metrics of all lists. */
struct ranking {
    const struct heldout *h;
    const struct rank_plan *plan;
    int64_t *offsets; /* (n_users + 1) into hits, where a user's may stand */
    struct ranking_hit {
        int32_t rank, item; /* ranks from 0 */
    } * hits;
    int32_t *n_hits;    /* (n_users) by rank */
    double *item_means; /* (n_users, values of metrics by item): NaN where nothing is listed */
    int32_t *listed; /* (2, n_k, n_items) in how many lists: of users known to train, of others */
    double seconds;  /* wall time */
};

/* Rank for each user of `h` whom the model serves; the plan outlives the ranking. ERR_INTERRUPTED.
 */
NODISCARD bool ranking_make(struct ranking *r, const struct model *m, const struct heldout *h,
                            const struct rank_plan *plan, struct err *err);
void ranking_release(struct ranking *r);

/* All values of one user's list (rank_n_values), with the items of one group alone as relevant:
 * those with group_of[item] == group; group_of NULL: all. False where the user has none. NaN: the
 * metric has no value for this user: it's one of all lists together, or of what is listed where
 * nothing is, or of what is listed and no matter of a group. */
bool ranking_values(const struct ranking *r, int32_t user, const int8_t *group_of, int group,
                    double *values);

/* The value of a metric of hits for one user at k, which is within the plan's largest. */
double ranking_value(const struct ranking *r, int32_t user, const struct metric *metric, int k);

/* ---- means ---- */

/* Over users. NaN: no mean (no user), no interval (fewer than two users, or a metric of all lists
 * together). */
struct rank_means {
    int32_t n_users;
    double value[RANK_VALUES_MAX];
    double half[RANK_VALUES_MAX]; /* of the 95 % interval: value - half .. value + half */
};

struct rank_result {
    struct rank_means known;    /* users with a row in train and a held-out one: the headline */
    struct rank_means all;      /* with a held-out one; 0 for whom the model can't serve */
    int64_t n_rows, n_new_rows; /* held-out rows; those of items without train rows */
    double seconds;             /* wall time */
};

/* The numbers do not depend on the number of threads. */
void ranking_result(const struct ranking *r, struct rank_result *out);

/* ---- in parts: for users on several ranks, whose lists were found elsewhere ---- */

/* Of a plan of metrics of hits alone. lists (h->n_users, the plan's largest k), lengths
 * (h->n_users); no longer needed then. */
void ranking_from_lists(struct ranking *r, const struct heldout *h, const struct rank_plan *plan,
                        const struct hit *lists, const int *lengths);

/* rows (h->n_users, 1 + rank_n_values): whether train knows the user, and the values. */
void ranking_rows(const struct ranking *r, double *rows);

/* The means over such rows of all users in order, as ranking_result gives them; what it tells
 * besides is 0. */
void rank_result_of_rows(const struct rank_plan *plan, const double *rows, int32_t n_users,
                         struct rank_result *out);

/* All of it at once: heldout_make, ranking_make, ranking_result. ERR_DATA, ERR_INTERRUPTED. */
NODISCARD bool rank_evaluate(const struct model *m, const struct dataset *d,
                             enum dataset_part held_out, const struct rank_plan *plan,
                             struct rank_result *out, struct err *err);

/* "0.0318": four digits that count, one decimal at least; "-" for no number. */
enum { RANK_NUMBER = 24 };
const char *rank_number(double x, char out[static RANK_NUMBER]);
int rank_decimals(double x); /* how many it gives */

/* "recall_at_10", to be freed. */
char *rank_value_name(const struct rank_plan *plan, int m, int j);

/* The means as members "recall_at_10" of the object that is open, and back from such an object;
 * false where it has none of them. */
void rank_write_json(const struct rank_plan *plan, const struct rank_means *means,
                     struct json_out *out);
bool rank_read_json(const struct rank_plan *plan, const struct json_t *from,
                    struct rank_means *means);

/* One value as "recall_at_10" and, unless there can be none by the metric's kind,
 * "recall_at_10_ci95": [from, to], or null where half is NaN. */
void rank_write_value(const struct rank_plan *plan, int m, int j, double value, double half,
                      struct json_out *out);

/* All means so. */
void rank_write_intervals(const struct rank_plan *plan, const struct rank_means *means,
                          struct json_out *out);

#endif
