/* The steps of matrix factorisation against the loss that they are to lower. */
#include "model/model.h"
#include "model/sampler.h"

#include "made.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { DIM = 6 };

/* One user, items 0 and 1; the user has item 0, so item 1 is the only negative. */
static const int32_t zero[] = {0};
static const struct candidate two_items[] = {{0, 0}, {1, 0}};
static const struct cell one_pair = {
    .users = zero, .items = zero, .when = zero, .n = 1, .pool = two_items, .n_pool = 2, .key = 5};

static struct model *small_model(double lr, double reg)
{
    static int64_t offsets[] = {0, 1};
    static int32_t items[] = {0};
    static const struct interactions train = {.offsets = offsets, .items = items, .n = 1};
    struct dataset d = {.n_users = 1, .n_items = 2};
    struct model *m = made_model("mf", &d, 3);
    struct tensor t[MODEL_TENSORS_MAX];
    int n;

    made_set(m, "embedding_dim", DIM);
    made_set(m, "lr", lr);
    made_set(m, "reg", reg);
    made_set(m, "reg_positive", 0.25);
    made_set(m, "reg_negative", 3);
    m->ops->init(m, &train);
    n = m->ops->tensors(m, t);
    for (int i = 0; i < n; i++) /* far enough from 0 that every term of the loss counts */
        for (int k = 0; k < t[i].rows * t[i].cols; k++)
            t[i].data[k] = (float)sin(1 + k + 10 * i);
    return m;
}

/* -log sigmoid(<u, i - j>) + reg/2 (|u|^2 + |i|^2 / 4 + 3 |j|^2), over x = u, i, j one after the
 * other. */
static double loss(const double x[3 * DIM], double reg)
{
    double score = 0, squares = 0;

    for (int k = 0; k < DIM; k++)
        score += x[k] * (x[DIM + k] - x[2 * DIM + k]);
    for (int k = 0; k < 3 * DIM; k++)
        squares += x[k] * x[k] * (k < DIM ? 1 : k < 2 * DIM ? 0.25 : 3);
    return log1p(exp(-score)) + reg / 2 * squares;
}

static void read_state(struct model *m, double x[3 * DIM])
{
    struct tensor t[MODEL_TENSORS_MAX];

    m->ops->tensors(m, t);
    for (int k = 0; k < DIM; k++) {
        x[k] = (double)t[0].data[k];
        x[DIM + k] = (double)t[1].data[k];
        x[2 * DIM + k] = (double)t[1].data[DIM + k];
    }
}

static void a_step_goes_down_the_gradient_of_the_loss(void **)
{
    const double lr = 0.01, h = 1e-5;

    for (int r = 0; r < 2; r++) {
        double reg = r ? 0.3 : 0, before[3 * DIM], after[3 * DIM];
        struct model *m = small_model(lr, reg);
        struct tally seen = {0};

        read_state(m, before);
        m->ops->learn(m, &one_pair, 0, &seen);
        read_state(m, after);
        for (int k = 0; k < 3 * DIM; k++) {
            double at = before[k], up, down, want;

            before[k] = at + h, up = loss(before, reg);
            before[k] = at - h, down = loss(before, reg);
            before[k] = at;
            want = -(up - down) / (2 * h);
            if (fabs((after[k] - at) / lr - want) > 1e-4)
                fail_msg("coordinate %d, reg %g: step / lr is %g, -gradient %g", k, reg,
                         (after[k] - at) / lr, want);
        }
        assert_int_equal(seen.n, 1);
        assert_true(fabs(seen.sum - loss(before, 0)) < 1e-5);
        model_free(m);
    }
}

static void the_rate_falls_to_a_tenth(void **)
{
    struct model *m = small_model(0.5, 0);

    assert_true(fabs(m->ops->rate(m, 0) - 0.5) < 1e-12);
    assert_true(fabs(m->ops->rate(m, 1) - 0.05) < 1e-12);
    assert_true(m->ops->rate(m, 0.5) < 0.5 && m->ops->rate(m, 0.5) > 0.05);
    model_free(m);
}

