/* model.h - the interface behind which every model stands, and the list of models.
 *
 * To add a model:
 *   1. src/model/NAME.c, which ends in a `const struct model_ops model_NAME`;
 *   2. its row in model.c, its file in meson.build.
 * It then has --model NAME, its options in help and YAML, saving and loading, evaluation,
 * recommend, serving, and the contract tests.
 *
 * A model lists its tensors; it doesn't save itself. It learns at once (fit), or cell by cell
 * (learn), or is made of other models (combine); who calls learn, in which order and on how many
 * threads is no concern of the model. */
#ifndef KINDRED_MODEL_H
#define KINDRED_MODEL_H

#include "base/file.h"
#include "base/opt.h"
#include "comm/common.h"
#include "data/dataset.h"
#include "model/cell.h"

/* For whom to rank. `user` is -1 for one that training did not see. */
struct query {
    int32_t user;
    const int32_t *history; /* (n_history) items that the user took, in order of time */
    int32_t n_history;
};

/* A user of the dataset, with that user's row of `history`. */
static inline struct query query_of_user(const struct interactions *history, int32_t user)
{
    struct query q = {.user = user};

    q.history = interactions_row(history, user, &q.n_history);
    return q;
}

enum tensor_type { TENSOR_F32, TENSOR_I32 }; /* 4 bytes each */

/* What a row of a tensor belongs to: with one of these it's learned, sent and kept. */
enum tensor_of { OF_ALL, OF_USERS, OF_ITEMS };

/* A part of the learned state: (rows, cols) numbers, row after row, without gaps. */
struct tensor {
    const char *name; /* "item_embedding.weight" */
    int64_t rows, cols;
    enum tensor_type type;
    enum tensor_of of; /* OF_USERS, OF_ITEMS: a row for each that the model holds */
    union {
        float *data;
        struct {
            int32_t *ids;
            int32_t n_ids; /* TENSOR_I32: an id is -1 (none) or less than this */
        };
    };
};

static inline struct tensor tensor_floats(const char *name, int64_t rows, int64_t cols, float *data)
{
    return (struct tensor){.name = name, .rows = rows, .cols = cols, .data = data};
}

static inline struct tensor tensor_rows(const char *name, enum tensor_of of, int64_t rows,
                                        int64_t cols, float *data)
{
    struct tensor t = tensor_floats(name, rows, cols, data);

    t.of = of;
    return t;
}

static inline struct tensor tensor_ids(const char *name, int64_t rows, int64_t cols, int32_t *ids,
                                       int32_t n_ids)
{
    return (struct tensor){
        .name = name, .rows = rows, .cols = cols, .type = TENSOR_I32, .ids = ids, .n_ids = n_ids};
}

enum { MODEL_TENSORS_MAX = 96, MODEL_PARTS_MAX = 8, MODEL_JOINED_MAX = 2 };

/* Rows of so many bytes, one for each block. */
struct block_rows {
    void *data;
    size_t size;
};

struct model {
    const struct model_ops *ops;
    int32_t n_users, n_items;
    uint64_t seed;           /* what was random in its making follows from it */
    char digest[DIGEST_HEX]; /* of the dataset that it was trained on */
    void *options;           /* (ops->options_size) with texts of its own */
    char *metrics; /* what training saw of it on held-out rows: JSON, an object; NULL: nothing */
    struct mapped file; /* the tensors point into it when the model was loaded */

    /* Of a part of a model, that learns for one of many ranks (train/share.h): which users and
     * items of the whole its rows are. n_users and n_items are then its own. */
    int32_t first_user;
    const int32_t *item_ids;    /* (n_items) -1: none; NULL: row i is item i */
    struct comm_memory *common; /* where the rows of items are, for all ranks; NULL: its own */
};

/* Room for n numbers, zeroed, of a tensor's rows or of what learning carries for them; and an end
 * to it. common: the model's. */
float *model_room(struct comm_memory *common, enum tensor_of of, size_t n);
void model_room_free(const struct comm_memory *common, enum tensor_of of, float *room);

