/* learn.h - what models that learn cell by cell have in common: their options, and what follows.
 *
 * A model's list of options takes these in with its own defaults:
 *
 *     #define MF_OPTIONS(X, S) LEARN_OPTIONS(X, S, "bpr", 1, ...) X(S, int, embedding_dim, ...)
 *
 * and LEARN_OF(its options) is the same as a struct. */
#ifndef KINDRED_LEARN_H
#define KINDRED_LEARN_H

#include "model/loss.h"
#include "model/optim.h"

enum { NEGATIVES_MAX = 4096, BATCH_MAX = 4096 };

#define LEARN_OPTIONS(X, S, LOSS, NEGATIVES, BATCH, OPTIMIZER, LR, REG, REG_POSITIVE,              \
                      REG_NEGATIVE)                                                                \
    X(S, opt_text, loss, LOSS, 0, 0, LOSS_NAMES,                                                   \
      "what is lowered; docs/models.md has the formulas")                                          \
    X(S, double, temperature, 1, 1e-3, 1e3, "T",                                                   \
      "softmax: what scores are divided by; the lower, the more the hardest negatives count")      \
    X(S, int, negatives, NEGATIVES, 1, NEGATIVES_MAX, "N",                                         \
      "negatives for each positive; of mf for each batch, if batch-size is above 1")               \
    X(S, int, batch_size, BATCH, 1, BATCH_MAX, "N",                                                \
      "positives that are learned from at once; above 1 mf's share their negatives; neumf's are "  \
      "those of one step of the layers")                                                           \
    X(S, double, popularity_power, 0, 0, 1, "A",                                                   \
      "negatives are drawn in proportion to (train rows of the item) ^ A; 0: uniformly")           \
    X(S, double, future_negatives, 0.2, 0, 1, "P",                                                 \
      "share kept of negatives that had no row yet when the positive was taken; 1: uniform")       \
    X(S, opt_text, optimizer, OPTIMIZER, 0, 0, OPTIM_NAMES, "how vectors follow the gradient")     \
    X(S, double, lr, LR, 0, 10, "RATE", "learning rate at the start")                              \
    X(S, opt_text, lr_schedule, "linear", 0, 0, "constant|linear|cosine",                          \
      "how the learning rate falls from the first epoch to the last")                              \
    X(S, double, lr_end, 0.1, 0, 1, "F", "share of lr that is left in the last epoch")             \
    X(S, double, reg, REG, 0, 10, "R",                                                             \
      "L2 penalty on the user's vector at each step; the denser the data, the less")               \
    X(S, double, reg_positive, REG_POSITIVE, 0, 100, "F",                                          \
      "L2 penalty on the taken item's vector, as a multiple of reg")                               \
    X(S, double, reg_negative, REG_NEGATIVE, 0, 100, "F",                                          \
      "L2 penalty on the negatives' vectors, as a multiple of reg")

/* The options, their words looked up. */
struct learn {
    const struct loss *loss;
    struct loss_options loss_options;
    const struct optimizer *optimizer;
    int negatives, batch_size;
    double future_negatives;
    float l2_user, l2_positive, l2_negative; /* for each positive; see learn_l2_negative */
};

#define LEARN_OF(o)                                                                                \
    ((struct learn){                                                                               \
        .loss = loss_find((o)->loss),                                                              \
        .loss_options = {(float)(o)->temperature},                                                 \
        .optimizer = optimizer_find((o)->optimizer),                                               \
        .negatives = (o)->negatives,                                                               \
        .batch_size = (o)->batch_size,                                                             \
        .future_negatives = (o)->future_negatives,                                                 \
        .l2_user = (float)(o)->reg,                                                                \
        .l2_positive = (float)((o)->reg * (o)->reg_positive),                                      \
        .l2_negative = (float)((o)->reg * (o)->reg_negative),                                      \
    })

/* The learning rate where this part of the training is done (0: the first epoch, 1: the last). */
double learn_rate(double lr, const char *schedule, double end, double progress);
#define LEARN_RATE(o, progress) learn_rate((o)->lr, (o)->lr_schedule, (o)->lr_end, progress)

/* Fill the model's tensor with noise uniform in [-a, a); `which` tells its tables apart. A row gets
 * what its user or item gets in the whole model. That of a user without a row in `train` stays as
 * it is; NULL fills all. The caller's number of OpenMP threads share the work, which is the same
 * for any. */
void learn_fill(const struct model *m, const struct tensor *t, float a,
                const struct interactions *train, uint64_t which);

/* The L2 penalty of each of n negatives that are learned from for so many positives at once: all
 * together they are pulled as hard as one for each positive would be, so that reg means the same
 * whatever their number. */
static inline float learn_l2_negative(const struct learn *l, int64_t positives, int n)
{
    return l->l2_negative * (float)positives / (float)n;
}

#endif