static void a_cell_changes_its_own_rows_alone(void **)
{
    static const int32_t users[] = {1, 1, 3}, items[] = {2, 4, 4}, when[] = {0, 0, 0};
    static const struct candidate pool[] = {{2, 0}, {4, 0}, {5, 0}, {7, 0}};
    const struct cell c = {
        .users = users, .items = items, .when = when, .n = 3, .pool = pool, .n_pool = 4, .key = 9};
    struct dataset d;
    struct model *m;
    struct tensor t[MODEL_TENSORS_MAX];
    struct tally seen = {0};
    AUTO_FREE float *before = NULL;

    made_dataset(&d, 10, 12, 1);
    m = made_model("mf", &d, 1);
    m->ops->init(m, &d.part[DATASET_TRAIN]);
    m->ops->tensors(m, t);
    for (int which = 0; which < 2; which++) {
        size_t row = (size_t)t[which].cols, bytes = (size_t)t[which].rows * row * sizeof(float);

        before = xrealloc(before, bytes, 1);
        memcpy(before, t[which].data, bytes);
        m->ops->learn(m, &c, 0, &seen);
        for (int32_t r = 0; r < t[which].rows; r++) {
            bool may = which ? r == 2 || r == 4 || r == 5 || r == 7 : r == 1 || r == 3;
            bool changed = memcmp(before + (size_t)r * row, t[which].data + (size_t)r * row,
                                  row * sizeof(float)) != 0;

            if (changed && !may)
                fail_msg("row %d of %s changed", r, t[which].name);
        }
        assert_memory_not_equal(before, t[which].data, bytes);
    }
    model_free(m);
    made_release(&d);
}

static void users_without_train_rows_are_served_by_a_history_alone(void **)
{
    const int32_t history[] = {3, 8};
    struct dataset d;
    struct model *m;

    made_dataset(&d, 50, 30, 1);
    m = made_model("mf", &d, 1);
    m->ops->init(m, &d.part[DATASET_TRAIN]);
    for (int32_t u = 0; u < d.n_users; u++) {
        struct query q = {.user = u};
        int32_t n;

        interactions_row(&d.part[DATASET_TRAIN], u, &n);
        assert_int_equal(m->ops->serves(m, &q), n > 0);
    }
    assert_false(m->ops->serves(m, &(struct query){.user = -1}));
    assert_true(m->ops->serves(m, &(struct query){-1, history, 2}));
    model_free(m);
    made_release(&d);
}

enum { FOLD_ITEMS = 30, FOLD_DIM = 5 };

/* (0.1 Y^T Y + V^T V + reg) x = V^T 1 in double, by Gauss and Jordan. y (FOLD_ITEMS, FOLD_DIM). */
static void plain_fold_in(double y[FOLD_ITEMS][FOLD_DIM], const int32_t *history, int n, double *x)
{
    double a[FOLD_DIM][FOLD_DIM] = {0}, trace = 0;

    memset(x, 0, FOLD_DIM * sizeof *x);
    for (int i = 0; i < FOLD_ITEMS; i++) {
        double weight = 0.1;

        for (int k = 0; k < n; k++)
            weight += history[k] == i;
        for (int c = 0; c < FOLD_DIM; c++) {
            trace += 0.1 * y[i][c] * y[i][c];
            x[c] += (weight - 0.1) * y[i][c];
            for (int e = 0; e < FOLD_DIM; e++)
                a[c][e] += weight * y[i][c] * y[i][e];
        }
    }
    for (int c = 0; c < FOLD_DIM; c++)
        a[c][c] += 0.01 * trace / FOLD_DIM;
    for (int p = 0; p < FOLD_DIM; p++)
        for (int i = 0; i < FOLD_DIM; i++) {
            double by = a[i][p] / a[p][p];

            if (i == p)
                continue;
            for (int c = 0; c < FOLD_DIM; c++)
                a[i][c] -= by * a[p][c];
            x[i] -= by * x[p];
        }
    for (int i = 0; i < FOLD_DIM; i++)
        x[i] /= a[i][i];
}

static double length_of(const double *x)
{
    double squares = 0;

    for (int c = 0; c < FOLD_DIM; c++)
        squares += x[c] * x[c];
    return sqrt(squares);
}

