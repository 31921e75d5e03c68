/* The losses: values and slopes of an independent implementation, finite differences, masks. */
#include "model/learn.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct loss_options temperatures = {0.5f};

static float slopes_of(const char *name, const float *scores, int n, float *slopes)
{
    return loss_find(name)->slopes(scores, n, &temperatures, slopes);
}

/* By JAX: value_and_grad over optax.sigmoid_binary_cross_entropy,
 * softmax_cross_entropy_with_integer_labels of scores / .5, and jnp.mean(jax.nn.softplus(s[1:] -
 * s[0])); first with all of five scores, then without that of 0.1. */
static const float five[] = {0.7f, -0.3f, 1.2f, 0.1f, 2.5f};
static const struct {
    const char *name;
    double loss[2], slopes[2][5];
} known[] = {
    {"bpr",
     {0.919451058, 1.08010543},
     {{-0.525973345, 0.0672353553, 0.155614833, 0.0885859234, 0.214537234},
      {-0.583183229, 0.0896471405, 0.207486444, 0, 0.286049645}}},
    {"bce",
     {5.74411016, 4.99971349},
     {{-0.331812228, 0.425557483, 0.768524783, 0.524979187, 0.92414182},
      {-0.331812228, 0.425557483, 0.768524783, 0, 0.92414182}}},
    {"softmax",
     {3.70753058, 3.70011242},
     {{-1.95092391, 0.00664172607, 0.133402634, 0.0147814332, 1.79609812},
      {-1.95055851, 0.00669117867, 0.134395916, 0, 1.80947141}}},
};

static void near(const char *name, const char *what, int k, double got, double want)
{
    if (!(fabs(got - want) <= 2e-6 * (1 + fabs(want))))
        fail_msg("%s: %s %d is %.9g, not %.9g", name, what, k, got, want);
}

static void values_and_slopes_are_those_of_another_implementation(void **)
{
    assert_int_equal(ARRAY_LEN(known), 3);
    for (int i = 0; i < ARRAY_LEN(known); i++)
        for (int masked = 0; masked < 2; masked++) {
            float scores[5], slopes[5];

            memcpy(scores, five, sizeof five);
            if (masked)
                scores[3] = -INFINITY;
            near(known[i].name, "loss", masked, slopes_of(known[i].name, scores, 4, slopes),
                 known[i].loss[masked]);
            for (int k = 0; k < 5; k++)
                near(known[i].name, "slope", k, slopes[k], known[i].slopes[masked][k]);
        }
}

/* Of 1 to 300 negatives; the loss itself is smooth enough in float for a wide h. */
static void slopes_are_those_of_the_loss(void **)
{
    enum { N = 300 };
    static float scores[1 + N], slopes[1 + N], ignored[1 + N];
    const float h = 0.02f;

    for (const struct loss *l = losses; l->name; l++)
        for (int n = 1; n <= N; n += n < 40 ? 1 : 37) {
            struct rng r;

            rng_init(&r, (uint64_t)n);
            for (int k = 0; k <= n; k++)
                scores[k] = (float)(4 * rng_uniform(&r) - 2);
            l->slopes(scores, n, &temperatures, slopes);
            for (int k = 0; k <= n; k += k < 3 ? 1 : 7) {
                float at = scores[k], up, down;

                scores[k] = at + h;
                up = l->slopes(scores, n, &temperatures, ignored);
                scores[k] = at - h;
                down = l->slopes(scores, n, &temperatures, ignored);
                scores[k] = at;
                if (!(fabs((up - down) / (2 * h) - slopes[k]) <
                      1e-3 * (1 + fabs(slopes[k])) + 1e-5 * fabs(up)))
                    fail_msg("%s of %d: slope %d is %g, the difference %g", l->name, n, k,
                             slopes[k], (up - down) / (2 * h));
            }
        }
}

static void where_no_negative_counts_there_is_no_loss_and_no_slope(void **)
{
    for (const struct loss *l = losses; l->name; l++)
        for (int n = 0; n <= 40; n += 20) {
            float scores[41] = {1.5f}, slopes[41];

            for (int k = 1; k <= n; k++)
                scores[k] = -INFINITY;
            assert_true(l->slopes(scores, n, &temperatures, slopes) == 0);
            for (int k = 0; k <= n; k++)
                if (slopes[k] != 0)
                    fail_msg("%s: slope %d of %d is %g", l->name, k, n, slopes[k]);
        }
}

static void scores_far_apart_stay_finite(void **)
{
    for (const struct loss *l = losses; l->name; l++)
        for (int sign = -1; sign <= 1; sign += 2) {
            float scores[] = {sign * 500.f, 0, -sign * 500.f, 3}, slopes[4], sum = 0;

            assert_true(isfinite(l->slopes(scores, 3, &temperatures, slopes)));
            for (int k = 0; k < 4; k++) {
                assert_true(isfinite(slopes[k]));
                assert_true(k ? slopes[k] >= 0 : slopes[k] <= 0);
                sum += slopes[k];
            }
            if (strcmp(l->name, "bce"))
                assert_true(fabsf(sum) < 1e-5f); /* what lifts all scores alike changes nothing */
        }
}

static void a_loss_is_no_number_where_a_score_is_none(void **)
{
    for (const struct loss *l = losses; l->name; l++)
        for (int k = 0; k < 4; k++) {
            float scores[] = {1, 2, 3, 4}, slopes[4];

            scores[k] = NAN;
            if (!isnan(l->slopes(scores, 3, &temperatures, slopes)))
                fail_msg("%s: score %d", l->name, k);
        }
}

/* The words of "a|b" are the names of a table, in its order. */
static void the_names_are_those_of_the_table(void **)
{
    AUTO_FREE char *all = xstrdup("");

    for (const struct loss *l = losses; l->name; l++) {
        char *longer = xasprintf("%s%s%s", all, *all ? "|" : "", l->name);

        free(all);
        all = longer;
        assert_ptr_equal(loss_find(l->name), l);
    }
    assert_string_equal(all, LOSS_NAMES);
    assert_null(loss_find("hinge"));
}

static void the_rate_falls_as_the_schedule_says(void **)
{
    static const struct {
        const char *schedule;
        double at, want;
    } cases[] = {
        {"constant", 0, 2},  {"constant", 1, 2}, {"linear", 0, 2},
        {"linear", .5, 1.2}, {"linear", 1, .4},  {"cosine", 0, 2},
        {"cosine", .5, 1.2}, {"cosine", 1, .4},  {"cosine", .25, .4 + .8 * (1 + M_SQRT1_2)},
    };

    for (int i = 0; i < ARRAY_LEN(cases); i++)
        if (fabs(learn_rate(2, cases[i].schedule, 0.2, cases[i].at) - cases[i].want) > 1e-12)
            fail_msg("%s at %g", cases[i].schedule, cases[i].at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_slopes_are_those_of_another_implementation),
        cmocka_unit_test(slopes_are_those_of_the_loss),
        cmocka_unit_test(where_no_negative_counts_there_is_no_loss_and_no_slope),
        cmocka_unit_test(scores_far_apart_stay_finite),
        cmocka_unit_test(a_loss_is_no_number_where_a_score_is_none),
        cmocka_unit_test(the_names_are_those_of_the_table),
        cmocka_unit_test(the_rate_falls_as_the_schedule_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
