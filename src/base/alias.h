/* alias.h - draw from n weights in constant time.
 *
 * Slot k keeps itself with a chance of its own, else gives its other: of n slots of equal chance
 * each is shared by two at most. Source: Vose, "A Linear Algorithm for Generating Random Numbers
 * with a Given Distribution", 1991. */
#ifndef KINDRED_ALIAS_H
#define KINDRED_ALIAS_H

#include "base/base.h"

struct alias {
    uint32_t keep; /* the chance of this one, times 2^32 */
    int32_t other;
};

/* weights (n) >= 0, of any scale; overwritten. work (n). Where all are 0, all are alike. */
void alias_build(struct alias *out, double *weights, int32_t *work, int32_t n);

/* One of 0..n-1 from 64 random bits; the bias is under n / 2^32. */
static inline int32_t alias_draw(const struct alias *a, int32_t n, uint64_t bits)
{
    int32_t k = (int32_t)((bits >> 32) * (uint64_t)n >> 32);

    return (uint32_t)bits < a[k].keep ? k : a[k].other;
}

#endif
