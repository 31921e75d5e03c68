/* negatives.h - where a cell's negatives come from: drawn uniformly or by popularity, for one
 * positive or for several that share them. */
#ifndef KINDRED_NEGATIVES_H
#define KINDRED_NEGATIVES_H

#include "model/cell.h"

struct negatives {
    struct sampler sampler; /* of uniform draws; its random numbers serve all */
    int64_t at;             /* the present positive; -1 at first */
    int64_t begin, end;     /* the positives of its user */
};

enum { NEGATIVES_ALWAYS = INT32_MIN };

/* future: of sampler_init. */
void negatives_init(struct negatives *n, const struct cell *c, double future);

/* Go to the next positive. */
void negatives_next(struct negatives *n);

/* A negative for the present positive; SAMPLER_NONE as of sampler_draw. */
int32_t negatives_draw(struct negatives *n);

/* A negative for several positives: whoever has the item, or came before `since`, is to leave it
 * out. With the chance that an item of the future is kept, since is NEGATIVES_ALWAYS. */
struct candidate negatives_draw_shared(struct negatives *n);

#endif
