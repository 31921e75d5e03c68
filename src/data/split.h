/* split.h - which rows train, which are held out, and the table of the ways to choose.
 *
 * To add a split: src/data/sql/split_NAME.sql, and a row in split.c. It has then --split NAME, and
 * the tests that each split must pass: every row in one part, and no user's training row later than
 * the user's held-out ones. */
#ifndef KINDRED_SPLIT_H
#define KINDRED_SPLIT_H

#include "data/duck.h"

struct split {
    const char *name;
    const char *script; /* makes `labelled` of `kept` (rows_to_table): its columns, and part */
    bool has_ratios;    /* it looks at train_ratio and val_ratio */
};

/* Ends with a NULL name. */
extern const struct split splits[];

/* The names joined by '|', for the option table. */
#define SPLIT_NAMES "temporal|leave-one-out"

/* One that the option table has let through. */
const struct split *split_named(const char *name);

/* Make the view labelled (user_idx, item_idx, timestamp, rating, n, part) out of (n_rows) kept
 * rows; part is 'train', 'val' or 'test'. ERR_DATA if there is nothing to train on. */
NODISCARD bool split_label(const struct split *s, struct duck *d, int64_t n_rows,
                           double train_ratio, double val_ratio, struct err *err);

#endif
