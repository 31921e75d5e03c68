/* neumf.c - neural matrix factorisation: two towers over the vectors of a user and an item, and one
 * output.
 *
 *     gmf = p_u * q_i, number by number               (embedding_dim)
 *     mlp = relu(... relu([p'_u ; q'_i] W_1 + b_1) ...)   (hidden; vectors of its own)
 *     score = <h, [gmf ; mlp]> + b
 *
 * Source: He et al., "Neural Collaborative Filtering", WWW 2017. Learned on pairs of a user and an
 * item, by any of the losses; the vectors cell by cell, the layers and the output in rounds
 * (model.h). Users without a row in train stay at zero, and aren't served. */
#include "model/neumf.h"

#include "model/store.h"

#include <math.h>

OPT_TABLE(neumf_opts, NEUMF_OPTIONS);

static struct neumf *neumf_of(struct model *m)
{
    return (struct neumf *)m;
}

/* ---- shape ---- */

static int parse_hidden(const struct neumf_opts *o, int width[NEUMF_LAYERS_MAX + 1],
                        struct err *err)
{
    return opt_int_list("--hidden", o->hidden, 1, NEUMF_WIDTH_MAX, width, NEUMF_LAYERS_MAX + 1,
                        err);
}

static bool neumf_check(const void *options, struct err *err)
{
    const struct neumf_opts *o = options;
    int width[NEUMF_LAYERS_MAX + 1], n = parse_hidden(o, width, err);
    bool gmf = o->init_gmf && *o->init_gmf, mlp = o->init_mlp && *o->init_mlp;

    if (n < 0)
        return false;
    if (n < 2)
        return err_set(err, ERR_USAGE,
                       "--hidden: '%s' has no layer: the first number is the width of the input",
                       o->hidden);
    if (width[0] % 2)
        return err_set(err, ERR_USAGE,
                       "--hidden: the first number, %d, is odd: half of it is the user's, half the "
                       "item's",
                       width[0]);
    if (gmf != mlp)
        return err_set(err, ERR_USAGE, "--init-gmf and --init-mlp need each other");
    if (gmf && strcmp(o->towers, "both") != 0)
        return err_set(err, ERR_USAGE, "--init-gmf and --init-mlp are for --towers both, not %s",
                       o->towers);
    return true;
}

static void shape_mlp(struct neumf_shape *s, const struct neumf_opts *o)
{
    struct err err;
    int n = parse_hidden(o, s->width, &err);

    assert(n >= 2); /* neumf_check() */
    s->n_layers = n - 1;
    s->half = s->width[0] / 2;
    s->last = s->width[n - 1];
}

static void sizes(const struct model *m, const struct neumf_shape *s, int64_t rows[NEUMF_TENSORS],
                  int64_t cols[NEUMF_TENSORS])
{
    for (int t = 0; t < NEUMF_TENSORS; t++)
        rows[t] = 0, cols[t] = 1;
    if (s->dim) {
        rows[NEUMF_GMF_USERS] = m->n_users;
        rows[NEUMF_GMF_ITEMS] = m->n_items;
        cols[NEUMF_GMF_USERS] = cols[NEUMF_GMF_ITEMS] = s->dim;
    }
    if (s->half) {
        rows[NEUMF_MLP_USERS] = m->n_users;
        rows[NEUMF_MLP_ITEMS] = m->n_items;
        cols[NEUMF_MLP_USERS] = cols[NEUMF_MLP_ITEMS] = s->half;
    }
    rows[NEUMF_OUTPUT] = s->dim + s->last;
    rows[NEUMF_OUTPUT_BIAS] = 1;
    for (int l = 0; l < s->n_layers; l++) {
        rows[neumf_weight(l)] = s->width[l];
        cols[neumf_weight(l)] = rows[neumf_bias(l)] = s->width[l + 1];
    }
}

