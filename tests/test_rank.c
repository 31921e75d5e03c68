/* Ranking against a naive sort, on scores full of ties. */
#include "eval/rank.h"

#include "made.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { ITEMS = 2500 }; /* three blocks, the last one short */

/* A model whose scores the test knows: whole numbers, so many of them are equal. */
static float known_score(int32_t user, int32_t item)
{
    return (float)(rng_key(7, 0, (uint64_t)user, (uint64_t)item) % 50);
}

static bool known_serves(const struct model *, const struct query *q)
{
    return q->user % 10 != 3;
}

static void known_scores(const struct model *, const struct query *q, int n_queries, const float *,
                         int32_t first, int32_t n, float *out)
{
    for (int32_t c = 0; c < n; c++)
        for (int r = 0; r < n_queries; r++)
            *out++ = known_score(q[r].user, first + c);
}

static const struct model_ops known_ops = {
    .name = "known", .serves = known_serves, .score = known_scores};

static int32_t sorted_for;

static int best_first(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    float sx = known_score(sorted_for, x), sy = known_score(sorted_for, y);

    return sx != sy ? (sx < sy) - (sx > sy) : (x > y) - (x < y);
}

/* The naive list: all items that are not in the history, sorted. Returns how many. */
static int32_t naive(const struct query *q, int32_t n_items, bool leave_out, int32_t *out)
{
    int32_t n = 0;

    for (int32_t i = 0; i < n_items; i++) {
        bool has = false;

        for (int32_t h = 0; h < q->n_history; h++)
            has |= leave_out && q->history[h] == i;
        if (!has)
            out[n++] = i;
    }
    sorted_for = q->user;
    qsort(out, (size_t)n, sizeof *out, best_first);
    return n;
}

static void check_lists(int32_t n_items, int n, int k, bool leave_out)
{
    int32_t history[] = {3, 1024, 1023, 7, 2047, 3, 2499, 0};
    struct model m = {.ops = &known_ops, .n_items = n_items};
    AUTO_FREE struct hit *hits = xcalloc((size_t)n * (size_t)k, sizeof *hits);
    struct query q[TOPK_QUERIES];
    int n_hits[TOPK_QUERIES];
    struct topk t;
    static int32_t want[ITEMS];

    for (int h = 0; h < ARRAY_LEN(history); h++)
        history[h] %= n_items;
    for (int r = 0; r < n; r++)
        q[r] = (struct query){.user = r + 20, .history = history, .n_history = r % 9};
    topk_init(&t, &m, n);
    topk_find(&t, q, n, k, leave_out, hits, n_hits);
    topk_release(&t);
    for (int r = 0; r < n; r++) {
        int32_t all = naive(&q[r], n_items, leave_out, want);

        assert_int_equal(n_hits[r], MIN(k, all));
        for (int h = 0; h < n_hits[r]; h++) {
            assert_int_equal(hits[r * k + h].item, want[h]);
            assert_true(hits[r * k + h].score == known_score(q[r].user, want[h]));
        }
    }
}

static void lists_equal_a_naive_sort(void **)
{
    static const int32_t sizes[] = {1, 5, 64, 1000, 1024, 1025, ITEMS};
    static const int ks[] = {1, 2, 20, 100, TOPK_MAX};

    for (int s = 0; s < ARRAY_LEN(sizes); s++)
        for (int k = 0; k < ARRAY_LEN(ks); k++)
            for (int leave_out = 0; leave_out < 2; leave_out++) {
                check_lists(sizes[s], 1, ks[k], leave_out);
                check_lists(sizes[s], TOPK_QUERIES, ks[k], leave_out);
            }
}

static void a_catalogue_that_is_all_taken_gives_an_empty_list(void **)
{
    static const int32_t all[] = {0, 1, 2};
    struct model m = {.ops = &known_ops, .n_items = 3};
    struct query q = {.user = 1, .history = all, .n_history = 3};
    struct hit hits[5];
    struct topk t;
    int n;

    topk_init(&t, &m, 1);
    topk_find(&t, &q, 1, 5, true, hits, &n);
    topk_release(&t);
    assert_int_equal(n, 0);
}

