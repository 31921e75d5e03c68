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

static void elementwise_loops_follow_their_formulas(void **)
{
    static float a[3 * DIM_MAX], b[3 * DIM_MAX], y[3 * DIM_MAX], in_place[3 * DIM_MAX];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++) {
            int n = dims[d];

            fill(a, 3 * n, 1);
            fill(b, n, 2);
            memcpy(in_place, a, sizeof a);
            (*k)->bias_relu(a, 3, n, b, y);
            (*k)->bias_relu(in_place, 3, n, b, in_place);
            for (int i = 0; i < 3 * n; i++)
                near("bias_relu", (*k)->isa, n, y[i], fmax(0, (double)a[i] + (double)b[i % n]));
            assert_memory_equal(y, in_place, (size_t)(3 * n) * sizeof *y);
            (*k)->relu_slope(in_place, y, 3 * n); /* now y again, or 0 */
            assert_memory_equal(y, in_place, (size_t)(3 * n) * sizeof *y);
            y[0] = 0;
            y[n - 1] = 1;
            (*k)->relu_slope(a, y, n);
            assert_true(n == 1 || a[0] == 0);
            (*k)->product(y, b, n);
            near("product", (*k)->isa, n, y[n - 1], b[n - 1]);
            (*k)->add_product(y, b, b, n);
            near("add_product", (*k)->isa, n, y[n - 1],
                 (double)b[n - 1] + (double)b[n - 1] * (double)b[n - 1]);
        }
}

enum { SIDE_MAX = 70, DEPTH_MAX = 530 };

/* Both strides of a, with and without what is in c, beside columns that are to stay. */
static void check_gemm(const struct kern *kern, int m, int n, int k, bool transposed,
                       bool accumulate)
{
    static float a[SIDE_MAX * DEPTH_MAX], b[DEPTH_MAX * (SIDE_MAX + 2)];
    static float c[SIDE_MAX * (SIDE_MAX + 3)], before[SIDE_MAX * (SIDE_MAX + 3)];
    int a_row = transposed ? 1 : k, a_col = transposed ? m : 1, ldb = n + 2, ldc = n + 3;

    fill(a, m * k, 1);
    fill(b, k * ldb, 2);
    fill(c, m * ldc, 3);
    memcpy(before, c, sizeof c);
    kern->gemm(m, n, k, a, a_row, a_col, b, ldb, c, ldc, accumulate);
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            double want = accumulate ? before[i * ldc + j] : 0;

            for (int l = 0; l < k; l++)
                want += (double)a[i * a_row + l * a_col] * (double)b[l * ldb + j];
            near("gemm", kern->isa, k, c[i * ldc + j], want);
        }
        assert_memory_equal(c + i * ldc + n, before + i * ldc + n, 3 * sizeof *c);
    }
}

static void gemm_is_the_product_of_matrices_of_any_shape(void **)
{
    static const int sides[] = {1, 2, 3, 5, 6, 7, 12, 13, 16, 31, 32, 33, SIDE_MAX};
    static const int depths[] = {0, 1, 2, 17, 64, 256, 257, DEPTH_MAX};

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int m = 0; m < ARRAY_LEN(sides); m++)
            for (int n = 0; n < ARRAY_LEN(sides); n++)
                for (int d = 0; d < ARRAY_LEN(depths); d++)
                    for (int how = 0; how < 4; how++)
                        check_gemm(*k, sides[m], sides[n], depths[d], how & 1, how & 2);
}

static void gemm_has_the_same_bits_however_it_is_cut(void **)
{
    enum { M = 29, N = 67, K = 300 };
    static float a[M * K], b[K * N], whole[M * N], cut[M * N];

    fill(a, M * K, 1);
    fill(b, K * N, 2);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int step = 1; step < M; step++) {
            (*k)->gemm(M, N, K, a, K, 1, b, N, whole, N, false);
            for (int i = 0; i < M; i += step)
                for (int j = 0; j < N; j += 2 * step + 1)
                    (*k)->gemm(MIN(step, M - i), MIN(2 * step + 1, N - j), K, a + i * K, K, 1,
                               b + j, N, cut + i * N + j, N, false);
            assert_memory_equal(whole, cut, sizeof whole);
        }
}

