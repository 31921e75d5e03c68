/* blend.h - what the files of --model blend share. */
#ifndef KINDRED_BLEND_H
#define KINDRED_BLEND_H

#include "model/model.h"

#define BLEND_OPTIONS(X, S)                                                                        \
    X(S, opt_text, parts, NULL, 1, 0, "FILE,...",                                                  \
      "2 to 8 saved models of this dataset, which the file then holds")                            \
    X(S, opt_text, normalize, "rank", 0, 0, "score|rank",                                          \
      "what is added up of a part: its scores, less their mean and in deviations of it, or "       \
      "1 / (60 + rank)")

OPT_STRUCT(blend_opts, BLEND_OPTIONS);

/* On val, by NDCG@20: each part alone, all with the same weight, and what was chosen. */
struct blend_judged {
    int32_t n_users;
    double alone[MODEL_PARTS_MAX], equal, chosen;
};

struct blend {
    struct model base;
    int n_parts;
    struct model *parts[MODEL_PARTS_MAX];
    char *names[MODEL_TENSORS_MAX]; /* of the parts' tensors: "part.0.item_count" */
    float *weight;                  /* (n_parts), the largest 1; what isn't above 0 leaves out */
    struct blend_judged judged;     /* unless it was loaded */
};

enum { BLEND_QUERIES = 16 };

/* rows (n, n_items): what a part gives each of n <= BLEND_QUERIES queries, normalised; 0 for a
 * query that it doesn't serve. Sets served[r] where it does. */
void blend_rows(const struct blend *b, int part, const struct query *q, int n, float *rows,
                bool *served);

/* Set the weights to those with the best mean NDCG@20 on val, and `judged`. ERR_DATA where val has
 * no rows. */
NODISCARD bool blend_learn(struct blend *b, const struct interactions *train,
                           const struct interactions *val, struct err *err);

#endif
