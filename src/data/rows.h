/* rows.h - the valid rows of the input as arrays, sorted, without repeats, and the kept ones of
 * them.
 *
 * In order: rows_load from `raw` and its dictionaries, rows_core, rows_number; then the source that
 * rows_source describes gives what is kept back to SQL. */
#ifndef KINDRED_ROWS_H
#define KINDRED_ROWS_H

#include "data/duck.h"

struct rows {
    int32_t n_users, n_items; /* numbers in the dictionaries: 0 .. n - 1 */
    int64_t *offsets;         /* (n_users + 1) where each user's rows start */
    int32_t *items;           /* (offsets[n_users]) by user, then time, then the input's order */
    int64_t *times;           /* (offsets[n_users]) milliseconds */
    float *ratings;           /* (offsets[n_users]) NaN where there was none */
    int64_t n_repeated;       /* rows that were left out: a user's later ones of an item */

    bool *keep_user, *keep_item; /* (n_users), (n_items) after rows_core */
    int64_t n_kept;

    int32_t n_kept_users, n_kept_items; /* after rows_number */
    int32_t *user_order;                /* (n_kept_users) number by index */
    int32_t *item_idx;                  /* (n_items) index by number */
};

/* ERR_DATA for more than 2^31 - 1 lines. Cost: O(n log n) for a user's n rows, 40 bytes a line. */
NODISCARD bool rows_load(struct rows *r, struct duck *d, struct err *err);
void rows_release(struct rows *r);

/* Keep the users and items that have enough rows of each other. ERR_DATA where none are left. */
NODISCARD bool rows_core(struct rows *r, int min_user, int min_item, struct err *err);

/* Number what is kept in the order of the ids, in tables `users` and `items` (rowid, number). Takes
 * the place of the dictionaries. */
NODISCARD bool rows_number(struct rows *r, struct duck *d, struct err *err);

/* Put the kept rows into the table kept (user_idx, item_idx, timestamp, rating, n), in order of
 * user, time and input; n counts them from 0. */
NODISCARD bool rows_to_table(struct rows *r, struct duck *d, struct err *err);

#endif
