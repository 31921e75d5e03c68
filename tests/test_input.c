/* input: what a file is, and on which line a row stands. */
#include "text.h"

#include "base/file.h"
#include "data/input.h"

static char *dir;

static int set_up(void **)
{
    struct err err;

    dir = temp_path("input");
    return dir_create(dir, &err) ? 0 : -1;
}

static int tear_down(void **)
{
    dir_remove(dir);
    free(dir);
    return 0;
}

static const struct {
    const char *name, *text, *columns;
    enum input_form form;
} files[] = {
    {"a.jsonl", "hello\n", NULL, INPUT_JSONL},
    {"a.json.gz", "{}\n", NULL, INPUT_JSONL},
    {"a.NDJSON.zst", "{}\n", NULL, INPUT_JSONL},
    {"a", "\n \n{\"x\": 1}\n", NULL, INPUT_JSONL},
    {"a.csv", "{user,item,time\n", "user,item,time", INPUT_CSV},
    {"a.tsv.gz", "user\titem\ttime\n", NULL, INPUT_CSV},
    {"b", "user,item of it,time\n", NULL, INPUT_CSV},
    {"ratings.dat", "1::2::3::4\n", "user,item,rating,time", INPUT_CSV},
    {"a.txt", "u1 i1 i2 i3\n", NULL, INPUT_SEQUENCE},
    {"a.txt.zst", "0 1 2\n", NULL, INPUT_SEQUENCE},
    {"c.txt", "1 2 3 4\n", "user,item,rating,time", INPUT_CSV},
    {"d.jsonl", "\xef\xbb\xbf{}\n", NULL, INPUT_JSONL},
    {"d.csv", "\xef\xbb\xbfuser,item,time\n", NULL, INPUT_CSV},
};

static void the_form_is_told_by_name_and_first_line(void **)
{
    for (int i = 0; i < ARRAY_LEN(files); i++) {
        AUTO_FREE char *path = put_text(dir, files[i].name, files[i].text);
        struct input_options o = {.format = "auto", .columns = files[i].columns, .has_times = true};
        AUTO(input) in = {0};
        struct err err = {0};

        assert_ok(input_look(&in, path, &o, dir, &err), err);
        if (in.form != files[i].form)
            fail_msg("%s: form %d", files[i].name, in.form);
        remove(path);
    }
}

static void the_format_can_be_said(void **)
{
    AUTO_FREE char *path = put_text(dir, "x.jsonl", "u\ti\tj\n");
    AUTO(input) in = {0};
    struct err err = {0};

    assert_ok(input_look(&in, path, &(struct input_options){.format = "sequence"}, dir, &err), err);
    assert_int_equal(in.form, INPUT_SEQUENCE);
    assert_false(in.has_times);
}

/* The row that each reader makes first of "BAD" is the one counted from 0. */
static const struct {
    const char *name, *text;
    int64_t row, line;
} places[] = {
    {"a.jsonl", "{}\n{}\nBAD\n{}\n", 2, 3},
    {"a.jsonl", "\n{}\r\n \n\r\nBAD\n", 1, 5},
    {"a.jsonl.gz", "\xef\xbb\xbf{}\n\nBAD", 1, 3},
    {"a.csv", "user,item,time\na,b,1\nBAD\n", 1, 3},
    {"a.csv", "\n\nuser,item,time\r\n\r\na,b,1\r\nBAD\r\n", 1, 6},
    {"a.csv.zst", "\xef\xbb\xbfuser,item,time\na,b,1\n \nBAD\n", 2, 4},
    {"a.csv", "user,item,time\ra,b,1\rc,d,2\r\rBAD\r", 2, 5},
    {"a.txt", "u a b c\n\nv d\nBAD\n", 4, 4},
    {"a.txt", "u a b c\n\t\nBAD\nv d\n", 3, 3},
};

static void rows_are_found_on_their_lines(void **)
{
    struct input_options o = {.format = "auto", .has_times = true};

    for (int i = 0; i < ARRAY_LEN(places); i++) {
        AUTO_FREE char *path = put_text(dir, places[i].name, places[i].text);
        AUTO(input) in = {0};
        struct err err = {0};
        int64_t line;

        assert_ok(input_look(&in, path, &o, dir, &err), err);
        assert_ok(input_line_of(&in, places[i].row, -1, &line, &err), err);
        if (line != places[i].line)
            fail_msg("%d: line %lld", i, (long long)line);
        remove(path);
    }
}

static void a_byte_is_found_on_its_line(void **)
{
    AUTO_FREE char *path = put_text(dir, "b.csv", "user,item,time\na,b,1\r\nc,d,2\ne,f,3\n");
    struct input_options o = {.format = "auto", .has_times = true};
    static const int64_t starts[] = {0, 15, 22, 28};
    AUTO(input) in = {0};
    struct err err = {0};

    assert_ok(input_look(&in, path, &o, dir, &err), err);
    for (int i = 0; i < ARRAY_LEN(starts); i++) {
        int64_t line;

        assert_ok(input_line_of(&in, INT64_MAX, starts[i], &line, &err), err);
        assert_int_equal(line, i + 1);
    }
}

static void what_is_no_input_is_refused(void **)
{
    struct input_options o = {.format = "auto", .has_times = true};
    AUTO_FREE char *empty = put_text(dir, "e.csv", "\n\n"), *folder = path_join(dir, "folder");
    struct err err = {0};
    AUTO(input) in = {0};

    assert_false(input_look(&in, empty, &o, dir, &err));
    assert_contains(err.msg, "empty");
    input_release(&in);
    assert_false(input_look(&in, "/nonesuch", &o, dir, &err));
    input_release(&in);
    assert_ok(dir_create(folder, &err), err);
    assert_false(input_look(&in, folder, &o, dir, &err));
    assert_contains(err.msg, "folder");
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form_is_told_by_name_and_first_line),
        cmocka_unit_test(the_format_can_be_said),
        cmocka_unit_test(rows_are_found_on_their_lines),
        cmocka_unit_test(a_byte_is_found_on_its_line),
        cmocka_unit_test(what_is_no_input_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
