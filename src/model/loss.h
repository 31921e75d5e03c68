/* loss.h - what learning lowers: a function of the scores of one positive and its negatives.
 *
 * To add a loss: a function and a row in loss.c, its name in LOSS_NAMES. */
#ifndef KINDRED_LOSS_H
#define KINDRED_LOSS_H

#include "base/base.h"

#define LOSS_NAMES "bpr|bce|softmax"

struct loss_options {
    float temperature; /* of softmax; > 0 */
};

struct loss {
    const char *name, *summary;

    /* scores, slopes (1 + n): the positive's first; slopes[k] = d loss / d scores[k]. Returns the
     * loss. A negative whose score is -INFINITY doesn't count and has slope 0; where none counts,
     * the loss and all slopes are 0. */
    float (*slopes)(const float *scores, int n, const struct loss_options *o, float *slopes);
};

/* All losses, a NULL name at the end. */
extern const struct loss losses[];

/* One of LOSS_NAMES; else NULL. */
const struct loss *loss_find(const char *name);

#endif
