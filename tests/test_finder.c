/* The finder's lists are those of topk, item for item, whatever the vectors. */
#include "model/finder.h"

#include "base/rng.h"
#include "made.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { USERS = 12, ITEMS = 1000, K = 40 };

static struct dataset data;

static int make(void **)
{
    made_dataset(&data, USERS, ITEMS, 3);
    return 0;
}

static int release(void **)
{
    made_release(&data);
    return 0;
}

enum { LEVEL, SLOWLY, AS_TRAINED, FLAT };

/* How items' lengths go down; or, FLAT, their vectors lie near a space of few directions. */
static double fall(int kind, int32_t i, int column)
{
    switch (kind) {
    case SLOWLY:
        return 1 - 0.5 * i / ITEMS;
    case AS_TRAINED:
        return pow(i + 1, -0.4);
    case FLAT:
        return column < 16 ? 1 : 0.2;
    default:
        return 1;
    }
}

/* mf with vectors at random: levels, few distinct numbers, so that scores are often equal. */
static struct model *make_mf(int dim, const char *similarity, bool bias, int kind, int levels,
                             uint64_t seed)
{
    struct model *m = made_model("mf", &data, seed);
    struct tensor t[MODEL_TENSORS_MAX];
    int n;

    made_set(m, "embedding_dim", dim);
    made_set(m, "item_bias", bias);
    made_set_text(m, "similarity", similarity);
    m->ops->init(m, &data.part[DATASET_TRAIN]);
    n = m->ops->tensors(m, t);
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < t[i].rows * t[i].cols; k++) {
            struct rng r;
            double x;

            rng_init(&r, rng_key(seed, (uint64_t)i, (uint64_t)k, 0));
            x = levels ? (double)rng_below(&r, (uint32_t)levels) - levels / 2
                       : 2 * rng_uniform(&r) - 1;
            if (i == 1)
                x *= fall(kind, (int32_t)(k / t[i].cols), (int)(k % t[i].cols));
            t[i].data[k] = (float)x;
        }
    return m;
}

/* All that topk has, less what is excluded or isn't among them. */
static int want(const struct model *m, const struct finder_query *q, struct hit *out)
{
    static struct hit all[ITEMS];
    AUTO_FREE float *scores = xcalloc(ITEMS, sizeof *scores);
    int n, n_out = 0;

    model_scores(m, &q->q, 1, scores);
    for (int32_t h = 0; q->exclude_seen && h < q->q.n_history; h++)
        scores[q->q.history[h]] = -INFINITY;
    for (int e = 0; e < q->n_exclude; e++)
        scores[q->exclude[e]] = -INFINITY;
    for (int32_t i = 0; q->among && i < ITEMS; i++)
        if (!(q->among[i / 64] >> (i % 64) & 1))
            scores[i] = -INFINITY;
    n = topk_best(scores, ITEMS, q->k, all);
    for (int i = 0; i < n; i++)
        out[n_out++] = all[i];
    return n_out;
}

/* Returns how many items were scored exactly, over all users. */
static int64_t compare(const struct model *m)
{
    static const int32_t exclude[] = {5, 9, 999, 5};
    struct finder *f = finder_new(m);
    struct finder_room room;
    uint64_t among[(ITEMS + 63) / 64];
    int64_t scored = 0;

    finder_room_init(&room, f);
    for (int i = 0; i < ARRAY_LEN(among); i++)
        among[i] = 0x8421842184218421u << i % 4;
    for (int32_t u = 0; u < USERS; u++)
        for (int how = 0; how < 4; how++) {
            struct finder_query q = {.q = query_of_user(&data.part[DATASET_TRAIN], u),
                                     .k = how == 3 ? 1 : K,
                                     .exclude_seen = how != 0,
                                     .exclude = exclude,
                                     .n_exclude = how == 2 ? ARRAY_LEN(exclude) : 0,
                                     .among = how == 2 ? among : NULL};
            struct hit got[K], wanted[K];
            int n, n_want;

            if (!m->ops->serves(m, &q.q))
                continue;
            n = finder_find(f, &room, &q, got);
            n_want = want(m, &q, wanted);
            assert_int_equal(n, n_want);
            for (int k = 0; k < n; k++)
                if (got[k].item != wanted[k].item || got[k].score != wanted[k].score)
                    fail_msg("user %d, way %d, place %d: item %d %.9g, not %d %.9g", u, how, k,
                             got[k].item, (double)got[k].score, wanted[k].item,
                             (double)wanted[k].score);
            scored += how == 1 ? finder_scored(&room) : 0;
        }
    finder_room_release(&room);
    finder_free(f);
    return scored;
}

