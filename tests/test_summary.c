/* summary: each number against plain loops over the same rows. */
#include "test.h"

#include "base/rng.h"
#include "data/summary.h"

#include <math.h>

enum { N_MAX = 20000 };

static struct row {
    int32_t user, item, part;
    int64_t time;
    float rating; /* NaN: none */
} made[N_MAX];
static int64_t n_made;

static bool next_rows(void *, int64_t at, void *const *columns, int64_t max, int64_t *n,
                      struct err *)
{
    *n = MIN(max, n_made - at);
    for (int64_t i = 0; i < *n; i++) {
        const struct row *r = made + at + i;

        ((int32_t *)columns[0])[i] = r->user;
        ((int32_t *)columns[1])[i] = r->item;
        ((int64_t *)columns[2])[i] = r->time;
        ((float *)columns[3])[i] = r->rating;
        ((int64_t *)columns[4])[i] = at + i;
        ((int32_t *)columns[5])[i] = r->part;
    }
    return true;
}

static void summarize(bool has_times, struct summary *s)
{
    static const struct duck_source source = {"made",
                                              {{"user_idx", DUCK_INT32},
                                               {"item_idx", DUCK_INT32},
                                               {"timestamp", DUCK_INT64},
                                               {"rating", DUCK_FLOAT},
                                               {"n", DUCK_INT64},
                                               {"p", DUCK_INT32}},
                                              N_MAX,
                                              next_rows,
                                              NULL};
    AUTO(duck) d = {0};
    struct err err = {0};

    assert_ok(duck_open(&d, NULL, &err), err);
    assert_ok(duck_register_source(&d, &source, &err), err);
    assert_ok(duck_exec(&d,
                        "CREATE VIEW labelled AS SELECT user_idx, item_idx, timestamp, rating, n, "
                        "['train', 'val', 'test'][p + 1] AS part FROM made()",
                        &err),
              err);
    assert_ok(summary_collect(&d, has_times, s, &err), err);
}

/* Skewed, in order of time over `span` ms from `start`; cut at 70 % and 85 %. */
static void make_rows(int64_t n, int64_t start, int64_t span, int n_ratings)
{
    struct rng r;

    rng_init(&r, 7);
    n_made = n;
    for (int64_t i = 0; i < n; i++) {
        double x = rng_uniform(&r), y = rng_uniform(&r);

        made[i] = (struct row){.user = (int32_t)(x * x * x * 900),
                               .item = (int32_t)(y * y * 300),
                               .time = start + (int64_t)((double)span * (double)i / (double)n),
                               .part = i >= n * 85 / 100 ? 2 : i >= n * 7 / 10,
                               .rating = n_ratings && rng_below(&r, 10)
                                             ? (float)rng_below(&r, (uint64_t)n_ratings) / 2
                                             : NAN};
    }
}

static int descending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x < y) - (x > y);
}

/* Rows of each user or item that has any, the most first; returns how many those are. */
static int64_t tail_of(bool by_user, int64_t count[static 1000])
{
    int64_t n = 0;

    memset(count, 0, 1000 * sizeof *count);
    for (int64_t i = 0; i < n_made; i++)
        count[by_user ? made[i].user : made[i].item]++;
    qsort(count, 1000, sizeof *count, descending);
    while (n < 1000 && count[n])
        n++;
    return n;
}

/* The mean absolute difference of all pairs, over twice the mean. */
static double gini_of(const int64_t *count, int64_t n)
{
    double sum = 0, apart = 0;

    for (int64_t i = 0; i < n; i++) {
        sum += (double)count[i];
        for (int64_t k = 0; k < n; k++)
            apart += fabs((double)(count[i] - count[k]));
    }
    return apart / (2 * (double)n * sum);
}

static double share_of(const int64_t *count, int64_t top)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < top; i++)
        sum += count[i];
    return (double)sum / (double)n_made;
}

