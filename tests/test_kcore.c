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

static bool remove_short(struct graph *g, int min_user, int min_item)
{
    bool changed = false;

    for (int32_t u = 0; u < g->n_users; u++) {
        int n = 0;

        for (int32_t i = 0; i < g->n_items; i++)
            n += g->has[u][i];
        for (int32_t i = 0; n > 0 && n < min_user && i < g->n_items; i++)
            g->has[u][i] = false;
        changed |= n > 0 && n < min_user;
    }
    for (int32_t i = 0; i < g->n_items; i++) {
        int n = 0;

        for (int32_t u = 0; u < g->n_users; u++)
            n += g->has[u][i];
        for (int32_t u = 0; n > 0 && n < min_item && u < g->n_users; u++)
            g->has[u][i] = false;
        changed |= n > 0 && n < min_item;
    }
    return changed;
}

static int64_t peel(const struct graph *g, int min_user, int min_item, bool *users, bool *items)
{
    int64_t offsets[N_MAX + 1] = {0};
    int32_t list[N_MAX * N_MAX];

    for (int32_t u = 0; u < g->n_users; u++) {
        offsets[u + 1] = offsets[u];
        for (int32_t i = 0; i < g->n_items; i++)
            if (g->has[u][i])
                list[offsets[u + 1]++] = i;
    }
    return kcore_peel(offsets, list, g->n_users, g->n_items, min_user, min_item, users, items);
}

/* A user or an item without rows is short even of one. */
static void peeling_keeps_what_the_definition_keeps(void **)
{
    int64_t nonempty = 0;

    for (uint64_t seed = 0; seed < 500; seed++) {
        int min_user = 1 + (int)(seed % 7), min_item = 1 + (int)(seed / 7 % 6);
        bool users[N_MAX], items[N_MAX];
        struct graph g;
        int64_t left, want = 0;

        made_graph(&g, seed);
        left = peel(&g, min_user, min_item, users, items);
        while (remove_short(&g, min_user, min_item))
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
        assert_int_equal(left, want);
        nonempty += want > 0;
    }
    assert_in_range(nonempty, 100, 499); /* the thresholds bite, and leave something */
}

/* User u has items u and u + 1: taking away the one end takes away all, one after the other. */
static void a_chain_falls_to_its_end(void **)
{
    enum { N = 100000 };
    AUTO_FREE int64_t *offsets = xcalloc(N + 1, sizeof *offsets);
    AUTO_FREE int32_t *list = xcalloc(2 * N, sizeof *list);
    AUTO_FREE bool *users = xcalloc(N, 1), *items = xcalloc(N + 1, 1);

    for (int32_t u = 0; u < N; u++) {
        list[2 * u] = u;
        list[2 * u + 1] = u + 1;
        offsets[u + 1] = 2 * (int64_t)(u + 1);
    }
    assert_int_equal(kcore_peel(offsets, list, N, N + 1, 2, 1, users, items), 2 * N);
    assert_int_equal(kcore_peel(offsets, list, N, N + 1, 2, 2, users, items), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peeling_keeps_what_the_definition_keeps),
        cmocka_unit_test(a_chain_falls_to_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
