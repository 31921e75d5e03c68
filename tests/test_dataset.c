/* dataset: what preprocess writes comes back as arrays, and what isn't whole is refused. */
#include "test.h"

#include "base/file.h"
#include "data/preprocess.h"

#include <math.h>

static char *folder, *input;

/* Three users, of which "a" has a row before and after those of equal times; ids sort bytewise. */
static const char lines[] =
    "{\"user_id\":\"b\",\"parent_asin\":\"x\",\"timestamp\":1600000000001,\"rating\":5}\n"
    "{\"user_id\":\"a\",\"parent_asin\":\"z\",\"timestamp\":1600000000009}\n"
    "{\"user_id\":\"a\",\"parent_asin\":\"y\",\"timestamp\":1600000000004}\n"
    "{\"user_id\":\"a\",\"parent_asin\":\"x\",\"timestamp\":1600000000004}\n"
    "{\"user_id\":\"a\",\"parent_asin\":\"w\",\"timestamp\":1600000000001}\n"
    "{\"user_id\":\"a\",\"parent_asin\":\"w\",\"timestamp\":1600000000005}\n"
    "{\"user_id\":\"B\",\"parent_asin\":\"\xc3\xa9\",\"timestamp\":1600000000002}\n"
    "not a row\n";

static bool run(struct preprocess_stats *s, struct err *err)
{
    const char *files[] = {input};
    struct preprocess_options o = {
        .in = {.files = {{files, 1}},
               .form = {.format = "auto", .has_times = true},
               .min_rating = NAN,
               .max_bad_lines = -1},
        .output_dir = folder,
        .min_user = 1,
        .min_item = 1,
        .split = {.split = split_named("leave-one-out")},
    };

    return preprocess(&o, s, NULL, err);
}

static int set_up(void **)
{
    struct preprocess_stats s;
    struct err err;

    folder = temp_path("dataset");
    input = temp_path("lines.jsonl");
    return file_write(input, lines, strlen(lines), &err) && run(&s, &err) ? 0 : -1;
}

static int tear_down(void **)
{
    dir_remove(folder);
    remove(input);
    free(folder);
    free(input);
    return 0;
}

static void every_line_is_accounted_for(void **)
{
    struct preprocess_stats s;
    struct err err = {0};

    assert_ok(run(&s, &err), err);
    assert_int_equal(ingest_lines(&s.in), 8);
    assert_int_equal(s.in.n[FATE_MALFORMED], 1);
    assert_int_equal(ingest_bad_lines(&s.in), 1);
    assert_int_equal(s.n_repeated, 1);
    assert_int_equal(s.n_kept, 6);
    assert_int_equal(s.n_part[DATASET_TRAIN], 4);
    assert_int_equal(s.n_part[DATASET_VAL], 1);
    assert_int_equal(s.n_part[DATASET_TEST], 1);
    assert_int_equal(s.n_users, 3);
    assert_int_equal(s.n_items, 5);
    assert_string_equal(s.config_id, "leave-one-out-u1-i1");
}

static void ids_are_numbered_by_their_bytes_and_found_again(void **)
{
    static const char *const users[] = {"B", "a", "b"}, *const items[] = {"w", "x", "y", "z",
                                                                          "\xc3\xa9"};
    AUTO(ids) u = {0};
    AUTO(ids) i = {0};
    struct err err = {0};

    assert_ok(ids_open(&u, folder, "user", &err), err);
    assert_ok(ids_open(&i, folder, "item", &err), err);
    assert_int_equal(u.n, 3);
    assert_int_equal(i.n, 5);
    for (int32_t k = 0; k < u.n; k++) {
        assert_string_equal(ids_get(&u, k), users[k]);
        assert_int_equal(ids_find(&u, users[k]), k);
    }
    for (int32_t k = 0; k < i.n; k++) {
        assert_string_equal(ids_get(&i, k), items[k]);
        assert_int_equal(ids_find(&i, items[k]), k);
    }
    assert_int_equal(ids_find(&u, ""), -1);
    assert_int_equal(ids_find(&u, "aa"), -1);
    assert_int_equal(ids_find(&u, "c"), -1);
}