static void assert_tail(const struct summary_tail *t, bool by_user)
{
    int64_t count[1000], n = tail_of(by_user, count);

    assert_int_equal(t->n, n);
    assert_int_equal(t->max, count[0]);
    assert_int_equal(t->min, count[n - 1]);
    assert_int_equal(t->median, count[n - (int64_t)ceil((double)n / 2)]);
    assert_int_equal(t->p90, count[n - (int64_t)ceil((double)n * 90 / 100)]);
    assert_int_equal(t->p99, count[n - (int64_t)ceil((double)n * 99 / 100)]);
    assert_true(fabs(t->mean - (double)n_made / (double)n) < 1e-12);
    assert_true(fabs(t->top1 - share_of(count, (int64_t)ceil((double)n / 100))) < 1e-12);
    assert_true(fabs(t->top10 - share_of(count, (int64_t)ceil((double)n / 10))) < 1e-12);
    assert_true(fabs(t->gini - gini_of(count, n)) < 1e-9);
    assert_int_equal(t->points[0].rank, 1);
    assert_int_equal(t->points[t->n_points - 1].rank, n);
    assert_in_range(t->n_points, MIN(n, 20), MIN(n, SUMMARY_POINTS_MAX));
    for (int i = 0; i < t->n_points; i++) {
        assert_true(i == 0 || t->points[i].rank > t->points[i - 1].rank);
        assert_int_equal(t->points[i].n_rows, count[t->points[i].rank - 1]);
    }
}

static void the_tails_are_those_of_sorted_counts(void **)
{
    for (int64_t n = 1; n <= N_MAX; n = n * 3 + 1) {
        struct summary s;

        make_rows(n, 0, n, 0);
        summarize(true, &s);
        assert_int_equal(s.n_rows, n);
        assert_tail(&s.users, true);
        assert_tail(&s.items, false);
        assert_int_equal(s.n_ratings, 0);
    }
}

static void every_row_is_in_the_bin_of_its_time(void **)
{
    static const struct {
        int64_t start, span;
        int fewest; /* bins */
    } cases[] = {
        {0, 1, 1},
        {1400000000123, 5000, 4},
        {1400000000123, 200000, 50},
        {1400000000123, 86400000 * 3LL, 50},
        {831000000000, 86400000LL * 365 * 18, 50},
        {0, 253402300799999, 50},
    };

    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        int64_t want[SUMMARY_BINS_MAX][DATASET_PARTS] = {0};
        struct summary s;

        make_rows(5000, cases[c].start, cases[c].span, 0);
        summarize(true, &s);
        assert_int_equal(s.first_time, made[0].time);
        assert_int_equal(s.last_time, made[n_made - 1].time);
        assert_in_range(s.n_bins, cases[c].fewest, SUMMARY_BINS_MAX);
        for (int64_t i = 0; i < n_made; i++) {
            int64_t bin = (made[i].time - s.bins_start) / s.bin_ms;

            assert_true(made[i].time >= s.bins_start);
            assert_in_range(bin, 0, s.n_bins - 1);
            want[bin][made[i].part]++;
        }
        assert_memory_equal(s.bins, want, sizeof want);
    }
}

static void long_bins_start_on_mondays(void **)
{
    struct summary s;

    make_rows(1000, 1000000000000, 86400000LL * 365 * 5, 0);
    summarize(true, &s);
    assert_int_equal(s.bin_ms % (7 * 86400000LL), 0);
    assert_int_equal((s.bins_start / 86400000 + 3) % 7, 0); /* day 0 was a Thursday */
}

