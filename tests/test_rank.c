/* Ranking against a naive sort, on scores full of ties. */
#include "eval/compare.h"
#include "eval/groups.h"
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

static int32_t naive_train_rows(const struct dataset *d, int32_t item)
{
    int32_t n = 0;

    for (int64_t r = 0; r < d->part[DATASET_TRAIN].n; r++)
        n += d->part[DATASET_TRAIN].items[r] == item;
    return n;
}

static int32_t naive_train_users(const struct dataset *d)
{
    int32_t n = 0;

    for (int32_t u = 0; u < d->n_users; u++)
        n += d->part[DATASET_TRAIN].offsets[u + 1] > d->part[DATASET_TRAIN].offsets[u];
    return n;
}

/* The list of a user whom the model serves, or -1. */
static int32_t naive_list(const struct dataset *d, int32_t u, enum dataset_part part, int k,
                          bool leave_out, int32_t *list)
{
    static int32_t history[ITEMS];
    struct query q = {.user = u, .history = history};

    if (!known_serves(NULL, &q))
        return -1;
    for (int p = 0; p < (int)part; p++) {
        int32_t len;
        const int32_t *row = interactions_row(&d->part[p], u, &len);

        for (int32_t i = 0; i < len; i++)
            history[q.n_history++] = row[i];
    }
    return MIN(naive(&q, d->n_items, leave_out, list), k);
}

/* The value of one metric at one k for one user, the slow way. */
static double naive_value(const struct dataset *d, int32_t u, enum dataset_part part,
                          const struct metric *metric, int k, bool leave_out)
{
    static int32_t list[ITEMS], ranks[ITEMS];
    int32_t n_relevant, n_hits = 0, n = naive_list(d, u, part, k, leave_out, list);
    const int32_t *relevant = interactions_row(&d->part[part], u, &n_relevant);
    double sum = 0;

    if (n < 0)
        return metric->item ? NAN : 0;
    for (int32_t r = 0; r < n; r++) {
        for (int32_t i = 0; i < n_relevant; i++)
            if (relevant[i] == list[r])
                ranks[n_hits++] = r;
        if (metric->item)
            sum += metric->item(naive_train_rows(d, list[r]), naive_train_users(d));
    }
    return metric->item ? sum / n : metric->hits(ranks, n_hits, n_relevant, k);
}

/* Mean and half the interval of the values that are numbers, in two passes. */
static void naive_mean(const double *x, int n, double *mean, double *half)
{
    double sum = 0, squares = 0;
    int left = 0;

    for (int i = 0; i < n; i++)
        if (!isnan(x[i]))
            sum += x[i], left++;
    *mean = sum / left;
    for (int i = 0; i < n; i++)
        if (!isnan(x[i]))
            squares += (x[i] - *mean) * (x[i] - *mean);
    *half = 1.96 * sqrt(squares / (left - 1)) / sqrt(left);
}

/* A metric of all lists together: of users with train rows, or of all. */
static double naive_lists(const struct dataset *d, enum dataset_part part,
                          const struct metric *metric, int k, bool leave_out, bool known_only)
{
    static int32_t list[ITEMS];
    AUTO_FREE int32_t *listed = xcalloc((size_t)d->n_items, sizeof *listed);

    for (int32_t u = 0; u < d->n_users; u++) {
        int32_t held_out, train, n;

        interactions_row(&d->part[part], u, &held_out);
        interactions_row(&d->part[DATASET_TRAIN], u, &train);
        if (!held_out || (known_only && !train))
            continue;
        n = naive_list(d, u, part, k, leave_out, list);
        for (int32_t i = 0; i < n; i++)
            listed[list[i]]++;
    }
    return metric->lists(listed, d->n_items);
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) < 1e-12 * MAX(1, fabs(want))))
        fail_msg("%.17g, not %.17g", got, want);
}

