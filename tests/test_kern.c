/* Every variant of the kernels against the plain definition, in double. */
#include "kern/kern.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { DIM_MAX = 200, QUERIES = 37, ITEMS = 37 };
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
    static float q[QUERIES * DIM_MAX], items[ITEMS * DIM_MAX], out[QUERIES * ITEMS];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++)
            for (int n = 1; n <= QUERIES; n++) {
                int dim = dims[d];

                fill(q, n * dim, (uint64_t)dim);
                fill(items, ITEMS * dim, (uint64_t)dim + 1000);
                (*k)->scores(q, n, items, ITEMS, dim, out);
                for (int r = 0; r < n; r++)
                    for (int c = 0; c < ITEMS; c++)
                        near("scores", (*k)->isa, dim, out[c * n + r],
                             plain_dot(q + r * dim, items + c * dim, dim));
            }
}

static void scores_have_the_same_bits_however_they_are_cut(void **)
{
    static float q[QUERIES * DIM_MAX], items[ITEMS * DIM_MAX], out[QUERIES * ITEMS];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++) {
            int dim = dims[d];

            fill(q, QUERIES * dim, (uint64_t)dim);
            fill(items, ITEMS * dim, (uint64_t)dim + 1000);
            (*k)->scores(q, QUERIES, items, ITEMS, dim, out);
            for (int r = 0; r < QUERIES; r++)
                for (int c = 0; c < ITEMS; c++) {
                    float alone;

                    (*k)->scores(q + r * dim, 1, items + c * dim, 1, dim, &alone);
                    assert_memory_equal(&alone, &out[c * QUERIES + r], sizeof alone);
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

static void best_of_finds_the_largest_product(void **)
{
    static float q[DIM_MAX], rows[ITEMS * DIM_MAX];
    static const int32_t ids[] = {3, -1, 30, 7, 30, 12, 36, 0}, none[] = {-1, -1};

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++) {
            int dim = dims[d], want = 0;

            fill(q, dim, 1);
            fill(rows, ITEMS * dim, 2);
            for (int c = 1; c < ARRAY_LEN(ids); c++)
                if (ids[c] >= 0 && plain_dot(q, rows + ids[c] * dim, dim) >
                                       plain_dot(q, rows + ids[want] * dim, dim))
                    want = c;
            assert_int_equal((*k)->best_of(q, rows, ids, ARRAY_LEN(ids), dim), want);
            assert_int_equal((*k)->best_of(q, rows, none, 2, dim), -1);
            memcpy(rows + 12 * dim, q, (size_t)dim * sizeof *q); /* then no other comes near */
            for (int c = 0; c < dim; c++)
                rows[12 * dim + c] *= 100;
            assert_int_equal((*k)->best_of(q, rows, ids, ARRAY_LEN(ids), dim), 5);
        }
}

enum { TRIPLES = 45 };

/* Three rows of doubles for the steps in plain arithmetic. */
struct plain {
    double users[TRIPLES][DIM_MAX], items[2 * TRIPLES][DIM_MAX], bias[2 * TRIPLES];
};

static double plain_margin(const struct plain *p, int k, int dim)
{
    double x = p->bias[k] - p->bias[TRIPLES + k];

    for (int c = 0; c < dim; c++)
        x += p->users[k][c] * (p->items[k][c] - p->items[TRIPLES + k][c]);
    return x;
}

static void plain_step(struct plain *p, int k, int dim, double lr, struct kern_l2 l2)
{
    double g = lr / (1 + exp(plain_margin(p, k, dim)));

    for (int c = 0; c < dim; c++) {
        double u = p->users[k][c], i = p->items[k][c], j = p->items[TRIPLES + k][c];

        p->users[k][c] = (1 - lr * (double)l2.u) * u + g * (i - j);
        p->items[k][c] = (1 - lr * (double)l2.i) * i + g * u;
        p->items[TRIPLES + k][c] = (1 - lr * (double)l2.j) * j - g * u;
    }
    p->bias[k] = (1 - lr * (double)l2.i) * p->bias[k] + g;
    p->bias[TRIPLES + k] = (1 - lr * (double)l2.j) * p->bias[TRIPLES + k] - g;
}

/* Each triple has rows of its own, so that no order of steps makes a difference. */
static void check_steps(const struct kern *kern, int dim, int n, bool biased)
{
    static float users[TRIPLES * DIM_MAX], items[2 * TRIPLES * DIM_MAX], bias[2 * TRIPLES];
    static struct plain p;
    const float lr = 0.1f;
    const struct kern_l2 l2 = {0.02f, 0.05f, 0.4f};
    int32_t own[TRIPLES], other[TRIPLES];
    float margins[TRIPLES + KERN_GROUP];

    fill(users, TRIPLES * dim, 1);
    fill(items, 2 * TRIPLES * dim, 2);
    fill(bias, 2 * TRIPLES, 3);
    for (int t = 0; t < 2 * TRIPLES; t++) {
        p.bias[t] = biased ? bias[t] : 0;
        for (int c = 0; c < dim; c++)
            p.items[t][c] = items[t * dim + c];
    }
    for (int t = 0; t < TRIPLES; t++) {
        other[t] = TRIPLES + (own[t] = t);
        for (int c = 0; c < dim; c++)
            p.users[t][c] = users[t * dim + c];
    }
    kern->bpr_steps(
        &(struct kern_triples){own, own, other, n, users, items, biased ? bias : NULL, dim}, lr, l2,
        margins);
    for (int t = 0; t < n; t++) {
        near("margin", kern->isa, dim, margins[t], plain_margin(&p, t, dim));
        plain_step(&p, t, dim, lr, l2);
        for (int c = 0; c < dim; c++) {
            near("user", kern->isa, dim, users[t * dim + c], p.users[t][c]);
            near("positive", kern->isa, dim, items[t * dim + c], p.items[t][c]);
            near("negative", kern->isa, dim, items[(TRIPLES + t) * dim + c],
                 p.items[TRIPLES + t][c]);
        }
        if (biased) {
            near("bias", kern->isa, dim, bias[t], p.bias[t]);
            near("bias", kern->isa, dim, bias[TRIPLES + t], p.bias[TRIPLES + t]);
        }
    }
}

static void bpr_steps_follow_the_formula(void **)
{
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++)
            for (int biased = 0; biased < 2; biased++)
                check_steps(*k, dims[d], TRIPLES - d, biased); /* groups whole, and not */
}

