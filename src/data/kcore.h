/* kcore.h - the largest part of the interactions in which all are frequent enough.
 *
 * A user needs min_user rows, an item min_item; taking one away may leave another short, so this
 * goes on until nothing changes. The result doesn't depend on the order in which they are taken.
 * Source: the peeling of Batagelj and Zaversnik, "An O(m) Algorithm for Cores Decomposition", 2003,
 * with a threshold for each side of a bipartite graph. */
#ifndef KINDRED_KCORE_H
#define KINDRED_KCORE_H

#include "base/base.h"

/* offsets, items   (n_users + 1), (offsets[n_users]) the items of each user, none twice
 * keep_user        (n_users) out: true for those that are left
 * keep_item        (n_items) out
 *
 * Cost: O(users + items + rows); 4 bytes a row of memory. Returns how many rows are left. */
int64_t kcore_peel(const int64_t *offsets, const int32_t *items, int32_t n_users, int32_t n_items,
                   int min_user, int min_item, bool *keep_user, bool *keep_item);

#endif
