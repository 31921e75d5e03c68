/* items: what META says of the kept items, whatever it looks like. */
#include "text.h"

#include "base/file.h"
#include "data/packed.h"
#include "data/items.h"

static char *dir;
static struct duck db;

static int set_up(void **)
{
    struct err err = {0};

    dir = temp_path("items");
    return dir_create(dir, &err) ? 0 : -1;
}

static int tear_down(void **)
{
    duck_release(&db);
    dir_remove(dir);
    free(dir);
    return 0;
}

static bool read_all(const char *const *files, int n, struct items_counts *counts, struct err *err)
{
    duck_release(&db);
    assert_ok(duck_open(&db, NULL, err), *err);
    assert_ok(duck_exec(&db,
                        "CREATE TABLE items AS SELECT item_id FROM (VALUES ('0'), ('17'), "
                        "('A'), ('B'), ('C'), ('D'), ('it''s'), ('\xc3\xa9')) t(item_id)",
                        err),
              *err);
    return items_read(&db, files, n, dir, counts, err);
}

static void read_one(const char *path, int64_t lines, int64_t bad)
{
    struct items_counts counts;
    struct err err = {0};

    assert_ok(read_all(&path, 1, &counts, &err), err);
    assert_int_equal(counts.lines_read, lines);
    assert_int_equal(counts.bad_lines, bad);
}

/* The table's rows, a line each: the id, then as SQL shows the values. */
static void assert_table(const char *want)
{
    AUTO(duck_rows) rows = {0};
    AUTO(buf) got = {0};
    struct err err = {0};

    assert_ok(duck_query(&db, &rows,
                         "SELECT concat_ws(' ', item_id, coalesce(title, '-'),"
                         "  coalesce(CAST(price AS VARCHAR), '-'), coalesce(main_category, '-'),"
                         "  coalesce(CAST(categories AS VARCHAR), '-'), coalesce(store, '-'),"
                         "  coalesce(image, '-')) "
                         "FROM item_meta JOIN items ON item_idx = items.rowid ORDER BY item_id",
                         &err),
              err);
    while (duck_next(&rows, &err))
        for (int64_t i = 0; i < rows.n; i++) {
            size_t n;
            const char *text = duck_text(&rows, 0, i, &n);

            buf_put(&got, text, n);
            buf_putc(&got, '\n');
        }
    assert_false(rows.failed);
    assert_string_equal(buf_str(&got), want);
}

static void without_files_the_table_is_empty(void **)
{
    struct items_counts counts;
    struct err err = {0};
    int64_t n;

    assert_ok(read_all(NULL, 0, &counts, &err), err);
    assert_int_equal(counts.lines_read, 0);
    assert_table("");
    assert_ok(duck_row(&db,
                       "SELECT count(*) FROM information_schema.columns WHERE table_name = "
                       "'item_meta' AND data_type IN ('INTEGER', 'VARCHAR', 'DOUBLE', 'VARCHAR[]')",
                       &n, 1, &err),
              err);
    assert_int_equal(n, 7);
}

static void a_line_of_each_field_gives_a_row(void **)
{
    AUTO_FREE char *path =
        put_text(dir, "whole.jsonl",
                 "{\"parent_asin\": \"A\", \"title\": \"one \\\"two\\\"\", \"price\": 12.5,"
                 " \"main_category\": \"Beauty\", \"categories\": [\"x\", \"y\"], \"store\": \"S\","
                 " \"images\": [{\"thumb\": \"t\", \"large\": \"l\", \"hi_res\": \"h\"}]}\n"
                 "{\"parent_asin\": \"nobody's\", \"title\": \"not kept\"}\n"
                 "{\"asin\": \"\xc3\xa9\", \"title\": \"\\u00fc\"}\n"
                 "{\"parent_asin\": null, \"asin\": \"\", \"item_id\": 17}\n"
                 "{\"item_id\": \"it's\", \"asin\": [\"A\"]}\n");

    read_one(path, 5, 0);
    assert_table("17 - - - - - -\n"
                 "A one \"two\" 12.5 Beauty [x, y] S l\n"
                 "it's - - - - - -\n"
                 "\xc3\xa9 \xc3\xbc - - - - -\n");
}

