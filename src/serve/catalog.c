#include "serve/catalog.h"

#include "model/store.h"

#include <pthread.h>

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
            ids_open(&n->c->items, n->data_dir, "item", &n->err) &&
            item_meta_open(&n->c->item_meta, n->data_dir, &n->err);
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
    interactions_join(&c->seen, &d.part[DATASET_TRAIN], &d.part[DATASET_VAL], d.n_users);
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
    if (!c->names.data) {
        ids_release(&c->users);
        ids_release(&c->items);
        ids_release(&c->item_meta);
        interactions_release(&c->seen);
    }
    mapped_release(&c->names);
    *c = (struct catalog){0};
}
