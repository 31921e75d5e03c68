/* columns: which field stands for what. */
#include "test.h"

#include "data/columns.h"

static const struct {
    const char *header;
    column_names given;
    int n, at[COLUMNS];
} headers[] = {
    {"user_id\titem_id\ttime", {0}, 3, {1, 2, 3, 0}},
    {"reviewerID;productId;date", {0}, 3, {1, 2, 3, 0}},
    {"overall,asin,USER,unixTime,title", {0}, 5, {3, 2, 4, 1}},
    {"asin,parent_asin,user_id,timestamp,user_name", {0}, 5, {3, 2, 4, 0}},
    {"asin_count,asin,user,time", {0}, 4, {3, 2, 4, 0}},
    {"user_id:token,item_id:token,rating:float,timestamp:float", {0}, 4, {1, 2, 4, 3}},
    {"\"user, the\",\"item \"\"x\"\"\",time", {0}, 3, {1, 2, 3, 0}},
    {"user_id,who,item,time", {"who"}, 4, {2, 3, 4, 0}},
    {"user_id,item,when,time", {NULL, NULL, "when"}, 4, {1, 2, 3, 0}},
    {"user_id,item,time", {"User_ID"}, 3, {0, 2, 3, 0}},
    {"\"user,item,time", {0}, 3, {0, 2, 3, 0}},
    {"", {0}, 1, {0, 0, 0, 0}},
    {"user_id,item_id,time,", {0}, 4, {1, 2, 3, 0}},
    {"user_id::item_id::timestamp", {0}, 3, {1, 2, 3, 0}},
    {"user|item|stars|time", {NULL, NULL, NULL, "stars"}, 4, {1, 2, 4, 3}},
};

static void columns_of_a_csv_are_found_by_name(void **)
{
    for (int i = 0; i < ARRAY_LEN(headers); i++) {
        AUTO(csv_header) h = {0};

        csv_header_parse(&h, headers[i].header, headers[i].given);
        if (h.n != headers[i].n)
            fail_msg("%s: %d columns", headers[i].header, h.n);
        for (int c = 0; c < COLUMNS; c++)
            if (h.at[c] != headers[i].at[c])
                fail_msg("%s: column %d at %d", headers[i].header, c, h.at[c]);
    }
}

static void what_is_lacking_is_said_with_what_there_is(void **)
{
    static const column_names none, when = {NULL, NULL, "when"};
    AUTO(csv_header) h = {0};
    AUTO(csv_header) other = {0};
    struct err err = {0};

    csv_header_parse(&h, "user_id,what,time", none);
    assert_false(csv_header_check(&h, none, true, &err));
    assert_contains(err.msg, "item");
    assert_contains(err.msg, "product");
    assert_contains(err.msg, "user_id, what, time");
    assert_contains(err.msg, "--item-column");
    csv_header_parse(&other, "user_id,item,time", when);
    assert_false(csv_header_check(&other, when, true, &err));
    assert_contains(err.msg, "'when'");
    assert_contains(err.msg, "--time-column");
    assert_int_equal(err.kind, ERR_DATA);
}

static void names_of_jsonl_give_way_to_the_one_given(void **)
{
    static const column_names none, given = {"who"};
    const char *names[JSONL_NAMES_MAX];
    struct err err = {0};

    assert_int_equal(jsonl_names(COLUMN_ITEM, none, names), 3);
    assert_string_equal(names[0], "parent_asin");
    assert_int_equal(jsonl_names(COLUMN_USER, given, names), 1);
    assert_string_equal(names[0], "who");
    assert_false(jsonl_missing(COLUMN_USER, given, "{\"name\": 1, \"age\": {}}", &err));
    assert_contains(err.msg, "who");
    assert_contains(err.msg, "name, age");
    assert_false(jsonl_missing(COLUMN_TIME, given, "[1]", &err));
    assert_contains(err.msg, "time");
}

static const struct {
    const char *columns, *line, *delimiter, *wrong; /* wrong NULL: fine */
    int at[COLUMNS];
} given[] = {
    {"user,item,rating,time", "1::1193::5::978300760", "::", NULL, {1, 2, 4, 3}},
    {"item,user,rating,time", "B0001,A1,5.0,1400000000", ",", NULL, {2, 1, 4, 3}},
    {"user,item,-,time", "1 2 3 4", " ", NULL, {1, 2, 4, 0}},
    {"user,item", "a b\tc", "\t", NULL, {1, 2, 0, 0}},
    {"user,item,rating", "1|2|3", "|", NULL, {1, 2, 0, 3}},
    {"user,item,time", "1,2", "", "3 fields", {0}},
    {"user,time", "1,2", "", "item", {0}},
    {"user,item,user", "1,2,3", "", "twice", {0}},
    {"user,item,when", "1,2,3", "", "'when'", {0}},
    {"user,,item", "1,2,3", "", "''", {0}},
};

static void columns_without_a_header_are_as_given(void **)
{
    for (int i = 0; i < ARRAY_LEN(given); i++) {
        AUTO(csv_header) h = {0};
        struct err err = {0};
        bool ok = csv_header_given(&h, given[i].columns, given[i].line, &err);

        assert_int_equal(ok, !given[i].wrong);
        if (!ok) {
            assert_contains(err.msg, given[i].wrong);
            continue;
        }
        assert_string_equal(h.delimiter, given[i].delimiter);
        for (int c = 0; c < COLUMNS; c++)
            assert_int_equal(h.at[c], given[i].at[c]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_of_a_csv_are_found_by_name),
        cmocka_unit_test(columns_without_a_header_are_as_given),
        cmocka_unit_test(what_is_lacking_is_said_with_what_there_is),
        cmocka_unit_test(names_of_jsonl_give_way_to_the_one_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