/* Each number as if z were off by a unit in the last place, far out too. */
static void softmax_and_logistic_follow_the_formula(void **)
{
    enum { N = 300 };
    static float x[N], out[N];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int n = 1; n <= N; n += n < 70 ? 1 : 23)
            for (int spread = 1; spread <= 64; spread *= 8) {
                const float scale = 0.7f, weight = 3;
                double most = -INFINITY, sum = 0, loss = 0, slope = 0, log_sum;
                struct kern_sums got;

                fill(x, n, (uint64_t)n);
                for (int c = 0; c < n; c++)
                    most = fmax(most, x[c] *= (float)spread);
                for (int c = 0; c < n; c++)
                    sum += exp((x[c] - most) * scale);
                log_sum = (*k)->softmax(x, n, scale, weight, out);
                near("log sum", (*k)->isa, n, log_sum, most * scale + log(sum));
                for (int c = 0; c < n; c++)
                    near("share", (*k)->isa, n, out[c], weight * exp((x[c] - most) * scale) / sum);
                got = (*k)->logistic(x, n, 0.25f, out);
                for (int c = 0; c < n; c++) {
                    double z = x[c] - 0.25f, s = 1 / (1 + exp(-z));

                    loss += z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
                    slope += s;
                    if (!(fabs(out[c] - s) <= s * (4e-7 + 7e-8 * fabs(z))))
                        fail_msg("%s: sigmoid(%g) is %g, not %g", (*k)->isa, z, out[c], s);
                }
                near("loss", (*k)->isa, n, got.loss, loss);
                near("slopes", (*k)->isa, n, got.slope, slope);
                assert_int_equal(got.n, n);
            }
}

static void what_is_minus_infinity_does_not_count(void **)
{
    static float x[100], out[100], shorter[100];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int n = 2; n < ARRAY_LEN(x); n++) {
            struct kern_sums got;

            fill(x, n, (uint64_t)n);
            x[n - 1] = -INFINITY;
            near("log sum", (*k)->isa, n, (*k)->softmax(x, n, 2, 1, out),
                 (*k)->softmax(x, n - 1, 2, 1, shorter));
            assert_true(out[n - 1] == 0);
            got = (*k)->logistic(x, n, 0, out);
            near("loss", (*k)->isa, n, got.loss, (*k)->logistic(x, n - 1, 0, shorter).loss);
            assert_true(out[n - 1] == 0);
            assert_int_equal(got.n, n - 1);
            assert_true((*k)->softmax(x + n - 1, 1, 2, 1, out) == -INFINITY && out[0] == 0);
        }
}

static void what_is_later_is_masked(void **)
{
    enum { N = 100 };
    static float x[N], out[N];
    static int32_t since[N];

    fill(x, N, 1);
    x[3] = -INFINITY;
    for (int c = 0; c < N; c++)
        since[c] = c % 5 == 4 ? INT32_MIN : c % 7;
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int n = 0; n < N; n++)
            for (int32_t when = -1; when < 8; when++) {
                int want = 0, got = (*k)->mask_later(x, since, n, when, out);

                for (int c = 0; c < n; c++) {
                    bool later = since[c] > when;

                    assert_true(out[c] == (later ? -INFINITY : x[c]));
                    want += !later && c != 3;
                }
                assert_int_equal(got, want);
            }
}

static void scaled_and_add_scaled_follow_the_formula(void **)
{
    static float x[DIM_MAX], y[DIM_MAX], sum[DIM_MAX];

    fill(x, DIM_MAX, 1);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++) {
            fill(sum, DIM_MAX, 2);
            fill(y, DIM_MAX, 2);
            (*k)->add_scaled(sum, 1.5f, x, dims[d]);
            for (int c = 0; c < DIM_MAX; c++)
                near("sum", (*k)->isa, 1, sum[c], y[c] + (c < dims[d] ? 1.5 * x[c] : 0));
            (*k)->scaled(sum, -2, x, dims[d]);
            (*k)->scaled(sum, -2, sum, dims[d]);
            for (int c = 0; c < dims[d]; c++)
                near("product", (*k)->isa, 1, sum[c], 4 * x[c]);
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
        cmocka_unit_test(elementwise_loops_follow_their_formulas),
        cmocka_unit_test(gemm_is_the_product_of_matrices_of_any_shape),
        cmocka_unit_test(gemm_has_the_same_bits_however_it_is_cut),
        cmocka_unit_test(softmax_and_logistic_follow_the_formula),
        cmocka_unit_test(what_is_minus_infinity_does_not_count),
        cmocka_unit_test(what_is_later_is_masked),
        cmocka_unit_test(scaled_and_add_scaled_follow_the_formula),
        cmocka_unit_test(any_above_is_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
