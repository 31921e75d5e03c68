/* Singular vectors of interactions against eigenvectors of the whole matrix written out. */
#include "model/lowrank.h"

#include "kern/lapack.h"
#include "model/dense.h"

#include "made.h"
#include "test.h"

#include <math.h>
#include <omp.h>

enum { USERS = 150, ITEMS = 110, DIM = 6 };

static struct dataset data;

static int make_data(void **)
{
    made_dataset(&data, USERS, ITEMS, 3);
    return 0;
}

static int free_data(void **)
{
    made_release(&data);
    return 0;
}

static const struct interactions *train(void)
{
    return &data.part[DATASET_TRAIN];
}

/* S^T S and its eigenvectors, values rising. */
static void write_out(const float *user_scale, const float *item_scale, double *gram,
                      double *vectors, double *values)
{
    static double s[USERS][ITEMS];
    struct err err = {0};

    memset(s, 0, sizeof s);
    for (int32_t u = 0; u < USERS; u++)
        for (int64_t k = train()->offsets[u]; k < train()->offsets[u + 1]; k++) {
            int32_t i = train()->items[k];

            s[u][i] += (double)(user_scale ? user_scale[u] : 1) * (item_scale ? item_scale[i] : 1);
        }
    for (int i = 0; i < ITEMS; i++)
        for (int j = 0; j < ITEMS; j++) {
            gram[i * ITEMS + j] = 0;
            for (int u = 0; u < USERS; u++)
                gram[i * ITEMS + j] += s[u][i] * s[u][j];
        }
    memcpy(vectors, gram, ITEMS * ITEMS * sizeof *vectors);
    assert_ok(lapack_load(&err), err);
    assert_true(lapack_eigen(ITEMS, vectors, values));
}

static void check_against_eigenvectors(const float *user_scale, const float *item_scale)
{
    static double gram[ITEMS * ITEMS], vectors[ITEMS * ITEMS], want[ITEMS];
    static float values[DIM], items[ITEMS * DIM];
    struct lowrank_plan plan = {DIM, 10, user_scale, item_scale, 5};
    struct err err = {0};

    write_out(user_scale, item_scale, gram, vectors, want);
    assert_ok(lowrank_items(train(), USERS, ITEMS, &plan, values, items, &err), err);
    for (int c = 0; c < DIM; c++) {
        const double *vector = vectors + (ITEMS - 1 - c) * ITEMS;
        double cosine = 0, length = 0;

        if (fabs(values[c] - sqrt(want[ITEMS - 1 - c])) > 1e-4 * sqrt(want[ITEMS - 1]))
            fail_msg("value %d: got %g, want %g", c, values[c], sqrt(want[ITEMS - 1 - c]));
        for (int i = 0; i < ITEMS; i++) {
            cosine += vector[i] * items[i * DIM + c];
            length += (double)items[i * DIM + c] * items[i * DIM + c];
        }
        if (fabs(fabs(cosine) - 1) > 1e-3 || fabs(length - 1) > 1e-5)
            fail_msg("vector %d: cosine %g, length %g", c, cosine, length);
    }
}

static void values_and_vectors_are_those_of_the_matrix(void **)
{
    check_against_eigenvectors(NULL, NULL);
}

static void rows_and_columns_are_scaled(void **)
{
    float user_scale[USERS], item_scale[ITEMS];

    for (int u = 0; u < USERS; u++)
        user_scale[u] = 1.0f / (1 + u % 7);
    for (int i = 0; i < ITEMS; i++)
        item_scale[i] = 0.5f + i % 5;
    check_against_eigenvectors(user_scale, NULL);
    check_against_eigenvectors(NULL, item_scale);
    check_against_eigenvectors(user_scale, item_scale);
}

static void any_number_of_threads_gives_the_same_bits(void **)
{
    static float values[2][DIM], items[2][ITEMS * DIM];
    struct lowrank_plan plan = {DIM, 3, NULL, NULL, 5};
    struct err err = {0};
    int threads = omp_get_max_threads();

    for (int n = 0; n < 2; n++) {
        omp_set_num_threads(n ? 3 : 1);
        assert_ok(lowrank_items(train(), USERS, ITEMS, &plan, values[n], items[n], &err), err);
    }
    omp_set_num_threads(threads);
    assert_memory_equal(values[0], values[1], sizeof values[0]);
    assert_memory_equal(items[0], items[1], sizeof items[0]);
}

/* Two users, three items: rank 2, of which one can say what it is. */
static void beyond_the_rank_all_is_zero(void **)
{
    int64_t offsets[] = {0, 2, 3};
    int32_t ids[] = {0, 1, 2};
    const struct interactions rows = {offsets, ids, NULL, 3};
    struct lowrank_plan plan = {4, 4, NULL, NULL, 1};
    const float want[] = {sqrtf(2), 1, 0, 0};
    float values[4], items[12];
    struct err err = {0};

    assert_ok(lowrank_items(&rows, 2, 3, &plan, values, items, &err), err);
    for (int c = 0; c < 4; c++)
        assert_true(fabsf(values[c] - want[c]) < 1e-5f);
    for (int i = 0; i < 3; i++) {
        const float *row = items + i * 4;

        assert_true(fabsf(fabsf(row[0]) - (i < 2 ? sqrtf(0.5f) : 0)) < 1e-5f);
        assert_true(fabsf(fabsf(row[1]) - (i < 2 ? 0 : 1)) < 1e-5f);
        assert_true(row[2] == 0 && row[3] == 0);
    }
    offsets[1] = offsets[2] = 0; /* nothing at all */
    assert_ok(lowrank_items(&(struct interactions){offsets, ids, NULL, 0}, 2, 3, &plan, values,
                            items, &err),
              err);
    for (int i = 0; i < 12; i++)
        assert_true(items[i] == 0 && values[i % 4] == 0);
}

static void grams_and_products_follow_the_formula(void **)
{
    enum { N = 2500, K = 70, M = 9 };
    float *x = xaligned(N * K, sizeof *x), *out = xaligned(N * M, sizeof *out), w[K * M];
    double *gram = xaligned(K * K, sizeof *gram);

    rng_fill(x, N * K, 1, 7);
    rng_fill(w, K * M, 1, 8);
    dense_gram(x, N, K, gram);
    for (int i = 0; i < K; i++)
        for (int j = 0; j < K; j++) {
            double want = 0;

            for (int r = 0; r < N; r++)
                want += (double)x[r * K + i] * x[r * K + j];
            if (fabs(gram[i * K + j] - want) > 1e-3)
                fail_msg("gram %d, %d: got %g, want %g", i, j, gram[i * K + j], want);
        }
    dense_product(x, N, K, w, M, out);
    for (int r = 0; r < N; r += 7)
        for (int c = 0; c < M; c++) {
            double want = 0;

            for (int l = 0; l < K; l++)
                want += (double)x[r * K + l] * w[l * M + c];
            assert_true(fabs(out[r * M + c] - want) < 1e-4);
        }
    free(x);
    free(out);
    free(gram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_vectors_are_those_of_the_matrix),
        cmocka_unit_test(rows_and_columns_are_scaled),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(beyond_the_rank_all_is_zero),
        cmocka_unit_test(grams_and_products_follow_the_formula),
    };

    return cmocka_run_group_tests(tests, make_data, free_data);
}
