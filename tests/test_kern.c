/* Every variant of the kernels against the plain definition, in double. */
#include "kern/kern.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { DIM_MAX = 200, QUERIES = 5, ITEMS = 37 };
static const int dims[] = {1,  2,  3,  7,  8,  15, 16,  17,  24,
                           31, 32, 33, 63, 64, 65, 100, 128, DIM_MAX};

static void fill(float *x, int n, uint64_t key)
{
    struct rng r;

    rng_init(&r, key);
    for (int k = 0; k < n; k++)
        x[k] = (float)(2 * rng_uniform(&r) - 1);
}

static double plain_dot(const float *a, const float *b, int dim)
{
    double sum = 0;

    for (int k = 0; k < dim; k++)
        sum += (double)a[k] * (double)b[k];
    return sum;
}

static void near(const char *what, const char *isa, int dim, double got, double want)
{
    if (!(fabs(got - want) <= 1e-5 * (1 + fabs(want)) * sqrt(dim)))
        fail_msg("%s, %s, dim %d: got %.9g, want %.9g", what, isa, dim, got, want);
}

static void scores_are_dot_products(void **)
{
    static float q[QUERIES * DIM_MAX], items[ITEMS * DIM_MAX], out[QUERIES * (ITEMS + 3)];
    const float *rows[QUERIES];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++) {
            int dim = dims[d];

            fill(q, QUERIES * dim, (uint64_t)dim);
            fill(items, ITEMS * dim, (uint64_t)dim + 1000);
            for (int r = 0; r < QUERIES; r++)
                rows[r] = q + r * dim;
            (*k)->scores(rows, QUERIES, items, ITEMS, dim, out, ITEMS + 3);
            for (int r = 0; r < QUERIES; r++)
                for (int c = 0; c < ITEMS; c++)
                    near("scores", (*k)->isa, dim, out[r * (ITEMS + 3) + c],
                         plain_dot(rows[r], items + c * dim, dim));
        }
}

static void scores_have_the_same_bits_however_they_are_cut(void **)
{
    static float q[QUERIES * DIM_MAX], items[ITEMS * DIM_MAX], out[QUERIES * ITEMS];
    const float *rows[QUERIES];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++) {
            int dim = dims[d];

            fill(q, QUERIES * dim, (uint64_t)dim);
            fill(items, ITEMS * dim, (uint64_t)dim + 1000);
            for (int r = 0; r < QUERIES; r++)
                rows[r] = q + r * dim;
            (*k)->scores(rows, QUERIES, items, ITEMS, dim, out, ITEMS);
            for (int r = 0; r < QUERIES; r++)
                for (int c = 0; c < ITEMS; c++) {
                    float alone;

                    (*k)->scores(&rows[r], 1, items + c * dim, 1, dim, &alone, 1);
                    assert_memory_equal(&alone, &out[r * ITEMS + c], sizeof alone);
                }
        }
}

static void dot_follows_the_formula(void **)
{
    static float a[DIM_MAX], b[DIM_MAX];

    fill(a, DIM_MAX, 1);
    fill(b, DIM_MAX, 2);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++)
            near("dot", (*k)->isa, dims[d], (*k)->dot(a, b, dims[d]), plain_dot(a, b, dims[d]));
}

static void bpr_step_follows_the_formula(void **)
{
    static float u[DIM_MAX], i[DIM_MAX], j[DIM_MAX], u0[DIM_MAX], i0[DIM_MAX], j0[DIM_MAX];
    const float lr = 0.1f;
    const struct kern_l2 l2 = {0.02f, 0.05f, 0.4f};

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++) {
            int dim = dims[d];
            double x, g;

            fill(u, dim, 1);
            fill(i, dim, 2);
            fill(j, dim, 3);
            memcpy(u0, u, sizeof u);
            memcpy(i0, i, sizeof i);
            memcpy(j0, j, sizeof j);
            x = plain_dot(u0, i0, dim) - plain_dot(u0, j0, dim);
            g = (double)lr / (1 + exp(x));
            near("x", (*k)->isa, dim, (*k)->bpr_step(u, i, j, dim, lr, l2), x);
            for (int c = 0; c < dim; c++) {
                double uc = u0[c], ic = i0[c], jc = j0[c];

                near("user", (*k)->isa, dim, u[c], (1 - lr * l2.u) * uc + g * (ic - jc));
                near("positive", (*k)->isa, dim, i[c], (1 - lr * l2.i) * ic + g * uc);
                near("negative", (*k)->isa, dim, j[c], (1 - lr * l2.j) * jc - g * uc);
            }
        }
}

static void bpr_step_stays_finite_for_scores_far_apart(void **)
{
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int sign = -1; sign <= 1; sign += 2) {
            const struct kern_l2 l2 = {0.01f, 0.01f, 0.01f};
            float u = 100, i = (float)sign * 100, j = 0;

            near("x", (*k)->isa, 1, (*k)->bpr_step(&u, &i, &j, 1, 0.1f, l2), sign * 1e4);
            assert_true(isfinite(u) && isfinite(i) && isfinite(j));
        }
}

static void any_above_is_strict(void **)
{
    static float x[200];

    for (const struct kern *const *k = kern_all(); *k; k++) {
        assert_false((*k)->any_above(x, 0, -INFINITY));
        for (int n = 1; n < ARRAY_LEN(x); n++) {
            assert_false((*k)->any_above(x, n, 0));
            assert_true((*k)->any_above(x, n, -INFINITY));
            x[n - 1] = 1;
            assert_true((*k)->any_above(x, n, 0));
            assert_false((*k)->any_above(x, n - 1, 0));
            assert_false((*k)->any_above(x, n, 1));
            x[n - 1] = -INFINITY;
            assert_false((*k)->any_above(x + n - 1, 1, -INFINITY));
            x[n - 1] = 0;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_dot_products),
        cmocka_unit_test(scores_have_the_same_bits_however_they_are_cut),
        cmocka_unit_test(dot_follows_the_formula),
        cmocka_unit_test(bpr_step_follows_the_formula),
        cmocka_unit_test(bpr_step_stays_finite_for_scores_far_apart),
        cmocka_unit_test(any_above_is_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
