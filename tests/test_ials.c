/* Alternating least squares against its normal equations with all the zeros written out. */
#include "model/model.h"

#include "kern/lapack.h"
#include "model/ridge.h"
#include "model/store.h"

#include "made.h"
#include "test.h"

#include <math.h>

enum { USERS = 150, ITEMS = 110, DIM = 12 };
static const double ALPHA = 0.2, REG = 0.05, ITEM_POWER = 0.4, USER_POWER = 0.2;

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

static struct model *fitted(int iterations, double reg_power)
{
    struct model *m = made_model("ials", &data, 1);
    struct err err = {0};

    made_set(m, "dim", DIM);
    made_set(m, "iterations", iterations);
    made_set(m, "alpha", ALPHA);
    made_set(m, "reg", REG);
    made_set(m, "reg_power", reg_power);
    made_set(m, "item_power", ITEM_POWER);
    made_set(m, "user_power", USER_POWER);
    assert_ok(m->ops->fit(m, train(), &err), err);
    return m;
}

/* Out of the counts of train rows: counts^-power with a mean of 1 over the rows. */
static void plain_weights(const int32_t *counts, int32_t n, double power, double *out)
{
    double sum = 0, rows = 0;

    for (int32_t r = 0; r < n; r++) {
        rows += counts[r];
        out[r] = counts[r] ? pow(counts[r], -power) : 1;
        sum += counts[r] * out[r];
    }
    for (int32_t r = 0; r < n; r++)
        out[r] *= counts[r] ? rows / sum : 1;
}

static void weights(double users[USERS], double items[ITEMS])
{
    int32_t by_user[USERS] = {0}, by_item[ITEMS] = {0};

    for (int32_t u = 0; u < USERS; u++) {
        struct query q = query_of_user(train(), u);

        by_user[u] = q.n_history;
        for (int32_t k = 0; k < q.n_history; k++)
            by_item[q.history[k]]++;
    }
    plain_weights(by_user, USERS, USER_POWER, users);
    plain_weights(by_item, ITEMS, ITEM_POWER, items);
}

/* (sum over all rows of weight y y^T + reg) x = sum over ids of w y, without a trick. rows (n,
 * DIM), w (n) */
static void plain_solve(const float *rows, const double *w, int32_t n, const int32_t *ids,
                        int32_t n_ids, double alpha, double reg, float *out)
{
    static double a[DIM * DIM];
    float l[DIM * DIM];

    memset(a, 0, sizeof a);
    memset(out, 0, DIM * sizeof *out);
    for (int32_t i = 0; i < n; i++) {
        double weight = alpha;

        for (int32_t k = 0; k < n_ids; k++)
            weight += ids[k] == i;
        for (int c = 0; c < DIM; c++)
            for (int d = 0; d < DIM; d++)
                a[c * DIM + d] += w[i] * weight * rows[i * DIM + c] * rows[i * DIM + d];
    }
    for (int32_t k = 0; k < n_ids; k++)
        for (int c = 0; c < DIM; c++)
            out[c] += (float)w[ids[k]] * rows[ids[k] * DIM + c];
    for (int k = 0; k < DIM * DIM; k++)
        l[k] = (float)(a[k] + (k % (DIM + 1) == 0) * reg);
    assert_true(lapack_cholesky(DIM, l));
    lapack_solve(DIM, l, 1, out);
}

static void assert_near(const char *what, int row, const float *got, const float *want)
{
    for (int c = 0; c < DIM; c++)
        if (!(fabsf(got[c] - want[c]) < 1e-4f * (1 + fabsf(want[c]))))
            fail_msg("%s %d, number %d: got %g, want %g", what, row, c, got[c], want[c]);
}

/* Fewer rows than numbers, as many, more, and a row that is there twice. */
static void a_row_solves_its_normal_equations(void **)
{
    enum { ROWS = 40 };
    static float rows[ROWS * DIM], scaled[ROWS * DIM];
    float gram[DIM], got[DIM], want[DIM], roots[ROWS];
    double w[ROWS];
    int32_t ids[ROWS];
    struct err err = {0};
    AUTO(ridge) r;

    assert_ok(lapack_load(&err), err);
    rng_fill(rows, ROWS * DIM, 1, 4);
    for (int i = 0; i < ROWS; i++) /* a diagonal gram: each row has a single number */
        for (int c = 0; c < DIM; c++)
            rows[i * DIM + c] *= c == i % DIM;
    for (int i = 0; i < ROWS; i++) {
        w[i] = 1.0 / (1 + i % 5);
        roots[i] = (float)sqrt(w[i]);
        for (int c = 0; c < DIM; c++)
            scaled[i * DIM + c] = roots[i] * rows[i * DIM + c];
    }
    for (int c = 0; c < DIM; c++) {
        gram[c] = 0;
        for (int i = 0; i < ROWS; i++)
            gram[c] += scaled[i * DIM + c] * scaled[i * DIM + c];
    }
    for (int k = 0; k < ROWS; k++)
        ids[k] = (k * 7) % (ROWS - 3);
    ridge_init(&r, DIM);
    for (int32_t n = 0; n <= ROWS; n++) {
        ridge_solve(&r, scaled, roots, ids, n, gram, (float)ALPHA, (float)REG, got);
        plain_solve(rows, w, ROWS, ids, n, ALPHA, REG, want);
        assert_near("row", n, got, want);
    }
}

