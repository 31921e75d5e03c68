/* neumf.h - what the files of NeuMF share; neumf.c says what the model is. */
#ifndef KINDRED_NEUMF_H
#define KINDRED_NEUMF_H

#include "model/learn.h"
#include "model/sampler.h"

#define NEUMF_OPTIONS(X, S)                                                                        \
    X(S, opt_text, towers, "both", 0, 0, "gmf|mlp|both",                                           \
      "what makes the score: products of vectors, layers over them, or both")                      \
    X(S, int, embedding_dim, 64, 1, 1024, "N", "gmf: numbers in the vector of a user or an item")  \
    X(S, opt_text, hidden, "128,64,32,16", 0, 0, "N,N,...",                                        \
      "mlp: width of the input, half of it the user's vector and half the item's, and of each "    \
      "layer")                                                                                     \
    LEARN_OPTIONS(X, S, "softmax", 8, 1024, "adam", 0.001, 0.1, 0.2, 1)                            \
    X(S, opt_text, init_gmf, NULL, 0, 0, "FILE",                                                   \
      "with --init-mlp: begin with a model that was trained with --towers gmf")                    \
    X(S, opt_text, init_mlp, NULL, 0, 0, "FILE",                                                   \
      "with --init-gmf: begin with a model that was trained with --towers mlp")

OPT_STRUCT(neumf_opts, NEUMF_OPTIONS);

enum { NEUMF_LAYERS_MAX = 8, NEUMF_WIDTH_MAX = 1024 };

/* The tensors. Behind NEUMF_LAYERS come weight and bias of each layer. */
enum {
    NEUMF_GMF_USERS,
    NEUMF_GMF_ITEMS,
    NEUMF_MLP_USERS,
    NEUMF_MLP_ITEMS,
    NEUMF_OUTPUT, /* from here on: the dense part, that all cells share */
    NEUMF_OUTPUT_BIAS,
    NEUMF_LAYERS,
    NEUMF_TENSORS = NEUMF_LAYERS + 2 * NEUMF_LAYERS_MAX
};

/* What follows from the options. A tower that isn't there has sizes of 0. */
struct neumf_shape {
    int dim;                         /* of the gmf tower's vectors */
    int half;                        /* of the mlp tower's vectors */
    int n_layers;                    /* the mlp tower's */
    int width[NEUMF_LAYERS_MAX + 1]; /* of its input and of each layer's output */
    int last;                        /* of the last layer's output */
    int at[NEUMF_TENSORS + 1];       /* where each dense tensor stands in one array of all */
};

/* One worker's room for a chunk of pairs; a pair is a user and one item, a run is the pairs of one
 * user. Activations and gradients have a row for each pair or run. */
struct neumf_chunk {
    int n_pairs, n_runs;
    int32_t *items;                /* (pairs) SAMPLER_NONE: a negative that wasn't found */
    int32_t *users;                /* (runs) */
    int32_t *begin;                /* (runs + 1) the run's first pair */
    int32_t *counted;              /* (runs) positives that have a negative */
    float *scores, *slopes, *ones; /* (pairs) */
    float *gmf_items;              /* (pairs, dim) */
    float *gmf_users, *queries;    /* (runs, dim) and the same times the output weights */
    float *gmf_slopes;             /* (runs, dim) sum over the run of slope times item */
    float *mlp_items, *mlp_users;  /* (pairs, half), (runs, half) */
    float *user_part;              /* (runs, width[1]) what the user adds to the first layer */
    float *z[NEUMF_LAYERS_MAX];    /* (pairs, width[l + 1]) outputs of the layers */
    float *slope[2];               /* (pairs, widest) of the loss, by z of one layer and the next */
    float *user_slope;             /* (runs, width[1]) by user_part */
    float *item_grad, *user_grad;  /* (pairs, half), (runs, half) */
};

struct neumf {
    struct model base;
    float *data[NEUMF_TENSORS]; /* NULL: there is no such tensor */
    float *item_part;           /* (n_items, width[1]) made ahead; NULL: it isn't */

    /* While it learns. */
    struct optim_table table[NEUMF_TENSORS]; /* dense ones are a single row */
    int n_blocks, n_workers;
    float *transposed;         /* (n_dense) the layers' weights, each (out, in) */
    float *gradients, *sum;    /* (n_blocks, n_dense), (n_dense) */
    int64_t *counted;          /* (n_blocks) positives that the gradients are of */
    struct neumf_chunk *chunk; /* (n_workers) */
    void **memory;             /* (n_workers) of the chunks */
};

static inline const struct neumf_opts *neumf_opts_of(const struct model *m)
{
    return m->options;
}

static inline int neumf_weight(int layer)
{
    return NEUMF_LAYERS + 2 * layer;
}

static inline int neumf_bias(int layer)
{
    return NEUMF_LAYERS + 2 * layer + 1;
}

struct neumf_shape neumf_shape_of(const struct model *m);

/* One for each number of NEUMF_TENSORS; those that aren't there have 0 rows. */
void neumf_list(const struct model *m, struct tensor out[NEUMF_TENSORS]);

/* Layers from the second on: z[0] is there; fills z[1 ..], for so many rows. */
void neumf_forward(const struct neumf *nm, const struct neumf_shape *s, int rows, float *const *z);

/* struct model_ops has what these do. */
void neumf_learn(struct model *m, const struct cell *c, double progress, struct tally *loss);
int64_t neumf_slice(const struct model *m, int n_blocks);
void neumf_begin(struct model *m, int n_blocks, int n_workers);
void neumf_join(struct model *m, int n_blocks, double progress);
int neumf_joined(struct model *m, struct block_rows out[MODEL_JOINED_MAX]);
double neumf_rate(const struct model *m, double progress);
void neumf_learn_release(struct neumf *nm);
void neumf_hasten(struct model *m);
int64_t neumf_state(const struct model *m);
void neumf_prepare(const struct model *m, const struct query *q, int n, float *state);
void neumf_score(const struct model *m, const struct query *q, int n_queries, const float *state,
                 int32_t first, int32_t n, float *out);

#endif
