/* The sparse matrix, its product with itself and the largest of each row, beside a dense one. */
#include "model/sparse.h"

#include "made.h"

#include <omp.h>

#include "test.h"

enum { USERS = 60, ITEMS = 40 };

static struct dataset data;
static float dense[USERS][ITEMS], user_weight[USERS];

/* Some rows name an item twice, side by side and not. */
static int make_data(void **)
{
    struct interactions *train = &data.part[DATASET_TRAIN];
    int64_t last;

    made_dataset(&data, USERS, ITEMS, 3);
    last = train->offsets[USERS];
    assert_true(last > 3 * USERS);
    train->items[1] = train->items[0];
    train->items[last - 1] = train->items[last - 3];
    for (int32_t u = 0; u < USERS; u++) {
        user_weight[u] = 1.0F / (float)(u + 1);
        for (int64_t k = train->offsets[u]; k < train->offsets[u + 1]; k++)
            dense[u][train->items[k]] = 1;
    }
    return 0;
}

static int free_data(void **)
{
    made_release(&data);
    return 0;
}

static void both_ways_hold_what_the_dense_matrix_holds(void **)
{
    AUTO(sparse) s = {0};
    int64_t ones = 0;

    sparse_init(&s, &data.part[DATASET_TRAIN], USERS, ITEMS);
    assert_int_equal(s.by_user.n_rows, USERS);
    assert_int_equal(s.by_item.n_rows, ITEMS);
    for (int32_t u = 0; u < USERS; u++)
        for (int32_t i = 0, n = 0, m; i < ITEMS; i++) {
            if (dense[u][i] == 0)
                continue;
            assert_true(n < pattern_degree(&s.by_user, u));
            assert_int_equal(s.by_user.ids[s.by_user.begin[u] + n++], i);
            for (m = 0; m < pattern_degree(&s.by_item, i); m++)
                if (s.by_item.ids[s.by_item.begin[i] + m] == u)
                    break;
            assert_true(m < pattern_degree(&s.by_item, i));
            ones++;
        }
    assert_int_equal(s.by_user.begin[USERS], ones);
    assert_int_equal(s.by_item.begin[ITEMS], ones);
}

static void powers_of_no_degree_are_zero(void **)
{
    AUTO(sparse) s = {0};
    float power[ITEMS];

    sparse_init(&s, &data.part[DATASET_TRAIN], USERS, ITEMS);
    pattern_powers(&s.by_item, -0.5, power);
    assert_true(power[0] == 0 && power[1] == 0); /* in no row */
    for (int32_t i = 2; i < ITEMS; i++) {
        int degree = 0;

        for (int32_t u = 0; u < USERS; u++)
            degree += dense[u][i] != 0;
        assert_true(degree > 0);
        assert_float_equal(power[i] * power[i] * degree, 1, 1e-6);
    }
}

static void twice_its_own(const void *, int32_t, const int32_t *, int32_t n, float *values)
{
    for (int32_t k = 0; k < n; k++)
        values[k] *= 2;
}

static float product(const float *weight, int32_t i, int32_t j)
{
    float sum = 0;

    for (int32_t u = 0; u < USERS; u++)
        sum += dense[u][i] * dense[u][j] * (weight ? weight[u] : 1);
    return 2 * sum;
}

/* How many others come before j in row i: larger, or equal and of a lower id. */
static int rank_of(const float *weight, int32_t i, int32_t j)
{
    float x = product(weight, i, j);
    int rank = 0;

    for (int32_t l = 0; l < ITEMS; l++) {
        float y = product(weight, i, l);

        rank += l != i && (y > x || (y == x && l < j));
    }
    return rank;
}

static void assert_largest(const float *weight, int32_t width)
{
    AUTO(sparse) s = {0};
    struct neighbors n;
    struct err err = {0};

    sparse_init(&s, &data.part[DATASET_TRAIN], USERS, ITEMS);
    assert_true(sparse_neighbors(&s, weight, width, twice_its_own, NULL, &n, &err));
    for (int32_t i = 0; i < ITEMS; i++) {
        const int32_t *ids = n.ids + i * width;
        int32_t at = 0;

        for (int32_t j = 0; j < ITEMS; j++)
            if (j != i && product(weight, i, j) > 0 && rank_of(weight, i, j) < width) {
                assert_int_equal(ids[at], j);
                assert_float_equal(n.weights[i * width + at], product(weight, i, j), 1e-5);
                at++;
            }
        for (; at < width; at++) {
            assert_int_equal(ids[at], -1);
            assert_true(n.weights[i * width + at] == 0);
        }
    }
    free(n.ids);
    free(n.weights);
}

/* Without weights many are equal: ties are cut by id. */
static void the_largest_of_each_row_are_kept(void **)
{
    static const int32_t widths[] = {1, 2, 7, ITEMS - 1, 3 * ITEMS};

    for (int w = 0; w < ARRAY_LEN(widths); w++)
        for (int threads = 1; threads <= 3; threads++) {
            omp_set_num_threads(threads);
            assert_largest(NULL, widths[w]);
            assert_largest(user_weight, widths[w]);
        }
}

static void votes_are_the_sums_over_the_history_each_item_once(void **)
{
    static const int32_t history[] = {9, 3, 9, 0, 20, 3};
    struct query q = {-1, history, ARRAY_LEN(history)};
    AUTO(sparse) s = {0};
    AUTO(votes) v = {0};
    struct neighbors n;
    struct err err = {0};
    float out[ITEMS];

    sparse_init(&s, &data.part[DATASET_TRAIN], USERS, ITEMS);
    assert_true(sparse_neighbors(&s, NULL, 5, twice_its_own, NULL, &n, &err));
    votes_init(&v, &n);
    votes_count(&v, &q, ITEMS, out);
    for (int32_t i = 0; i < ITEMS; i++) {
        float want = 0;

        for (int k = 0; k < 5; k++)
            if (n.ids[i * 5 + k] == 9 || n.ids[i * 5 + k] == 3 || n.ids[i * 5 + k] == 20)
                want += n.weights[i * 5 + k];
        assert_float_equal(out[i], want, 1e-5);
    }
    free(n.ids);
    free(n.weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_hold_what_the_dense_matrix_holds),
        cmocka_unit_test(powers_of_no_degree_are_zero),
        cmocka_unit_test(the_largest_of_each_row_are_kept),
        cmocka_unit_test(votes_are_the_sums_over_the_history_each_item_once),
    };

    return cmocka_run_group_tests(tests, make_data, free_data);
}
