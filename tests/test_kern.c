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
    double users[TRIPLES][DIM_MAX], items[2 * TRIPLES][DIM_MAX];
};

static double plain_margin(const struct plain *p, int k, int dim)
{
    double x = 0;

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
}

/* Each triple has rows of its own, so that no order of steps makes a difference. */
static void bpr_steps_follow_the_formula(void **)
{
    static float users[TRIPLES * DIM_MAX], items[2 * TRIPLES * DIM_MAX];
    static struct plain p;
    const float lr = 0.1f;
    const struct kern_l2 l2 = {0.02f, 0.05f, 0.4f};
    int32_t own[TRIPLES], other[TRIPLES];
    float margins[TRIPLES + KERN_GROUP];

    for (int k = 0; k < TRIPLES; k++)
        other[k] = TRIPLES + (own[k] = k);
    for (const struct kern *const *k = kern_all(); *k; k++)
        for (int d = 0; d < ARRAY_LEN(dims); d++) {
            int dim = dims[d], n = TRIPLES - d; /* groups that are whole, and that aren't */

            fill(users, n * dim, 1);
            fill(items, 2 * TRIPLES * dim, 2);
            for (int t = 0; t < 2 * TRIPLES; t++)
                for (int c = 0; c < dim; c++) {
                    p.items[t][c] = items[t * dim + c];
                    if (t < TRIPLES)
                        p.users[t][c] = users[t * dim + c];
                }
            (*k)->bpr_steps(&(struct kern_triples){own, own, other, n, users, items, dim}, lr, l2,
                            margins);
            for (int t = 0; t < n; t++) {
                near("margin", (*k)->isa, dim, margins[t], plain_margin(&p, t, dim));
                plain_step(&p, t, dim, lr, l2);
                for (int c = 0; c < dim; c++) {
                    near("user", (*k)->isa, dim, users[t * dim + c], p.users[t][c]);
                    near("positive", (*k)->isa, dim, items[t * dim + c], p.items[t][c]);
                    near("negative", (*k)->isa, dim, items[(TRIPLES + t) * dim + c],
                         p.items[TRIPLES + t][c]);
                }
            }
        }
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

            (*k)->bpr_steps(&(struct kern_triples){zero, zero, one, n, &user, items, 1}, lr, none,
                            margins);
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

            (*k)->bpr_steps(&(struct kern_triples){zero, zero, one, 1, &user, items, 1}, 0.1f, l2,
                            margins);
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
            (*k)->may_have(owners, ids, others, n, maybe);
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
        cmocka_unit_test(best_of_finds_the_largest_product),
        cmocka_unit_test(bpr_steps_follow_the_formula),
        cmocka_unit_test(bpr_steps_lose_no_step_on_a_shared_row),
        cmocka_unit_test(bpr_steps_stay_finite_for_scores_far_apart),
        cmocka_unit_test(may_have_never_denies_what_is_there),
        cmocka_unit_test(holds_looks_at_all),
        cmocka_unit_test(any_above_is_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
