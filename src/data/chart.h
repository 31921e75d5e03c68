/* chart.h - a dataset's summary drawn. */
#ifndef KINDRED_CHART_H
#define KINDRED_CHART_H

#include "data/summary.h"

/* Rows over time, stacked by part, with the cuts. The summary has times. */
void chart_over_time(struct buf *b, const struct summary *s);

/* Rows by rank of items and of users, both axes logarithmic. */
void chart_tails(struct buf *b, const struct summary *s);

/* "12 Mar 2014", with the time of day where bins are shorter than a day. */
enum { CHART_DATE_MAX = 40 };
void chart_date(const struct summary *s, int64_t epoch_ms, char out[static CHART_DATE_MAX]);

/* What a bin is long: "day", "2 weeks". */
void chart_put_bin(struct buf *b, const struct summary *s);

#endif