static void check_fold_in(const char *similarity, struct dataset *d)
{
    const int32_t history[] = {3, 8, 21};
    struct model *m = made_model("mf", d, 1);
    double y[FOLD_ITEMS][FOLD_DIM], x[FOLD_DIM], row[FOLD_DIM], mean = 0;
    bool cosine = !strcmp(similarity, "cosine");
    struct tensor t[MODEL_TENSORS_MAX];
    float got[FOLD_ITEMS];
    int n = 0;

    made_set(m, "embedding_dim", FOLD_DIM);
    made_set_text(m, "similarity", similarity);
    m->ops->init(m, &d->part[DATASET_TRAIN]);
    m->ops->tensors(m, t);
    for (int i = 0; i < FOLD_ITEMS; i++) {
        for (int c = 0; c < FOLD_DIM; c++)
            y[i][c] = t[1].data[i * FOLD_DIM + c];
        memcpy(row, y[i], sizeof row);
        for (int c = 0; cosine && c < FOLD_DIM; c++)
            y[i][c] /= length_of(row);
    }
    for (int u = 0; u < d->n_users; u++) {
        for (int c = 0; c < FOLD_DIM; c++)
            row[c] = t[0].data[u * FOLD_DIM + c];
        mean += length_of(row);
        n += length_of(row) > 0;
    }
    mean = cosine ? 1 : mean / n;
    plain_fold_in(y, history, 3, x);
    model_scores(m, &(struct query){-1, history, 3}, 1, got);
    for (int i = 0; i < FOLD_ITEMS; i++) {
        double want = 0;

        for (int c = 0; c < FOLD_DIM; c++)
            want += mean * x[c] / length_of(x) * y[i][c];
        if (fabs(got[i] - want) > 1e-4)
            fail_msg("%s, item %d: got %g, want %g", similarity, i, got[i], want);
    }
    model_free(m);
}

static void a_history_is_folded_in_by_least_squares(void **)
{
    struct dataset d;

    made_dataset(&d, 50, FOLD_ITEMS, 1);
    check_fold_in("dot", &d);
    check_fold_in("cosine", &d);
    made_release(&d);
}

/* ---- negatives ---- */

/* Users 0, 0, 0, 1, 2, 2 take items 0, 1, 2, 3, 4, 0 at these times; item i appears at time 10 i.
 */
enum { DRAWS = 2000 };
static const int32_t drawn_users[] = {0, 0, 0, 1, 2, 2}, drawn_items[] = {0, 1, 2, 3, 4, 0};
static const int32_t drawn_when[] = {0, 30, 39, 100, 100, 50};
static const struct candidate six[] = {{0, 0}, {1, 10}, {2, 20}, {3, 30}, {4, 40}, {5, 50}};

/* How much of the draws of item i is kept for positive k. */
static double share(int k, int i, double future)
{
    for (int o = 0; o < 6; o++)
        if (drawn_users[o] == drawn_users[k] && drawn_items[o] == i)
            return 0;
    return six[i].since <= drawn_when[k] ? 1 : future;
}

/* The draws by one, or all at once (which tries once more). */
static void check_draws(double future, bool at_once)
{
    int drawn[6][7] = {0}; /* positive, item; the last column: none */

    for (uint64_t key = 0; key < DRAWS; key++) {
        const struct cell c = {.users = drawn_users,
                               .items = drawn_items,
                               .when = drawn_when,
                               .n = 6,
                               .pool = six,
                               .n_pool = 6,
                               .key = key};
        struct sampler s;
        int32_t j[6];

        sampler_init(&s, &c, future);
        if (at_once)
            sampler_fill(&s, 0, 6, j);
        for (int k = 0; k < 6; k++) {
            if (!at_once)
                j[k] = sampler_draw(&s, k);
            drawn[k][j[k] == SAMPLER_NONE ? 6 : j[k]]++;
        }
    }
    for (int k = 0; k < 6; k++) {
        double all = 0, none;

        for (int i = 0; i < 6; i++)
            all += share(k, i, future);
        none =
            pow(1 - all / 6, SAMPLER_TRIES + at_once); /* a draw is kept with a chance of all / 6 */
        for (int i = 0; i <= 6; i++) {
            double want = DRAWS * (i == 6    ? none
                                   : all > 0 ? (1 - none) * share(k, i, future) / all
                                             : 0);

            if (fabs(drawn[k][i] - want) > 5 * sqrt(want)) /* five standard deviations, and more */
                fail_msg("future %g, positive %d: item %d was drawn %d times, not %.0f", future, k,
                         i, drawn[k][i], want);
        }
    }
}

static void negatives_are_never_the_users_own_and_seldom_of_the_future(void **)
{
    for (int at_once = 0; at_once < 2; at_once++) {
        check_draws(0, at_once);
        check_draws(0.25, at_once);
        check_draws(1, at_once);
    }
}

