/* generate.h - made-up reviews from which something can be learned.
 *
 * Items fall into clusters. A user has three that he likes, and takes most items out of them;
 * within a cluster an item's popularity follows a power law of its rank, times how fresh the item
 * is: it appears at some time and fades from then on. So what a user took tells what he'll take,
 * and what is popular over all tells little. Each user is active for a stretch of the five years,
 * and writes five reviews or more, by a power law too.
 *
 * All that a user does depends on the seed and the user alone, and what is taken doesn't depend on
 * what is written about it. Lines are about as long as real ones: 500 bytes on the average. */
#ifndef KINDRED_GENERATE_H
#define KINDRED_GENERATE_H

#include "base/err.h"

struct generate_options {
    const char *output; /* .gz or .zst: packed; "-": stdout */
    int32_t n_users, n_items;
    int64_t n_reviews;
    uint64_t seed;
    int threads; /* 0: all cores */
};

/* Write n_reviews lines in the form of Amazon Reviews 2023, user by user and in order of time for
 * each; whole or not at all. The same options give the same bytes on any number of threads. With
 * fewer than five reviews a user some have less; a user repeats an item only when it's hard to find
 * another. Memory: 8 bytes an item and some MB a thread, whatever the numbers of users and reviews.
 * ERR_IO, ERR_INTERRUPTED. */
NODISCARD bool generate(const struct generate_options *o, struct err *err);

#endif
