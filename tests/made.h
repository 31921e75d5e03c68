/* made.h - a dataset made in memory, for tests: users of a few tastes among items of a few kinds.
 */
#ifndef TEST_MADE_H
#define TEST_MADE_H

#include "base/rng.h"
#include "data/dataset.h"

/* A user's row takes each item with a chance of 1/2 if it is of the user's kind, else of 1/20; the
 * first of them go to train, one to val, one to test. Each fifth user has no row in train. Items 0
 * and 1 are in no row at all. */
enum { MADE_KINDS = 4 };

static inline void made_put(struct interactions *x, int32_t item)
{
    x->items[x->n++] = item;
}

static inline void made_dataset(struct dataset *d, int32_t n_users, int32_t n_items, uint64_t seed)
{
    *d = (struct dataset){.n_users = n_users, .n_items = n_items};
    memset(d->digest, 'd', DIGEST_HEX - 1);
    for (int p = 0; p < DATASET_PARTS; p++) {
        d->part[p].offsets = xcalloc((size_t)n_users + 1, sizeof(int64_t));
        d->part[p].items = xcalloc((size_t)n_users * (size_t)n_items, sizeof(int32_t));
        d->part[p].times = xcalloc((size_t)n_users * (size_t)n_items, sizeof(int64_t));
    }
    for (int32_t u = 0; u < n_users; u++) {
        AUTO_FREE int32_t *row = xcalloc((size_t)n_items, sizeof *row);
        int32_t n = 0;
        struct rng r;

        rng_init(&r, rng_key(seed, 99, (uint64_t)u, 0));
        for (int32_t i = 2; i < n_items; i++)
            if (rng_uniform(&r) < (i % MADE_KINDS == u % MADE_KINDS ? 0.5 : 0.05))
                row[n++] = i;
        rng_shuffle(&r, row, n);
        for (int32_t k = 0; k < n; k++)
            made_put(&d->part[k == n - 1   ? DATASET_TEST
                              : k == n - 2 ? DATASET_VAL
                              : u % 5 == 4 ? DATASET_TEST
                                           : DATASET_TRAIN],
                     row[k]);
        for (int p = 0; p < DATASET_PARTS; p++)
            d->part[p].offsets[u + 1] = d->part[p].n;
    }
}

static inline void made_release(struct dataset *d)
{
    for (int p = 0; p < DATASET_PARTS; p++) {
        free(d->part[p].offsets);
        free(d->part[p].items);
        free(d->part[p].times);
    }
}

/* A model of that name with these options, in a struct dataset's shape. */
#ifdef KINDRED_MODEL_H
static inline struct model *made_model(const char *name, const struct dataset *d, uint64_t seed)
{
    struct err err = {0};
    const struct model_ops *ops = model_find(name, &err);

    assert(ops);
    return model_new(ops, d->n_users, d->n_items, d->digest, ops->defaults, seed);
}

/* Set an option of a model by its name. */
static inline void made_set_text(struct model *m, const char *name, const char *text)
{
    for (const struct opt *o = m->ops->options; o->name; o++)
        if (!strcmp(o->name, name)) {
            opt_text *at = (opt_text *)((char *)m->options + o->offset);

            assert(o->kind == OPT_TEXT && opt_allows(o, text));
            free((char *)(uintptr_t)*at);
            *at = xstrdup(text);
            return;
        }
    assert(!"no such option");
}

/* Save a model made at once to `path`. */
#ifdef KINDRED_STORE_H
static inline void made_file(const char *name, const struct dataset *d, const char *path)
{
    struct model *m = made_model(name, d, 3);
    struct err err = {0};

    if (!m->ops->fit(m, &d->part[DATASET_TRAIN], &err) || !store_save(m, path, &err))
        assert(!"made and saved");
    model_free(m);
}
#endif

static inline void made_set(struct model *m, const char *name, double value)
{
    for (const struct opt *o = m->ops->options; o->name; o++)
        if (!strcmp(o->name, name)) {
            void *at = (char *)m->options + o->offset;

            if (o->kind == OPT_INT)
                *(int *)at = (int)value;
            else
                *(double *)at = value;
            return;
        }
    assert(!"no such option");
}
#endif

#endif
