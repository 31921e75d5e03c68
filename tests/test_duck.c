/* duck: values in and out, tables that C makes up, and what failures leave. */
#include "test.h"

#include "data/duck.h"

#include <math.h>

static struct duck db;
static struct err err;

static int set_up(void **)
{
    return duck_open(&db, &(struct duck_options){.threads = 2}, &err) ? 0 : -1;
}

static int tear_down(void **)
{
    duck_release(&db);
    return 0;
}

static void variables_hold_what_was_set(void **)
{
    static const char *const texts[] = {"a", "it's", "\xc3\xa9\"\\n"};
    int64_t got[4];

    assert_ok(duck_set_int(&db, "n", INT64_MIN + 1, &err), err);
    assert_ok(duck_set_text(&db, "t", "it's; -- \xe6\x97\xa5", &err), err);
    assert_ok(duck_set_texts(&db, "l", texts, 3, &err), err);
    assert_ok(duck_set_texts(&db, "none", texts, 0, &err), err);
    assert_ok(duck_row(&db,
                       "SELECT getvariable('n'), length(getvariable('t')),"
                       "       CAST(getvariable('l')[2] = 'it''s' AS BIGINT),"
                       "       len(getvariable('none'))",
                       got, 4, &err),
              err);
    assert_int_equal(got[0], INT64_MIN + 1);
    assert_int_equal(got[1], 10);
    assert_int_equal(got[2], 1);
    assert_int_equal(got[3], 0);
}

static void rows_come_in_blocks_with_nulls_and_text(void **)
{
    AUTO(duck_rows) rows = {0};
    int64_t n = 0, nulls = 0;

    assert_ok(
        duck_query(&db, &rows,
                   "SELECT CAST(range AS INTEGER), CASE WHEN range % 3 > 0 THEN range END,"
                   "       CAST(range AS FLOAT) / 2, repeat('x', range % 40) FROM range(10000)",
                   &err),
        err);
    while (duck_next(&rows, &err))
        for (int64_t i = 0; i < rows.n; i++, n++) {
            size_t len;
            const char *text = duck_text(&rows, 3, i, &len);

            assert_int_equal(duck_int32(&rows, 0)[i], n);
            assert_int_equal(duck_is_null(&rows, 1, i), n % 3 == 0);
            if (n % 3 > 0)
                assert_int_equal(duck_int64(&rows, 1)[i], n);
            else
                nulls++;
            assert_true(duck_float(&rows, 2)[i] == (float)n / 2);
            assert_int_equal(len, n % 40);
            assert_true(len == 0 || (text[0] == 'x' && text[len - 1] == 'x'));
        }
    assert_false(rows.failed);
    assert_int_equal(n, 10000);
    assert_int_equal(nulls, 3334);
}

