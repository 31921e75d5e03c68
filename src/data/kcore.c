#include "data/kcore.h"

#include "base/interrupt.h"

/* The rows that each item has, and how many there are in all. */
static bool count_items(struct kcore *k, int32_t *item_left, struct err *err)
{
    struct kcore_block b;

    for (;;) {
        if (!k->next(k->context, &b, err))
            return false;
        if (b.n_users == 0)
            return true;
        for (int64_t e = 0; e < b.offsets[b.n_users] - b.offsets[0]; e++)
            item_left[b.items[e]]++;
        k->n_kept += b.offsets[b.n_users] - b.offsets[0];
    }
}

/* ---- rows that pass by ---- */

/* The rows of a user whose items are still there. */
static int32_t rows_left(const struct kcore *k, const int32_t *items, int64_t n)
{
    int32_t left = 0;

    for (int64_t e = 0; e < n; e++)
        left += k->keep_item[items[e]];
    return left;
}

/* A round over the users: those that are short go. item_left (n_items) loses their rows. Returns
 * how many rows went. */
static int64_t drop_users(struct kcore *k, const struct kcore_block *b, int32_t *item_left)
{
    int64_t lost = 0;

#pragma omp parallel for schedule(dynamic, 4096) reduction(+ : lost)
    for (int32_t u = 0; u < b->n_users; u++) {
        const int32_t *items = b->items + (b->offsets[u] - b->offsets[0]);
        int64_t n = b->offsets[u + 1] - b->offsets[u];
        int32_t left;

        if (!k->keep_user[b->first_user + u])
            continue;
        left = rows_left(k, items, n);
        if (left >= k->min_user)
            continue;
        k->keep_user[b->first_user + u] = false;
        lost += left;
        for (int64_t e = 0; e < n; e++)
            if (k->keep_item[items[e]])
                __atomic_fetch_sub(&item_left[items[e]], 1, __ATOMIC_RELAXED);
    }
    return lost;
}

static int64_t drop_items(struct kcore *k, const int32_t *item_left)
{
    int64_t lost = 0;

    for (int32_t i = 0; i < k->n_items; i++)
        if (k->keep_item[i] && item_left[i] < k->min_item) {
            k->keep_item[i] = false;
            lost += item_left[i];
        }
    return lost;
}

static bool round_of_users(struct kcore *k, int32_t *item_left, int64_t *lost, struct err *err)
{
    struct kcore_block b;

    for (*lost = 0;;) {
        if (!interrupt_check(err) || !k->next(k->context, &b, err))
            return false;
        if (b.n_users == 0)
            return true;
        *lost += drop_users(k, &b, item_left);
    }
}

static bool find_in_passes(struct kcore *k, int32_t *item_left, struct err *err)
{
    int64_t by_users, by_items;

    do {
        if (!round_of_users(k, item_left, &by_users, err))
            return false;
        by_items = drop_items(k, item_left);
        k->lost_by_user += by_users;
        k->lost_by_item += by_items;
    } while (by_items > 0);
    return true;
}

/* ---- rows in memory ---- */

struct graph {
    int64_t *user_at, *item_at;         /* (n_users + 1), (n_items + 1) where their rows start */
    int32_t *items, *users;             /* (rows) of each user, of each item */
    int32_t *user_left;                 /* (n_users) rows */
    int32_t *short_users, *short_items; /* (n_users), (n_items) to go in this round */
    int32_t n_short_users, n_short_items;
};

static void graph_release(struct graph *g)
{
    free(g->user_at);
    free(g->item_at);
    free(g->items);
    free(g->users);
    free(g->user_left);
    free(g->short_users);
    free(g->short_items);
}

static bool load(struct kcore *k, struct graph *g, struct err *err)
{
    struct kcore_block b;

    g->user_at[0] = 0;
    for (int64_t n = 0;;) {
        if (!interrupt_check(err) || !k->next(k->context, &b, err))
            return false;
        if (b.n_users == 0)
            return true;
        memcpy(g->items + n, b.items,
               (size_t)(b.offsets[b.n_users] - b.offsets[0]) * sizeof *b.items);
        n += b.offsets[b.n_users] - b.offsets[0];
        for (int32_t u = 0; u < b.n_users; u++) {
            g->user_left[b.first_user + u] = (int32_t)(b.offsets[u + 1] - b.offsets[u]);
            g->user_at[b.first_user + u + 1] =
                b.offsets[u + 1] - b.offsets[0] + n - (b.offsets[b.n_users] - b.offsets[0]);
        }
    }
}

