/* Factorisations against their definitions. */
#include "kern/lapack.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { MAX = 130 };

static const int sizes[] = {1, 2, 7, 64, MAX};

static void fill(float *x, int n, uint64_t key)
{
    rng_fill(x, n, 1, key);
}

/* x x^T + n 1, (n, n), positive definite. */
static void make_definite(int n, float *a)
{
    static float x[MAX * MAX];

    fill(x, n * n, (uint64_t)n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = i == j ? n : 0;

            for (int k = 0; k < n; k++)
                sum += (double)x[i * n + k] * x[j * n + k];
            a[i * n + j] = (float)sum;
        }
}

static void load(void)
{
    struct err err = {0};

    if (!lapack_load(&err))
        fail_msg("%s", err.msg);
}

static void eigenvectors_are_stretched_by_their_values(void **)
{
    static double a[MAX * MAX], v[MAX * MAX], values[MAX];
    static float f[MAX * MAX];

    load();
    for (int s = 0; s < ARRAY_LEN(sizes); s++) {
        int n = sizes[s];

        make_definite(n, f);
        for (int k = 0; k < n * n; k++)
            a[k] = v[k] = (double)f[k];
        for (int i = 0; i < n; i++)
            for (int j = i + 1; j < n; j++)
                v[i * n + j] = NAN; /* the upper triangle isn't read */
        assert_true(lapack_eigen(n, v, values));
        for (int r = 0; r < n; r++) {
            double norm = 0;

            assert_true(r == 0 || values[r] >= values[r - 1]);
            for (int i = 0; i < n; i++) {
                double sum = 0;

                norm += v[r * n + i] * v[r * n + i];
                for (int j = 0; j < n; j++)
                    sum += a[i * n + j] * v[r * n + j];
                assert_true(fabs(sum - values[r] * v[r * n + i]) < 1e-9 * n * n);
            }
            assert_true(fabs(norm - 1) < 1e-12);
        }
    }
}

static void systems_are_solved(void **)
{
    enum { RIGHTS = 3 };
    static float a[MAX * MAX], l[MAX * MAX], b[RIGHTS * MAX], x[RIGHTS * MAX];

    load();
    for (int s = 0; s < ARRAY_LEN(sizes); s++) {
        int n = sizes[s];

        make_definite(n, a);
        memcpy(l, a, sizeof l);
        fill(b, RIGHTS * n, 3);
        memcpy(x, b, sizeof x);
        assert_true(lapack_cholesky(n, l));
        lapack_solve(n, l, RIGHTS, x);
        for (int r = 0; r < RIGHTS; r++)
            for (int i = 0; i < n; i++) {
                double sum = 0;

                for (int j = 0; j < n; j++)
                    sum += (double)a[i * n + j] * x[r * n + j];
                assert_true(fabs(sum - b[r * n + i]) < 1e-4);
            }
        assert_true(lapack_invert(n, l));
        for (int r = 0; r < RIGHTS; r++) /* the inverse times b is the solution */
            for (int i = 0; i < n; i++) {
                double sum = 0;

                for (int j = 0; j < n; j++)
                    sum += (double)(j <= i ? l[i * n + j] : l[j * n + i]) * b[r * n + j];
                assert_true(fabs(sum - x[r * n + i]) < 1e-4);
            }
    }
    a[0] = -1;
    assert_false(lapack_cholesky(MAX, a));
}

static void rows_become_orthonormal_and_span_the_same(void **)
{
    enum { ROWS = 5 };
    static float a[ROWS * MAX], q[ROWS * MAX];

    load();
    fill(a, ROWS * MAX, 9);
    memcpy(q, a, sizeof q);
    assert_true(lapack_orthonormal(ROWS, MAX, q));
    for (int r = 0; r < ROWS; r++) {
        double left[MAX];

        for (int i = 0; i < MAX; i++)
            left[i] = (double)a[r * MAX + i];
        for (int t = 0; t < ROWS; t++) {
            double dot = 0, part = 0;

            for (int i = 0; i < MAX; i++) {
                dot += (double)q[r * MAX + i] * q[t * MAX + i];
                part += (double)a[r * MAX + i] * q[t * MAX + i];
            }
            assert_true(fabs(dot - (r == t)) < 1e-5);
            for (int i = 0; i < MAX; i++)
                left[i] -= part * q[t * MAX + i];
        }
        for (int i = 0; i < MAX; i++)
            assert_true(fabs(left[i]) < 1e-5);
    }
    q[7] = NAN;
    assert_false(lapack_orthonormal(ROWS, MAX, q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenvectors_are_stretched_by_their_values),
        cmocka_unit_test(systems_are_solved),
        cmocka_unit_test(rows_become_orthonormal_and_span_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
