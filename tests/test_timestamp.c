/* timestamp: the forms of a time, and what is none. */
#include "test.h"

#include "data/timestamp.h"

#include <math.h>

static const struct {
    const char *text;
    int64_t ms; /* -1: none */
    bool always_seconds;
} times[] = {
    {"0", 0, false},
    {"1627679830425", 1627679830425, false},
    {"1627679830", 1627679830000, false},
    {"99999999999", 99999999999000, false},
    {"100000000000", 100000000000, false},
    {"100000000000", 100000000000000, true},
    {"1627679830.5", 1627679830500, false},
    {"1.627679830425e12", 1627679830425, false},
    {" 1627679830425\t", 1627679830425, false},
    {"+5", 5000, false},
    {"1627679830425.9", 1627679830425, false},
    {"253402300799999", 253402300799999, false},
    {"253402300800000", -1, false},
    {"-1", -1, false},
    {"-0", 0, false},
    {"1e400", -1, false},
    {"0x10", -1, false},
    {"nan", -1, false},
    {"inf", -1, false},
    {"1_000", -1, false},
    {"1e", -1, false},
    {".5", -1, false},
    {"", -1, false},
    {" ", -1, false},
    {"yesterday", -1, false},
    {"1970-01-01", 0, false},
    {"2015-09-04", 1441324800000, false},
    {"2015-09-04", 1441324800000, true},
    {"2015-09-04 12:30:05", 1441369805000, false},
    {"2015-09-04T12:30", 1441369800000, false},
    {"2015-09-04T12:30:05.25", 1441369805250, false},
    {"2015-09-04T12:30:05.123456789Z", 1441369805123, false},
    {"2015-09-04T12:30:05+02:00", 1441362605000, false},
    {"2015-09-04T12:30:05-0530", 1441389605000, false},
    {"2015-09-04T12:30:05+02", 1441362605000, false},
    {"2016-02-29", 1456704000000, false},
    {"9999-12-31T23:59:59.999Z", 253402300799999, false},
    {"9999-12-31T23:59:59-01:00", -1, false},
    {"1970-01-01T00:00:00+00:01", -1, false},
    {"1969-12-31", -1, false},
    {"2015-02-29", -1, false},
    {"2015-13-01", -1, false},
    {"2015-9-4", -1, false},
    {"2015-09-04T24:00", -1, false},
    {"2015-09-04T12:60", -1, false},
    {"2015-09-04T", -1, false},
    {"2015-09-04x", -1, false},
    {"2015-09-04T12:30:05 02:00", -1, false},
    {"09 4, 2015", 1441324800000, false},
    {"9 14, 2015", 1442188800000, false},
    {"11 30, 1999", 943920000000, false},
    {"13 1, 2015", -1, false},
    {"02 30, 2015", -1, false},
    {"09 4, 2015 x", -1, false},
    {"09 4", -1, false},
};

static void every_form_of_a_time_becomes_milliseconds(void **)
{
    for (int i = 0; i < ARRAY_LEN(times); i++) {
        int64_t ms = -1;
        bool ok =
            timestamp_parse(times[i].text, strlen(times[i].text), times[i].always_seconds, &ms);

        if (ok != (times[i].ms >= 0) || (ok && ms != times[i].ms))
            fail_msg("'%s': %d, %lld", times[i].text, ok, (long long)ms);
    }
}

/* The text isn't ended by a '\0'. */
static void only_the_bytes_given_are_read(void **)
{
    int64_t ms;
    double x;

    assert_true(timestamp_parse("16276798304259", 13, false, &ms));
    assert_int_equal(ms, 1627679830425);
    assert_true(timestamp_parse("2015-09-04T12:30", 10, false, &ms));
    assert_int_equal(ms, 1441324800000);
    assert_true(number_parse("4.5e1", 3, &x));
    assert_true(x == 4.5);
    assert_true(number_parse("12345678901234567890", 20, &x));
    assert_true(x == 12345678901234567890.0);
}

static void text_that_is_too_long_is_no_time(void **)
{
    char text[5000];
    int64_t ms;

    memset(text, '1', sizeof text);
    assert_false(timestamp_parse(text, sizeof text, false, &ms));
    memset(text, ' ', sizeof text);
    assert_false(timestamp_parse(text, sizeof text, false, &ms));
    text[2500] = '7';
    assert_true(timestamp_parse(text, sizeof text, false, &ms));
    assert_int_equal(ms, 7000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_a_time_becomes_milliseconds),
        cmocka_unit_test(only_the_bytes_given_are_read),
        cmocka_unit_test(text_that_is_too_long_is_no_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
