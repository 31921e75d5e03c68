/* compare.h - one model beside another, by the differences they make to the same users. */
#ifndef KINDRED_COMPARE_H
#define KINDRED_COMPARE_H

#include "eval/rank.h"

/* The mean over users known to train of (value of `r` - value of `to`), with its 95 % interval:
 * paired, so that what makes users easy or hard for both falls out. Whom one of them can't serve
 * counts as 0 there; users for whom a metric of what is listed has no value in one of the two are
 * left out. Of metrics of all lists together: the plain difference, without an interval.
 *
 * means_to, means: of both over known users. Both rankings are of the same heldout and plan. The
 * numbers do not depend on the number of threads. */
void compare_to(const struct ranking *to, const struct ranking *r,
                const struct rank_means *means_to, const struct rank_means *means,
                struct rank_means *out);

/* Whether 0 lies outside the interval. */
bool compare_excludes_0(double value, double half);

/* The members "recall_at_10", "recall_at_10_ci95" and "recall_at_10_excludes_0" of the open object.
 */
void compare_write_json(const struct rank_plan *plan, const struct rank_means *differences,
                        struct json_out *out);

#endif
