/* metrics.h - how good a ranked list is, from the places of its hits.
 *
 * To add a metric: a function and a row in metrics.c. */
#ifndef KINDRED_METRICS_H
#define KINDRED_METRICS_H

#include "base/err.h"

/* The value in [0, 1] for one user.
 * hits (n_hits) ranks of the relevant items in the list, from 0, ascending, all under k;
 * n_relevant >= 1 is how many items are relevant, in the list or not. */
typedef double metric_fn(const int32_t *hits, int n_hits, int64_t n_relevant, int k);

struct metric {
    const char *name;
    metric_fn *value;
};

/* All metrics, NULL name at the end. */
extern const struct metric metrics[];

enum { METRICS_MAX = 16 };

/* "recall,ndcg" -> rows of the table, each once. Returns how many; -1 on a fault, as ERR_USAGE with
 * the nearest name. */
int metrics_parse(const char *option, const char *text, const struct metric *out[METRICS_MAX],
                  struct err *err);

#endif
