/* blend.c - a weighted sum of what several saved models give: each part's scores for a query are
 * normalised over the whole catalogue (blend_rows.c), then added up by weights that were chosen on
 * val (blend_learn.c). */
#include "model/blend.h"

#include "model/itembased.h"
#include "model/store.h"

OPT_TABLE(blend_opts, BLEND_OPTIONS);

static struct blend *blend_of(struct model *m)
{
    return (struct blend *)m;
}

static const struct blend_opts *opts_of(const struct model *m)
{
    return m->options;
}

/* ---- the parts ---- */

/* The next path of "a,b", to be freed; *at moves behind it. */
static char *next_path(const char **at)
{
    size_t n = strcspn(*at, ",");
    char *path = xstrndup(*at, n);

    *at += n + ((*at)[n] == ',');
    return path;
}

static int count_paths(const char *parts)
{
    int n = parts && *parts;

    for (const char *c = parts; c && *c; c++)
        n += *c == ',';
    return n;
}

static bool blend_check(const void *options, struct err *err)
{
    int n = count_paths(((const struct blend_opts *)options)->parts);

    if (n >= 2 && n <= MODEL_PARTS_MAX)
        return true;
    return err_set(err, ERR_USAGE, "--parts FILE,... names 2 to %d saved models, not %d",
                   MODEL_PARTS_MAX, n);
}

static int blend_parts(const struct model *m, struct model *out[MODEL_PARTS_MAX])
{
    const struct blend *b = (const struct blend *)m;

    memcpy(out, b->parts, (size_t)b->n_parts * sizeof *out);
    return b->n_parts;
}

/* The parts' tensors get names of their own. */
static bool name_tensors(struct blend *b, struct err *err)
{
    int n = 1; /* blend.weight */

    for (int p = 0; p < b->n_parts; p++) {
        struct tensor t[MODEL_TENSORS_MAX];
        int own = b->parts[p]->ops->tensors(b->parts[p], t);

        if (n + own > MODEL_TENSORS_MAX)
            return err_set(err, ERR_DATA, "the parts have more than %d tensors: blend fewer",
                           MODEL_TENSORS_MAX - 1);
        for (int i = 0; i < own; i++)
            b->names[n++] = xasprintf("part.%d.%s", p, t[i].name);
    }
    return true;
}

static bool blend_take_parts(struct model *m, struct model *const *parts, int n, struct err *err)
{
    struct blend *b = blend_of(m);
    int want = count_paths(opts_of(m)->parts);

    memcpy(b->parts, parts, (size_t)n * sizeof *parts);
    b->n_parts = n;
    if (n != want)
        return err_set(err, ERR_DATA, "its metadata tells of %d parts, where its options name %d",
                       n, want);
    for (int p = 0; p < n; p++)
        if (parts[p]->ops->parts)
            return err_set(err, ERR_DATA, "part %d is a blend itself: blend what it's made of", p);
    return name_tensors(b, err);
}

static bool check_part(const struct model *m, const struct model *part, const char *path,
                       struct err *err)
{
    if (!strcmp(part->digest, m->digest) && part->n_users == m->n_users &&
        part->n_items == m->n_items)
        return true;
    return err_set(err, ERR_DATA,
                   "%s was trained on another dataset: train it again, or name the folder that it "
                   "was trained on by --data-dir",
                   path);
}

static bool open_parts(struct model *m, struct err *err)
{
    const char *at = opts_of(m)->parts;
    struct model *parts[MODEL_PARTS_MAX] = {0};
    int n_paths = count_paths(at), n = 0;
    bool ok = true;

    for (int p = 0; ok && p < n_paths; p++) {
        AUTO_FREE char *path = next_path(&at);

        ok = (parts[n] = store_load(path, err)) != NULL;
        ok = ok && check_part(m, parts[n++], path, err);
    }
    ok = ok && blend_take_parts(m, parts, n, err);
    while (!blend_of(m)->n_parts && n)
        model_free(parts[--n]);
    return ok || err_wrap(err, "--parts");
}

/* ---- the state ---- */

static int blend_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    struct blend *b = blend_of(m);
    int n = 1;

    out[0] = tensor_floats("blend.weight", count_paths(opts_of(m)->parts), 1, b->weight);
    for (int p = 0; p < b->n_parts; p++) {
        struct tensor t[MODEL_TENSORS_MAX];
        int own = b->parts[p]->ops->tensors(b->parts[p], t);

        for (int i = 0; i < own; i++, n++) {
            out[n] = t[i];
            out[n].name = b->names[n];
        }
    }
    return n;
}