struct neumf_shape neumf_shape_of(const struct model *m)
{
    const struct neumf_opts *o = neumf_opts_of(m);
    struct neumf_shape s = {.dim = strcmp(o->towers, "mlp") ? o->embedding_dim : 0};
    int64_t rows[NEUMF_TENSORS], cols[NEUMF_TENSORS];

    if (strcmp(o->towers, "gmf") != 0)
        shape_mlp(&s, o);
    sizes(m, &s, rows, cols);
    for (int t = NEUMF_OUTPUT; t < NEUMF_TENSORS; t++)
        s.at[t + 1] = s.at[t] + (int)(rows[t] * cols[t]);
    return s;
}

/* ---- tensors ---- */

static enum tensor_of belongs_to(int which)
{
    if (which == NEUMF_GMF_USERS || which == NEUMF_MLP_USERS)
        return OF_USERS;
    return which < NEUMF_OUTPUT ? OF_ITEMS : OF_ALL;
}

void neumf_list(const struct model *m, struct tensor out[NEUMF_TENSORS])
{
    static const char *const names[NEUMF_TENSORS] = {"gmf.user_embedding.weight",
                                                     "gmf.item_embedding.weight",
                                                     "mlp.user_embedding.weight",
                                                     "mlp.item_embedding.weight",
                                                     "output.weight",
                                                     "output.bias",
                                                     "mlp.layer_1.weight",
                                                     "mlp.layer_1.bias",
                                                     "mlp.layer_2.weight",
                                                     "mlp.layer_2.bias",
                                                     "mlp.layer_3.weight",
                                                     "mlp.layer_3.bias",
                                                     "mlp.layer_4.weight",
                                                     "mlp.layer_4.bias",
                                                     "mlp.layer_5.weight",
                                                     "mlp.layer_5.bias",
                                                     "mlp.layer_6.weight",
                                                     "mlp.layer_6.bias",
                                                     "mlp.layer_7.weight",
                                                     "mlp.layer_7.bias",
                                                     "mlp.layer_8.weight",
                                                     "mlp.layer_8.bias"};
    struct neumf_shape s = neumf_shape_of(m);
    int64_t rows[NEUMF_TENSORS], cols[NEUMF_TENSORS];

    sizes(m, &s, rows, cols);
    for (int t = 0; t < NEUMF_TENSORS; t++)
        out[t] = tensor_rows(names[t], belongs_to(t), rows[t], cols[t],
                             ((const struct neumf *)m)->data[t]);
}

static int neumf_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    struct tensor all[NEUMF_TENSORS];
    int n = 0;

    neumf_list(m, all);
    for (int t = 0; t < NEUMF_TENSORS; t++)
        if (all[t].rows)
            out[n++] = all[t];
    return n;
}

static void neumf_adopt(struct model *m, const struct tensor *from)
{
    struct tensor all[NEUMF_TENSORS];

    neumf_list(m, all);
    for (int t = 0; t < NEUMF_TENSORS; t++)
        if (all[t].rows)
            neumf_of(m)->data[t] = from++->data;
}

static void neumf_forget(struct model *m)
{
    free(neumf_of(m)->item_part);
    neumf_of(m)->item_part = NULL;
}

static void neumf_release(struct model *m)
{
    struct neumf *nm = neumf_of(m);

    neumf_learn_release(nm);
    for (int t = 0; t < NEUMF_TENSORS; t++) {
        optim_table_release(&nm->table[t]);
        model_room_free(m->common, belongs_to(t), nm->data[t]);
    }
}

/* A dense tensor is one row, whatever its shape. */
static void describe_table(struct neumf *nm, int which, const struct tensor *t)
{
    struct tensor of = *t;

    if (which >= NEUMF_OUTPUT)
        of = tensor_floats(t->name, 1, t->rows * t->cols, t->data);
    optim_init(&nm->table[which], optimizer_find(neumf_opts_of(&nm->base)->optimizer), &of);
}

