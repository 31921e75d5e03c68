/* gram.h - the matrix of the models gram and gf. */
#ifndef KINDRED_GRAM_H
#define KINDRED_GRAM_H

#include "model/itembased.h"

#define GRAM_OPTIONS(X, S)                                                                         \
    X(S, double, user_power, 0.75, 0, 2, "U",                                                      \
      "what a user with many items says of two of them counts degree^-U")                          \
    X(S, double, source_power, 0.6, 0, 2, "A",                                                     \
      "what an item of the history says counts (its users)^-A")                                    \
    X(S, double, item_power, 0.3, 0, 2, "B",                                                       \
      "an item's scores count (its users)^-B: lower ranks what many took higher")                  \
    X(S, double, power, 1, 0.01, 10, "S", "of each number of the matrix, in the end")              \
    X(S, int, neighbors, 500, 1, 100000, "N", "how many items count for an item")

OPT_STRUCT(gram_opts, GRAM_OPTIONS);

/* Allocate and fill `out`: for each item i the largest P(j, i), as gram.c has it. */
NODISCARD bool gram_neighbors(const struct model *m, const struct sparse *s,
                              const struct gram_opts *o, struct neighbors *out, struct err *err);

#endif
