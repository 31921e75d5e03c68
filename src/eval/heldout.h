/* heldout.h - what was held out, as it is looked for: whose rows, which items, known to train or
 * not. Made once for a dataset and a part; any number of models are measured against it. */
#ifndef KINDRED_HELDOUT_H
#define KINDRED_HELDOUT_H

#include "data/dataset.h"

struct heldout {
    const struct dataset *d;
    enum dataset_part part;
    int threads; /* that made it, and measure with it; 0: the caller's number */

    /* What a user took before: train for val; train and val for test. */
    const struct interactions *history;
    struct interactions both; /* owner of the latter */

    /* Users with held-out rows, by index; what follows goes by the place among them. */
    int32_t n_users, n_known; /* known: with train rows */
    int32_t *users;           /* (n_users) */
    int32_t *n_train;         /* (n_users) train rows */
    int64_t *offsets;         /* (n_users + 1) into items */
    int32_t *items;           /* what the user's held-out rows are of, ascending, each once */

    int64_t n_rows, n_new_rows; /* held-out rows; those of items without train rows */
    int32_t *train_rows;        /* (n_items) */
    int32_t n_train_users;      /* with train rows, held-out ones or not */
};

/* The part and those before it must be in memory, and outlive it. ERR_DATA when nobody has a
 * held-out row. Memory: 4 bytes a held-out row, 20 a user, 4 an item, and the history of test. */
NODISCARD bool heldout_make(struct heldout *h, const struct dataset *d, enum dataset_part part,
                            int threads, struct err *err);
void heldout_release(struct heldout *h);

#endif