/* Before init too, without data. */
static int neumf_training(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    struct tensor all[NEUMF_TENSORS];
    int n = 0;

    neumf_list(m, all);
    for (int t = 0; t < NEUMF_TENSORS; t++) {
        if (all[t].rows && !neumf_of(m)->table[t].how)
            describe_table(neumf_of(m), t, &all[t]);
        if (all[t].rows)
            n = optim_tensors(&neumf_of(m)->table[t], out, n);
    }
    return n;
}

/* ---- the start ---- */

static void fill_rows(const struct model *m, int which, const struct tensor *t,
                      const struct interactions *train)
{
    learn_fill(m, t, 0.1f / sqrtf((float)t->cols), t->of == OF_USERS ? train : NULL,
               (uint64_t)which);
}

/* Layers by Glorot and Bengio, AISTATS 2010; the output takes the products as they are, so that the
 * gmf tower begins as plain matrix factorisation. Biases are 0. */
static void fill_dense(struct model *m, const struct tensor all[NEUMF_TENSORS])
{
    struct neumf_shape s = neumf_shape_of(m);

    for (int k = 0; k < s.dim; k++)
        all[NEUMF_OUTPUT].data[k] = 1;
    if (s.last)
        rng_fill(all[NEUMF_OUTPUT].data + s.dim, s.last, sqrtf(6 / (float)(s.last + 1)),
                 rng_key(m->seed, RNG_INIT, NEUMF_OUTPUT, 0));
    for (int l = 0; l < s.n_layers; l++) {
        const struct tensor *w = &all[neumf_weight(l)];

        rng_fill(w->data, w->rows * w->cols, sqrtf(6 / (float)(w->rows + w->cols)),
                 rng_key(m->seed, RNG_INIT, (uint64_t)neumf_weight(l), 0));
    }
}

static void neumf_init(struct model *m, const struct interactions *train)
{
    struct neumf *nm = neumf_of(m);
    struct tensor all[NEUMF_TENSORS];

    neumf_list(m, all);
    for (int t = 0; t < NEUMF_TENSORS; t++) {
        if (!all[t].rows)
            continue;
        nm->data[t] = all[t].data =
            model_room(m->common, all[t].of, (size_t)(all[t].rows * all[t].cols));
        describe_table(nm, t, &all[t]);
        optim_alloc(&nm->table[t], m->common);
        if (t < NEUMF_OUTPUT)
            fill_rows(m, t, &all[t], train);
    }
    fill_dense(m, all);
}

double neumf_rate(const struct model *m, double progress)
{
    return LEARN_RATE(neumf_opts_of(m), progress);
}

static double neumf_popularity_power(const struct model *m)
{
    return neumf_opts_of(m)->popularity_power;
}

static bool neumf_serves(const struct model *m, const struct query *q)
{
    const struct neumf *nm = (const struct neumf *)m;
    struct neumf_shape s = neumf_shape_of(m);
    int64_t n = s.dim ? s.dim : s.half;
    const float *row;

    if (q->user < 0)
        return false;
    row = nm->data[s.dim ? NEUMF_GMF_USERS : NEUMF_MLP_USERS] + q->user * n;
    for (int64_t k = 0; k < n; k++)
        if (row[k] != 0)
            return true;
    return false;
}

/* ---- a start from two trained models ---- */

static bool check_donor(const struct model *m, const struct model *from, const char *towers,
                        const char *option, const char *path, struct err *err)
{
    const struct neumf_opts *want = neumf_opts_of(m), *has = neumf_opts_of(from);

    if (from->ops != m->ops)
        return err_set(err, ERR_USAGE, "%s %s: it's a model of --model %s, not %s", option, path,
                       from->ops->name, m->ops->name);
    if (strcmp(has->towers, towers) != 0)
        return err_set(err, ERR_USAGE, "%s %s: it was trained with --towers %s, not %s", option,
                       path, has->towers, towers);
    if (strcmp(from->digest, m->digest) != 0)
        return err_set(err, ERR_USAGE, "%s %s: it was trained on another dataset", option, path);
    if (!strcmp(towers, "gmf") && has->embedding_dim != want->embedding_dim)
        return err_set(err, ERR_USAGE, "%s %s: it has --embedding-dim %d, not %d", option, path,
                       has->embedding_dim, want->embedding_dim);
    if (!strcmp(towers, "mlp") && strcmp(has->hidden, want->hidden) != 0)
        return err_set(err, ERR_USAGE, "%s %s: it has --hidden %s, not %s", option, path,
                       has->hidden, want->hidden);
    return true;
}