/* Enough of them that most are looked at in vectors. */
static void no_negative_of_many_is_the_users_own_or_too_new(void **)
{
    enum { N = SAMPLER_CHUNK, POOL = 40 };
    static int32_t users[N], items[N], when[N];
    static struct candidate pool[POOL];
    struct cell c = {users, items, when, N, pool, POOL, 7};
    int32_t j[N];
    struct sampler s;
    struct rng r;
    int none = 0;

    rng_init(&r, 3);
    for (int i = 0; i < POOL; i++)
        pool[i] = (struct candidate){i, (int32_t)rng_below(&r, 100)};
    for (int k = 0; k < N; k++) {
        users[k] = k ? users[k - 1] + (rng_below(&r, 4) == 0) : 0;
        items[k] = (int32_t)rng_below(&r, POOL);
        when[k] = (int32_t)rng_below(&r, 100);
    }
    sampler_init(&s, &c, 0);
    sampler_fill(&s, 0, N, j);
    for (int k = 0; k < N; k++) {
        none += j[k] == SAMPLER_NONE;
        if (j[k] == SAMPLER_NONE)
            continue;
        assert_true(pool[j[k]].since <= when[k]);
        for (int o = 0; o < N; o++)
            assert_false(users[o] == users[k] && items[o] == j[k]);
    }
    assert_true(none < N / 10);
}

static void a_user_who_has_all_gets_no_negative_and_no_step(void **)
{
    static const int32_t users[] = {0, 0}, items[] = {0, 1}, when[] = {0, 0};
    const struct cell c = {.users = users,
                           .items = items,
                           .when = when,
                           .n = 2,
                           .pool = two_items,
                           .n_pool = 2,
                           .key = 1};
    struct model *m = small_model(0.1, 0.1);
    struct tally seen = {0};
    double before[3 * DIM], after[3 * DIM];
    struct sampler s;

    sampler_init(&s, &c, 1);
    assert_int_equal(sampler_draw(&s, 0), SAMPLER_NONE);
    assert_int_equal(sampler_draw(&s, 1), SAMPLER_NONE);
    read_state(m, before);
    m->ops->learn(m, &c, 0, &seen);
    read_state(m, after);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(seen.n, 0);
    model_free(m);
}

/* Of items 1 to 4, which the user doesn't have, the one that scores highest is pushed down; with
 * one draw each is, sooner or later. */
static void the_hardest_of_the_negatives_is_learned_from(void **)
{
    enum { N_ITEMS = 5, RUNS = 200 };
    static const struct candidate pool[] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}};
    static const float scores[N_ITEMS] = {0.5f, 0.1f, 0.2f, 0.4f, 0.3f};
    int64_t offsets[] = {0, 1};
    const struct interactions train = {.offsets = offsets, .items = (int32_t[]){0}, .n = 1};
    struct dataset d = {.n_users = 1, .n_items = N_ITEMS};

    for (int hardest_of = 1; hardest_of <= 64; hardest_of += 63) {
        int pushed[N_ITEMS] = {0};

        for (uint64_t key = 0; key < RUNS; key++) {
            const struct cell c = {.users = zero,
                                   .items = zero,
                                   .when = zero,
                                   .n = 1,
                                   .pool = pool,
                                   .n_pool = N_ITEMS,
                                   .key = key};
            struct model *m = made_model("mf", &d, 1);
            struct tensor t[MODEL_TENSORS_MAX];
            struct tally seen = {0};

            made_set(m, "embedding_dim", 1);
            made_set(m, "reg", 0);
            made_set(m, "hardest_of", hardest_of);
            m->ops->init(m, &train);
            m->ops->tensors(m, t);
            t[0].data[0] = 1;
            memcpy(t[1].data, scores, sizeof scores);
            m->ops->learn(m, &c, 0, &seen);
            for (int i = 1; i < N_ITEMS; i++)
                pushed[i] += t[1].data[i] < scores[i];
            model_free(m);
        }
        for (int i = 1; i < N_ITEMS; i++)
            if (hardest_of == 1)
                assert_in_range(pushed[i], RUNS / 8, RUNS / 2);
            else
                assert_int_equal(pushed[i], i == 3 ? RUNS : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_goes_down_the_gradient_of_the_loss),
        cmocka_unit_test(the_rate_falls_to_a_tenth),
        cmocka_unit_test(a_cell_changes_its_own_rows_alone),
        cmocka_unit_test(users_without_train_rows_are_served_by_a_history_alone),
        cmocka_unit_test(a_history_is_folded_in_by_least_squares),
        cmocka_unit_test(negatives_are_never_the_users_own_and_seldom_of_the_future),
        cmocka_unit_test(no_negative_of_many_is_the_users_own_or_too_new),
        cmocka_unit_test(a_user_who_has_all_gets_no_negative_and_no_step),
        cmocka_unit_test(the_hardest_of_the_negatives_is_learned_from),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
