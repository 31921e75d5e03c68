/* Every expected value is worked out by hand from the formulas in metrics.c. */
#include "eval/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct {
    const char *what, *metric;
    int32_t hits[4];
    int n_hits, n_relevant, k;
    double want;
} cases[] = {
    {"no hit", "recall", {0}, 0, 3, 10, 0},
    {"two of three", "recall", {0, 3}, 2, 3, 4, 2.0 / 3.0},
    {"more relevant than k", "recall", {0, 1}, 2, 10, 2, 0.2},
    {"hit at the top", "ndcg", {0}, 1, 1, 4, 1},
    {"hit at rank 2", "ndcg", {1}, 1, 1, 4, 0.6309297535714575},
    {"no hit", "ndcg", {0}, 0, 5, 10, 0},
    {"all relevant on top, the ideal cut at k", "ndcg", {0, 1}, 2, 10, 2, 1},
    {"ranks 1 and 4 of two relevant",
     "ndcg",
     {0, 3},
     2,
     2,
     10,
     1.4306765580733931 / 1.6309297535714575},
    {"no hit", "hit", {0}, 0, 3, 10, 0},
    {"three hits are one", "hit", {2, 5, 6}, 3, 3, 10, 1},
    {"two of ten places", "precision", {0, 9}, 2, 2, 10, 0.2},
    {"no hit", "precision", {0}, 0, 2, 10, 0},
    {"ranks 1 and 4 of two relevant", "map", {0, 3}, 2, 2, 10, (1 + 0.5) / 2},
    {"ranks 2 and 3 of five relevant, k 3", "map", {1, 2}, 2, 5, 3, (0.5 + 2.0 / 3.0) / 3},
    {"no hit", "map", {0}, 0, 2, 10, 0},
    {"first hit at rank 3", "mrr", {2, 3}, 2, 2, 10, 1.0 / 3.0},
    {"no hit", "mrr", {0}, 0, 2, 10, 0},
};

static void metrics_match_hand_computed_values(void **)
{
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        const struct metric *m[METRICS_MAX];
        struct err err = {0};
        double got;

        assert_int_equal(metrics_parse("--metrics", cases[c].metric, m, &err), 1);
        got = m[0]->hits(cases[c].hits, cases[c].n_hits, cases[c].n_relevant, cases[c].k);
        if (fabs(got - cases[c].want) > 1e-12)
            fail_msg("%s, %s: got %.17g, want %.17g", cases[c].metric, cases[c].what, got,
                     cases[c].want);
    }
}

static const struct {
    const char *what, *metric;
    int64_t n_rows, n_users;
    double want;
} item_cases[] = {
    {"its rows", "popularity", 7, 10, 7},         {"none", "popularity", 0, 10, 0},
    {"everybody has it", "novelty", 8, 8, 0},     {"one of eight", "novelty", 1, 8, 3},
    {"nobody counts as one", "novelty", 0, 8, 3},
};

static void metrics_by_item_match_hand_computed_values(void **)
{
    for (int c = 0; c < ARRAY_LEN(item_cases); c++) {
        const struct metric *m[METRICS_MAX];
        struct err err = {0};
        double got;

        assert_int_equal(metrics_parse("--metrics", item_cases[c].metric, m, &err), 1);
        got = m[0]->item(item_cases[c].n_rows, item_cases[c].n_users);
        if (fabs(got - item_cases[c].want) > 1e-12)
            fail_msg("%s, %s: got %.17g, want %.17g", item_cases[c].metric, item_cases[c].what, got,
                     item_cases[c].want);
    }
}

static const struct {
    const char *what, *metric;
    int32_t listed[4];
    double want;
} lists_cases[] = {
    {"half of them", "coverage", {0, 9, 1, 0}, 0.5},
    {"nothing", "coverage", {0}, 0},
    {"all alike", "gini", {3, 3, 3, 3}, 0},
    {"one has all", "gini", {0, 0, 8, 0}, 0.75}, /* 1 - 1 / n */
    {"1 2 3 4", "gini", {4, 2, 1, 3}, 0.25},     /* (-3 - 2 + 3 + 12) / (4 * 10) */
    {"nothing", "gini", {0}, NAN},
};

static void metrics_of_lists_match_hand_computed_values(void **)
{
    for (int c = 0; c < ARRAY_LEN(lists_cases); c++) {
        double want = lists_cases[c].want, got;
        const struct metric *m[METRICS_MAX];
        struct err err = {0};

        assert_int_equal(metrics_parse("--metrics", lists_cases[c].metric, m, &err), 1);
        got = m[0]->lists(lists_cases[c].listed, 4);
        if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= 1e-12))
            fail_msg("%s, %s: got %.17g, want %.17g", lists_cases[c].metric, lists_cases[c].what,
                     got, want);
    }
}

static void every_metric_is_of_one_kind_and_has_a_case(void **)
{
    for (const struct metric *m = metrics; m->name; m++) {
        int n = 0;

        for (int c = 0; c < ARRAY_LEN(cases); c++)
            n += !strcmp(cases[c].metric, m->name);
        for (int c = 0; c < ARRAY_LEN(item_cases); c++)
            n += !strcmp(item_cases[c].metric, m->name);
        for (int c = 0; c < ARRAY_LEN(lists_cases); c++)
            n += !strcmp(lists_cases[c].metric, m->name);
        assert_int_equal(!!m->hits + !!m->item + !!m->lists, 1);
        if (!strstr(METRICS_NAMES, m->name))
            fail_msg("METRICS_NAMES lacks %s", m->name);
        if (n < 2)
            fail_msg("%s has %d cases", m->name, n);
    }
}

static void names_are_parsed_once_each_in_their_order(void **)
{
    const struct metric *m[METRICS_MAX];
    struct err err = {0};

    assert_int_equal(metrics_parse("--metrics", "ndcg,recall,ndcg", m, &err), 2);
    assert_string_equal(m[0]->name, "ndcg");
    assert_string_equal(m[1]->name, "recall");
}

static void an_unknown_name_is_an_error_with_the_nearest(void **)
{
    static const char *const texts[][2] = {
        {"recal", "no metric 'recal'; did you mean 'recall'?"},
        {"recall,", "no metric ''"},
        {"", "no metric ''"},
        {"recall,xyzzyx", "no metric 'xyzzyx'; there are recall, ndcg"},
        {"recall ,ndcg", "no metric 'recall '"},
    };

    for (int t = 0; t < ARRAY_LEN(texts); t++) {
        const struct metric *m[METRICS_MAX];
        struct err err = {0};

        assert_int_equal(metrics_parse("--metrics", texts[t][0], m, &err), -1);
        assert_int_equal(err.kind, ERR_USAGE);
        if (!strstr(err.msg, texts[t][1]) || !strstr(err.msg, "--metrics"))
            fail_msg("'%s': %s", texts[t][0], err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_match_hand_computed_values),
        cmocka_unit_test(metrics_by_item_match_hand_computed_values),
        cmocka_unit_test(metrics_of_lists_match_hand_computed_values),
        cmocka_unit_test(every_metric_is_of_one_kind_and_has_a_case),
        cmocka_unit_test(names_are_parsed_once_each_in_their_order),
        cmocka_unit_test(an_unknown_name_is_an_error_with_the_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
