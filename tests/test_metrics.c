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
        got = m[0]->value(cases[c].hits, cases[c].n_hits, cases[c].n_relevant, cases[c].k);
        if (fabs(got - cases[c].want) > 1e-12)
            fail_msg("%s, %s: got %.17g, want %.17g", cases[c].metric, cases[c].what, got,
                     cases[c].want);
    }
}

static void every_metric_has_a_case(void **)
{
    for (const struct metric *m = metrics; m->name; m++) {
        int n = 0;

        for (int c = 0; c < ARRAY_LEN(cases); c++)
            n += !strcmp(cases[c].metric, m->name);
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
        cmocka_unit_test(every_metric_has_a_case),
        cmocka_unit_test(names_are_parsed_once_each_in_their_order),
        cmocka_unit_test(an_unknown_name_is_an_error_with_the_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
