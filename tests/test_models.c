/* What every model of the table must do. */
#include "model/store.h"
#include "train/loop.h"

#include "made.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

enum { USERS = 120, ITEMS = 90 };

static struct dataset data;
static char parts[2][64]; /* files of two models, for those that are made of others */

static int make_data(void **)
{
    static const char *const names[] = {"popularity", "gf"};

    made_dataset(&data, USERS, ITEMS, 1);
    for (int p = 0; p < ARRAY_LEN(parts); p++) {
        snprintf(parts[p], sizeof parts[p], "test_models.%d.%s", (int)getpid(), names[p]);
        made_file(names[p], &data, parts[p]);
    }
    return 0;
}

static int free_data(void **)
{
    for (int p = 0; p < ARRAY_LEN(parts); p++)
        unlink(parts[p]);
    made_release(&data);
    return 0;
}

static struct model *fresh(const struct model_ops *ops)
{
    struct model *m = made_model(ops->name, &data, 11);
    AUTO_FREE char *both = xasprintf("%s,%s", parts[0], parts[1]);

    if (ops->combine)
        made_set_text(m, "parts", both);
    return m;
}

static struct model *learned(const struct model_ops *ops, int threads)
{
    const struct loop_plan plan = {.epochs = 4, .threads = threads, .partitions = 4};
    struct model *m = fresh(ops);
    struct loop_result r = {0};
    struct err err = {0};

    if (!loop_train(m, &data, &plan, &r, &err))
        fail_msg("%s: %s", ops->name, err.msg);
    assert_true(r.epochs[r.n_epochs - 1].has_val);
    loop_result_release(&r);
    return m;
}

static struct query query_of(int32_t user)
{
    struct query q = {.user = user};

    if (user >= 0)
        q.history = interactions_row(&data.part[DATASET_TRAIN], user, &q.n_history);
    return q;
}

static void assert_same_scores(struct model *a, struct model *b)
{
    for (int32_t u = -1; u < USERS; u++) {
        struct query q = query_of(u);
        float x[ITEMS], y[ITEMS];

        assert_int_equal(a->ops->serves(a, &q), b->ops->serves(b, &q));
        if (!a->ops->serves(a, &q))
            continue;
        model_scores(a, &q, 1, x);
        model_scores(b, &q, 1, y);
        if (memcmp(x, y, sizeof x))
            fail_msg("%s: other scores for user %d", a->ops->name, u);
    }
}

static void the_table_is_in_order(void **)
{
    for (int i = 0; models[i]; i++) {
        const struct model_ops *o = models[i];
        struct err err = {0};

        assert_ptr_equal(model_find(o->name, &err), o);
        assert_true(o->summary && o->options && o->tensors && o->adopt && o->serves && o->score &&
                    o->release);
        assert_int_equal((o->fit != NULL) + (o->combine != NULL) + (o->init != NULL), 1);
        assert_true(o->init ? o->learn && o->rate : !o->learn);
        assert_true(o->combine ? o->parts && o->take_parts : !o->parts && !o->take_parts);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(models[k]->name, o->name);
    }
}

static void an_unknown_model_is_an_error_with_the_nearest(void **)
{
    struct err err = {0};

    assert_null(model_find("popularty", &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.msg, "did you mean 'popularity'?"));
}

static void tensors_are_listed_before_and_after_and_finite(void **)
{
    for (int i = 0; models[i]; i++) {
        struct model *empty = fresh(models[i]), *m = learned(models[i], 1);
        struct tensor before[MODEL_TENSORS_MAX], after[MODEL_TENSORS_MAX];
        int n = models[i]->tensors(empty, before); /* its own; its parts' come behind */
        const char *bad;

        if (models[i]->parts)
            assert_true(models[i]->tensors(m, after) > n);
        else
            assert_int_equal(models[i]->tensors(m, after), n);
        for (int t = 0; t < n; t++) {
            assert_string_equal(before[t].name, after[t].name);
            assert_int_equal(before[t].rows, after[t].rows);
            assert_int_equal(before[t].cols, after[t].cols);
            assert_non_null(after[t].data);
        }
        assert_true(model_finite(m, &bad));
        if (n) {
            after[n - 1].data[0] = NAN;
            assert_false(model_finite(m, &bad));
            assert_string_equal(bad, after[n - 1].name);
        }
        model_free(m);
        model_free(empty);
    }
}

static void any_number_of_threads_learns_the_same(void **)
{
    for (int i = 0; models[i]; i++) {
        struct model *one = learned(models[i], 1);

        for (int threads = 2; threads <= 4; threads += 2) {
            struct model *other = learned(models[i], threads);

            assert_same_scores(one, other);
            model_free(other);
        }
        model_free(one);
    }
}

static void assert_same_options(const struct model *a, const struct model *b)
{
    AUTO_FREE char *x = model_options_json(a);
    AUTO_FREE char *y = model_options_json(b);

    assert_string_equal(x, y);
}

