/* summary.h - a dataset's shape in a few hundred numbers: rows over time, the long tail of users
 * and items, ratings. What --report draws and --json's "summary" holds. */
#ifndef KINDRED_SUMMARY_H
#define KINDRED_SUMMARY_H

#include "base/json.h"
#include "data/dataset.h"
#include "data/duck.h"

enum { SUMMARY_BINS_MAX = 100, SUMMARY_POINTS_MAX = 200, SUMMARY_RATINGS_MAX = 20 };

/* Rows per user, or per item. q of them have at most quantile(q) rows, the least such number (the
 * nearest rank). */
struct summary_tail {
    int64_t n; /* users or items */
    int64_t min, median, p90, p99, max;
    double mean;
    double top1, top10; /* share of all rows that the top 1 %, 10 % of them have (rounded up) */
    double gini;        /* 0: all have as many rows; towards 1: one has them all */
    int n_points;
    struct summary_point {
        int64_t rank, n_rows;     /* rank 1 has the most */
    } points[SUMMARY_POINTS_MAX]; /* by rank: 1, then spaced by their logarithm, n */
};

struct summary {
    int64_t n_rows, n_part[DATASET_PARTS];

    bool has_times; /* else what is of times is 0 */
    int64_t first_time, last_time;
    bool has_cuts;               /* nobody trains on what comes after any held-out row */
    int64_t cuts[DATASET_PARTS]; /* where val and test begin; 0 for train and empty parts */
    int64_t bin_ms, bins_start;  /* all bins are as wide; the first one starts there */
    int n_bins;
    int64_t bins[SUMMARY_BINS_MAX][DATASET_PARTS];

    struct summary_tail users, items;

    int n_ratings; /* 0: no row has a rating */
    struct summary_rating {
        double from, to; /* from <= rating < to; equal: that rating alone */
        int64_t n;
    } ratings[SUMMARY_RATINGS_MAX];
};

/* Of the view labelled (user_idx, item_idx, timestamp, rating, n, part), which has rows. Makes
 * views summary_*. Cost: some seven passes over the rows. */
NODISCARD bool summary_collect(struct duck *d, bool has_times, struct summary *s, struct err *err);

/* As members of the object that is open. */
void summary_put_json(const struct summary *s, struct json_out *j);

#endif