/* All triples share their rows: each step must start from what the one before has left. With a
 * margin that hardly moves, the sum of the steps is that of one, times their number. */
static void bpr_steps_lose_no_step_on_a_shared_row(void **)
{
    static const int32_t zero[TRIPLES];
    int32_t one[TRIPLES];
    float margins[TRIPLES + KERN_GROUP];

    for (int k = 0; k < TRIPLES; k++)
        one[k] = 1;
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int n = 1; n <= TRIPLES; n++) {
            float user = 1, items[2] = {0.5f, -0.5f};
            const float lr = 1e-4f, slope = lr / (1 + expf(1));
            const struct kern_l2 none = {0};

            (*k)->bpr_steps(&(struct kern_triples){zero, zero, one, n, &user, items, NULL, 1}, lr,
                            none, margins);
            assert_true(fabsf(items[0] - 0.5f - (float)n * slope) < 0.01f * (float)n * slope);
            assert_true(fabsf(items[1] + 0.5f + (float)n * slope) < 0.01f * (float)n * slope);
            assert_true(fabsf(user - 1 - (float)n * slope) < 0.01f * (float)n * slope);
        }
}

static void bpr_steps_stay_finite_for_scores_far_apart(void **)
{
    static const int32_t zero[] = {0}, one[] = {1};
    float margins[KERN_GROUP];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int sign = -1; sign <= 1; sign += 2) {
            const struct kern_l2 l2 = {0.01f, 0.01f, 0.01f};
            float user = 100, items[] = {(float)sign * 100, 0};

            (*k)->bpr_steps(&(struct kern_triples){zero, zero, one, 1, &user, items, NULL, 1}, 0.1f,
                            l2, margins);
            near("margin", (*k)->isa, 1, margins[0], sign * 1e4);
            assert_true(isfinite(user) && isfinite(items[0]) && isfinite(items[1]));
        }
}