/* Which user or item of the whole model a row of m's tensor is of; -1: of none. */
static inline int64_t model_row_id(const struct model *m, const struct tensor *t, int64_t row)
{
    if (t->of == OF_USERS)
        return m->first_user + row;
    return t->of == OF_ITEMS && m->item_ids ? m->item_ids[row] : row;
}

/* (n_items, dim) and (n_items), the model's own; unit: rows count at length 1.
 *
 * extras: a query has a number for each item besides, most of them 0. The state of n queries is
 * then (n, n_items) of these, and behind them the (n, dim) vectors. */
struct item_vectors {
    const float *rows, *bias; /* bias NULL: none */
    int dim;
    bool unit, extras;
};

struct model_ops {
    const char *name, *summary;
    const struct opt *options; /* of this model alone */
    const void *defaults;
    size_t options_size;
    int epochs;  /* of training, where nobody says how many; 0: it learns at once */
    size_t size; /* of the model's own struct; its first member is struct model */

    /* List the learned state: all that is saved, loaded and sent. Sizes follow from n_users,
     * n_items, the options and the parts alone, and are right before init too; data may be NULL
     * then. Returns how many. */
    int (*tensors)(struct model *m, struct tensor out[MODEL_TENSORS_MAX]);

    /* List what learning carries from step to step besides: saved in checkpoints, not in the
     * model's file. As tensors(); NULL: nothing. */
    int (*training)(struct model *m, struct tensor out[MODEL_TENSORS_MAX]);

    /* Refuse options that make no sense together, with ERR_USAGE that names them; NULL: all do. */
    bool (*check)(const void *options, struct err *err);

    /* Negatives are drawn in proportion to (train rows of the item) ^ this; NULL: 0, uniformly. */
    double (*popularity_power)(const struct model *m);

    /* Take tensors in the order and shape of tensors(), which outlive the model, as the state.
     * forget: free what adopt, init, fit or prepare derived from them for itself; NULL: nothing. */
    void (*adopt)(struct model *m, const struct tensor *t);
    void (*forget)(struct model *m);

    /* Allocate the tensors. fit: and learn all at once (closed form, counting). init: set them to
     * the start from which learn() goes on. combine: below. A model has one of the three; none is
     * called for a model that is loaded. fit and combine share their work among the caller's number
     * of OpenMP threads, look for interrupts, and fail where the data is too large (ERR_DATA), or a
     * library is missing (ERR_IO). */
    bool (*fit)(struct model *m, const struct interactions *train, struct err *err);
    void (*init)(struct model *m, const struct interactions *train);

    /* For a model made of other, saved models. combine: take them from the files that the options
     * name, and choose by val what each counts; no other function is shown val, as what has learned
     * from it looks better there than it is. parts: list them; a model's file says what each is,
     * and holds their tensors among the model's. take_parts: own these, whose tensors adopt sets;
     * ERR_DATA where they aren't what the options speak of. All NULL: it's made of the data alone.
     */
    bool (*combine)(struct model *m, const struct interactions *train,
                    const struct interactions *val, struct err *err);
    int (*parts)(const struct model *m, struct model *out[MODEL_PARTS_MAX]);
    bool (*take_parts)(struct model *m, struct model *const *parts, int n, struct err *err);

    /* What fit or combine saw on the way: members of the object that is open, and lines for people.
     * NULL: nothing. */
    void (*tell)(const struct model *m, struct json_out *out, struct buf *lines);

    /* Whether fit() or learn(), with these options, asks when the positives were taken; NULL:
     * never. */
    bool (*dated)(const void *options);
    /* After init, unless the run goes on from a checkpoint: take over what the options name from
     * models in files. NULL: nothing. Errors of the files, and ERR_USAGE where one doesn't fit. */
    bool (*warm_start)(struct model *m, struct err *err);

    /* One pass over the cell's positives; adds to `loss` what it saw of the loss a positive.
     * progress: the part of the training that is done, 0 at its start, 1 in the last epoch. Called
     * from many threads at once, for cells that share neither users nor items; allocates
     * nothing. */
    void (*learn)(struct model *m, const struct cell *c, double progress, struct tally *loss);

