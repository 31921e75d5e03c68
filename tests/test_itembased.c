/* Item-based models beside their formulas, worked out densely. */
#include "kern/lapack.h"
#include "model/model.h"

#include "made.h"

#include <math.h>

#include "test.h"

enum { USERS = 80, ITEMS = 50 };

static struct dataset data;
static double taken[USERS][ITEMS], of_user[USERS], of_item[ITEMS];

static int make_data(void **)
{
    const struct interactions *train = &data.part[DATASET_TRAIN];

    made_dataset(&data, USERS, ITEMS, 5);
    for (int32_t u = 0; u < USERS; u++)
        for (int64_t k = train->offsets[u]; k < train->offsets[u + 1]; k++) {
            taken[u][train->items[k]] = 1;
            of_user[u]++;
            of_item[train->items[k]]++;
        }
    return 0;
}

static int free_data(void **)
{
    made_release(&data);
    return 0;
}

static void fit(struct model *m)
{
    struct err err = {0};

    assert_ok(m->ops->fit(m, &data.part[DATASET_TRAIN], &err), err);
}

/* The sum over users of both of d(u)^power. */
static double shared(int32_t i, int32_t j, double power)
{
    double sum = 0;

    for (int32_t u = 0; u < USERS; u++)
        if (taken[u][i] != 0 && taken[u][j] != 0)
            sum += pow(of_user[u], power);
    return sum;
}

/* Of each column i of w leave the `keep` largest others that are above 0. */
static void cut(double w[ITEMS][ITEMS], int keep)
{
    for (int32_t i = 0; i < ITEMS; i++)
        for (int32_t j = 0; j < ITEMS; j++)
            w[j][i] = fmax(w[j][i], 0);
    for (int32_t i = 0; i < ITEMS; i++)
        for (int32_t j = 0; j < ITEMS; j++) {
            int before = 0;

            for (int32_t l = 0; l < ITEMS; l++)
                before += l != i && fabs(w[l][i]) > fabs(w[j][i]) * (1 + (l < j ? -1e-6 : 1e-6));
            if (i == j || before >= keep)
                w[j][i] = -w[j][i]; /* left out, and still to be compared with */
        }
    for (int32_t i = 0; i < ITEMS; i++)
        for (int32_t j = 0; j < ITEMS; j++)
            w[j][i] = fmax(w[j][i], 0);
}

/* What each user gives each item: the sum over the history of w(j, i). */
static void assert_scores(struct model *m, double w[ITEMS][ITEMS])
{
    for (int32_t u = 0; u < USERS; u++) {
        struct query q = query_of_user(&data.part[DATASET_TRAIN], u);
        float got[ITEMS];

        assert_int_equal(m->ops->serves(m, &q), q.n_history > 0);
        if (!q.n_history)
            continue;
        q.user = -1; /* the history is enough */
        model_scores(m, &q, 1, got);
        for (int32_t i = 0; i < ITEMS; i++) {
            double want = 0;

            for (int32_t h = 0; h < q.n_history; h++)
                want += w[q.history[h]][i];
            if (fabs(want - got[i]) > 1e-4 * (1 + fabs(want)))
                fail_msg("%s: user %d, item %d: %g, not %g", m->ops->name, u, i, (double)got[i],
                         want);
        }
    }
}

static void itemknn_is_cosine_with_shrinkage(void **)
{
    static const double shrinks[] = {0, 2.5};
    static double w[ITEMS][ITEMS];

    for (int s = 0; s < ARRAY_LEN(shrinks); s++) {
        struct model *m = made_model("itemknn", &data, 1);

        made_set(m, "shrink", shrinks[s]);
        made_set(m, "neighbors", ITEMS);
        fit(m);
        for (int32_t i = 0; i < ITEMS; i++)
            for (int32_t j = 0; j < ITEMS; j++)
                w[j][i] = of_item[i] * of_item[j] == 0
                              ? 0
                              : shared(i, j, 0) / (sqrt(of_item[i] * of_item[j]) + shrinks[s]);
        cut(w, ITEMS);
        assert_scores(m, w);
        model_free(m);
    }
}

static double power_of(double degree, double power)
{
    return degree > 0 ? pow(degree, power) : 0;
}

/* gram's matrix, not yet cut. */
static void fill_gram(double w[ITEMS][ITEMS], double user, double source, double item, double power)
{
    for (int32_t i = 0; i < ITEMS; i++)
        for (int32_t j = 0; j < ITEMS; j++)
            w[j][i] = pow(shared(i, j, -user) * power_of(of_item[j], -source) *
                              power_of(of_item[i], -item),
                          power);
}

static void gram_is_the_product_by_powers_of_the_degrees(void **)
{
    static const struct {
        double user, source, item, power;
        int keep;
    } cases[] = {
        {1, 0.5, 0.5, 1, ITEMS},
        {0.75, 0.6, 0.4, 1, 9},
        {0.31, 0.11, 0.83, 0.7, ITEMS},
        {0, 0, 0, 2, ITEMS},
    };
    static double w[ITEMS][ITEMS];

    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        struct model *m = made_model("gram", &data, 1);

        made_set(m, "user_power", cases[c].user);
        made_set(m, "source_power", cases[c].source);
        made_set(m, "item_power", cases[c].item);
        made_set(m, "power", cases[c].power);
        made_set(m, "neighbors", cases[c].keep);
        fit(m);
        fill_gram(w, cases[c].user, cases[c].source, cases[c].item, cases[c].power);
        cut(w, cases[c].keep);
        assert_scores(m, w);
        model_free(m);
    }
}