static void blend_adopt(struct model *m, const struct tensor *t)
{
    struct blend *b = blend_of(m);

    b->weight = t++->data;
    for (int p = 0; p < b->n_parts; p++) {
        struct tensor own[MODEL_TENSORS_MAX];
        int n = b->parts[p]->ops->tensors(b->parts[p], own);

        b->parts[p]->ops->adopt(b->parts[p], t);
        t += n;
    }
}

static bool blend_combine(struct model *m, const struct interactions *train,
                          const struct interactions *val, struct err *err)
{
    struct blend *b = blend_of(m);

    if (!open_parts(m, err))
        return false;
    b->weight = xaligned((size_t)b->n_parts, sizeof *b->weight);
    return blend_learn(b, train, val, err);
}

static void blend_tell(const struct model *m, struct json_out *out, struct buf *lines)
{
    const struct blend *b = (const struct blend *)m;
    const struct blend_judged *j = &b->judged;
    const char *at = opts_of(m)->parts;

    json_open(out, "blend", '{');
    json_put_int(out, "val_users", j->n_users);
    json_put_real(out, "ndcg_at_20", j->chosen);
    json_put_real(out, "equal_weights_ndcg_at_20", j->equal);
    json_open(out, "parts", '[');
    buf_printf(lines, "%10s  %13s  %s\n", "weight", "NDCG@20 alone", "part");
    for (int p = 0; p < b->n_parts; p++) {
        AUTO_FREE char *path = next_path(&at);

        buf_printf(lines, "%10.4f  %13.4f  %s, %s\n", (double)b->weight[p], j->alone[p],
                   b->parts[p]->ops->name, path);
        json_open(out, NULL, '{');
        json_put_str(out, "model", b->parts[p]->ops->name);
        json_put_str(out, "path", path);
        json_put_float(out, "weight", b->weight[p]);
        json_put_real(out, "ndcg_at_20", j->alone[p]);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
    buf_printf(lines,
               "NDCG@20 with these weights %.4f, with equal ones %.4f, by all %d users of val that "
               "they were chosen by\n",
               j->chosen, j->equal, j->n_users);
}

/* ---- scores ---- */

static bool blend_serves(const struct model *m, const struct query *q)
{
    const struct blend *b = (const struct blend *)m;

    for (int p = 0; p < b->n_parts; p++)
        if (b->weight[p] > 0 && b->parts[p]->ops->serves(b->parts[p], q))
            return true;
    return false;
}

static void blend_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    const struct blend *b = (const struct blend *)m;
    size_t room = (size_t)MIN(n, BLEND_QUERIES) * (size_t)m->n_items;
    AUTO_FREE float *rows = xmalloc(room, sizeof *rows);
    bool served[BLEND_QUERIES];

    memset(state, 0, (size_t)n * (size_t)m->n_items * sizeof *state);
    for (int first = 0; first < n; first += BLEND_QUERIES)
        for (int p = 0; p < b->n_parts; p++) {
            int count = MIN(BLEND_QUERIES, n - first);
            float *to = state + (int64_t)first * m->n_items;

            if (!(b->weight[p] > 0))
                continue;
            blend_rows(b, p, q + first, count, rows, served);
            for (int64_t k = 0; k < (int64_t)count * m->n_items; k++)
                to[k] += b->weight[p] * rows[k];
        }
}

static void free_names(struct blend *b)
{
    for (int i = 0; i < MODEL_TENSORS_MAX; i++)
        free(b->names[i]);
    memset(b->names, 0, sizeof b->names);
}

/* Where the weights are the file's, so are the parts' tensors. */
static void blend_forget(struct model *m)
{
    struct blend *b = blend_of(m);

    while (b->n_parts)
        model_free_but_tensors(b->parts[--b->n_parts]);
    free_names(b);
}

static void blend_release(struct model *m)
{
    struct blend *b = blend_of(m);

    while (b->n_parts)
        model_free(b->parts[--b->n_parts]);
    free(b->weight);
}

const struct model_ops model_blend = {
    .name = "blend",
    .summary = "a weighted sum of saved models, by weights that val chooses",
    .options = blend_opts_table,
    .defaults = &blend_opts_default,
    .options_size = sizeof(struct blend_opts),
    .size = sizeof(struct blend),
    .check = blend_check,
    .tensors = blend_tensors,
    .adopt = blend_adopt,
    .forget = blend_forget,
    .combine = blend_combine,
    .parts = blend_parts,
    .take_parts = blend_take_parts,
    .tell = blend_tell,
    .serves = blend_serves,
    .state = itembased_state,
    .prepare = blend_prepare,
    .score = itembased_score,
    .release = blend_release,
};
