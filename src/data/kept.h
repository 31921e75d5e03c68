/* kept.h - the rows that the filters leave, numbered, on their way to SQL. */
#ifndef KINDRED_KEPT_H
#define KINDRED_KEPT_H

#include "data/duck.h"
#include "data/rows.h"

struct kept {
    int64_t n_rows, lost_by_user, lost_by_item;
    int32_t n_users, n_items;
    bool *user, *item; /* (rows.users.n) by place, (rows.items.n) by number */
    int32_t *item_at;  /* (n_items) number by index */
    int32_t *item_idx; /* (rows.items.n) index by number */
};

/* Keep the users and items that have enough rows of each other (kcore.h), and number them in the
 * order of their ids. ERR_DATA where none are left, with which threshold to lower. */
NODISCARD bool kept_find(struct kept *k, const struct rows *r, int min_user, int min_item,
                         struct err *err);
void kept_release(struct kept *k);

/* Make the tables users (user_id) and items (item_id), whose rowid is the index, and kept
 * (user_idx, item_idx, timestamp, rating, given, n): in order of user, part, time and input, which
 * n counts from 0; `given` is the row's part as the input says it. */
NODISCARD bool kept_to_tables(const struct kept *k, const struct rows *r, struct duck *d,
                              struct err *err);

#endif