static void a_field_of_another_type_costs_itself_alone(void **)
{
    static const struct {
        const char *field, *row;
    } cases[] = {
        {"\"title\": 5", "- - - - - -"},
        {"\"title\": [\"x\"], \"store\": \"S\"", "- - - - S -"},
        {"\"title\": \"\"", " - - - - -"},
        {"\"store\": true, \"main_category\": {\"a\": 1}", "- - - - - -"},
        {"\"price\": 7", "- 7.0 - - - -"},
        {"\"price\": 1e400", "- - - - - -"},
        {"\"price\": \"12.99\"", "- 12.99 - - - -"},
        {"\"price\": \"$1,012.99\"", "- 1012.99 - - - -"},
        {"\"price\": \" $ 1,234,567 \"", "- 1234567.0 - - - -"},
        {"\"price\": \".99\"", "- 0.99 - - - -"},
        {"\"price\": \"from 12.99\"", "- - - - - -"},
        {"\"price\": \"12.99 - 15.99\"", "- - - - - -"},
        {"\"price\": \"1,2\"", "- - - - - -"},
        {"\"price\": \"\xe2\x80\x94\"", "- - - - - -"},
        {"\"price\": \"nan\"", "- - - - - -"},
        {"\"price\": \"\"", "- - - - - -"},
        {"\"price\": \"$\"", "- - - - - -"},
        {"\"price\": true", "- - - - - -"},
        {"\"price\": [3]", "- - - - - -"},
        {"\"categories\": []", "- - - [] - -"},
        {"\"categories\": \"Beauty\"", "- - - - - -"},
        {"\"categories\": {\"a\": \"b\"}", "- - - - - -"},
        {"\"categories\": [\"a\", 1, null, [\"b\"], \"c\"]", "- - - [a, c] - -"},
        {"\"images\": null", "- - - - - -"},
        {"\"images\": []", "- - - - - -"},
        {"\"images\": [null]", "- - - - - -"},
        {"\"images\": \"x\"", "- - - - - -"},
        {"\"images\": {\"large\": \"x\"}", "- - - - - -"},
        {"\"images\": [\"x\", \"y\"]", "- - - - - x"},
        {"\"images\": [{\"large\": null, \"hi_res\": \"h\"}]", "- - - - - h"},
        {"\"images\": [{\"large\": \"\", \"hi_res\": 5, \"thumb\": \"t\"}]", "- - - - - t"},
        {"\"images\": [{\"variant\": \"MAIN\"}, {\"large\": \"x\"}]", "- - - - - -"},
    };

    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *line = xasprintf("{\"parent_asin\": \"A\", %s}\n", cases[i].field);
        AUTO_FREE char *path = put_text(dir, "odd.jsonl", line),
                       *want = xasprintf("A %s\n", cases[i].row);

        read_one(path, 1, 0);
        assert_table(want);
    }
}

static void bad_lines_are_counted_and_blank_ones_are_not(void **)
{
    AUTO_FREE char *path =
        put_text(dir, "bad.jsonl",
                 "{\"parent_asin\": \"A\", \"title\": \"a\"}\n\n  \r\n"
                 "{\"parent_asin\": \"B\", \"title\": \"cut\n"
                 "[{\"parent_asin\": \"B\"}]\n"
                 "\"B\"\n"
                 "{\"title\": \"no id\"}\n"
                 "{\"parent_asin\": \"\"}\n{\"parent_asin\": true}\n{\"parent_asin\": "
                 "1.5}\n{\"parent_asin\": {\"B\": \"B\"}}\n"
                 "{\"parent_asin\": \"B\"} {\"parent_asin\": \"B\"}\n"
                 "{\"parent_asin\": \"B\", \"title\": \"\xff\"}\n"
                 "{\"parent_asin\": \"C\", \"title\": \"c\"}");

    read_one(path, 12, 10);
    assert_table("A a - - - - -\nC c - - - - -\n");
}