static void an_error_is_one_line_of_ours(void **)
{
    int64_t n;

    assert_false(duck_exec(&db, "SELECT nonesuch FROM range(3)", &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_null(strstr(err.msg, "LINE 1"));
    assert_null(strstr(err.msg, "Error:"));
    assert_contains(err.msg, "nonesuch");
    assert_false(duck_exec(&db, "SELECT 1; SELEKT", &err));
    assert_false(duck_row(&db, "SELECT count(*) FROM read_csv('/nonesuch/file.csv')", &n, 1, &err));
    assert_contains(err.msg, "/nonesuch/file.csv");
}

static void a_failure_in_the_midst_of_a_stream_is_told(void **)
{
    AUTO(duck_rows) rows = {0};
    int64_t n = 0;
    bool ok = duck_query(&db, &rows,
                         "SELECT CAST(CASE WHEN range = 90000 THEN 'x' ELSE '1' END AS INTEGER) "
                         "FROM range(100000)",
                         &err);

    while (ok && duck_next(&rows, &err))
        n += rows.n;
    assert_true(!ok || rows.failed);
    assert_in_range(n, 0, 90000);
    assert_int_equal(err.kind, ERR_DATA);
}

static void a_limit_that_is_no_size_is_refused(void **)
{
    AUTO(duck) d = {0};

    assert_false(duck_open(&d, &(struct duck_options){.memory_limit = "much"}, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_contains(err.msg, "'much'");
}

/* ---- sources ---- */

/* Rows 0 .. n - 1 in uneven blocks; every 10th has no score. Fails at row `fail_at`. */
struct counter {
    int64_t n, fail_at;
    int scans;
};

static bool next_numbers(void *context, int64_t at, void *const *columns, int64_t max, int64_t *n,
                         struct err *why)
{
    struct counter *c = context;

    c->scans += at == 0;
    *n = MIN(c->n - at, MIN(max, 1 + at % 700));
    for (int64_t i = 0; i < *n; i++) {
        if (at + i == c->fail_at)
            return err_set(why, ERR_IO, "row %lld is not to be had", (long long)c->fail_at);
        ((int32_t *)columns[0])[i] = (int32_t)(at + i);
        ((int64_t *)columns[1])[i] = (at + i) << 33;
        ((float *)columns[2])[i] = (at + i) % 10 ? (float)(at + i) : NAN;
    }
    return true;
}

static struct duck_source source_of(const char *name, struct counter *c)
{
    return (struct duck_source){
        name, {{"id", DUCK_INT32}, {"big", DUCK_INT64}, {"score", DUCK_FLOAT}}, c->n, next_numbers,
        c,
    };
}

static void a_source_keeps_its_order_through_a_join(void **)
{
    struct counter c = {50000, -1, 0};
    struct duck_source s = source_of("numbers", &c);
    int64_t got[4];

    assert_ok(duck_register_source(&db, &s, &err), err);
    assert_ok(
        duck_exec(
            &db,
            "CREATE TABLE names AS SELECT CAST(range AS INTEGER) AS id,"
            "  'n' || range AS name FROM range(50000) ORDER BY hash(range);"
            "CREATE TABLE joined AS SELECT name, big, score FROM numbers() JOIN names USING (id)",
            &err),
        err);
    assert_ok(duck_row(&db,
                       "SELECT count(*), count(score),"
                       "  count(*) FILTER (name = 'n' || rowid AND big = (rowid << 33)),"
                       "  count(*) FILTER (score = rowid) FROM joined",
                       got, 4, &err),
              err);
    assert_int_equal(got[0], 50000);
    assert_int_equal(got[1], 45000);
    assert_int_equal(got[2], 50000);
    assert_int_equal(got[3], 45000);
}

static void a_source_is_read_anew_by_each_scan(void **)
{
    struct counter c = {5000, -1, 0};
    struct duck_source s = source_of("again", &c);
    int64_t got;

    assert_ok(duck_register_source(&db, &s, &err), err);
    for (int i = 1; i <= 3; i++) {
        assert_ok(duck_row(&db, "SELECT CAST(sum(id) AS BIGINT) FROM again()", &got, 1, &err), err);
        assert_int_equal(got, 5000 * 4999 / 2);
        assert_int_equal(c.scans, i);
    }
}

static void the_error_of_a_source_comes_through_as_it_was(void **)
{
    struct counter c = {50000, 30000, 0};
    struct duck_source s = source_of("failing", &c);

    assert_ok(duck_register_source(&db, &s, &err), err);
    assert_false(duck_exec(&db, "CREATE TABLE never AS FROM failing()", &err));
    assert_int_equal(err.kind, ERR_IO);
    assert_string_equal(err.msg, "row 30000 is not to be had");
    assert_false(duck_exec(&db, "SELECT nonesuch", &err)); /* the next error is its own again */
    assert_contains(err.msg, "nonesuch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_hold_what_was_set),
        cmocka_unit_test(rows_come_in_blocks_with_nulls_and_text),
        cmocka_unit_test(an_error_is_one_line_of_ours),
        cmocka_unit_test(a_failure_in_the_midst_of_a_stream_is_told),
        cmocka_unit_test(a_limit_that_is_no_size_is_refused),
        cmocka_unit_test(a_source_keeps_its_order_through_a_join),
        cmocka_unit_test(a_source_is_read_anew_by_each_scan),
        cmocka_unit_test(the_error_of_a_source_comes_through_as_it_was),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