/* A look that says no must be right; one that always says yes would be no use. */
static void may_have_never_denies_what_is_there(void **)
{
    enum { N = 600 };
    static int32_t owners[N], ids[N], others[N];
    static bool maybe[N];

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int n = 0; n < N; n += 1 + n / 8) {
            struct rng r;
            int denied = 0;

            rng_init(&r, (uint64_t)n);
            for (int c = 0; c < n; c++) {
                owners[c] = c ? owners[c - 1] + (rng_below(&r, 3) == 0) : 0;
                ids[c] = (int32_t)rng_below(&r, 40);
                others[c] = (int32_t)rng_below(&r, 40);
            }
            for (int c = 0; c < n; c += 100) /* in pieces */
                (*k)->may_have(owners, ids, n, others + c, c, MIN(100, n - c), maybe + c);
            for (int c = 0; c < n; c++) {
                bool has = false;

                for (int o = 0; o < n; o++)
                    has |= owners[o] == owners[c] && ids[o] == others[c];
                assert_true(maybe[c] || !has);
                denied += !maybe[c];
            }
            assert_true(n < 100 || denied > n / 2);
        }
}

static void holds_looks_at_all(void **)
{
    static const int32_t ids[] = {4, 9, 2, 7, 7, 1, 30, 12, 5, 6, 11};

    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int n = 0; n <= ARRAY_LEN(ids); n++)
            for (int c = 0; c < ARRAY_LEN(ids); c++) {
                bool want = false;

                for (int o = 0; o < n; o++)
                    want |= ids[o] == ids[c];
                assert_int_equal((*k)->holds(ids, n, ids[c]), want);
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
            (*k)->product(y, y, b, n);
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

static void above_lists_what_beats_its_limit(void **)
{
    enum { COUNT = 9, N_MAX = 70 };
    static float x[COUNT * N_MAX], limits[N_MAX];
    static int32_t found[COUNT * N_MAX];

    fill(x, COUNT * N_MAX, 5);
    fill(limits, N_MAX, 6);
    x[3] = limits[0] = -INFINITY;
    x[4] = NAN;
    limits[1] = x[1]; /* equal isn't above */
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int n = 1; n <= N_MAX; n++) {
            int n_found = (*k)->above(x, COUNT, n, limits, found), at = 0;

            for (int c = 0; c < COUNT * n; c++)
                if (x[c] > limits[c % n]) {
                    assert_true(at < n_found);
                    assert_int_equal(found[at++], c);
                }
            assert_int_equal(at, n_found);
            assert_int_equal((*k)->above(x, 0, n, limits, found), 0);
        }
}

static void sum_rows_follows_the_formula(void **)
{
    static float rows[ITEMS * DIM_MAX], out[DIM_MAX], weights[ITEMS];
    static const int32_t ids[] = {3, 30, 3, 7, 12, 36, 0, 11, 5};

    fill(rows, ITEMS * DIM_MAX, 1);
    fill(weights, ITEMS, 2);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++)
            for (int n = 0; n <= 2 * ARRAY_LEN(ids); n++) {
                const float *by = n % 2 ? weights : NULL;

                (*k)->sum_rows(rows, ids, n / 2, by, dims[d], out);
                for (int c = 0; c < dims[d]; c++) {
                    double want = 0;

                    for (int r = 0; r < n / 2; r++)
                        want += (double)(by ? by[ids[r]] : 1) * rows[ids[r] * dims[d] + c];
                    near("sum_rows", (*k)->isa, dims[d], out[c], want);
                }
            }
}