    /* For a model of which a part belongs to no cell: layers, that all cells need and change; else
     * all four are NULL. Then the cells of a stratum advance side by side in rounds: each learns
     * from a slice of its positives (cell.from, cell.to), with the common part as it stood when the
     * round began, and keeps what it has to say of that part apart, by cell.block; after the round
     * join() makes one step of it all, the blocks in order.
     *
     * slice  the positives of one cell in one round, at most
     * begin  before an epoch's first round: the numbers may be other ones than at the last join,
     *        and blocks and workers are numbered 0 .. n - 1
     * join   after each round. Both are called from one thread; join allocates nothing */
    int64_t (*slice)(const struct model *m, int n_blocks);
    void (*begin)(struct model *m, int n_blocks, int n_workers);
    void (*join)(struct model *m, int n_blocks, double progress);
    /* List what join() reads of each block, which may have been learned elsewhere: arrays with a
     * row for each block, in order. Returns how many. */
    int (*joined)(struct model *m, struct block_rows out[MODEL_JOINED_MAX]);

    /* The learning rate at that point: what to name when the loss is no longer a number. */
    double (*rate)(const struct model *m, double progress);

    /* True if the model has something to say to this query; score() may only then be called. */
    bool (*serves)(const struct model *m, const struct query *q);

    /* What is the same for all items is found once for a query: prepare() fills `state` floats for
     * each, which score() is then given; it may allocate, and is called from many threads at
     * once. Both NULL: there is nothing. */
    int64_t (*state)(const struct model *m);
    void (*prepare)(const struct model *m, const struct query *q, int n, float *state);

    /* out[c * n_queries + r], (n, n_queries): what query r gives item first + c, c < n; higher is
     * better. The same bits however queries and items are cut into calls. Called from many threads
     * at once; allocates nothing.
     *
     * state: as prepared for these queries together */
    void (*score)(const struct model *m, const struct query *q, int n_queries, const float *state,
                  int32_t first, int32_t n, float *out);

    /* Make ahead what score() makes of each item, again and again, for all queries: for who asks
     * for few of them at a time. Costs memory; the scores' bits stay. NULL: there is nothing. */
    void (*hasten)(struct model *m);

    /* Where a score is the product of the state and a vector of the item, plus a bias of the item,
     * or plus a number that few items have: what they are. NULL: it isn't. */
    bool (*vectors)(const struct model *m, struct item_vectors *out);

    /* Free the tensors that init or fit allocated; the struct may be half-initialised. */
    void (*release)(struct model *m);
};

/* All models, NULL at the end. */
extern const struct model_ops *const models[];

/* The model of that name; ERR_USAGE with the nearest name. */
const struct model_ops *model_find(const char *name, struct err *err);

/* A model whose tensors aren't there yet: init, fit, or load comes next. `options` are copied, and
 * the texts in them. */
struct model *model_new(const struct model_ops *ops, int32_t n_users, int32_t n_items,
                        const char *digest, const void *options, uint64_t seed);
void model_free(struct model *m);

/* All but the tensors, which are another's. */
void model_free_but_tensors(struct model *m);

/* Copy the state of one into another of the same options and sizes, whose tensors are there. */
void model_copy(struct model *to, struct model *from);

/* hasten() of the model and of those that it's made of. */
void model_hasten(struct model *m);

/* A model of its own with the same state; not of one that is made of parts. */
struct model *model_clone(struct model *m);

/* Room for the states of n queries, to be freed; and fill it. */
float *model_state(const struct model *m, int n);
void model_prepare(const struct model *m, const struct query *q, int n, float *state);

/* What each query gives each item of the catalogue: out (n, n_items). All are served by the model.
 */
void model_scores(const struct model *m, const struct query *q, int n, float *out);

/* What training() lists; 0 where there is nothing. */
int model_training(struct model *m, struct tensor out[MODEL_TENSORS_MAX]);

/* Its options as a JSON object, to be freed. */
char *model_options_json(const struct model *m);

/* Whether all floats of all tensors are finite; else *bad names a tensor with one that isn't. */
bool model_finite(struct model *m, const char **bad);

#endif