static void what_is_saved_and_loaded_scores_the_same(void **)
{
    AUTO_FREE char *path = xasprintf("test_models.%d.safetensors", (int)getpid());

    for (int i = 0; models[i]; i++) {
        struct model *m = learned(models[i], 2), *loaded;
        struct err err = {0};

        assert_true(store_save(m, path, &err));
        loaded = store_load(path, &err);
        unlink(path);
        if (!loaded)
            fail_msg("%s: %s", models[i]->name, err.msg);
        assert_ptr_equal(loaded->ops, models[i]);
        assert_int_equal(loaded->n_users, USERS);
        assert_int_equal(loaded->n_items, ITEMS);
        assert_string_equal(loaded->digest, data.digest);
        assert_same_options(loaded, m);
        assert_same_scores(m, loaded);
        model_free(loaded);
        model_free(m);
    }
}

/* Queries together or alone, items at once or in pieces: the same bits. */
static void scores_do_not_depend_on_how_they_are_asked_for(void **)
{
    for (int i = 0; models[i]; i++) {
        struct model *m = learned(models[i], 1);
        static float together[USERS * ITEMS], alone[ITEMS];
        AUTO_FREE float *state = model_state(m, USERS);
        struct query q[USERS];
        int n = 0;

        for (int32_t u = 0; u < USERS; u++) {
            q[n] = query_of(u);
            n += m->ops->serves(m, &q[n]);
        }
        assert_true(n > USERS / 2);
        model_prepare(m, q, n, state);
        m->ops->score(m, q, n, state, 0, ITEMS, together);
        for (int r = 0; r < n; r++) {
            model_prepare(m, &q[r], 1, state);
            m->ops->score(m, &q[r], 1, state, 0, 50, alone);
            m->ops->score(m, &q[r], 1, state, 50, 1, alone + 50);
            m->ops->score(m, &q[r], 1, state, 51, ITEMS - 51, alone + 51);
            for (int k = 0; k < ITEMS; k++) {
                assert_true(isfinite(alone[k]));
                if (memcmp(&alone[k], &together[k * n + r], sizeof *alone))
                    fail_msg("%s: user %d, item %d", m->ops->name, q[r].user, k);
            }
        }
        model_free(m);
    }
}

static void popularity_counts_train_rows(void **)
{
    struct err err = {0};
    struct model *m = learned(model_find("popularity", &err), 1);
    struct query q = {.user = -1};
    float got[ITEMS], want[ITEMS] = {0};

    for (int64_t k = 0; k < data.part[DATASET_TRAIN].n; k++)
        want[data.part[DATASET_TRAIN].items[k]]++;
    model_scores(m, &q, 1, got);
    assert_memory_equal(got, want, sizeof got);
    model_free(m);
}

/* The made rows are all of time 0: here each is a day older than the one after it. */
static void with_a_half_life_old_rows_count_for_less(void **)
{
    struct interactions train = data.part[DATASET_TRAIN];
    AUTO_FREE int64_t *times = xcalloc((size_t)train.n, sizeof *times);
    struct model *m = made_model("popularity", &data, 1);
    struct query q = {.user = -1};
    double want[ITEMS] = {0};
    float got[ITEMS];
    struct err err = {0};

    train.times = times;
    for (int64_t k = 0; k < train.n; k++) {
        times[k] = k * 24 * 3600 * 1000;
        want[train.items[k]] += pow(0.5, (double)(train.n - 1 - k) / 100);
    }
    assert_false(m->ops->dated(m->options));
    made_set(m, "half_life_days", 100);
    assert_true(m->ops->dated(m->options));
    assert_true(m->ops->fit(m, &train, &err));
    model_scores(m, &q, 1, got);
    for (int i = 0; i < ITEMS; i++)
        assert_float_equal(got[i], want[i], 1e-5);
    m->ops->release(m);
    train.times = NULL;
    assert_false(m->ops->fit(m, &train, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.msg, "no times"));
    model_free(m);
}

static void random_differs_by_user_item_and_seed(void **)
{
    struct model *a = made_model("random", &data, 1), *b = made_model("random", &data, 2);
    struct query q[2] = {{.user = 1}, {.user = 2}};
    float x[2 * ITEMS], y[2 * ITEMS];

    model_scores(a, q, 2, x);
    model_scores(b, q, 2, y);
    assert_memory_not_equal(x, x + ITEMS, ITEMS * sizeof *x);
    assert_memory_not_equal(x, y, ITEMS * sizeof *x);
    assert_true(x[0] != x[1]);
    model_free(a);
    model_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_in_order),
        cmocka_unit_test(an_unknown_model_is_an_error_with_the_nearest),
        cmocka_unit_test(tensors_are_listed_before_and_after_and_finite),
        cmocka_unit_test(any_number_of_threads_learns_the_same),
        cmocka_unit_test(what_is_saved_and_loaded_scores_the_same),
        cmocka_unit_test(scores_do_not_depend_on_how_they_are_asked_for),
        cmocka_unit_test(popularity_counts_train_rows),
        cmocka_unit_test(with_a_half_life_old_rows_count_for_less),
        cmocka_unit_test(random_differs_by_user_item_and_seed),
    };

    return cmocka_run_group_tests(tests, make_data, free_data);
}
