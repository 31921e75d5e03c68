#include "data/kept.h"

#include "data/kcore.h"

/* ---- the rows in blocks ---- */

enum { BLOCK_ROWS = 1 << 18 };

/* A walk over the rows in their order, a few users at a time. */
struct walk {
    const struct rows *r;
    int32_t user;   /* the place that comes next */
    int32_t *items; /* of the present block */
    int64_t cap;
};

static void walk_release(struct walk *w)
{
    free(w->items);
    *w = (struct walk){0};
}

static bool walk_next(void *context, struct kcore_block *b, struct err *err)
{
    struct walk *w = context;
    const int64_t *offsets = w->r->offsets;
    int32_t first = w->user, n_users = w->r->users.n;
    int64_t n;

    while (w->user < n_users &&
           (w->user == first || offsets[w->user + 1] - offsets[first] <= BLOCK_ROWS))
        w->user++;
    n = offsets[w->user] - offsets[first];
    if (n > w->cap) {
        free(w->items);
        w->items = xmalloc((size_t)n, sizeof *w->items);
        w->cap = n;
    }
    *b = (struct kcore_block){first, w->user - first, offsets + first, w->items};
    if (w->user == first) {
        w->user = 0;
        return true;
    }
    return spool_read(&w->r->items_of, offsets[first] * (int64_t)sizeof *w->items, w->items,
                      (size_t)n * sizeof *w->items, err);
}

/* ---- the core ---- */

/* The most rows that one user has, and one item. */
static bool most_rows(const struct rows *r, int64_t *of_user, int64_t *of_item, struct err *err)
{
    AUTO_FREE int64_t *count = xcalloc((size_t)r->items.n, sizeof *count);
    AUTO(walk) w = {.r = r};
    struct kcore_block b;

    for (*of_user = *of_item = 0; walk_next(&w, &b, err);) {
        if (b.n_users == 0)
            return true;
        for (int32_t u = 0; u < b.n_users; u++)
            *of_user = MAX(*of_user, b.offsets[u + 1] - b.offsets[u]);
        for (int64_t e = 0; e < b.offsets[b.n_users] - b.offsets[0]; e++) {
            int64_t n = ++count[b.items[e]];

            *of_item = MAX(*of_item, n);
        }
    }
    return false;
}

static bool none_left(const struct rows *r, int min_user, int min_item, struct err *err)
{
    int64_t of_user, of_item;
    const char *lower = "--min-user or --min-item";
    AUTO_FREE char *why = NULL;

    if (!most_rows(r, &of_user, &of_item, err))
        return false;
    if (of_user < min_user && of_item < min_item) {
        why = xasprintf("no user has %d rows (--min-user; the most is %lld) and no item has %d "
                        "(--min-item; the most is %lld)",
                        min_user, (long long)of_user, min_item, (long long)of_item);
        lower = "both";
    } else if (of_user < min_user) {
        why = xasprintf("no user has %d rows (--min-user; the most is %lld)", min_user,
                        (long long)of_user);
        lower = "--min-user";
    } else if (of_item < min_item) {
        why = xasprintf("no item has %d rows (--min-item; the most is %lld)", min_item,
                        (long long)of_item);
        lower = "--min-item";
    } else {
        why = xasprintf("no users of %d rows (--min-user) have items of %d (--min-item) in common",
                        min_user, min_item);
    }
    return err_set(err, ERR_DATA, "%s; lower %s", why, lower);
}

static void number(struct kept *k, const struct rows *r)
{
    for (int32_t u = 0; u < r->users.n; u++)
        k->n_users += k->user[u];
    for (int32_t i = 0; i < r->items.n; i++)
        k->n_items += k->item[i];
    k->item_at = xmalloc((size_t)k->n_items, sizeof *k->item_at);
    k->item_idx = xmalloc((size_t)r->items.n, sizeof *k->item_idx);
    for (int32_t i = 0, n = 0; i < r->items.n; i++)
        if (k->item[i])
            k->item_at[n++] = i;
    names_sort(&r->items, k->item_at, k->n_items);
    for (int32_t i = 0; i < k->n_items; i++)
        k->item_idx[k->item_at[i]] = i;
}

bool kept_find(struct kept *k, const struct rows *r, int min_user, int min_item, struct err *err)
{
    AUTO(walk) w = {.r = r};
    struct kcore core = {.n_users = r->users.n,
                         .n_items = r->items.n,
                         .min_user = min_user,
                         .min_item = min_item,
                         .memory = r->o.memory,
                         .next = walk_next,
                         .context = &w};

    *k = (struct kept){.user = xmalloc((size_t)r->users.n, sizeof *k->user),
                       .item = xmalloc((size_t)r->items.n, sizeof *k->item)};
    core.keep_user = k->user;
    core.keep_item = k->item;
    if (!kcore_find(&core, err))
        return false;
    k->n_rows = core.n_kept;
    k->lost_by_user = core.lost_by_user;
    k->lost_by_item = core.lost_by_item;
    if (k->n_rows == 0)
        return none_left(r, min_user, min_item, err);
    number(k, r);
    return true;
}