/* Of the rows of a whole model's tensor those that are in this one. */
static void copy_rows(const struct model *m, const struct tensor *from, const struct tensor *to)
{
    for (int64_t r = 0; r < to->rows; r++) {
        int64_t id = model_row_id(m, to, r);

        if (id >= 0)
            memcpy(to->data + r * to->cols, from->data + id * from->cols,
                   (size_t)to->cols * sizeof *to->data);
    }
}

/* All of the other's tensors; its output weights, times `share`, at `at`. */
static void copy_tower(struct neumf *nm, const struct model *from, int at, float share)
{
    struct tensor all[NEUMF_TENSORS], own[NEUMF_TENSORS];
    const struct tensor *output = &all[NEUMF_OUTPUT];

    neumf_list(from, all);
    neumf_list(&nm->base, own);
    for (int64_t k = 0; k < output->rows; k++)
        nm->data[NEUMF_OUTPUT][at + k] = share * output->data[k];
    *nm->data[NEUMF_OUTPUT_BIAS] += share * *all[NEUMF_OUTPUT_BIAS].data;
    for (int t = 0; t < NEUMF_TENSORS; t++)
        if (t != NEUMF_OUTPUT && t != NEUMF_OUTPUT_BIAS && all[t].rows)
            copy_rows(&nm->base, &all[t], &own[t]);
}

static bool take_tower(struct model *m, const char *towers, const char *option, const char *path,
                       int at, float share, struct err *err)
{
    struct model *from = store_load(path, err);
    bool ok;

    if (!from)
        return err_wrap(err, "%s", option);
    ok = check_donor(m, from, towers, option, path, err);
    if (ok)
        copy_tower(neumf_of(m), from, at, share);
    model_free(from);
    return ok;
}

/* The paper's trade-off between the two, its alpha of section 3.4.1, is 1/2. */
static bool neumf_warm_start(struct model *m, struct err *err)
{
    const struct neumf_opts *o = neumf_opts_of(m);

    if (!o->init_gmf || !*o->init_gmf)
        return true;
    return take_tower(m, "gmf", "--init-gmf", o->init_gmf, 0, 0.5f, err) &&
           take_tower(m, "mlp", "--init-mlp", o->init_mlp, neumf_shape_of(m).dim, 0.5f, err);
}

static bool neumf_dated(const void *options)
{
    return ((const struct neumf_opts *)options)->future_negatives < 1;
}

const struct model_ops model_neumf = {
    .name = "neumf",
    .summary = "neural matrix factorisation: products of vectors and layers over them",
    .options = neumf_opts_table,
    .defaults = &neumf_opts_default,
    .options_size = sizeof(struct neumf_opts),
    .epochs = 20,
    .size = sizeof(struct neumf),
    .check = neumf_check,
    .tensors = neumf_tensors,
    .training = neumf_training,
    .popularity_power = neumf_popularity_power,
    .adopt = neumf_adopt,
    .forget = neumf_forget,
    .init = neumf_init,
    .warm_start = neumf_warm_start,
    .dated = neumf_dated,
    .learn = neumf_learn,
    .slice = neumf_slice,
    .begin = neumf_begin,
    .join = neumf_join,
    .joined = neumf_joined,
    .rate = neumf_rate,
    .serves = neumf_serves,
    .state = neumf_state,
    .prepare = neumf_prepare,
    .score = neumf_score,
    .hasten = neumf_hasten,
    .release = neumf_release,
};
