#include "serve/catalog.h"

#include "base/file.h"
#include "model/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

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

/* ---- whose names and histories these are ---- */

struct names_source {
    atomic_int catalogs; /* that have them */
    struct stat items;   /* of the file that names them, when it was read */
};

static bool look_at_items(const char *data_dir, struct stat *st)
{
    AUTO_FREE char *path = path_join(data_dir, "items.parquet");

    return stat(path, st) == 0;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool can_share(const struct catalog *c, const struct catalog *before, const char *data_dir)
{
    struct stat now;

    return before && before->from && !strcmp(before->model->digest, c->model->digest) &&
           before->users.n == c->model->n_users && before->items.n == c->model->n_items &&
           look_at_items(data_dir, &now) && is_same_file(&now, &before->from->items);
}

static void share(struct catalog *c, const struct catalog *before)
{
    struct model *model = c->model;

    *c = *before;
    c->model = model;
    atomic_fetch_add(&c->from->catalogs, 1);
}

/* ---- reading ---- */

static bool read_seen(struct catalog *c, struct dataset *d, const char *model_path,
                      const char *data_dir, struct err *err)
{
    return dataset_open(d, data_dir, 1u << DATASET_TRAIN | 1u << DATASET_VAL, err) &&
           store_check(c->model, model_path, d, data_dir, err);
}

static bool load(struct catalog *c, const char *model_path, const char *data_dir, struct err *err)
{
    struct naming naming = {.c = c, .data_dir = data_dir};
    AUTO(dataset) d = {0};
    pthread_t thread;
    bool ok, beside = pthread_create(&thread, NULL, read_names, &naming) == 0;

    ok = read_seen(c, &d, model_path, data_dir, err);
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

static bool load_with_source(struct catalog *c, const char *model_path, const char *data_dir,
                             struct err *err)
{
    struct stat items = {0};
    bool looked = look_at_items(data_dir, &items); /* before it's read: a later one is another */

    if (!load(c, model_path, data_dir, err))
        return false;
    if (looked) {
        c->from = xcalloc(1, sizeof *c->from);
        c->from->catalogs = 1;
        c->from->items = items;
    }
    return true;
}

bool catalog_open(struct catalog *c, const struct catalog *before, const char *model_path,
                  const char *data_dir, struct err *err)
{
    *c = (struct catalog){.model = store_load(model_path, err)};
    if (!c->model)
        return false;
    if (can_share(c, before, data_dir)) {
        share(c, before);
        return true;
    }
    if (load_with_source(c, model_path, data_dir, err))
        return true;
    catalog_release(c);
    return false;
}

void catalog_release(struct catalog *c)
{
    bool others = c->from && atomic_fetch_sub(&c->from->catalogs, 1) > 1;

    model_free(c->model);
    if (!others)
        free(c->from);
    if (!others && !c->names.data) {
        ids_release(&c->users);
        ids_release(&c->items);
        ids_release(&c->item_meta);
        interactions_release(&c->seen);
    }
    if (!others)
        mapped_release(&c->names);
    *c = (struct catalog){0};
}
