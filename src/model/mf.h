/* mf.h - matrix factorisation, for its files: mf.c is the model and the fast way to learn what it
 * learns by default, mf_batch.c learns by every loss, optimiser and batch, mf_fold.c has vectors
 * for users that training didn't see. */
#ifndef KINDRED_MF_H
#define KINDRED_MF_H

#include "model/learn.h"
#include "model/sampler.h"

#include <stdatomic.h>

#define MF_OPTIONS(X, S)                                                                           \
    X(S, int, embedding_dim, 64, 1, 4096, "N", "numbers in the vector of a user or an item")       \
    X(S, opt_text, similarity, "dot", 0, 0, "dot|cosine",                                          \
      "a score is the product of the two vectors, or of the two at length 1")                      \
    X(S, bool, item_bias, false, 0, 0, NULL, "add a number of the item's own to the score")        \
    X(S, double, init, 1, 0, 100, "A",                                                             \
      "rows start as noise between -A and A, divided by the root of embedding-dim")                \
    LEARN_OPTIONS(X, S, "bpr", 1, 1, "sgd", 0.2, 0.05, 0.2, 2)                                     \
    X(S, int, hardest_of, 1, 1, HARDEST_MAX, "N",                                                  \
      "draw N negatives and learn from the one that the user would like best")

enum { HARDEST_MAX = 64, MF_TENSORS = 3, SCRATCH_MAX = 64 };

OPT_STRUCT(mf_opts, MF_OPTIONS);

struct mf {
    struct model base;
    float *users; /* (n_users, dim) */
    float *items; /* (n_items, dim) */
    float *bias;  /* (n_items, 1); NULL without --item-bias */
    struct optim_table user_table, item_table, bias_table;
    _Atomic(float *) scratch[SCRATCH_MAX]; /* of mf_batch.c: what no thread uses at the moment */
    _Atomic(struct mf_fold *) fold;        /* of mf_fold.c; NULL until a user is folded in */
};

static inline const struct mf_opts *mf_opts_of(const struct model *m)
{
    return m->options;
}

static inline bool mf_cosine(const struct mf *mf)
{
    return !strcmp(mf_opts_of(&mf->base)->similarity, "cosine");
}

/* 1 / |row|; a row without length has none to divide by. */
static inline float inverse_norm(const struct kern *kern, const float *row, int dim)
{
    float squares = kern->dot(row, row, dim);

    return squares > 0 ? 1 / __builtin_sqrtf(squares) : 0;
}

static inline void prefetch_row(const float *row, int dim)
{
    for (int k = 0; k < dim; k += 16)
        __builtin_prefetch(row + k, 1);
}

/* model_ops' learn, for any options. */
void mf_learn_batches(struct mf *mf, const struct cell *c, float lr, struct tally *loss);

/* A vector (dim) for a user with a history but without a row in train. The first time it looks at
 * all items; then it costs dim^2 (dim + n_history). */
void mf_fold_in(const struct mf *mf, const struct query *q, float *out);
void mf_fold_release(struct mf *mf);

#endif