static void check_mean(const struct dataset *d, enum dataset_part part, const struct metric *metric,
                       int k, bool leave_out, const struct rank_result *got, int v)
{
    double known[100], all[100], mean, half;
    int n_known = 0, n_all = 0;

    assert_true(d->n_users <= 100);
    for (int32_t u = 0; u < d->n_users; u++) {
        int32_t held_out, train;

        interactions_row(&d->part[part], u, &held_out);
        interactions_row(&d->part[DATASET_TRAIN], u, &train);
        if (!held_out)
            continue;
        all[n_all++] = metric->lists ? 0 : naive_value(d, u, part, metric, k, leave_out);
        if (train)
            known[n_known++] = all[n_all - 1];
    }
    assert_int_equal(got->known.n_users, n_known);
    assert_int_equal(got->all.n_users, n_all);
    if (metric->lists) {
        assert_near(got->known.value[v], naive_lists(d, part, metric, k, leave_out, true));
        assert_near(got->all.value[v], naive_lists(d, part, metric, k, leave_out, false));
        assert_true(isnan(got->known.half[v]) && isnan(got->all.half[v]));
        return;
    }
    naive_mean(known, n_known, &mean, &half);
    assert_near(got->known.value[v], mean);
    assert_near(got->known.half[v], half);
    naive_mean(all, n_all, &mean, &half);
    assert_near(got->all.value[v], mean);
    assert_near(got->all.half[v], half);
}

static void check_means(const struct dataset *d, enum dataset_part part,
                        const struct rank_plan *plan)
{
    struct model m = {.ops = &known_ops, .n_users = d->n_users, .n_items = d->n_items};
    int64_t n_new = 0;
    struct rank_result got;
    struct err err = {0};

    assert_true(rank_evaluate(&m, d, part, plan, &got, &err));
    for (int i = 0; i < plan->n_metrics; i++)
        for (int j = 0; j < plan->n_k; j++)
            check_mean(d, part, plan->metrics[i], plan->k[j], !plan->include_seen, &got,
                       i * plan->n_k + j);
    for (int64_t r = 0; r < d->part[part].n; r++)
        n_new += !naive_train_rows(d, d->part[part].items[r]);
    assert_int_equal(got.n_rows, d->part[part].n);
    assert_int_equal(got.n_new_rows, n_new);
}

static void means_and_intervals_equal_the_naive_ones(void **)
{
    struct rank_plan plan = {0};
    struct dataset d;
    struct err err = {0};

    assert_true(
        rank_plan_parse(&plan, "recall,ndcg,hit,precision,map,mrr,coverage,gini,popularity,novelty",
                        "1,5,20,100", &err));
    for (int32_t n_users = 9; n_users <= 63; n_users *= 7) { /* of few, many items are new */
        made_dataset(&d, n_users, 40, 1);
        for (int seen = 0; seen < 2; seen++) {
            plan.include_seen = seen;
            check_means(&d, DATASET_VAL, &plan);
            check_means(&d, DATASET_TEST, &plan);
        }
        made_release(&d);
    }
}

static void moments_are_those_of_all_at_once(void **)
{
    static const double x[] = {3, 1, 4, 1, 5};
    struct moments none = {0}, one = {0}, all = {0};

    moments_add(&one, 7);
    for (int i = 0; i < ARRAY_LEN(x); i++)
        moments_add(&all, x[i]);
    assert_true(isnan(moments_mean(&none)) && isnan(moments_half(&none)));
    assert_true(moments_mean(&one) == 7 && isnan(moments_half(&one)));
    assert_near(moments_mean(&all), 2.8);
    assert_near(moments_half(&all), 1.96 * sqrt(3.2 / 5)); /* (.04 + 2 * 3.24 + 1.44 + 4.84) / 4 */
}

static void add_square(const void *, int64_t i, struct moments *sums)
{
    moments_add(&sums[0], (double)(i * i));
    if (i % 3 == 0)
        moments_add(&sums[1], sqrt((double)i));
}