static void row_products_are_the_lower_triangle_of_all_pairs(void **)
{
    static float x[ITEMS * 300], out[ITEMS * ITEMS];
    static const int some[] = {1, 8, 63, 65, 255, 257, 300};

    fill(x, ITEMS * 300, 4);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(some); d++)
            for (int n = 1; n <= ITEMS; n++) {
                (*k)->row_products(x, n, some[d], out);
                for (int i = 0; i < n; i++)
                    for (int j = 0; j <= i; j++)
                        near("row_products", (*k)->isa, some[d], out[i * n + j],
                             plain_dot(x + i * some[d], x + j * some[d], some[d]));
            }
}

/* x x^T + 1, and its product with a known x. */
static void cholesky_solves_definite_systems(void **)
{
    enum { N_MAX = 300 };
    static float x[N_MAX * 8], a[N_MAX * N_MAX], b[N_MAX], want[N_MAX];
    static const int some[] = {1, 2, 7, 31, 32, 33, 64, 65, 100, 290, N_MAX};

    fill(x, N_MAX * 8, 5);
    fill(want, N_MAX, 6);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int s = 0; s < ARRAY_LEN(some); s++) {
            int n = some[s];

            for (int i = 0; i < n; i++) {
                double sum = 0;

                for (int j = 0; j < n; j++) {
                    double product = plain_dot(x + i * 8, x + j * 8, 8) + (i == j);

                    a[i * n + j] = j > i ? NAN : (float)product; /* which isn't read */
                    sum += product * want[j];
                }
                b[i] = (float)sum;
            }
            assert_true((*k)->cholesky(n, a));
            (*k)->cholesky_solve(n, a, b);
            for (int i = 0; i < n; i++)
                if (!(fabs(b[i] - want[i]) < 1e-4))
                    fail_msg("%s, n %d: x[%d] is %g, want %g", (*k)->isa, n, i, b[i], want[i]);
            for (int i = 0; i < n * n; i++)
                a[i] = 1; /* of rank 1 */
            assert_int_equal((*k)->cholesky(n, a), n == 1);
            a[0] = NAN;
            assert_false((*k)->cholesky(n, a));
        }
}

/* 2^-140 is there but for between the two. */
static void numbers_that_have_all_but_vanished_are_0_where_asked(void **)
{
    volatile float tiny = 0x1p-100f, by = 0x1p-40f;
    unsigned before;

    assert_true(tiny * by > 0);
    before = kern_flush_subnormals();
#if defined(__x86_64__) || defined(__aarch64__)
    assert_true(tiny * by == 0);
#endif
    kern_restore_subnormals(before);
    assert_true(tiny * by > 0);
}

