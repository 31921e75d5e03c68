/* Whatever the split: every row is in one part, and nobody trains on what comes after what is held
 * out of the same user. Each row of the table of splits must pass. */
#include "test.h"

#include "data/split.h"

/* A table like that of kept_to_tables: users of 1 to 40 rows, in order of time, many of them equal.
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
                  /* `given`: a user's thirds */
                  "CREATE VIEW kept AS SELECT *, rowid AS n,"
                  " CAST((row_number() OVER (PARTITION BY user_idx ORDER BY rowid) - 1) * 3 //"
                  "      (user_idx % 40 + 1) AS INTEGER) AS given FROM kept_in_order",
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
    assert_ok(split_label(&(struct split_options){s, train_ratio, val_ratio, 1}, d, &err), err);
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

/* But for leave-one-out, whose parts are single rows, and parts that were given. */
static void rows_of_one_time_are_never_apart(void **)
{
    for (const struct split *s = splits; s->name; s++) {
        AUTO(duck) d = {0};

        if (!s->has_ratios)
            continue;
        label(&d, s, 0.7, 0.15);
        assert_int_equal(number(&d,
                                "SELECT count(*) FROM (SELECT user_idx, timestamp FROM labelled "
                                "GROUP BY ALL HAVING count(DISTINCT part) > 1)"),
                         0);
    }
}

/* As the comment in split_ratio.sql says it, by a window function. */
static void ratio_cuts_each_user_by_itself(void **)
{
    AUTO(duck) d = {0};

    label(&d, split_named("ratio"), 0.7, 0.15);
    assert_int_equal(
        number(&d,
               "SELECT count(*) FROM (SELECT *,"
               "  first_value(timestamp) OVER u AS first,"
               "  nth_value(timestamp, CAST(floor(m * 0.7) AS BIGINT) + 1) OVER u AS cut1,"
               "  nth_value(timestamp, CAST(floor(m * (0.7::DOUBLE + 0.15::DOUBLE)) AS BIGINT) + 1)"
               "      OVER u AS cut2"
               "  FROM (SELECT *, count(*) OVER (PARTITION BY user_idx) AS m FROM labelled)"
               "  WINDOW u AS (PARTITION BY user_idx ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING"
               "               AND UNBOUNDED FOLLOWING))"
               "WHERE part <> CASE WHEN timestamp < cut1 OR timestamp = first THEN 'train'"
               "                   WHEN timestamp < cut2 THEN 'val' ELSE 'test' END"),
        0);
}

static void the_seed_alone_decides_a_random_split(void **)
{
    const char *hash = "SELECT CAST(sum(hash(n, part) % 1000000007) AS BIGINT) FROM labelled";
    int64_t found[3];

    for (int i = 0; i < 3; i++) {
        AUTO(duck) d = {0};
        struct err err = {0};

        assert_ok(duck_open(&d, NULL, &err), err);
        make_kept(&d);
        assert_ok(
            split_label(&(struct split_options){split_named("random"), 0.7, 0.15, i / 2}, &d, &err),
            err);
        found[i] = number(&d, hash);
    }
    assert_int_equal(found[0], found[1]);
    assert_int_not_equal(found[0], found[2]);
}

static void nothing_to_train_on_is_an_error(void **)
{
    AUTO(duck) d = {0};
    struct err err = {0};

    assert_ok(duck_open(&d, NULL, &err), err);
    assert_ok(duck_exec(&d,
                        "CREATE TABLE kept AS SELECT CAST(0 AS INTEGER) AS user_idx,"
                        " CAST(range AS INTEGER) AS item_idx, CAST(5 AS BIGINT) AS timestamp,"
                        " CAST(1 AS FLOAT) AS rating, 0 AS given, range AS n FROM range(10)",
                        &err),
              err);
    assert_false(
        split_label(&(struct split_options){split_named("temporal"), 0.7, 0.15, 1}, &d, &err));
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
        cmocka_unit_test(rows_of_one_time_are_never_apart),
        cmocka_unit_test(ratio_cuts_each_user_by_itself),
        cmocka_unit_test(the_seed_alone_decides_a_random_split),
        cmocka_unit_test(nothing_to_train_on_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