static void moments_of_many_are_the_same_bits_on_any_number_of_threads(void **)
{
    enum { N = 20000 };
    struct moments straight[2] = {0}, one[2], other[2];

    for (int64_t i = 0; i < N; i++)
        add_square(NULL, i, straight);
    moments_over(N, 2, 1, add_square, NULL, one);
    for (int threads = 2; threads <= 4; threads++) {
        moments_over(N, 2, threads, add_square, NULL, other);
        assert_memory_equal(one, other, sizeof one);
    }
    for (int s = 0; s < 2; s++) {
        assert_int_equal(one[s].n, straight[s].n);
        assert_near(one[s].mean, straight[s].mean);
        assert_near(moments_half(&one[s]), moments_half(&straight[s]));
    }
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

static int32_t reversed_item(const struct model *m, int32_t item)
{
    return m->n_items - 1 - item;
}

static void reversed_scores(const struct model *m, const struct query *q, int n_queries,
                            const float *, int32_t first, int32_t n, float *out)
{
    for (int32_t c = 0; c < n; c++)
        for (int r = 0; r < n_queries; r++)
            *out++ = known_score(q[r].user, reversed_item(m, first + c));
}

static const struct model_ops reversed_ops = {
    .name = "reversed", .serves = known_serves, .score = reversed_scores};

/* All groups of all groupings, then the differences of the two models. Returns how many. */
static int measure(const struct dataset *d, struct rank_plan *plan, int threads,
                   struct rank_means *out)
{
    struct model m[] = {{.ops = &known_ops, .n_items = d->n_items},
                        {.ops = &reversed_ops, .n_items = d->n_items}};
    struct rank_result result[2];
    struct ranking r[2];
    AUTO(heldout) h = {0};
    struct err err = {0};
    int n = 0;

    plan->threads = threads;
    assert_true(heldout_make(&h, d, DATASET_TEST, threads, &err));
    for (int i = 0; i < 2; i++) {
        assert_true(ranking_make(&r[i], &m[i], &h, plan, &err));
        ranking_result(&r[i], &result[i]);
    }
    for (const struct grouping *by = groupings; by->name; by++) {
        AUTO(group_means) g = {0};

        group_means_make(&g, by, &r[0]);
        for (int i = 0; i < g.groups.n; i++)
            out[n++] = g.means[i];
    }
    compare_to(&r[0], &r[1], &result[0].known, &result[1].known, &out[n++]);
    ranking_release(&r[0]);
    ranking_release(&r[1]);
    return n;
}

static void every_grouping_is_named_in_the_help_and_parsed(void **)
{
    const struct grouping *out[GROUPINGS_MAX];
    AUTO(buf) all = {0};
    struct err err = {0};
    int n = 0;

    for (const struct grouping *g = groupings; g->name; g++, n++) {
        buf_printf(&all, "%s%s", n ? "," : "", g->name);
        assert_non_null(strstr(GROUPS_NAMES, g->name));
    }
    buf_puts(&all, ",activity");
    assert_int_equal(groups_parse("--by", buf_str(&all), out, &err), n);
    for (int i = 0; i < n; i++)
        assert_ptr_equal(out[i], &groupings[i]);
    assert_int_equal(groups_parse("--by", NULL, out, &err), 0);
    assert_int_equal(groups_parse("--by", "activity,xyzzyx", out, &err), -1);
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.msg, "--by: no groups by 'xyzzyx'; there are activity"));
}

static void groups_and_differences_do_not_depend_on_threads(void **)
{
    struct rank_means one[20], other[20];
    struct rank_plan plan = {0};
    struct dataset d;
    struct err err = {0};
    int n;

    memset(one, 0, sizeof one);
    memset(other, 0, sizeof other);
    made_dataset(&d, 9000, 60, 2);
    assert_true(rank_plan_parse(&plan, "ndcg,recall,gini,novelty", "5,10", &err));
    n = measure(&d, &plan, 1, one);
    assert_true(n > 8 && n <= 20);
    for (int threads = 2; threads <= 4; threads += 2) {
        assert_int_equal(measure(&d, &plan, threads, other), n);
        assert_memory_equal(one, other, sizeof one);
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
        cmocka_unit_test(means_and_intervals_equal_the_naive_ones),
        cmocka_unit_test(moments_are_those_of_all_at_once),
        cmocka_unit_test(moments_of_many_are_the_same_bits_on_any_number_of_threads),
        cmocka_unit_test(every_grouping_is_named_in_the_help_and_parsed),
        cmocka_unit_test(groups_and_differences_do_not_depend_on_threads),
        cmocka_unit_test(numbers_do_not_depend_on_threads),
        cmocka_unit_test(nobody_to_judge_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