/* User a (1): w at 1, y and x at 4 in the input's order, z at 9. */
static void rows_are_in_order_of_time_and_of_the_input(void **)
{
    AUTO(dataset) d = {0};
    struct err err = {0};
    const int32_t *row;
    int32_t n;

    assert_ok(dataset_open(&d, folder, 7 | DATASET_TIMES, &err), err);
    assert_int_equal(d.n_users, 3);
    assert_int_equal(d.n_items, 5);
    row = interactions_row(&d.part[DATASET_TRAIN], 1, &n);
    assert_int_equal(n, 2);
    assert_int_equal(row[0], 0);
    assert_int_equal(row[1], 2);
    assert_int_equal(d.part[DATASET_TRAIN].times[d.part[DATASET_TRAIN].offsets[1]], 1600000000001);
    row = interactions_row(&d.part[DATASET_VAL], 1, &n);
    assert_int_equal(n, 1);
    assert_int_equal(row[0], 1);
    row = interactions_row(&d.part[DATASET_TEST], 1, &n);
    assert_int_equal(n, 1);
    assert_int_equal(row[0], 3);
    row = interactions_row(&d.part[DATASET_TRAIN], 0, &n);
    assert_int_equal(n, 1);
    assert_int_equal(row[0], 4);
}

static void a_part_that_isnt_asked_for_isnt_read(void **)
{
    AUTO_FREE char *path = path_join(folder, "test.parquet");
    AUTO(dataset) d = {0};
    AUTO(dataset) all = {0};
    struct err err = {0};

    assert_int_equal(remove(path), 0);
    assert_ok(dataset_open(&d, folder, 1u << DATASET_TRAIN | 1u << DATASET_VAL, &err), err);
    assert_int_equal(d.part[DATASET_TRAIN].n, 4);
    assert_null(d.part[DATASET_TEST].offsets);
    assert_false(dataset_open(&all, folder, 7, &err));
    assert_int_equal(err.kind, ERR_IO);
    assert_contains(err.msg, "test.parquet");
}

static void another_file_of_that_name_is_refused(void **)
{
    AUTO_FREE char *val = path_join(folder, "val.parquet"),
                   *train = path_join(folder, "train.parquet");
    AUTO(dataset) d = {0};
    struct err err = {0};

    assert_int_equal(rename(val, train), 0);
    assert_false(dataset_open(&d, folder, 1u << DATASET_TRAIN, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_contains(err.msg, "train.parquet");
}

static void a_folder_without_a_dataset_says_what_to_do(void **)
{
    AUTO(dataset) d = {0};
    AUTO(ids) u = {0};
    struct err err = {0};

    assert_false(dataset_open(&d, "/nonesuch", 1, &err));
    assert_contains(err.msg, "preprocess");
    assert_false(ids_open(&u, "/nonesuch", "user", &err));
    assert_contains(err.msg, "preprocess");
}

static void a_transpose_holds_the_same_rows_by_item(void **)
{
    int64_t offsets[] = {0, 3, 3, 5};
    int32_t items[] = {4, 0, 4, 2, 4};
    const struct interactions x = {offsets, items, NULL, 5};
    const int64_t want_offsets[] = {0, 1, 1, 2, 2, 5};
    const int32_t want_users[] = {0, 2, 0, 0, 2};
    AUTO(interactions) t = {0};

    interactions_transpose(&t, &x, 3, 5);
    assert_int_equal(t.n, 5);
    assert_memory_equal(t.offsets, want_offsets, sizeof want_offsets);
    assert_memory_equal(t.items, want_users, sizeof want_users);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_line_is_accounted_for),
        TEST(ids_are_numbered_by_their_bytes_and_found_again),
        TEST(rows_are_in_order_of_time_and_of_the_input),
        TEST(a_part_that_isnt_asked_for_isnt_read),
        TEST(another_file_of_that_name_is_refused),
        TEST(a_folder_without_a_dataset_says_what_to_do),
        cmocka_unit_test(a_transpose_holds_the_same_rows_by_item),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