static void the_first_line_of_an_item_counts_over_all_files(void **)
{
    AUTO(buf) many = {0};
    AUTO_FREE char *a = NULL, *b = NULL, *glob = path_join(dir, "first_?.jsonl.gz");
    struct items_counts counts;
    struct err err = {0};

    for (int i = 0; i < 30000; i++) /* several blocks, and both threads have a part */
        buf_printf(&many, "{\"parent_asin\": \"%c\", \"title\": \"%d\"}\n", 'A' + i / 10000, i);
    a = put_text(dir, "first_1.jsonl.gz", buf_str(&many));
    b = put_text(dir, "first_2.jsonl.gz",
                 "{\"parent_asin\": \"D\", \"title\": \"d\"}\n"
                 "{\"parent_asin\": \"A\", \"title\": \"late\"}\n");
    assert_ok(read_all((const char *const[]){b, glob}, 2, &counts, &err), err);
    assert_int_equal(counts.lines_read, 30004);
    assert_table("A late - - - - -\nB 10000 - - - - -\nC 20000 - - - - -\nD d - - - - -\n");
    assert_ok(read_all((const char *const[]){glob}, 1, &counts, &err), err);
    assert_int_equal(counts.lines_read, 30002);
    assert_table("A 0 - - - - -\nB 10000 - - - - -\nC 20000 - - - - -\nD d - - - - -\n");
}

static void a_bom_costs_no_line(void **)
{
    static const struct {
        const char *text;
        int64_t lines, bad;
        const char *table;
    } cases[] = {
        {"{\"parent_asin\": \"A\", \"title\": \"it's\"}\n", 1, 0, "A it's - - - - -\n"},
        {"\n{\"parent_asin\": \"A\"}\n", 1, 0, "A - - - - - -\n"},
        {"junk\n{\"parent_asin\": \"A\"}\n", 2, 1, "A - - - - - -\n"},
        {"\"\xff\"\n{\"parent_asin\": \"A\"}\n", 2, 1, "A - - - - - -\n"},
        {"{\"parent_asin\": \"A\", \"title\": \"1\"}\r\n{\"parent_asin\": \"A\"}\n", 2, 0,
         "A 1 - - - - -\n"},
    };

    for (int packed = 0; packed < 2; packed++)
        for (int i = 0; i < ARRAY_LEN(cases); i++) {
            AUTO_FREE char *text = xasprintf("\xef\xbb\xbf%s", cases[i].text);
            AUTO_FREE char *path = put_text(dir, packed ? "bom.jsonl.gz" : "bom.jsonl", text);

            read_one(path, cases[i].lines, cases[i].bad);
            assert_table(cases[i].table);
        }
}

static void compression_is_told_by_the_bytes_and_not_by_the_name(void **)
{
    AUTO_FREE char *zstd = path_join(dir, "zstd.gz"), *plain = path_join(dir, "plain[1].gz");
    AUTO_FREE char *packed = put_text(dir, "packed.gz", "{\"parent_asin\": \"A\"}\n");
    AUTO_FREE char *renamed = path_join(dir, "packed.jsonl");
    struct err err = {0};

    assert_int_equal(rename(packed, renamed), 0);
    read_one(renamed, 1, 0);
    assert_table("A - - - - - -\n");
    assert_ok(file_write(plain, "{\"asin\": \"B\"}\n", 14, &err), err);
    read_one(plain, 1, 0);
    assert_table("B - - - - - -\n");
    assert_ok(duck_set_text(&db, "packed", zstd, &err), err);
    assert_ok(
        duck_exec(&db,
                  "COPY (SELECT '{\"asin\": \"C\"}' FROM range(3)) TO (getvariable('packed')) "
                  "(FORMAT csv, HEADER false, QUOTE '', DELIMITER ';', COMPRESSION zstd)",
                  &err),
        err);
    read_one(zstd, 3, 0);
    assert_table("C - - - - - -\n");
}

