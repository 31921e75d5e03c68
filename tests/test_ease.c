/* EASE against its definition, solved column by column. */
#include "model/model.h"

#include "made.h"
#include "test.h"

#include <math.h>

enum { USERS = 90, ITEMS = 75 };
static const double REG = 4;

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

static struct model *made(void)
{
    struct model *m = made_model("ease", &data, 1);

    made_set(m, "reg", REG);
    return m;
}

/* Gauss and Jordan, in double; a (n, n) is lost, b (n) becomes the solution. */
static void plain_solve(double *a, int n, double *b)
{
    for (int p = 0; p < n; p++)
        for (int i = 0; i < n; i++) {
            double by = a[i * n + p] / a[p * n + p];

            if (i == p)
                continue;
            for (int c = p; c < n; c++)
                a[i * n + c] -= by * a[p * n + c];
            b[i] -= by * b[p];
        }
    for (int i = 0; i < n; i++)
        b[i] /= a[i * n + i];
}

/* The weights of column j minimise |r_j - R w|^2 + reg |w|^2 with w_j = 0: ridge regression of item
 * j on all others. */
static void weights_are_ridge_regressions_on_all_other_items(void **)
{
    static double r[USERS][ITEMS], a[ITEMS * ITEMS];
    const struct interactions *x = &data.part[DATASET_TRAIN];
    struct model *m = made();
    struct tensor t[MODEL_TENSORS_MAX];
    struct err err = {0};

    for (int32_t u = 0; u < USERS; u++)
        for (int64_t k = x->offsets[u]; k < x->offsets[u + 1]; k++)
            r[u][x->items[k]]++;
    assert_ok(m->ops->fit(m, x, &err), err);
    m->ops->tensors(m, t);
    for (int j = 0; j < ITEMS; j++) {
        double b[ITEMS];

        for (int i = 0; i < ITEMS; i++) {
            b[i] = 0;
            for (int u = 0; u < USERS && i != j; u++)
                b[i] += r[u][i] * r[u][j];
            for (int c = 0; c < ITEMS; c++) {
                a[i * ITEMS + c] = i == c ? REG : 0;
                for (int u = 0; u < USERS && i != j && c != j; u++)
                    a[i * ITEMS + c] += r[u][i] * r[u][c];
            }
        }
        plain_solve(a, ITEMS, b);
        for (int i = 0; i < ITEMS; i++)
            if (fabs(t[0].data[i * ITEMS + j] - b[i]) > 1e-4)
                fail_msg("%d by %d: got %g, want %g", i, j, t[0].data[i * ITEMS + j], b[i]);
    }
    model_free(m);
}

static void scores_are_sums_over_the_history(void **)
{
    const int32_t history[] = {5, 40, 9}, unseen[] = {0, 1};
    struct model *m = made();
    struct query q = {-1, history, 3};
    struct tensor t[MODEL_TENSORS_MAX];
    struct err err = {0};
    float got[ITEMS];

    assert_ok(m->ops->fit(m, &data.part[DATASET_TRAIN], &err), err);
    m->ops->tensors(m, t);
    assert_true(m->ops->serves(m, &q));
    model_scores(m, &q, 1, got);
    for (int i = 0; i < ITEMS; i++) {
        float want = 0;

        for (int k = 0; k < 3; k++)
            want += t[0].data[history[k] * ITEMS + i];
        assert_true(fabsf(got[i] - want) < 1e-5f);
    }
    assert_false(m->ops->serves(m, &(struct query){-1, unseen, 2}));
    assert_false(m->ops->serves(m, &(struct query){3, NULL, 0}));
    model_free(m);
}

static void too_many_items_are_refused_with_what_they_would_take(void **)
{
    struct model *m = made();
    struct err err = {0};

    made_set(m, "max_items", ITEMS - 1);
    assert_false(m->ops->fit(m, &data.part[DATASET_TRAIN], &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_contains(err.msg, "75 items");
    assert_contains(err.msg, "GB");
    assert_contains(err.msg, "--max-items is 74");
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_ridge_regressions_on_all_other_items),
        cmocka_unit_test(scores_are_sums_over_the_history),
        cmocka_unit_test(too_many_items_are_refused_with_what_they_would_take),
    };

    return cmocka_run_group_tests(tests, make_data, free_data);
}
