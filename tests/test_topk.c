/* topk against a plain sort of everything. */
#include "base/rng.h"
#include "model/topk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { N_MAX = 700 };

static int by_rank(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static int naive(const float *scores, int32_t n, const bool *skipped, int k, struct hit *out)
{
    int found = 0;

    for (int32_t i = 0; i < n; i++)
        if (!skipped[i] && !isnan(scores[i]))
            out[found++] = (struct hit){i, scores[i]};
    qsort(out, (size_t)found, sizeof *out, by_rank);
    return MIN(found, k);
}

/* One random case: few distinct scores, so that ties are everywhere, or many. */
static void compare(struct rng *r)
{
    int32_t n = (int32_t)rng_below(r, N_MAX) + 1, skip[N_MAX], n_skip = 0;
    uint32_t levels = rng_below(r, 2) ? 3 : 100000, one_in = rng_below(r, 20) + 1;
    int k = (int)rng_below(r, 50) + 1;
    struct hit want[N_MAX], got[50];
    bool skipped[N_MAX] = {0};
    float scores[N_MAX];
    int n_want, n_got;

    for (int32_t i = 0; i < n; i++) {
        scores[i] = (float)rng_below(r, levels) - 1;
        if (rng_below(r, 50) == 0)
            scores[i] = rng_below(r, 2) ? NAN : -INFINITY;
        if (rng_below(r, one_in) == 0)
            skipped[skip[n_skip++] = i] = true;
    }
    n_want = naive(scores, n, skipped, k, want);
    n_got = topk(scores, n, skip, n_skip, k, got);
    assert_int_equal(n_got, n_want);
    for (int i = 0; i < n_got; i++) {
        assert_int_equal(got[i].item, want[i].item);
        assert_true(got[i].score == want[i].score);
    }
}

static void the_best_are_those_of_a_plain_sort(void **state)
{
    struct rng r;

    (void)state;
    rng_init(&r, rng_key(1, 0, 0, 0));
    for (int i = 0; i < 20000; i++)
        compare(&r);
}

static void equal_scores_are_in_order_of_item(void **state)
{
    static const float scores[200] = {[7] = 1}; /* all others 0 */
    static const int32_t skip[] = {0, 2};
    struct hit out[4];

    (void)state;
    assert_int_equal(topk(scores, 200, skip, 2, 4, out), 4);
    assert_int_equal(out[0].item, 7);
    assert_int_equal(out[1].item, 1);
    assert_int_equal(out[2].item, 3);
    assert_int_equal(out[3].item, 4);
}

static void where_all_is_skipped_nothing_is_left(void **state)
{
    static const float scores[] = {1, 2, 3};
    static const int32_t skip[] = {0, 1, 2};
    struct hit out[2];

    (void)state;
    assert_int_equal(topk(scores, 3, skip, 3, 2, out), 0);
    assert_int_equal(topk(scores, 0, NULL, 0, 2, out), 0);
    assert_int_equal(topk(scores, 3, skip, 2, 2, out), 1);
    assert_int_equal(out[0].item, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_are_those_of_a_plain_sort),
        cmocka_unit_test(equal_scores_are_in_order_of_item),
        cmocka_unit_test(where_all_is_skipped_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
