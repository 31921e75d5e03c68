/* optim.h - how a table of parameters follows its gradient, row by row.
 *
 * A row moves, and what the optimiser carries for it changes, only when the row is touched: Adam is
 * lazy, and counts each row's own steps. A dense matrix is a table of one row, or of each of its
 * own.
 *
 * Sources: Duchi et al., "Adaptive Subgradient Methods", JMLR 2011 (adagrad; rowwise-adagrad has
 * one sum a row, of the mean square: as FBGEMM's embedding tables); Kingma and Ba, "Adam", ICLR
 * 2015.
 *
 * To add an optimiser: its step in kern, a row in optim.c, its name in OPTIM_NAMES. */
#ifndef KINDRED_OPTIM_H
#define KINDRED_OPTIM_H

#include "kern/kern.h"
#include "model/model.h"

#define OPTIM_NAMES "sgd|adagrad|rowwise-adagrad|adam"

enum { OPTIM_STATE_MAX = 3, OPTIM_NAME_MAX = 80 };

struct optimizer {
    const char *name, *summary;
    enum kern_optimizer step;
    struct {
        const char *name;
        int cols; /* numbers a row; 0: as many as the row has */
    } state[OPTIM_STATE_MAX];
    int n_states;
};

/* All optimisers, a NULL name at the end. */
extern const struct optimizer optimizers[];

/* One of OPTIM_NAMES; else NULL. */
const struct optimizer *optimizer_find(const char *name);

/* A tensor that is learned, and what its optimiser carries. */
struct optim_table {
    const struct optimizer *how;
    float *rows; /* (n, dim) the model's own */
    enum tensor_of of;
    int64_t n;
    int dim;
    float *state[OPTIM_STATE_MAX]; /* (n, state_dim) each, 0 at first */
    int state_dim[OPTIM_STATE_MAX];
    char state_name[OPTIM_STATE_MAX][OPTIM_NAME_MAX]; /* "optimizer.item_embedding.weight.mean" */
    const struct comm_memory *common; /* where the state is, if it's of items; NULL: its own */
};

/* Set names and sizes alone, from the tensor's; then allocate the state; common: the model's. */
void optim_init(struct optim_table *t, const struct optimizer *how, const struct tensor *of);
void optim_alloc(struct optim_table *t, struct comm_memory *common);
void optim_table_release(struct optim_table *t);

/* List the state, behind what is listed already: out[n ..]. Returns how many there are then. */
int optim_tensors(const struct optim_table *t, struct tensor *out, int n);

/* Ask for what optim_step will need of the row. */
static inline void optim_prefetch(const struct optim_table *t, int64_t row)
{
    for (int i = 0; i < t->dim; i += 16)
        __builtin_prefetch(t->rows + row * t->dim + i, 1);
    for (int k = 0; k < t->how->n_states; k++)
        for (int i = 0; i < t->state_dim[k]; i += 16)
            __builtin_prefetch(t->state[k] + row * t->state_dim[k] + i, 1);
}

/* rows[row] -= lr * f(g) with the gradient g = coef * dir + l2 * rows[row]; dir (dim) is no part of
 * the row. Rows of their own may step at the same time. */
static inline void optim_step(const struct optim_table *t, const struct kern *kern, int64_t row,
                              const float *dir, struct kern_step s)
{
    float *state[OPTIM_STATE_MAX];

    for (int k = 0; k < t->how->n_states; k++)
        state[k] = t->state[k] + row * t->state_dim[k];
    kern->step[t->how->step](t->rows + row * t->dim, state, dir, t->dim, s);
}

#endif
