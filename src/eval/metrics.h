/* metrics.h - how good ranked lists are: from the places of their hits, from what is listed, and
 * from how often each item is.
 *
 * To add a metric: a function and a row in metrics.c, with the one function of its kind; its name
 * in METRICS_NAMES. */
#ifndef KINDRED_METRICS_H
#define KINDRED_METRICS_H

#include "base/err.h"

/* The value in [0, 1] of one user's list.
 * hits (n_hits) ranks of the relevant items in the list, from 0, ascending, all under k;
 * n_relevant >= 1 is how many items are relevant, in the list or not. */
typedef double metric_hits_fn(const int32_t *hits, int n_hits, int64_t n_relevant, int k);

/* What one listed item counts; a list's value is the mean over its items. The item has n_rows rows
 * in train, in which n_users users have any. */
typedef double metric_item_fn(int64_t n_rows, int64_t n_users);

/* The value of all lists together: listed (n_items) in how many of them each item is. NaN where
 * nothing is listed and the formula says nothing. */
typedef double metric_lists_fn(const int32_t *listed, int32_t n_items);

/* A metric is of one kind: one of the functions is there. */
struct metric {
    const char *name;
    metric_hits_fn *hits;
    metric_item_fn *item;
    metric_lists_fn *lists;
};

/* All metrics, NULL name at the end. */
extern const struct metric metrics[];

/* NULL where there is none of that name. */
const struct metric *metric_named(const char *name);

#define METRICS_NAMES "recall, ndcg, hit, precision, map, mrr, coverage, gini, popularity, novelty"

enum { METRICS_MAX = 16 };

/* "recall,ndcg" -> rows of the table, each once. Returns how many; -1 on a fault, as ERR_USAGE with
 * the nearest name. */
int metrics_parse(const char *option, const char *text, const struct metric *out[METRICS_MAX],
                  struct err *err);

#endif