void kept_release(struct kept *k)
{
    free(k->user);
    free(k->item);
    free(k->item_at);
    free(k->item_idx);
    *k = (struct kept){0};
}

/* ---- to SQL ---- */

/* What the sources walk over. */
struct give {
    const struct kept *k;
    const struct rows *r;
    int32_t user;     /* its place */
    int32_t user_idx; /* among those kept */
    int64_t row;      /* the next one of the user */
    int64_t first;    /* of the rows that items and rest hold */
    int64_t n;
    int32_t *items;        /* (BLOCK_ROWS) */
    struct row_rest *rest; /* (BLOCK_ROWS) */
};

static void give_release(struct give *g)
{
    free(g->items);
    free(g->rest);
}

static bool next_users(void *context, int64_t at, void *const *columns, int64_t max, int64_t *n,
                       struct err *err)
{
    struct give *g = context;
    struct duck_string *id = columns[0];

    (void)err;
    if (at == 0)
        g->user = 0;
    for (*n = 0; g->user < g->r->users.n && *n < max; g->user++)
        if (g->k->user[g->user]) {
            struct name name = names_get(&g->r->users, g->r->user_at[g->user]);

            id[(*n)++] = (struct duck_string){name.bytes, name.len};
        }
    return true;
}

static bool next_items(void *context, int64_t at, void *const *columns, int64_t max, int64_t *n,
                       struct err *err)
{
    const struct give *g = context;
    struct duck_string *id = columns[0];

    (void)err;
    for (*n = 0; at + *n < g->k->n_items && *n < max; ++*n) {
        struct name name = names_get(&g->r->items, g->k->item_at[at + *n]);

        id[*n] = (struct duck_string){name.bytes, name.len};
    }
    return true;
}

/* Load the block in which the present row is. */
static bool load(struct give *g, struct err *err)
{
    g->first = g->row;
    g->n = MIN(g->r->offsets[g->r->users.n] - g->first, (int64_t)BLOCK_ROWS);
    return spool_read(&g->r->items_of, g->first * (int64_t)sizeof *g->items, g->items,
                      (size_t)g->n * sizeof *g->items, err) &&
           spool_read(&g->r->rest_of, g->first * (int64_t)sizeof *g->rest, g->rest,
                      (size_t)g->n * sizeof *g->rest, err);
}

static bool next_rows(void *context, int64_t at, void *const *columns, int64_t max, int64_t *n,
                      struct err *err)
{
    struct give *g = context;
    const struct rows *r = g->r;
    int32_t *user = columns[0], *item = columns[1], *part = columns[4];
    int64_t *time = columns[2];
    float *rating = columns[3];

    if (at == 0) {
        g->user = g->user_idx = 0;
        g->row = g->first = g->n = 0;
    }
    for (*n = 0; *n < max && g->user < r->users.n;) {
        bool kept = g->k->user[g->user];

        if (!kept || g->row == r->offsets[g->user + 1]) {
            g->user_idx += kept;
            g->row = r->offsets[++g->user];
            continue;
        }
        if (g->row >= g->first + g->n && !load(g, err))
            return false;
        if (g->k->item[g->items[g->row - g->first]]) {
            const struct row_rest *rest = &g->rest[g->row - g->first];

            user[*n] = g->user_idx;
            item[*n] = g->k->item_idx[g->items[g->row - g->first]];
            time[*n] = rest->time;
            rating[*n] = rest->rating;
            part[(*n)++] = rest->part;
        }
        g->row++;
    }
    return true;
}

bool kept_to_tables(const struct kept *k, const struct rows *r, struct duck *d, struct err *err)
{
    AUTO(give)
    g = {.k = k,
         .r = r,
         .items = xmalloc(BLOCK_ROWS, sizeof *g.items),
         .rest = xmalloc(BLOCK_ROWS, sizeof *g.rest)};
    struct duck_source users = {"kept_users", {{"user_id", DUCK_TEXT}}, k->n_users, next_users, &g};
    struct duck_source items = {"kept_items", {{"item_id", DUCK_TEXT}}, k->n_items, next_items, &g};
    struct duck_source rows = {"kept_rows",
                               {{"user_idx", DUCK_INT32},
                                {"item_idx", DUCK_INT32},
                                {"timestamp", DUCK_INT64},
                                {"rating", DUCK_FLOAT},
                                {"given", DUCK_INT32}},
                               k->n_rows,
                               next_rows,
                               &g};

    return duck_register_source(d, &users, err) && duck_register_source(d, &items, err) &&
           duck_register_source(d, &rows, err) && duck_run(d, "kept", err);
}