/* The value of one metric at one k for one user, the slow way. */
static double naive_value(const struct dataset *d, int32_t u, enum dataset_part part,
                          const struct metric *metric, int k, bool leave_out)
{
    static int32_t list[ITEMS], history[ITEMS], ranks[ITEMS];
    struct query q = {.user = u, .history = history};
    int32_t n_relevant, n_hits = 0, n;
    const int32_t *relevant = interactions_row(&d->part[part], u, &n_relevant);

    if (!known_serves(NULL, &q))
        return 0;
    for (int p = 0; p < (int)part; p++) {
        int32_t len;
        const int32_t *row = interactions_row(&d->part[p], u, &len);

        for (int32_t i = 0; i < len; i++)
            history[q.n_history++] = row[i];
    }
    n = naive(&q, d->n_items, leave_out, list);
    for (int32_t r = 0; r < MIN(n, k); r++)
        for (int32_t i = 0; i < n_relevant; i++)
            if (relevant[i] == list[r])
                ranks[n_hits++] = r;
    return metric->value(ranks, n_hits, n_relevant, k);
}

static void check_means(const struct dataset *d, enum dataset_part part,
                        const struct rank_plan *plan)
{
    struct model m = {.ops = &known_ops, .n_users = d->n_users, .n_items = d->n_items};
    struct rank_result got;
    struct err err = {0};

    assert_true(rank_evaluate(&m, d, part, plan, &got, &err));
    for (int i = 0; i < plan->n_metrics; i++)
        for (int j = 0; j < plan->n_k; j++) {
            double known = 0, all = 0;
            int n_known = 0, n_all = 0;

            for (int32_t u = 0; u < d->n_users; u++) {
                int32_t held_out, train;
                double v;

                interactions_row(&d->part[part], u, &held_out);
                interactions_row(&d->part[DATASET_TRAIN], u, &train);
                if (!held_out)
                    continue;
                v = naive_value(d, u, part, plan->metrics[i], plan->k[j], !plan->include_seen);
                all += v, n_all++;
                if (train)
                    known += v, n_known++;
            }
            assert_int_equal(got.known.n_users, n_known);
            assert_int_equal(got.all.n_users, n_all);
            assert_true(fabs(got.known.value[i * plan->n_k + j] - known / n_known) < 1e-12);
            assert_true(fabs(got.all.value[i * plan->n_k + j] - all / n_all) < 1e-12);
        }
}

static void means_equal_the_naive_ones(void **)
{
    struct rank_plan plan = {0};
    struct dataset d;
    struct err err = {0};

    made_dataset(&d, 60, 40, 1);
    assert_true(rank_plan_parse(&plan, "recall,ndcg,hit,precision,map,mrr", "1,5,20,100", &err));
    for (int seen = 0; seen < 2; seen++) {
        plan.include_seen = seen;
        check_means(&d, DATASET_VAL, &plan);
        check_means(&d, DATASET_TEST, &plan);
    }
    made_release(&d);
}

static void numbers_do_not_depend_on_threads(void **)
{
    struct model m = {.ops = &known_ops, .n_users = 200, .n_items = 60};
    struct rank_plan plan = {0};
    struct rank_result one, other;
    struct dataset d;
    struct err err = {0};

    made_dataset(&d, 200, 60, 2);
    assert_true(rank_plan_parse(&plan, "ndcg,map", "10", &err));
    plan.threads = 1;
    assert_true(rank_evaluate(&m, &d, DATASET_TEST, &plan, &one, &err));
    for (plan.threads = 2; plan.threads <= 4; plan.threads += 2) {
        assert_true(rank_evaluate(&m, &d, DATASET_TEST, &plan, &other, &err));
        assert_memory_equal(&one.known, &other.known, sizeof one.known);
        assert_memory_equal(&one.all, &other.all, sizeof one.all);
    }
    made_release(&d);
}

static void nobody_to_judge_is_an_error(void **)
{
    struct model m = {.ops = &known_ops, .n_users = 20, .n_items = 10};
    struct rank_plan plan = {0};
    struct rank_result r;
    struct dataset d;
    struct err err = {0};

    made_dataset(&d, 20, 10, 3);
    memset(d.part[DATASET_VAL].offsets, 0, 21 * sizeof(int64_t));
    assert_true(rank_plan_parse(&plan, "ndcg", "10", &err));
    assert_false(rank_evaluate(&m, &d, DATASET_VAL, &plan, &r, &err));
    assert_int_equal(err.kind, ERR_DATA);
    made_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_equal_a_naive_sort),
        cmocka_unit_test(a_catalogue_that_is_all_taken_gives_an_empty_list),
        cmocka_unit_test(means_equal_the_naive_ones),
        cmocka_unit_test(numbers_do_not_depend_on_threads),
        cmocka_unit_test(nobody_to_judge_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
