/* fate: of each line the first reason why it doesn't count. */
#include "test.h"

#include "data/fate.h"

#include <math.h>

static struct duck_string text(const char *s)
{
    return s ? (struct duck_string){s, strlen(s)} : (struct duck_string){0};
}

static const struct fate_rules plain = {
    .has_times = true, .nulls_are_malformed = true, .min_rating = NAN, .before = INT64_MAX};

static enum fate judge(const struct fate_rules *rules, const char *user, const char *item,
                       const char *time, const char *rating, struct fate_row *row)
{
    struct fate_texts t = {text(user), text(item), text(time), text(rating), false};

    return fate_of(rules, &t, row);
}

static const struct {
    const char *user, *item, *time, *rating;
    enum fate fate;
} lines[] = {
    {"u", "i", "1627679830425", "4", FATE_VALID},
    {"u", "i", "1627679830425", NULL, FATE_VALID},
    {"u", "i", "1627679830425", "five", FATE_VALID},
    {NULL, NULL, NULL, NULL, FATE_MALFORMED},
    {NULL, NULL, NULL, "4", FATE_MISSING_FIELD},
    {"", "i", "1627679830425", "4", FATE_MISSING_FIELD},
    {"u", NULL, "1627679830425", "4", FATE_MISSING_FIELD},
    {"u", "i", "", "4", FATE_MISSING_FIELD},
    {"u", "i", NULL, "4", FATE_MISSING_FIELD},
    {"u", "i", "soon", "4", FATE_OUT_OF_RANGE},
    {"u", "i", "-1", "4", FATE_OUT_OF_RANGE},
};

static void the_first_reason_counts(void **)
{
    struct fate_row row;

    for (int i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(
            judge(&plain, lines[i].user, lines[i].item, lines[i].time, lines[i].rating, &row),
            lines[i].fate);
}

static void a_row_of_nulls_in_parquet_misses_its_fields(void **)
{
    struct fate_rules parquet = plain;
    struct fate_row row;

    parquet.nulls_are_malformed = false;
    assert_int_equal(judge(&parquet, NULL, NULL, NULL, NULL, &row), FATE_MISSING_FIELD);
}

static void without_times_none_is_looked_for(void **)
{
    struct fate_rules untimed = plain;
    struct fate_row row;

    untimed.has_times = false;
    untimed.after = 5;
    assert_int_equal(judge(&untimed, "u", "i", NULL, NULL, &row), FATE_VALID);
    assert_int_equal(judge(&untimed, "u", "i", "soon", NULL, &row), FATE_VALID);
    assert_int_equal(row.time, 0);
}

static void ratings_and_dates_have_bounds(void **)
{
    struct fate_rules rules = plain;
    struct fate_row row;

    rules.min_rating = 4;
    rules.after = 1000000000000;
    rules.before = 1000000000001;
    assert_int_equal(judge(&rules, "u", "i", "1000000000000", "4.0", &row), FATE_VALID);
    assert_int_equal(row.time, 1000000000000);
    assert_true(row.rating == 4);
    assert_int_equal(judge(&rules, "u", "i", "1000000000000", "3.9", &row), FATE_BELOW_MIN_RATING);
    assert_int_equal(judge(&rules, "u", "i", "1000000000000", NULL, &row), FATE_BELOW_MIN_RATING);
    assert_int_equal(judge(&rules, "u", "i", "1000000000001", "5", &row), FATE_OUTSIDE_DATES);
    assert_int_equal(judge(&rules, "u", "i", "999999999999", "5", &row), FATE_OUTSIDE_DATES);
}

static const struct {
    const char *json, *id; /* NULL: none */
} ids[] = {
    {"\"A1\"", "A1"},
    {"17", "17"},
    {"-17", "-17"},
    {"12345678901234567890123", "12345678901234567890123"},
    {"\"\xc3\xa9\"", "\xc3\xa9"},
    {"\"a\\\"b\\\\c\\u00e9\\n\"", "a\"b\\c\xc3\xa9\n"},
    {"\"\"", NULL},
    {"\"a\\u0000b\"", NULL},
    {"1.5", NULL},
    {"1e3", NULL},
    {"true", NULL},
    {"-", NULL},
    {"[\"A1\"]", NULL},
    {"{\"a\":1}", NULL},
};

static void ids_in_json_are_text_or_whole_numbers(void **)
{
    struct fate_rules json = plain;

    json.is_json = true;
    for (int i = 0; i < ARRAY_LEN(ids); i++) {
        struct fate_row row;
        enum fate fate = judge(&json, ids[i].json, "\"i\"", "1", NULL, &row);

        if (fate != (ids[i].id ? FATE_VALID : FATE_MISSING_FIELD))
            fail_msg("%s: %d", ids[i].json, fate);
        if (ids[i].id) {
            assert_int_equal(row.user.len, strlen(ids[i].id));
            assert_memory_equal(row.user.bytes, ids[i].id, row.user.len);
        }
        free(row.owned_user);
        free(row.owned_item);
    }
}

static void a_rating_is_a_finite_float(void **)
{
    static const char *const none[] = {"nan", "inf", "1e39", "-1e39", "1e400", "", "four"};
    struct fate_row row;

    for (int i = 0; i < ARRAY_LEN(none); i++) {
        assert_int_equal(judge(&plain, "u", "i", "1", none[i], &row), FATE_VALID);
        assert_true(isnan(row.rating));
    }
    (void)judge(&plain, "u", "i", "1", "-2.5", &row);
    assert_true(row.rating == -2.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_reason_counts),
        cmocka_unit_test(a_row_of_nulls_in_parquet_misses_its_fields),
        cmocka_unit_test(without_times_none_is_looked_for),
        cmocka_unit_test(ratings_and_dates_have_bounds),
        cmocka_unit_test(ids_in_json_are_text_or_whole_numbers),
        cmocka_unit_test(a_rating_is_a_finite_float),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
