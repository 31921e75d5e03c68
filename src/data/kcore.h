/* kcore.h - the largest part of the interactions in which all are frequent enough.
 *
 * A user needs min_user rows, an item min_item; taking one away may leave another short, so this
 * goes on until nothing changes: first all users that are short go, then all items that are now,
 * and so on. What is left doesn't depend on that order (Seidman, "Network structure and minimum
 * degree", 1983, with a threshold for each side); which side a row is said to be lost by does.
 *
 * Where the rows fit into memory, each is looked at a few times in all (the peeling of Batagelj and
 * Zaversnik, "An O(m) Algorithm for Cores Decomposition", 2003, in rounds). Where they don't, they
 * pass by once a round, block by block, and memory is that of users and items alone. */
#ifndef KINDRED_KCORE_H
#define KINDRED_KCORE_H

#include "base/err.h"

/* Rows of users first_user .. first_user + n_users - 1: user first_user + u has
 * items[offsets[u]] .. items[offsets[u + 1] - 1]; offsets[0] is the place of the block's first. */
struct kcore_block {
    int32_t first_user, n_users;
    const int64_t *offsets;
    const int32_t *items; /* of the block: items[0] is at offsets[0] */
};

struct kcore {
    int32_t n_users, n_items;
    int min_user, min_item;
    size_t memory; /* bytes that the rows may take: 8 each */

    /* The next block, in order of users; n_users == 0 after the last, then from the first again. */
    bool (*next)(void *context, struct kcore_block *block, struct err *err);
    void *context;

    bool *keep_user, *keep_item;                /* (n_users), (n_items) out */
    int64_t n_kept, lost_by_user, lost_by_item; /* out: rows */
};

/* A pair may be there several times: each counts. Fails only where next does, or on a signal. */
NODISCARD bool kcore_find(struct kcore *k, struct err *err);

#endif