static void trained_users_solve_their_normal_equations(void **)
{
    double users[USERS], items[ITEMS];

    weights(users, items);
    for (int power = 0; power <= 2; power++) {
        struct model *m = fitted(3, power / 2.0);
        struct tensor t[MODEL_TENSORS_MAX];
        float want[DIM];

        m->ops->tensors(m, t);
        for (int32_t u = 0; u < USERS; u++) {
            struct query q = query_of_user(train(), u);
            double reg = REG * pow(q.n_history + ALPHA * ITEMS, power / 2.0);

            plain_solve(t[1].data, items, ITEMS, q.history, q.n_history, ALPHA, reg / users[u],
                        want);
            assert_near("user", u, t[0].data + u * DIM, want);
        }
        model_free(m);
    }
}

static double squares(const float *x, int64_t n)
{
    double sum = 0;

    for (int64_t k = 0; k < n; k++)
        sum += (double)x[k] * x[k];
    return sum;
}

/* What is minimised, with all the zeros written out. */
static double objective(struct model *m)
{
    struct tensor t[MODEL_TENSORS_MAX];
    double sum = 0, items[ITEMS] = {0}, w_users[USERS], w_items[ITEMS];

    weights(w_users, w_items);
    m->ops->tensors(m, t);
    for (int32_t u = 0; u < USERS; u++) {
        struct query q = query_of_user(train(), u);
        const float *x = t[0].data + u * DIM;

        for (int32_t i = 0; i < ITEMS; i++) {
            double score = 0;

            for (int c = 0; c < DIM; c++)
                score += (double)x[c] * t[1].data[i * DIM + c];
            sum += w_users[u] * w_items[i] * ALPHA * score * score;
            for (int32_t k = 0; k < q.n_history; k++)
                if (q.history[k] == i) {
                    sum += w_users[u] * w_items[i] * (score - 1) * (score - 1);
                    items[i]++;
                }
        }
        sum += REG * (q.n_history + ALPHA * ITEMS) * squares(x, DIM);
    }
    for (int32_t i = 0; i < ITEMS; i++)
        sum += REG * (items[i] + ALPHA * USERS) * squares(t[1].data + i * DIM, DIM);
    return sum;
}

static void each_iteration_lowers_the_objective(void **)
{
    double before = INFINITY;

    for (int iterations = 1; iterations <= 6; iterations++) {
        struct model *m = fitted(iterations, 1);
        double now = objective(m);

        if (!(now < before))
            fail_msg("iteration %d: from %g to %g", iterations, before, now);
        before = now;
        model_free(m);
    }
}

static void assert_same_fold_in(const struct model *m)
{
    for (int32_t u = 0; u < USERS; u++) {
        struct query known = query_of_user(train(), u), unknown = known;
        float a[ITEMS], b[ITEMS];

        unknown.user = -1;
        assert_int_equal(m->ops->serves(m, &known), known.n_history > 0);
        assert_int_equal(m->ops->serves(m, &unknown), known.n_history > 0);
        if (!known.n_history)
            continue;
        model_scores(m, &known, 1, a);
        model_scores(m, &unknown, 1, b);
        for (int i = 0; i < ITEMS; i++)
            assert_true(fabsf(a[i] - b[i]) < 1e-5f); /* items' roots were multiplied in and out */
    }
}

static void folding_in_a_row_of_train_gives_the_trained_vector(void **)
{
    AUTO_FREE char *path = temp_path("ials.safetensors");
    struct model *m = fitted(3, 1), *loaded;
    struct err err = {0};

    assert_same_fold_in(m);
    assert_ok(store_save(m, path, &err), err);
    loaded = store_load(path, &err);
    unlink(path);
    assert_non_null(loaded);
    assert_same_fold_in(loaded);
    model_free(loaded);
    model_free(m);
}

static void who_took_nothing_that_anybody_took_is_not_served(void **)
{
    const int32_t unseen[] = {0, 1}, mixed[] = {0, 7};
    struct model *m = fitted(2, 1);
    float scores[ITEMS];

    assert_false(m->ops->serves(m, &(struct query){-1, unseen, 2}));
    assert_false(m->ops->serves(m, &(struct query){-1, NULL, 0}));
    assert_true(m->ops->serves(m, &(struct query){-1, mixed, 2}));
    model_scores(m, &(struct query){-1, mixed, 2}, 1, scores);
    for (int i = 0; i < ITEMS; i++)
        assert_true(isfinite(scores[i]));
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_solves_its_normal_equations),
        cmocka_unit_test(trained_users_solve_their_normal_equations),
        cmocka_unit_test(each_iteration_lowers_the_objective),
        cmocka_unit_test(folding_in_a_row_of_train_gives_the_trained_vector),
        cmocka_unit_test(who_took_nothing_that_anybody_took_is_not_served),
    };

    return cmocka_run_group_tests(tests, make_data, free_data);
}
