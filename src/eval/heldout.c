#include "eval/heldout.h"

#include <omp.h>

/* What was taken twice is one item to find: rows are sorted side by side, then moved together. */
static void collect_items(struct heldout *h)
{
    const struct interactions *x = &h->d->part[h->part];
    int threads = h->threads ? h->threads : omp_get_max_threads();
    bool many = x->n > 1 << 16; /* fewer are sorted before threads have met */

    h->offsets = xcalloc((size_t)h->n_users + 1, sizeof *h->offsets);
    h->items = xcalloc((size_t)x->n, sizeof *h->items);
    memcpy(h->items, x->items, (size_t)x->n * sizeof *h->items);
#pragma omp parallel for schedule(dynamic, 256) num_threads(threads) if (many)
    for (int32_t i = 0; i < h->n_users; i++) {
        int64_t from = x->offsets[h->users[i]], to = x->offsets[h->users[i] + 1];

        h->offsets[i + 1] = sort_unique(h->items + from, (int32_t)(to - from));
    }
    for (int32_t i = 0; i < h->n_users; i++) {
        int64_t n = h->offsets[i + 1];

        memmove(h->items + h->offsets[i], h->items + x->offsets[h->users[i]],
                (size_t)n * sizeof *h->items);
        h->offsets[i + 1] += h->offsets[i];
    }
}

static void count_train(struct heldout *h)
{
    const struct interactions *train = &h->d->part[DATASET_TRAIN];
    const struct interactions *x = &h->d->part[h->part];

    h->train_rows = xcalloc((size_t)h->d->n_items, sizeof *h->train_rows);
    for (int64_t r = 0; r < train->n; r++)
        h->train_rows[train->items[r]]++;
    for (int32_t u = 0; u < h->d->n_users; u++)
        h->n_train_users += train->offsets[u + 1] > train->offsets[u];
    h->n_rows = x->n;
    for (int64_t r = 0; r < x->n; r++)
        h->n_new_rows += !h->train_rows[x->items[r]];
}

static void collect_users(struct heldout *h)
{
    const struct interactions *x = &h->d->part[h->part];

    h->users = xcalloc((size_t)h->d->n_users, sizeof *h->users);
    h->n_train = xcalloc((size_t)h->d->n_users, sizeof *h->n_train);
    for (int32_t u = 0; u < h->d->n_users; u++) {
        if (x->offsets[u + 1] == x->offsets[u])
            continue;
        h->users[h->n_users] = u;
        interactions_row(&h->d->part[DATASET_TRAIN], u, &h->n_train[h->n_users]);
        h->n_known += h->n_train[h->n_users] > 0;
        h->n_users++;
    }
}

bool heldout_make(struct heldout *h, const struct dataset *d, enum dataset_part part, int threads,
                  struct err *err)
{
    *h = (struct heldout){d, part, threads, .history = &d->part[DATASET_TRAIN]};
    collect_users(h);
    if (!h->n_users)
        return err_set(err, ERR_DATA, "no user has a row in %s: there is nothing to compare with",
                       dataset_parts[part]);
    if (part == DATASET_TEST) {
        interactions_join(&h->both, &d->part[DATASET_TRAIN], &d->part[DATASET_VAL], d->n_users);
        h->history = &h->both;
    }
    collect_items(h);
    count_train(h);
    return true;
}

void heldout_release(struct heldout *h)
{
    interactions_release(&h->both);
    free(h->users);
    free(h->n_train);
    free(h->offsets);
    free(h->items);
    free(h->train_rows);
    *h = (struct heldout){0};
}
