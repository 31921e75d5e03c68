/* topk against a plain sort of everything. */
#include "base/rng.h"
#include "model/topk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { N_MAX = 1500 };

/* A model that scores as `scores` says, whoever asks. */
static float scores[N_MAX];

static int by_rank(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static int naive(int32_t n, const bool *skipped, int k, struct hit *out)
{
    int found = 0;

    for (int32_t i = 0; i < n; i++)
        if (!skipped[i] && !isnan(scores[i]))
            out[found++] = (struct hit){i, scores[i]};
    qsort(out, (size_t)found, sizeof *out, by_rank);
    return MIN(found, k);
}

static void given_scores(const struct model *, const struct query *, int n_queries, const float *,
                         int32_t first, int32_t n, float *out)
{
    for (int32_t c = 0; c < n; c++)
        for (int r = 0; r < n_queries; r++)
            *out++ = scores[first + c];
}

/* For one query. */
static void find(const struct model *m, const struct query *q, int k, bool leave_out,
                 struct hit *out, int *n_out)
{
    struct topk t;

    topk_init(&t, m, 1);
    topk_find(&t, q, 1, k, leave_out, out, n_out);
    topk_release(&t);
}

static const struct model_ops given = {.name = "given", .score = given_scores};

static void assert_same(const struct hit *got, const struct hit *want, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(got[i].item, want[i].item);
        assert_true(got[i].score == want[i].score);
    }
}

/* One random case: few distinct scores, so that ties are everywhere, or many. */
static void compare(struct rng *r)
{
    int32_t n = (int32_t)rng_below(r, N_MAX) + 1, skip[N_MAX], n_skip = 0;
    uint32_t levels = rng_below(r, 2) ? 3 : 100000, one_in = rng_below(r, 20) + 1;
    int k = (int)rng_below(r, 50) + 1, n_want, n_got;
    struct model m = {.ops = &given, .n_items = n};
    struct hit want[N_MAX], got[50];
    bool skipped[N_MAX] = {0};
    struct query q;

    for (int32_t i = 0; i < n; i++) {
        scores[i] = (float)rng_below(r, levels) - 1;
        if (rng_below(r, 50) == 0)
            scores[i] = NAN;
        if (rng_below(r, one_in) == 0)
            skipped[skip[n_skip++] = i] = true;
    }
    rng_shuffle(r, skip, n_skip);
    q = (struct query){.history = skip, .n_history = n_skip};
    n_want = naive(n, skipped, k, want);
    find(&m, &q, k, true, got, &n_got);
    assert_int_equal(n_got, n_want);
    assert_same(got, want, n_want);
    for (int s = 0; s < n_skip; s++)
        scores[skip[s]] = s % 2 ? NAN : -INFINITY;
    assert_int_equal(topk_best(scores, n, k, got), n_want);
    assert_same(got, want, n_want);
}

static void the_best_are_those_of_a_plain_sort(void **)
{
    struct rng r;

    rng_init(&r, rng_key(1, 0, 0, 0));
    for (int i = 0; i < 20000; i++)
        compare(&r);
}

static void equal_scores_are_in_order_of_item(void **)
{
    static const int32_t skip[] = {2, 0}, want[] = {7, 1, 3, 4};
    struct model m = {.ops = &given, .n_items = 200};
    struct query q = {.history = skip, .n_history = 2};
    struct hit out[4];
    int n;

    for (int i = 0; i < 200; i++)
        scores[i] = i == 7;
    find(&m, &q, 4, true, out, &n);
    assert_int_equal(n, 4);
    for (int i = 0; i < n; i++)
        assert_int_equal(out[i].item, want[i]);
    find(&m, &q, 4, false, out, &n);
    assert_int_equal(out[1].item, 0); /* the history counts only where it is to be left out */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_are_those_of_a_plain_sort),
        cmocka_unit_test(equal_scores_are_in_order_of_item),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