static void assert_refused(const char *path, enum err_kind kind, const char *why)
{
    struct items_counts counts;
    struct err err = {0};

    assert_false(read_all(&path, 1, &counts, &err));
    assert_int_equal(err.kind, kind);
    assert_contains(err.msg, why);
    assert_contains(err.msg, path);
}

static void what_cannot_be_read_is_named(void **)
{
    AUTO_FREE char *absent = path_join(dir, "absent.jsonl"), *glob = path_join(dir, "absent*");
    AUTO_FREE char *csv = put_text(dir, "items.csv", "item_id,title\nA,a\n");
    AUTO_FREE char *cut = put_text(dir, "cut.gz", "{\"parent_asin\": \"A\"}\n");
    AUTO_FREE char *empty = put_text(dir, "empty.jsonl", "");
    AUTO(buf) bytes = {0};
    struct err err = {0};

    assert_refused(absent, ERR_IO, "cannot open");
    assert_refused(glob, ERR_IO, "no file matches");
    assert_refused(dir, ERR_IO, "is a folder");
    assert_refused(csv, ERR_DATA, "none of 2 lines");
    assert_ok(file_read(cut, 1000, &bytes, &err), err);
    assert_ok(file_write(cut, bytes.data, bytes.len - 3, &err), err);
    assert_refused(cut, ERR_DATA, "truncated");
    assert_refused(empty, ERR_DATA, "is empty");
}

/* Counted here by text alone: each line of the sample has one parent_asin. */
static void the_sample_of_amazon_is_read(void **)
{
    static const char path[] = "../shared/data/amazon/meta_2023_sample.jsonl.gz";
    AUTO(duck) d = {0};
    AUTO(text_file) text = {0};
    AUTO(buf) line = {0};
    struct items_counts counts;
    struct err err = {0};
    int64_t lines = 0, priced = 0, got[3];

    if (!file_exists(path)) {
        print_message("../shared/data isn't there\n");
        skip();
    }
    assert_ok(text_file_open(&text, path, &err), err);
    for (; text_file_line(&text, &line, 1 << 20); lines++)
        priced += !strstr(buf_str(&line), "\"price\": null");
    assert_ok(duck_open(&d, NULL, &err), err);
    assert_ok(duck_set_text(&d, "sample", path, &err), err);
    assert_ok(duck_exec(&d,
                        "CREATE TABLE items AS SELECT DISTINCT json ->> 'parent_asin' AS item_id"
                        " FROM read_ndjson_objects(getvariable('sample')) ORDER BY item_id",
                        &err),
              err);
    assert_ok(items_read(&d, (const char *const[]){path}, 1, dir, &counts, &err), err);
    assert_int_equal(counts.lines_read, lines);
    assert_int_equal(counts.bad_lines, 0);
    assert_ok(duck_row(&d,
                       "SELECT count(*), count(price), (SELECT count(*) FROM items) FROM item_meta",
                       got, 3, &err),
              err);
    assert_int_equal(got[0], got[2]);
    assert_int_equal(got[1], priced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_files_the_table_is_empty),
        cmocka_unit_test(a_line_of_each_field_gives_a_row),
        cmocka_unit_test(a_field_of_another_type_costs_itself_alone),
        cmocka_unit_test(bad_lines_are_counted_and_blank_ones_are_not),
        cmocka_unit_test(the_first_line_of_an_item_counts_over_all_files),
        cmocka_unit_test(a_bom_costs_no_line),
        cmocka_unit_test(compression_is_told_by_the_bytes_and_not_by_the_name),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(the_sample_of_amazon_is_read),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