/* Queries together have the lists that each has alone. */
static void compare_many(const struct model *m)
{
    static const int32_t exclude[] = {3, 4};
    static struct hit lists[FINDER_QUERIES][K];
    struct finder *f = finder_new(m);
    struct finder_room room;
    struct finder_query q[FINDER_QUERIES];
    struct hit *out[FINDER_QUERIES];
    int n_out[FINDER_QUERIES], n = 0;

    finder_room_init(&room, f);
    for (int i = 0; i < FINDER_QUERIES; i++) {
        q[n] = (struct finder_query){.q = query_of_user(&data.part[DATASET_TRAIN], i * 5 % USERS),
                                     .k = i % 3 ? K : 1 + i,
                                     .exclude_seen = i % 2,
                                     .exclude = exclude,
                                     .n_exclude = i % 3};
        out[n] = lists[n];
        n += m->ops->serves(m, &q[n].q);
    }
    for (int count = n; count >= 1; count -= 3) {
        finder_find_many(f, &room, q, count, out, n_out);
        for (int i = 0; i < count; i++) {
            struct hit alone[K];

            assert_int_equal(finder_find(f, &room, &q[i], alone), n_out[i]);
            for (int k = 0; k < n_out[i]; k++)
                assert_true(alone[k].item == lists[i][k].item &&
                            alone[k].score == lists[i][k].score);
        }
    }
    finder_room_release(&room);
    finder_free(f);
}

static void products_of_all_kinds(void **)
{
    static const int dims[] = {1, 31, 33, 64};
    static const int levels[] = {0, 2, 16};
    uint64_t seed = 0;

    for (int d = 0; d < ARRAY_LEN(dims); d++)
        for (int l = 0; l < ARRAY_LEN(levels); l++)
            for (int kind = LEVEL; kind <= FLAT; kind++)
                for (int way = 0; way < 3; way++) {
                    struct model *m = make_mf(dims[d], way == 2 ? "cosine" : "dot", way == 1, kind,
                                              levels[l], ++seed);

                    compare(m);
                    compare_many(m);
                    model_free(m);
                }
}

static void vectors_that_are_nothing(void **)
{
    struct model *m = make_mf(16, "dot", false, LEVEL, 1, 1);

    compare(m);
    model_free(m);
}

static void few_are_looked_at_where_lengths_differ(void **)
{
    struct model *m = make_mf(64, "dot", false, AS_TRAINED, 0, 5);
    int64_t scored = compare(m);

    assert_true(scored < (int64_t)USERS * ITEMS / 3);
    model_free(m);
}

/* Queries that have nothing in the few directions near which items lie: by these alone every item
 * may be the best. */
static void few_are_scored_where_the_brief_form_says_little(void **)
{
    struct model *m = make_mf(64, "dot", false, FLAT, 0, 6);
    struct tensor t[MODEL_TENSORS_MAX];

    m->ops->tensors(m, t);
    for (int32_t u = 0; u < USERS; u++)
        memset(t[0].data + (int64_t)u * 64, 0, 16 * sizeof *t[0].data);
    assert_true(compare(m) < (int64_t)USERS * ITEMS * 3 / 4);
    model_free(m);
}

static void other_models_score_all(void **)
{
    static const char *const names[] = {"popularity", "itemknn", "svd", "ials",
                                        "ease",       "gf",      "gram"};

    for (int i = 0; i < ARRAY_LEN(names); i++) {
        struct err err = {0};
        struct model *m = made_model(names[i], &data, 1);

        if (!m->ops->fit(m, &data.part[DATASET_TRAIN], &err))
            fail_msg("%s: %s", names[i], err.msg);
        compare(m);
        compare_many(m);
        model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_all_kinds),
        cmocka_unit_test(vectors_that_are_nothing),
        cmocka_unit_test(few_are_looked_at_where_lengths_differ),
        cmocka_unit_test(few_are_scored_where_the_brief_form_says_little),
        cmocka_unit_test(other_models_score_all),
    };

    return cmocka_run_group_tests(tests, make, release);
}
