#include "model/model.h"

#include "base/thread.h"

extern const struct model_ops model_blend, model_ease, model_gf, model_gram, model_ials,
    model_itemknn, model_mf, model_neumf, model_popularity, model_random, model_svd;

const struct model_ops *const models[] = {
    &model_mf,   &model_neumf, &model_ials,  &model_svd,        &model_ease,   &model_itemknn,
    &model_gram, &model_gf,    &model_blend, &model_popularity, &model_random, NULL,
};

const struct model_ops *model_find(const char *name, struct err *err)
{
    const char *names[ARRAY_LEN(models)] = {NULL}, *near;

    for (int i = 0; models[i]; i++) {
        if (!strcmp(name, models[i]->name))
            return models[i];
        names[i] = models[i]->name;
    }
    near = opt_suggest(name, names);
    if (near)
        err_set(err, ERR_USAGE, "no model '%s'; did you mean '%s'?", name, near);
    else
        err_set(err, ERR_USAGE, "no model '%s'; 'kindred help train' lists them", name);
    return NULL;
}

float *model_room(struct comm_memory *common, enum tensor_of of, size_t n)
{
    return common && of == OF_ITEMS ? comm_memory_take(common, n, sizeof(float))
                                    : xaligned(n, sizeof(float));
}

void model_room_free(const struct comm_memory *common, enum tensor_of of, float *room)
{
    if (!common || of != OF_ITEMS)
        free(room);
}

/* The n-th text among the options; NULL behind the last. */
static opt_text *text_option(const struct model_ops *ops, void *options, int n)
{
    for (const struct opt *o = ops->options; o->name; o++)
        if (o->kind == OPT_TEXT && n-- == 0)
            return (opt_text *)((char *)options + o->offset);
    return NULL;
}

struct model *model_new(const struct model_ops *ops, int32_t n_users, int32_t n_items,
                        const char *digest, const void *options, uint64_t seed)
{
    struct model *m = xcalloc(1, ops->size);
    opt_text *text;

    m->ops = ops;
    m->n_users = n_users;
    m->n_items = n_items;
    m->seed = seed;
    snprintf(m->digest, sizeof m->digest, "%s", digest);
    m->options = xcalloc(1, ops->options_size);
    if (ops->options_size)
        memcpy(m->options, options, ops->options_size);
    for (int i = 0; (text = text_option(ops, m->options, i)); i++)
        *text = *text ? xstrdup(*text) : NULL;
    return m;
}

void model_free_but_tensors(struct model *m)
{
    opt_text *text;

    if (m->ops->forget)
        m->ops->forget(m);
    mapped_release(&m->file);
    for (int i = 0; (text = text_option(m->ops, m->options, i)); i++)
        free((char *)(uintptr_t)*text);
    free(m->options);
    free(m->metrics);
    free(m);
}

void model_free(struct model *m)
{
    if (!m)
        return;
    if (!m->file.data) /* else the tensors are the file's */
        m->ops->release(m);
    model_free_but_tensors(m);
}

static size_t tensor_size(const struct tensor *t)
{
    return (size_t)(t->rows * t->cols);
}

void model_copy(struct model *to, struct model *from)
{
    struct tensor a[MODEL_TENSORS_MAX], b[MODEL_TENSORS_MAX];
    int n = to->ops->tensors(to, a);

    assert(to->ops == from->ops && n == from->ops->tensors(from, b));
    for (int i = 0; i < n; i++)
        memcpy(a[i].data, b[i].data, tensor_size(&a[i]) * sizeof *a[i].data);
}

struct model *model_clone(struct model *m)
{
    struct model *copy = model_new(m->ops, m->n_users, m->n_items, m->digest, m->options, m->seed);
    struct tensor t[MODEL_TENSORS_MAX];
    int n = m->ops->tensors(m, t);

    assert(!m->ops->parts);
    for (int i = 0; i < n; i++) {
        const float *from = t[i].data;

        t[i].data = xaligned(tensor_size(&t[i]), sizeof *t[i].data);
        memcpy(t[i].data, from, tensor_size(&t[i]) * sizeof *from);
    }
    m->ops->adopt(copy, t);
    return copy;
}

int model_training(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    return m->ops->training ? m->ops->training(m, out) : 0;
}

char *model_options_json(const struct model *m)
{
    struct opt_group g = {"", m->ops->options, m->ops->defaults, m->options, m->ops->options_size};
    AUTO(json_out) j = {0};

    json_open(&j, NULL, '{');
    opt_write_json(&g, &j);
    json_close(&j, '}');
    return xstrdup(buf_str(&j.buf));
}

/* A float is finite unless all bits of its exponent are set. */
static bool piece_is_finite(const float *x, int64_t n)
{
    uint32_t bad = 0;

    for (int64_t k = 0; k < n; k++) {
        uint32_t bits;

        memcpy(&bits, &x[k], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static bool all_finite(const float *x, int64_t n)
{
    enum { PIECE = 4096 }; /* about a microsecond */

    for (int64_t at = 0; at < n; at += PIECE) {
        thread_pace();
        if (!piece_is_finite(x + at, MIN(PIECE, n - at)))
            return false;
    }
    return true;
}

bool model_finite(struct model *m, const char **bad)
{
    struct tensor t[MODEL_TENSORS_MAX];
    int n = m->ops->tensors(m, t);

    for (int i = 0; i < n; i++)
        if (t[i].type == TENSOR_F32 && !all_finite(t[i].data, t[i].rows * t[i].cols)) {
            *bad = t[i].name;
            return false;
        }
    return true;
}

static int64_t state_of(const struct model *m)
{
    return m->ops->state ? m->ops->state(m) : 0;
}

float *model_state(const struct model *m, int n)
{
    return xaligned((size_t)MAX(state_of(m) * n, 1), sizeof(float));
}

void model_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    if (m->ops->prepare)
        m->ops->prepare(m, q, n, state);
}

void model_hasten(struct model *m)
{
    struct model *parts[MODEL_PARTS_MAX];
    int n = m->ops->parts ? m->ops->parts(m, parts) : 0;

    if (m->ops->hasten)
        m->ops->hasten(m);
    for (int i = 0; i < n; i++)
        model_hasten(parts[i]);
}

void model_scores(const struct model *m, const struct query *q, int n, float *out)
{
    AUTO_FREE float *state = model_state(m, 1);

    for (int r = 0; r < n; r++) {
        model_prepare(m, &q[r], 1, state);
        m->ops->score(m, &q[r], 1, state, 0, m->n_items, out + (int64_t)r * m->n_items);
    }
}
