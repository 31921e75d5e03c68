/* taken.h - what users took since the dataset was made, by names: datasets change, names don't. */
#ifndef KINDRED_TAKEN_H
#define KINDRED_TAKEN_H

#include "data/dataset.h"

struct taken;

enum { TAKEN_MAX = 1000 }; /* items that are kept of a user: the last ones */

struct taken *taken_new(void);
void taken_free(struct taken *t);

/* An item counts once for a user, when it was taken first. From any thread, as the next.
 *
 * Memory: 16 bytes, and the two names once. */
void taken_add(struct taken *t, const char *user, const char *item, int64_t ms);

/* Those of the user's items that `items` has, in order of time, as indices there; to be freed.
 * Returns how many; *out is NULL where it's 0. Costs next to nothing while nobody took anything. */
int32_t taken_items(struct taken *t, const char *user, const struct ids *items, int32_t **out);

#endif