/* The users of each item. item_left: (n_items) how many. */
static void transpose(const struct kcore *k, struct graph *g, const int32_t *item_left)
{
    g->item_at[0] = 0;
    for (int32_t i = 0; i < k->n_items; i++)
        g->item_at[i + 1] = g->item_at[i] + item_left[i];
    for (int32_t u = k->n_users - 1; u >= 0; u--) /* backwards: item_at ends at the starts */
        for (int64_t e = g->user_at[u]; e < g->user_at[u + 1]; e++)
            g->users[--g->item_at[g->items[e] + 1]] = u;
    for (int32_t i = 0; i < k->n_items; i++)
        g->item_at[i] = g->item_at[i + 1];
    g->item_at[k->n_items] = k->n_kept;
}

/* Users who are short go; items that are so thereby are noted. */
static void drop_short_users(struct kcore *k, struct graph *g, int32_t *item_left)
{
    for (int32_t s = 0; s < g->n_short_users; s++) {
        int32_t u = g->short_users[s];

        k->keep_user[u] = false;
        k->lost_by_user += g->user_left[u];
        for (int64_t e = g->user_at[u]; e < g->user_at[u + 1]; e++) {
            int32_t i = g->items[e];

            if (k->keep_item[i] && item_left[i]-- == k->min_item)
                g->short_items[g->n_short_items++] = i;
        }
    }
    g->n_short_users = 0;
}

static void drop_short_items(struct kcore *k, struct graph *g, const int32_t *item_left)
{
    for (int32_t s = 0; s < g->n_short_items; s++) {
        int32_t i = g->short_items[s];

        k->keep_item[i] = false;
        k->lost_by_item += item_left[i];
        for (int64_t e = g->item_at[i]; e < g->item_at[i + 1]; e++) {
            int32_t u = g->users[e];

            if (k->keep_user[u] && g->user_left[u]-- == k->min_user)
                g->short_users[g->n_short_users++] = u;
        }
    }
    g->n_short_items = 0;
}

static bool find_in_memory(struct kcore *k, int32_t *item_left, struct err *err)
{
    size_t n_users = (size_t)k->n_users, n_items = (size_t)k->n_items, rows = (size_t)k->n_kept;
    AUTO(graph)
    g = {.user_at = xmalloc(n_users + 1, sizeof *g.user_at),
         .item_at = xmalloc(n_items + 1, sizeof *g.item_at),
         .items = xmalloc(rows, sizeof *g.items),
         .users = xmalloc(rows, sizeof *g.users),
         .user_left = xmalloc(n_users, sizeof *g.user_left),
         .short_users = xmalloc(n_users, sizeof *g.short_users),
         .short_items = xmalloc(n_items, sizeof *g.short_items)};

    if (!load(k, &g, err))
        return false;
    transpose(k, &g, item_left);
    for (int32_t u = 0; u < k->n_users; u++)
        if (g.user_left[u] < k->min_user)
            g.short_users[g.n_short_users++] = u;
    drop_short_users(k, &g, item_left);
    g.n_short_items = 0; /* in the first round those count too that were short before */
    for (int32_t i = 0; i < k->n_items; i++)
        if (item_left[i] < k->min_item)
            g.short_items[g.n_short_items++] = i;
    for (;;) {
        drop_short_items(k, &g, item_left);
        if (g.n_short_users == 0)
            return interrupt_check(err);
        drop_short_users(k, &g, item_left);
    }
}

bool kcore_find(struct kcore *k, struct err *err)
{
    AUTO_FREE int32_t *item_left = xcalloc((size_t)k->n_items, sizeof *item_left);
    bool fits, ok;

    memset(k->keep_user, true, (size_t)k->n_users);
    memset(k->keep_item, true, (size_t)k->n_items);
    k->n_kept = k->lost_by_user = k->lost_by_item = 0;
    if (!count_items(k, item_left, err))
        return false;
    fits = (uint64_t)k->n_kept * 2 * sizeof *item_left <= k->memory;
    ok = fits ? find_in_memory(k, item_left, err) : find_in_passes(k, item_left, err);
    k->n_kept -= k->lost_by_user + k->lost_by_item;
    return ok;
}
