/* PureSVD against the projection written out. */
#include "model/model.h"

#include "kern/lapack.h"

#include "made.h"
#include "test.h"

#include <math.h>

enum { USERS = 150, ITEMS = 110, DIM = 5 };

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

static struct model *fitted(double item_power, double user_power)
{
    struct model *m = made_model("svd", &data, 1);
    struct err err = {0};

    made_set(m, "dim", DIM);
    made_set(m, "iterations", 12);
    made_set(m, "item_power", item_power);
    made_set(m, "user_power", user_power);
    assert_ok(m->ops->fit(m, &data.part[DATASET_TRAIN], &err), err);
    return m;
}

/* D_i V V^T D_i^-1 (ITEMS, ITEMS), by eigenvectors of S^T S. */
static void projection(double item_power, double user_power, double *out)
{
    static double s[USERS][ITEMS], gram[ITEMS * ITEMS], values[ITEMS], scale[ITEMS];
    const struct interactions *x = &data.part[DATASET_TRAIN];
    double count[ITEMS] = {0};

    memset(s, 0, sizeof s);
    for (int64_t k = 0; k < x->n; k++)
        count[x->items[k]]++;
    for (int i = 0; i < ITEMS; i++)
        scale[i] = count[i] > 0 ? pow(count[i], -item_power) : 0;
    for (int32_t u = 0; u < USERS; u++)
        for (int64_t k = x->offsets[u]; k < x->offsets[u + 1]; k++)
            s[u][x->items[k]] +=
                scale[x->items[k]] * pow((double)(x->offsets[u + 1] - x->offsets[u]), -user_power);
    for (int i = 0; i < ITEMS; i++)
        for (int j = 0; j < ITEMS; j++) {
            gram[i * ITEMS + j] = 0;
            for (int u = 0; u < USERS; u++)
                gram[i * ITEMS + j] += s[u][i] * s[u][j];
        }
    assert_true(lapack_eigen(ITEMS, gram, values));
    for (int i = 0; i < ITEMS; i++)
        for (int j = 0; j < ITEMS; j++) {
            double sum = 0;

            for (int c = ITEMS - DIM; c < ITEMS; c++)
                sum += gram[c * ITEMS + i] * gram[c * ITEMS + j];
            out[i * ITEMS + j] = scale[j] > 0 ? scale[i] * sum / scale[j] : 0;
        }
}

static void check_scores(double item_power, double user_power)
{
    static double p[ITEMS * ITEMS];
    struct model *m = fitted(item_power, user_power);

    projection(item_power, user_power, p);
    for (int32_t u = 0; u < USERS; u++) {
        struct query q = query_of_user(&data.part[DATASET_TRAIN], u);
        float got[ITEMS];

        assert_int_equal(m->ops->serves(m, &q), q.n_history > 0);
        if (!q.n_history)
            continue;
        model_scores(m, &q, 1, got);
        for (int i = 0; i < ITEMS; i++) {
            double want = 0;

            for (int k = 0; k < q.n_history; k++)
                want += p[q.history[k] * ITEMS + i];
            if (fabs(got[i] - want) > 1e-3)
                fail_msg("user %d, item %d: got %g, want %g", u, i, got[i], want);
        }
    }
    model_free(m);
}

static void scores_are_the_projection_of_a_history(void **)
{
    check_scores(0, 0);
    check_scores(0.5, 0);
    check_scores(0.4, 0.4);
}

static void whoever_has_a_history_is_served(void **)
{
    const int32_t known[] = {5, 9}, unseen[] = {0, 1};
    struct model *m = fitted(0.4, 0.4);

    assert_true(m->ops->serves(m, &(struct query){-1, known, 2}));
    assert_false(m->ops->serves(m, &(struct query){-1, unseen, 2})); /* nobody took these */
    assert_false(m->ops->serves(m, &(struct query){3, NULL, 0}));
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_projection_of_a_history),
        cmocka_unit_test(whoever_has_a_history_is_served),
    };

    return cmocka_run_group_tests(tests, make_data, free_data);
}
