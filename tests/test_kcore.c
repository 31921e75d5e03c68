/* kcore against the definition: take away what is short until nothing is. */
#include "test.h"

#include "base/rng.h"
#include "data/kcore.h"

enum { N_MAX = 60 };

struct graph {
    int32_t n_users, n_items;
    bool has[N_MAX][N_MAX];
};

static void made_graph(struct graph *g, uint64_t seed)
{
    struct rng r;
    double density;

    rng_init(&r, rng_key(seed, 1, 0, 0));
    *g = (struct graph){.n_users = (int32_t)rng_below(&r, N_MAX + 1),
                        .n_items = (int32_t)rng_below(&r, N_MAX + 1)};
    density = rng_uniform(&r) * 0.4;
    for (int32_t u = 0; u < g->n_users; u++)
        for (int32_t i = 0; i < g->n_items; i++)
            g->has[u][i] = rng_uniform(&r) < density * 2 * i / N_MAX;
}

/* One round: users that are short go, then items that are now. Adds what each took. */
static bool remove_short(struct graph *g, int min_user, int min_item, int64_t *by_user,
                         int64_t *by_item)
{
    bool changed = false;

    for (int32_t u = 0; u < g->n_users; u++) {
        int n = 0;

        for (int32_t i = 0; i < g->n_items; i++)
            n += g->has[u][i];
        for (int32_t i = 0; n > 0 && n < min_user && i < g->n_items; i++)
            g->has[u][i] = false;
        changed |= n > 0 && n < min_user;
        *by_user += n < min_user ? n : 0;
    }
    for (int32_t i = 0; i < g->n_items; i++) {
        int n = 0;

        for (int32_t u = 0; u < g->n_users; u++)
            n += g->has[u][i];
        for (int32_t u = 0; n > 0 && n < min_item && u < g->n_users; u++)
            g->has[u][i] = false;
        changed |= n > 0 && n < min_item;
        *by_item += n < min_item ? n : 0;
    }
    return changed;
}

/* Rows in memory, given a few users at a time. */
struct list {
    const int64_t *offsets;
    const int32_t *items;
    int32_t n_users, at, step;
};

static bool next(void *context, struct kcore_block *b, struct err *)
{
    struct list *l = context;
    int32_t end = MIN(l->at + l->step, l->n_users);

    *b = (struct kcore_block){l->at, end - l->at, l->offsets + l->at, l->items + l->offsets[l->at]};
    l->at = b->n_users ? end : 0;
    return true;
}

static void find(struct kcore *k, struct list *l, bool in_memory)
{
    struct err err = {0};

    l->at = 0;
    l->n_users = k->n_users;
    k->next = next;
    k->context = l;
    k->memory = in_memory ? SIZE_MAX : 0;
    assert_ok(kcore_find(k, &err), err);
}

static void find_in_graph(const struct graph *g, struct kcore *k, bool in_memory)
{
    int64_t offsets[N_MAX + 1] = {0};
    int32_t items[N_MAX * N_MAX];

    for (int32_t u = 0; u < g->n_users; u++) {
        offsets[u + 1] = offsets[u];
        for (int32_t i = 0; i < g->n_items; i++)
            if (g->has[u][i])
                items[offsets[u + 1]++] = i;
    }
    find(k, &(struct list){.offsets = offsets, .items = items, .step = 7}, in_memory);
}

/* A user or an item without rows is short even of one. */
static void the_core_is_what_the_definition_keeps(void **)
{
    int64_t nonempty = 0;

    for (uint64_t seed = 0; seed < 1000; seed++) {
        bool users[N_MAX], items[N_MAX];
        int64_t want = 0, by_user = 0, by_item = 0;
        struct graph g;
        struct kcore k = {.min_user = 1 + (int)(seed % 7),
                          .min_item = 1 + (int)(seed / 7 % 6),
                          .keep_user = users,
                          .keep_item = items};

        made_graph(&g, seed / 2);
        k.n_users = g.n_users;
        k.n_items = g.n_items;
        find_in_graph(&g, &k, seed % 2);
        while (remove_short(&g, k.min_user, k.min_item, &by_user, &by_item))
            ;
        for (int32_t u = 0; u < g.n_users; u++) {
            int n = 0;

            for (int32_t i = 0; i < g.n_items; i++)
                n += g.has[u][i];
            assert_int_equal(users[u], n > 0);
            want += n;
        }
        for (int32_t i = 0; i < g.n_items; i++) {
            int n = 0;

            for (int32_t u = 0; u < g.n_users; u++)
                n += g.has[u][i];
            assert_int_equal(items[i], n > 0);
        }
        assert_int_equal(k.n_kept, want);
        assert_int_equal(k.lost_by_user, by_user);
        assert_int_equal(k.lost_by_item, by_item);
        nonempty += want > 0;
    }
    assert_in_range(nonempty, 200, 999); /* the thresholds bite, and leave something */
}

/* A user's repeats of an item count on both sides. */
static void a_pair_counts_as_often_as_it_is_there(void **)
{
    const int64_t offsets[] = {0, 3, 5};
    const int32_t items[] = {0, 0, 1, 1, 1};

    for (int in_memory = 0; in_memory < 2; in_memory++) {
        bool user[2], item[2];
        struct kcore k = {.n_users = 2,
                          .n_items = 2,
                          .min_user = 3,
                          .min_item = 2,
                          .keep_user = user,
                          .keep_item = item};

        find(&k, &(struct list){.offsets = offsets, .items = items, .step = 1}, in_memory);
        assert_int_equal(k.n_kept, 0);
        assert_int_equal(k.lost_by_user, 4); /* the second at once, the first for want of item 1 */
        assert_int_equal(k.lost_by_item, 1);
        k.min_user = 2;
        find(&k, &(struct list){.offsets = offsets, .items = items, .step = 1}, in_memory);
        assert_int_equal(k.n_kept, 5);
    }
}

/* User u has items u and u + 1: taking away the one end takes away all, one after the other. */
static void a_chain_falls_to_its_end(void **)
{
    enum { N = 100000 };
    AUTO_FREE int64_t *offsets = xcalloc(N + 1, sizeof *offsets);
    AUTO_FREE int32_t *items = xcalloc(2 * N, sizeof *items);
    AUTO_FREE bool *user = xcalloc(N, 1), *item = xcalloc(N + 1, 1);
    struct list l = {.offsets = offsets, .items = items, .step = 1000};
    struct kcore k = {.n_users = N,
                      .n_items = N + 1,
                      .min_user = 2,
                      .min_item = 1,
                      .keep_user = user,
                      .keep_item = item};

    for (int32_t u = 0; u < N; u++) {
        items[2 * u] = u;
        items[2 * u + 1] = u + 1;
        offsets[u + 1] = 2 * (int64_t)(u + 1);
    }
    find(&k, &l, true);
    assert_int_equal(k.n_kept, 2 * N);
    k.min_item = 2;
    find(&k, &l, true);
    assert_int_equal(k.n_kept, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_core_is_what_the_definition_keeps),
        cmocka_unit_test(a_pair_counts_as_often_as_it_is_there),
        cmocka_unit_test(a_chain_falls_to_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
