#include "data/kcore.h"

/* Users and items are nodes of one graph: user u is node u, item i is node n_users + i. */
struct graph {
    int32_t n_users, n_nodes;
    const int64_t *user_at, *item_at; /* where a user's, an item's neighbours start */
    const int32_t *items, *users;     /* the neighbours */
    int64_t *degree;                  /* (n_nodes) of what is left */
    bool *gone;                       /* (n_nodes) */
    int32_t *stack;                   /* (n_nodes) gone, but its neighbours don't know yet */
    int32_t n_stack;
    int min_user, min_item;
};

static void check(struct graph *g, int32_t node)
{
    if (g->gone[node] || g->degree[node] >= (node < g->n_users ? g->min_user : g->min_item))
        return;
    g->gone[node] = true;
    g->stack[g->n_stack++] = node;
}

static void peel(struct graph *g)
{
    for (int32_t node = 0; node < g->n_nodes; node++)
        check(g, node);
    while (g->n_stack > 0) {
        int32_t node = g->stack[--g->n_stack], item = node - g->n_users;
        bool is_user = item < 0;
        const int64_t *at = is_user ? g->user_at + node : g->item_at + item;

        for (int64_t e = at[0]; e < at[1]; e++) {
            int32_t other = is_user ? g->n_users + g->items[e] : g->users[e];

            g->degree[other]--;
            check(g, other);
        }
    }
}

/* The transpose: which users an item has. at (n_items + 1), users (rows) are to be freed. */
static void users_of_items(const int64_t *offsets, const int32_t *items, int32_t n_users,
                           int32_t n_items, int64_t **at_out, int32_t **users_out)
{
    int64_t n = offsets[n_users], *at = xcalloc((size_t)n_items + 2, sizeof *at);
    int32_t *users = xmalloc((size_t)n, sizeof *users);

    for (int64_t e = 0; e < n; e++)
        at[items[e] + 2]++;
    for (int32_t i = 0; i < n_items; i++)
        at[i + 2] += at[i + 1];
    for (int32_t u = 0; u < n_users; u++)
        for (int64_t e = offsets[u]; e < offsets[u + 1]; e++)
            users[at[items[e] + 1]++] = u;
    *at_out = at; /* now at[i] .. at[i + 1] is item i */
    *users_out = users;
}

int64_t kcore_peel(const int64_t *offsets, const int32_t *items, int32_t n_users, int32_t n_items,
                   int min_user, int min_item, bool *keep_user, bool *keep_item)
{
    AUTO_FREE int64_t *item_at = NULL, *degree = NULL;
    AUTO_FREE int32_t *users = NULL, *stack = NULL;
    AUTO_FREE bool *gone = NULL;
    struct graph g;
    int64_t left = 0;

    assert(n_users <= INT32_MAX - n_items);
    users_of_items(offsets, items, n_users, n_items, &item_at, &users);
    g = (struct graph){.n_users = n_users,
                       .n_nodes = n_users + n_items,
                       .user_at = offsets,
                       .item_at = item_at,
                       .items = items,
                       .users = users,
                       .min_user = min_user,
                       .min_item = min_item};
    g.degree = degree = xmalloc((size_t)g.n_nodes, sizeof *degree);
    g.stack = stack = xmalloc((size_t)g.n_nodes, sizeof *stack);
    g.gone = gone = xcalloc((size_t)g.n_nodes, sizeof *gone);
    for (int32_t u = 0; u < n_users; u++)
        degree[u] = offsets[u + 1] - offsets[u];
    for (int32_t i = 0; i < n_items; i++)
        degree[n_users + i] = item_at[i + 1] - item_at[i];
    peel(&g);
    for (int32_t u = 0; u < n_users; u++) {
        keep_user[u] = !gone[u];
        left += gone[u] ? 0 : degree[u];
    }
    for (int32_t i = 0; i < n_items; i++)
        keep_item[i] = !gone[n_users + i];
    return left;
}
