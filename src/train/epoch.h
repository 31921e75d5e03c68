/* epoch.h - one pass over the train rows, by all threads of all ranks. */
#ifndef KINDRED_EPOCH_H
#define KINDRED_EPOCH_H

#include "train/share.h"

struct epoch_plan {
    struct model *m; /* what learns: of a rank, its part */
    struct schedule *s;
    struct share *share; /* NULL: alone */
    int threads;
    bool finish; /* whatever signal comes; else what is left is passed over */
};

/* Deal the items for this epoch, and learn from all positives once. By all ranks.
 *
 * progress  the part of the training that is done, 0 .. 1
 * loss      (s->p) what was seen of the loss, by user block */
void epoch_run(const struct epoch_plan *plan, int epoch, double progress, struct tally *loss);

#endif
