/* split.h - which rows train, which are held out, and the table of the ways to choose.
 *
 * To add a split: src/data/sql/split_NAME.sql, its name in meson.build's list and in SPLIT_NAMES,
 * and a row in split.c, before "given". It has then --split NAME, and the tests that each split
 * must pass: every row in one part, and no user's training row later than the user's held-out ones.
 */
#ifndef KINDRED_SPLIT_H
#define KINDRED_SPLIT_H

#include "data/duck.h"

struct split {
    const char *name;
    const char *script; /* makes `labelled` of `kept` (kept.h): its columns, and part */
    bool has_ratios;    /* it looks at train_ratio and val_ratio */
    bool has_seed;
    bool needs_times; /* of the world, not only each user's order */
};

/* Ends with a NULL name. The last of them, "given", is the one of --train, --val and --test. */
extern const struct split splits[];
extern const struct split *const split_given;

/* The names joined by '|', for the option table; without "given". */
#define SPLIT_NAMES "temporal|leave-one-out|ratio|random"

/* One that the option table has let through. */
const struct split *split_named(const char *name);

struct split_options {
    const struct split *split;
    double train_ratio, val_ratio; /* within 0..1, and so is their sum */
    int64_t seed;
};

/* Make labelled (user_idx, item_idx, timestamp, rating, given, n, part), a table or a view, out of
 * the rows of `kept` and in their order; part is 'train', 'val' or 'test'. ERR_DATA if there is
 * nothing to train on. */
NODISCARD bool split_label(const struct split_options *o, struct duck *d, struct err *err);

#endif
