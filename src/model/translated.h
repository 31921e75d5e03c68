/* translated.h - a model seen through the names of another dataset: so that models that were
 * trained on different data can be ranked on the same. */
#ifndef KINDRED_TRANSLATED_H
#define KINDRED_TRANSLATED_H

#include "model/model.h"

/* users (n_users), items (n_items): which of `inner`'s each one is, -1: unknown to it; taken over.
 * Unknown items are listed nowhere, and count in no history. `inner` outlives it. */
struct model *model_translated(const struct model *inner, int32_t *users, int32_t n_users,
                               int32_t *items, int32_t n_items, const char *digest);

#endif
