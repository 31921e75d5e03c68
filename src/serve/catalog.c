#include "serve/catalog.h"

#include "model/store.h"

#include <pthread.h>

/* Join the rows of train and val, user by user. */
static void join_seen(struct catalog *c, const struct dataset *d)
{
    static const enum dataset_part parts[] = {DATASET_TRAIN, DATASET_VAL};
    int64_t at = 0;

    c->offsets = xcalloc((size_t)d->n_users + 1, sizeof *c->offsets);
    c->seen = xcalloc((size_t)(d->part[DATASET_TRAIN].n + d->part[DATASET_VAL].n), sizeof *c->seen);
    for (int32_t u = 0; u < d->n_users; u++) {
        for (int p = 0; p < ARRAY_LEN(parts); p++) {
            int32_t n;
            const int32_t *row = interactions_row(&d->part[parts[p]], u, &n);

            if (n)
                memcpy(c->seen + at, row, (size_t)n * sizeof *row);
            at += n;
        }
        c->offsets[u + 1] = at;
    }
}

static bool check_ids(const struct ids *ids, int32_t n, const char *what, const char *dir,
                      struct err *err)
{
    if (ids->n == n)
        return true;
    return err_set(err, ERR_DATA,
                   "'%s/%ss.parquet' names %d of the %d %ss of the dataset: run preprocess again",
                   dir, what, ids->n, n, what);
}

/* The names are read beside the rest: each takes a database of its own and about as long. */
struct naming {
    struct catalog *c;
    const char *data_dir;
    bool ok;
    struct err err;
};

static void *read_names(void *naming)
{
    struct naming *n = naming;

    n->ok = ids_open(&n->c->users, n->data_dir, "user", &n->err) &&
            ids_open(&n->c->items, n->data_dir, "item", &n->err);
    return NULL;
}

static bool read_model_and_seen(struct catalog *c, struct dataset *d, const char *model_path,
                                const char *data_dir, struct err *err)
{
    c->model = store_load(model_path, err);
    return c->model && dataset_open(d, data_dir, 1u << DATASET_TRAIN | 1u << DATASET_VAL, err) &&
           store_check(c->model, model_path, d, data_dir, err);
}

static bool load(struct catalog *c, const char *model_path, const char *data_dir, struct err *err)
{
    struct naming naming = {.c = c, .data_dir = data_dir};
    AUTO(dataset) d = {0};
    pthread_t thread;
    bool ok, beside = pthread_create(&thread, NULL, read_names, &naming) == 0;

    ok = read_model_and_seen(c, &d, model_path, data_dir, err);
    if (beside)
        pthread_join(thread, NULL);
    else if (ok)
        read_names(&naming);
    if (!ok)
        return false;
    if (!naming.ok) {
        *err = naming.err;
        return false;
    }
    join_seen(c, &d);
    return check_ids(&c->users, d.n_users, "user", data_dir, err) &&
           check_ids(&c->items, d.n_items, "item", data_dir, err);
}

bool catalog_open(struct catalog *c, const char *model_path, const char *data_dir, struct err *err)
{
    *c = (struct catalog){0};
    if (load(c, model_path, data_dir, err))
        return true;
    catalog_release(c);
    return false;
}

void catalog_release(struct catalog *c)
{
    model_free(c->model);
    ids_release(&c->users);
    ids_release(&c->items);
    free(c->offsets);
    free(c->seen);
    *c = (struct catalog){0};
}

struct query catalog_query(const struct catalog *c, int32_t user)
{
    return (struct query){.user = user,
                          .history = c->seen + c->offsets[user],
                          .n_history = (int32_t)(c->offsets[user + 1] - c->offsets[user])};
}
