/* checkpoint.h - a run of training on disk, so that it can go on from there.
 *
 * DIR/epoch-000010.safetensors is the model after 10 epochs, a model file like any other, with what
 * its optimiser carries in further tensors, and what else the run knows in its metadata's
 * "training"; where the best epoch so far is kept, DIR/best-000010.safetensors is that one. What
 * was drawn at random follows from seed and epoch. The last two are kept. */
#ifndef KINDRED_CHECKPOINT_H
#define KINDRED_CHECKPOINT_H

#include "train/loop.h"

/* All of these are called by all ranks; rank 0 alone touches the folder. share: NULL alone; else
 * the model is in it. */

/* Write the state after r->n_epochs epochs: whole or not at all. Removes what is older than the one
 * before. ERR_IO: the earlier ones are still there. */
NODISCARD bool checkpoint_save(const struct loop_plan *plan, struct model *m, struct share *share,
                               const struct loop_result *r, struct err *err);

/* Bring the newest whole checkpoint into `m` and `r`, whose tensors and room for plan->epochs
 * epochs are there. One that is damaged is told of and passed over. r->n_epochs is 0 where there is
 * none.
 *
 * ERR_USAGE  it's of a run with other options, or on other data */
NODISCARD bool checkpoint_resume(const struct loop_plan *plan, struct model *m, struct share *share,
                                 struct loop_result *r, struct err *err);

/* Make the folder; a run that starts anew clears it of another one's. ERR_IO. */
NODISCARD bool checkpoint_begin(const struct loop_plan *plan, const struct loop_result *r,
                                struct err *err);

#endif
