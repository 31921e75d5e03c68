/* Negatives by popularity, one at a time and shared: how often each is drawn. */
#include "model/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { ITEMS = 6, DRAWS = 40000 };

static const double weights[ITEMS] = {8, 4, 2, 1, 0.5, 0};

/* Users 0, 0, 1 take items 0, 1, 2 at these times; item i appears at time 10 i. */
static const int32_t users[] = {0, 0, 1}, items[] = {0, 1, 2}, when[] = {100, 25, 0};
static const struct candidate pool[] = {{0, 0}, {1, 10}, {2, 20}, {3, 30}, {4, 40}, {5, 50}};
static struct alias table[ITEMS];

static int build(void **)
{
    double left[ITEMS];
    int32_t work[ITEMS];

    memcpy(left, weights, sizeof left);
    alias_build(table, left, work, ITEMS);
    return 0;
}

static struct cell cell_of(uint64_t key)
{
    return (struct cell){users, items, when, 3, pool, ITEMS, key, table};
}

static void near(const char *what, int k, int i, int got, double want)
{
    if (fabs(got - want) > 5 * sqrt(want) + 1e-9)
        fail_msg("%s, positive %d: item %d was drawn %d times, not %.0f", what, k, i, got, want);
}

/* The chance of an item, over the slots: its weight's share. */
static void an_alias_table_has_the_chances_of_its_weights(void **)
{
    for (int n = 1; n <= 300; n += 13) {
        double given[300], left[300], chance[300] = {0}, sum = 0;
        struct alias a[300];
        int32_t work[300];
        struct rng r;

        rng_init(&r, (uint64_t)n);
        for (int k = 0; k < n; k++)
            sum += left[k] = given[k] = k % 7 == 3 ? 0 : pow(rng_uniform(&r), 6);
        alias_build(a, left, work, n);
        for (int k = 0; k < n; k++) {
            double keep = a[k].other == k ? 1 : a[k].keep * 0x1p-32;

            chance[k] += keep / n;
            chance[a[k].other] += (1 - keep) / n;
        }
        for (int k = 0; k < n; k++)
            if (fabs(chance[k] - given[k] / sum) > 1e-9)
                fail_msg("%d of %d: %g, not %g", k, n, chance[k], given[k] / sum);
    }
}

static void where_all_weights_are_0_all_are_alike(void **)
{
    double none[3] = {0};
    struct alias a[3];
    int32_t work[3];

    alias_build(a, none, work, 3);
    for (int k = 0; k < 3; k++)
        assert_int_equal(a[k].other, k);
}

/* How much of the draws of item i is kept for positive k. */
static double share(int k, int i, double future)
{
    for (int o = 0; o < 3; o++)
        if (users[o] == users[k] && items[o] == i)
            return 0;
    return weights[i] / 15.5 * (pool[i].since <= when[k] ? 1 : future);
}

static void check_draws(double future)
{
    int drawn[3][ITEMS + 1] = {0}; /* the last column: none */

    for (uint64_t key = 0; key < DRAWS; key++) {
        struct cell c = cell_of(key);
        struct sampler s;

        sampler_init(&s, &c, future);
        for (int k = 0; k < 3; k++) {
            int32_t j = sampler_draw(&s, k);

            drawn[k][j == SAMPLER_NONE ? ITEMS : j]++;
        }
    }
    for (int k = 0; k < 3; k++) {
        double all = 0, none;

        for (int i = 0; i < ITEMS; i++)
            all += share(k, i, future);
        none = pow(1 - all, SAMPLER_TRIES);
        for (int i = 0; i < ITEMS; i++)
            near("draw", k, i, drawn[k][i],
                 all > 0 ? DRAWS * (1 - none) * share(k, i, future) / all : 0);
        near("draw", k, ITEMS, drawn[k][ITEMS], DRAWS * none);
    }
}

static void negatives_come_by_popularity_and_seldom_from_the_future(void **)
{
    check_draws(0);
    check_draws(0.25);
    check_draws(1);
}

static void shared_ones_come_by_popularity_and_some_for_all_times(void **)
{
    static const double futures[] = {0, 0.25, 1};

    for (int f = 0; f < ARRAY_LEN(futures); f++)
        for (int by_popularity = 0; by_popularity < 2; by_popularity++) {
            struct cell c = cell_of(7);
            int drawn[ITEMS] = {0}, always[ITEMS] = {0};
            struct sampler s;

            if (!by_popularity)
                c.alias = NULL;
            sampler_init(&s, &c, futures[f]);
            for (int d = 0; d < DRAWS; d++) {
                struct candidate j = sampler_draw_shared(&s);

                drawn[j.item]++;
                if (j.since == CELL_ALWAYS)
                    always[j.item]++;
                else
                    assert_int_equal(j.since, pool[j.item].since);
            }
            for (int i = 0; i < ITEMS; i++) {
                near("shared", 0, i, drawn[i],
                     DRAWS * (by_popularity ? weights[i] / 15.5 : 1.0 / ITEMS));
                near("for all times", 0, i, always[i], drawn[i] * futures[f]);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_alias_table_has_the_chances_of_its_weights),
        cmocka_unit_test(where_all_weights_are_0_all_are_alike),
        cmocka_unit_test(negatives_come_by_popularity_and_seldom_from_the_future),
        cmocka_unit_test(shared_ones_come_by_popularity_and_some_for_all_times),
    };

    return cmocka_run_group_tests(tests, build, NULL);
}