static void what_reaches_follows_the_formula(void **)
{
    enum { MOST = 53, GROUPS = 4, ROOM = GROUPS * KERN_BYTES, WIDE = 72 };
    static int8_t x[WIDE];
    static uint8_t bytes[ROOM * WIDE];
    static float scale[ROOM], error[ROOM], tail[ROOM], length[ROOM], bias[ROOM];
    const struct kern_bytes rows = {bytes, scale, error, tail, length, bias};
    const struct kern_bound bound = {0.5F, 0.25F, 0.75F, 2, 300};
    struct rng r;

    rng_init(&r, 3);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int width = 8; width <= WIDE; width += 8)
            for (int n = 1; n <= MOST; n++) {
                int32_t found[MOST], n_found, at = 0;

                for (int i = 0; i < width; i++)
                    x[i] = (int8_t)(n % 5 ? (int)rng_below(&r, 127) - 63 : n % 2 ? 63 : -63);
                for (int i = 0; i < ROOM * width; i++)
                    bytes[i] = (uint8_t)(n % 5 ? rng_below(&r, 256) : 255);
                for (int i = 0; i < n; i++) {
                    scale[i] = 0.01F;
                    error[i] = (float)rng_below(&r, 8);
                    tail[i] = (float)rng_below(&r, 8);
                    length[i] = (float)rng_below(&r, 8);
                    bias[i] = (float)rng_below(&r, 400);
                }
                n_found = (*k)->reaching(x, &rows, n, width, bound, found);
                for (int i = 0; i < n; i++) {
                    const uint8_t *group = bytes + i / KERN_BYTES * KERN_BYTES * width;
                    double most = 0.25 * (double)error[i] + 0.75 * (double)tail[i] +
                                  2 * (double)length[i] + (double)bias[i];
                    bool is = at < n_found && found[at] == i;

                    for (int l = 0; l < width; l++)
                        most += 0.005 * x[l] *
                                (group[l / 4 * 4 * KERN_BYTES + i % KERN_BYTES * 4 + l % 4] -
                                 KERN_BYTE_ZERO);
                    at += is;
                    assert_true(is == (most >= 300) || fabs(most - 300) < 0.01);
                }
                assert_int_equal(at, n_found);
            }
}

static void picked_scores_are_those_of_scores(void **)
{
    enum { MOST = 21, ROWS = 40, DIM = 70 };
    static float query[DIM], rows[ROWS * DIM];
    struct rng r;

    rng_init(&r, 4);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int dim = 1; dim <= DIM; dim += 3)
            for (int n = 0; n <= MOST; n++) {
                int32_t ids[MOST];
                float got[MOST], want;

                for (int i = 0; i < dim; i++)
                    query[i] = (float)rng_uniform(&r) - 0.5F;
                for (int i = 0; i < ROWS * dim; i++)
                    rows[i] = (float)rng_uniform(&r) - 0.5F;
                for (int i = 0; i < n; i++)
                    ids[i] = (int32_t)rng_below(&r, ROWS);
                (*k)->picked_scores(query, rows, ids, n, dim, got);
                for (int i = 0; i < n; i++) {
                    (*k)->scores(query, 1, rows + (int64_t)ids[i] * dim, 1, dim, &want);
                    assert_true(got[i] == want);
                }
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_dot_products),
        cmocka_unit_test(scores_have_the_same_bits_however_they_are_cut),
        cmocka_unit_test(best_of_finds_the_largest_product),
        cmocka_unit_test(bpr_steps_follow_the_formula),
        cmocka_unit_test(bpr_steps_lose_no_step_on_a_shared_row),
        cmocka_unit_test(bpr_steps_stay_finite_for_scores_far_apart),
        cmocka_unit_test(may_have_never_denies_what_is_there),
        cmocka_unit_test(holds_looks_at_all),
        cmocka_unit_test(dot_follows_the_formula),
        cmocka_unit_test(elementwise_loops_follow_their_formulas),
        cmocka_unit_test(gemm_is_the_product_of_matrices_of_any_shape),
        cmocka_unit_test(gemm_has_the_same_bits_however_it_is_cut),
        cmocka_unit_test(softmax_and_logistic_follow_the_formula),
        cmocka_unit_test(what_is_minus_infinity_does_not_count),
        cmocka_unit_test(what_is_later_is_masked),
        cmocka_unit_test(scaled_and_add_scaled_follow_the_formula),
        cmocka_unit_test(above_lists_what_beats_its_limit),
        cmocka_unit_test(sum_rows_follows_the_formula),
        cmocka_unit_test(row_products_are_the_lower_triangle_of_all_pairs),
        cmocka_unit_test(cholesky_solves_definite_systems),
        cmocka_unit_test(numbers_that_have_all_but_vanished_are_0_where_asked),
        cmocka_unit_test(what_reaches_follows_the_formula),
        cmocka_unit_test(picked_scores_are_those_of_scores),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