static void cuts_are_there_where_time_cuts_all_users_alike(void **)
{
    struct summary s;

    make_rows(1000, 1000000, 1000000, 0);
    summarize(true, &s);
    assert_true(s.has_cuts);
    assert_int_equal(s.cuts[DATASET_VAL], made[700].time);
    assert_int_equal(s.cuts[DATASET_TEST], made[850].time);
    for (int p = 0; p < DATASET_PARTS; p++)
        assert_int_equal(s.n_part[p], p == 0 ? 700 : 150);
    made[900].part = 0; /* after others' test */
    summarize(true, &s);
    assert_false(s.has_cuts);
    assert_int_equal(s.cuts[DATASET_TEST], 0);
    for (int i = 700; i < 1000; i++)
        made[i].part = i < 850 ? 0 : 2; /* no val */
    summarize(true, &s);
    assert_true(s.has_cuts);
    assert_int_equal(s.cuts[DATASET_VAL], 0);
    assert_int_equal(s.cuts[DATASET_TEST], made[850].time);
}

static void ratings_are_counted_one_by_one_or_in_bins(void **)
{
    static const int different[] = {1, 5, 10, 20, 21, 101, 1000};

    for (int c = 0; c < ARRAY_LEN(different); c++) {
        struct summary s;
        int64_t seen = 0;

        make_rows(N_MAX, 0, 1000, different[c]);
        summarize(true, &s);
        assert_in_range(s.n_ratings, MIN(different[c], 10), SUMMARY_RATINGS_MAX);
        assert_int_equal(s.ratings[0].from == s.ratings[0].to, different[c] <= 20);
        for (int b = 0; b < s.n_ratings; b++) {
            const struct summary_rating *r = s.ratings + b;
            int64_t n = 0;

            for (int64_t i = 0; i < n_made; i++)
                n += r->from == r->to
                         ? (double)made[i].rating == r->from
                         : (double)made[i].rating >= r->from && (double)made[i].rating < r->to;
            assert_int_equal(r->n, n);
            seen += n;
        }
        for (int64_t i = 0; i < n_made; i++)
            seen -= !isnan(made[i].rating);
        assert_int_equal(seen, 0);
    }
}

static void json_has_every_number_and_no_times_where_there_are_none(void **)
{
    for (int has_times = 0; has_times < 2; has_times++) {
        AUTO(json_out) j = {0};
        AUTO(json_doc) doc = {0};
        struct err err = {0};
        const struct json_t *times, *items;
        struct summary s;
        int64_t sum = 0;

        make_rows(2000, 1000000, 1000000, 10);
        summarize(has_times, &s);
        json_open(&j, NULL, '{');
        summary_put_json(&s, &j);
        json_close(&j, '}');
        assert_ok(json_parse(&doc, j.buf.data, j.buf.len, &err), err);
        times = json_get(doc.root, "over_time");
        items = json_get(doc.root, "rows_per_item");
        assert_int_equal(json_kind(times), has_times ? JVAL_OBJECT : JVAL_NONE);
        if (has_times) {
            for (int i = 0; i < json_size(json_get(times, "train")); i++)
                sum += json_int_or(json_at(json_get(times, "train"), i), 0);
            assert_int_equal(sum, 1400);
            assert_int_equal(json_int_or(json_get(times, "val_from"), 0), made[1400].time);
            assert_int_equal(json_int_or(json_get(times, "test_from"), 0), made[1700].time);
        }
        assert_int_equal(json_int_or(json_get(items, "max"), 0), s.items.max);
        assert_true(json_real_or(json_get(items, "gini"), 0) == s.items.gini);
        assert_int_equal(json_size(json_get(items, "rank")), s.items.n_points);
        assert_int_equal(json_size(json_get(doc.root, "ratings")), 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tails_are_those_of_sorted_counts),
        cmocka_unit_test(every_row_is_in_the_bin_of_its_time),
        cmocka_unit_test(long_bins_start_on_mondays),
        cmocka_unit_test(cuts_are_there_where_time_cuts_all_users_alike),
        cmocka_unit_test(ratings_are_counted_one_by_one_or_in_bins),
        cmocka_unit_test(json_has_every_number_and_no_times_where_there_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
