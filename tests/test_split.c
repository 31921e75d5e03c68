/* Whatever the split: every row is in one part, and nobody trains on what comes after what is held
 * out of the same user. Each row of the table of splits must pass. */
#include "test.h"

#include "data/split.h"

/* A table like that of rows_to_table: users of 1 to 40 rows, in order of time, many of them equal.
 */
static void make_kept(struct duck *d)
{
    struct err err = {0};

    assert_ok(
        duck_exec(d,
                  "CREATE TABLE kept_in_order AS"
                  " SELECT CAST(u AS INTEGER) AS user_idx, CAST(i AS INTEGER) AS item_idx,"
                  "        CAST(1e12 + hash(u * 100 + i) % 50 * 86400000 AS BIGINT) AS timestamp,"
                  "        CAST(NULL AS FLOAT) AS rating"
                  " FROM range(500) t(u), range(40) s(i) WHERE i <= u % 40"
                  " ORDER BY u, timestamp, i;"
                  "CREATE VIEW kept AS SELECT *, rowid AS n FROM kept_in_order",
                  &err),
        err);
}

static int64_t number(struct duck *d, const char *sql)
{
    struct err err = {0};
    int64_t n = -1;

    assert_ok(duck_row(d, sql, &n, 1, &err), err);
    return n;
}

static void label(struct duck *d, const struct split *s, double train_ratio, double val_ratio)
{
    struct err err = {0};

    assert_ok(duck_open(d, NULL, &err), err);
    make_kept(d);
    assert_ok(
        split_label(s, d, number(d, "SELECT count(*) FROM kept"), train_ratio, val_ratio, &err),
        err);
}

static void every_row_is_in_one_part_by_each_split(void **)
{
    for (const struct split *s = splits; s->name; s++) {
        AUTO(duck) d = {0};

        label(&d, s, 0.7, 0.15);
        assert_int_equal(number(&d, "SELECT count(*) FROM labelled"),
                         number(&d, "SELECT count(*) FROM kept"));
        assert_int_equal(number(&d, "SELECT count(*) FROM kept ANTI JOIN labelled USING (n)"), 0);
        assert_int_equal(number(&d, "SELECT count(DISTINCT part) FROM labelled"), 3);
        assert_int_equal(
            number(&d, "SELECT count(*) FROM labelled WHERE part NOT IN ('train', 'val', 'test')"),
            0);
        assert_int_equal(
            number(&d, "SELECT count(*) FROM labelled l JOIN kept k USING (n) WHERE l.user_idx <> "
                       "k.user_idx OR l.item_idx <> k.item_idx OR l.timestamp <> k.timestamp"),
            0);
    }
}

static void no_user_trains_on_the_future_by_any_split(void **)
{
    for (const struct split *s = splits; s->name; s++) {
        AUTO(duck) d = {0};

        label(&d, s, 0.7, 0.15);
        assert_int_equal(number(&d,
                                "SELECT count(*) FROM labelled a JOIN labelled b USING (user_idx) "
                                "WHERE a.n > b.n AND (a.part = 'train' AND b.part <> 'train'"
                                "                     OR a.part = 'val' AND b.part = 'test')"),
                         0);
    }
}

static void ratios_matter_where_the_table_says_so(void **)
{
    for (const struct split *s = splits; s->name; s++) {
        AUTO(duck) a = {0};
        AUTO(duck) b = {0};
        int64_t x, y;

        label(&a, s, 0.5, 0.3);
        label(&b, s, 0.8, 0.1);
        x = number(&a, "SELECT count(*) FROM labelled WHERE part = 'train'");
        y = number(&b, "SELECT count(*) FROM labelled WHERE part = 'train'");
        assert_int_equal(x < y, s->has_ratios);
    }
}

static void the_temporal_cuts_are_the_same_for_all(void **)
{
    AUTO(duck) d = {0};

    label(&d, split_named("temporal"), 0.7, 0.15);
    assert_int_equal(number(&d, "SELECT CAST(max(timestamp) FILTER (part = 'train') < "
                                "            min(timestamp) FILTER (part = 'val') AND"
                                "            max(timestamp) FILTER (part = 'val') < "
                                "            min(timestamp) FILTER (part = 'test') AS BIGINT) "
                                "FROM labelled"),
                     1);
    assert_int_equal(
        number(&d, "SELECT CAST(min(timestamp) FILTER (part = 'val') ="
                   "  (SELECT timestamp FROM kept ORDER BY timestamp"
                   "   LIMIT 1 OFFSET CAST(floor((SELECT count(*) FROM kept) * 0.7) AS BIGINT))"
                   "  AS BIGINT) FROM labelled"),
        1);
}

static void leave_one_out_takes_the_last_two_of_those_with_three(void **)
{
    AUTO(duck) d = {0};

    label(&d, split_named("leave-one-out"), 0.7, 0.15);
    assert_int_equal(
        number(&d, "SELECT count(*) FROM ("
                   " SELECT user_idx, count(*) AS n,"
                   "        count(*) FILTER (part = 'val') AS val,"
                   "        count(*) FILTER (part = 'test') AS test"
                   " FROM labelled GROUP BY user_idx) "
                   "WHERE val <> CAST(n >= 3 AS INTEGER) OR test <> CAST(n >= 3 AS INTEGER)"),
        0);
}

static void nothing_to_train_on_is_an_error(void **)
{
    AUTO(duck) d = {0};
    struct err err = {0};

    assert_ok(duck_open(&d, NULL, &err), err);
    assert_ok(duck_exec(&d,
                        "CREATE TABLE kept AS SELECT CAST(0 AS INTEGER) AS user_idx,"
                        " CAST(range AS INTEGER) AS item_idx, CAST(5 AS BIGINT) AS timestamp,"
                        " CAST(1 AS FLOAT) AS rating, range AS n FROM range(10)",
                        &err),
              err);
    assert_false(split_label(split_named("temporal"), &d, 10, 0.7, 0.15, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_contains(err.msg, "--train-ratio");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_in_one_part_by_each_split),
        cmocka_unit_test(no_user_trains_on_the_future_by_any_split),
        cmocka_unit_test(ratios_matter_where_the_table_says_so),
        cmocka_unit_test(the_temporal_cuts_are_the_same_for_all),
        cmocka_unit_test(leave_one_out_takes_the_last_two_of_those_with_three),
        cmocka_unit_test(nothing_to_train_on_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