/* Add alpha D^-L V V' D^L, V the first `dim` eigenvectors of the normalised product. */
static void add_low_pass(double w[ITEMS][ITEMS], int dim, double alpha, double power)
{
    static double a[ITEMS][ITEMS], values[ITEMS];
    struct err err = {0};

    assert_ok(lapack_load(&err), err);
    for (int32_t i = 0; i < ITEMS; i++)
        for (int32_t j = 0; j < ITEMS; j++)
            a[i][j] = shared(i, j, -2 * power) * power_of(of_item[i], -power) *
                      power_of(of_item[j], -power);
    assert_true(lapack_eigen(ITEMS, a[0], values));
    for (int k = ITEMS - dim; k < ITEMS; k++)
        for (int32_t j = 0; j < ITEMS; j++)
            for (int32_t i = 0; i < ITEMS; i++)
                w[j][i] += alpha * power_of(of_item[j], -power) * a[k][j] * a[k][i] *
                           power_of(of_item[i], power);
}

/* w less t w p. */
static void subtract_product(double w[ITEMS][ITEMS], double p[ITEMS][ITEMS], double t)
{
    static double product[ITEMS][ITEMS];

    for (int32_t j = 0; j < ITEMS; j++)
        for (int32_t i = 0; i < ITEMS; i++) {
            product[j][i] = 0;
            for (int32_t k = 0; k < ITEMS; k++)
                product[j][i] += w[j][k] * p[k][i];
        }
    for (int32_t j = 0; j < ITEMS; j++)
        for (int32_t i = 0; i < ITEMS; i++)
            w[j][i] -= t * product[j][i];
}

/* By any powers the cut matrix is scaled to what has the quotient 1 at d^1/2. */
static void scale_by_quotient(double w[ITEMS][ITEMS])
{
    double above = 0, below = 0;

    for (int32_t i = 0; i < ITEMS; i++) {
        below += of_item[i];
        for (int32_t j = 0; j < ITEMS; j++)
            above += sqrt(of_item[i]) * w[j][i] * sqrt(of_item[j]);
    }
    for (int32_t i = 0; i < ITEMS; i++)
        for (int32_t j = 0; j < ITEMS; j++)
            w[j][i] *= below / above;
}

/* Each step sharpens both filters by the same P; the first one stays cut. */
static void gf_is_gram_and_a_low_pass_filter_sharpened(void **)
{
    static const struct {
        double user, source, item;
        int keep, dim;
        double low_pass, sharpening;
        int steps;
    } cases[] = {{1, 0.5, 0.5, ITEMS, 20, 0.5, 0, 1},
                 {0.75, 0.6, 0.4, 9, 33, 0.4, 0, 1},
                 {0.75, 0.6, 0.4, 9, 33, 0.4, 0.5, 1},
                 {0.75, 0.6, 0.3, 12, 20, 0.4, 0.9, 3}};
    static double w[ITEMS][ITEMS], p[ITEMS][ITEMS], low[ITEMS][ITEMS];

    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        struct model *m = made_model("gf", &data, 1);

        made_set(m, "user_power", cases[c].user);
        made_set(m, "source_power", cases[c].source);
        made_set(m, "item_power", cases[c].item);
        made_set(m, "power", 1);
        made_set(m, "neighbors", cases[c].keep);
        made_set(m, "dim", cases[c].dim);
        made_set(m, "alpha", 0.7);
        made_set(m, "low_pass_power", cases[c].low_pass);
        made_set(m, "sharpening", cases[c].sharpening);
        made_set(m, "sharpening_steps", cases[c].steps);
        fit(m);
        fill_gram(w, cases[c].user, cases[c].source, cases[c].item, 1);
        cut(w, cases[c].keep);
        scale_by_quotient(w);
        memcpy(p, w, sizeof p);
        memset(low, 0, sizeof low);
        add_low_pass(low, cases[c].dim, 0.7, cases[c].low_pass);
        for (int s = 0; cases[c].sharpening > 0 && s < cases[c].steps; s++) {
            subtract_product(w, p, cases[c].sharpening / cases[c].steps);
            cut(w, cases[c].keep);
            subtract_product(low, p, cases[c].sharpening / cases[c].steps);
        }
        for (int32_t i = 0; i < ITEMS; i++)
            for (int32_t j = 0; j < ITEMS; j++)
                w[j][i] += low[j][i];
        assert_scores(m, w);
        model_free(m);
    }
}

/* No rows at all, and a catalogue of one item. */
static void what_has_no_neighbors_serves_nobody(void **)
{
    static const char *const names[] = {"itemknn", "gram", "gf"};
    int64_t offsets[] = {0, 1, 1};
    int32_t items[] = {0};

    for (int i = 0; i < ARRAY_LEN(names); i++)
        for (int64_t n = 0; n <= 1; n++) {
            struct interactions train = {offsets, items, NULL, n};
            struct dataset d = {.n_users = 2, .n_items = 1};
            struct model *m = made_model(names[i], &d, 1);
            struct query q = {0, items, 1}, none = {-1, NULL, 0};
            struct err err = {0};

            offsets[1] = offsets[2] = n;
            assert_ok(m->ops->fit(m, &train, &err), err);
            assert_false(m->ops->serves(m, &q));
            assert_false(m->ops->serves(m, &none));
            model_free(m);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(itemknn_is_cosine_with_shrinkage),
        cmocka_unit_test(gram_is_the_product_by_powers_of_the_degrees),
        cmocka_unit_test(gf_is_gram_and_a_low_pass_filter_sharpened),
        cmocka_unit_test(what_has_no_neighbors_serves_nobody),
    };

    return cmocka_run_group_tests(tests, make_data, free_data);
}
