/* generate: as many lines as asked for, at any size, by the seed alone. */
#include "test.h"

#include "base/file.h"
#include "base/json.h"
#include "data/generate.h"

static char *path;

static int set_up(void **)
{
    path = temp_path("reviews.jsonl");
    return 0;
}

static int tear_down(void **)
{
    remove(path);
    free(path);
    return 0;
}

static void made_by(int threads, struct buf *text, int32_t users, int32_t items, int64_t reviews,
                    uint64_t seed)
{
    struct generate_options o = {path, users, items, reviews, seed, threads};
    struct err err = {0};

    assert_ok(generate(&o, &err), err);
    buf_clear(text);
    assert_ok(file_read(path, SIZE_MAX, text, &err), err);
}

static void made(struct buf *text, int32_t users, int32_t items, int64_t reviews, uint64_t seed)
{
    made_by(1, text, users, items, reviews, seed);
}

static int64_t count_lines(const struct buf *text)
{
    int64_t n = 0;

    for (size_t i = 0; i < text->len; i++)
        n += text->data[i] == '\n';
    return n;
}

static void every_size_has_as_many_lines_as_asked_for(void **)
{
    static const struct {
        int32_t users, items;
        int64_t reviews;
    } sizes[] = {{1, 1, 1},        {1, 1, 50},     {3, 5000, 2000}, {1000, 7, 10},
                 {500, 300, 2501}, {77, 65, 4999}, {100000, 9, 3}};
    AUTO(buf) text = {0};

    for (int i = 0; i < ARRAY_LEN(sizes); i++) {
        made(&text, sizes[i].users, sizes[i].items, sizes[i].reviews, (uint64_t)i);
        assert_int_equal(count_lines(&text), sizes[i].reviews);
        assert_int_equal(text.data[text.len - 1], '\n');
    }
}

static void each_line_is_an_object_with_its_fields(void **)
{
    AUTO(buf) text = {0};

    made(&text, 50, 40, 700, 3);
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        AUTO(json_doc) doc = {0};
        struct err err = {0};
        double rating;

        assert_ok(json_parse(&doc, line, (size_t)(end - line), &err), err);
        rating = json_real_or(json_get(doc.root, "rating"), -1);
        assert_true(rating >= 1 && rating <= 5);
        assert_int_equal(json_text_len(json_get(doc.root, "user_id")), 28);
        assert_int_equal(json_text_len(json_get(doc.root, "parent_asin")), 10);
        assert_in_range(json_int_or(json_get(doc.root, "timestamp"), 0), 1546300800000,
                        1704088800000);
    }
}

/* A user's lines stand together and in order of time, five of them at least. */
static void each_user_has_five_lines_in_order_of_time(void **)
{
    char last_user[64] = "";
    AUTO(buf) text = {0};
    int64_t last_time = 0;
    int users = 0, run = 5;

    made(&text, 100, 400, 1000, 4);
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        char user[64];
        long long time;

        assert_int_equal(sscanf(strstr(line, "\"user_id\""), "\"user_id\": \"%28[A-Z2-7]\"", user),
                         1);
        assert_int_equal(sscanf(strstr(line, "\"timestamp\""), "\"timestamp\": %lld", &time), 1);
        if (strcmp(user, last_user)) {
            assert_true(run >= 5);
            users++;
            run = 0;
        } else {
            assert_true(time >= last_time);
        }
        run++;
        last_time = time;
        snprintf(last_user, sizeof last_user, "%s", user);
    }
    assert_true(run >= 5);
    assert_int_equal(users, 100);
}

static void the_seed_alone_decides(void **)
{
    AUTO(buf) a = {0};
    AUTO(buf) b = {0};
    AUTO(buf) other = {0};

    made(&a, 60, 30, 900, 1);
    made(&b, 60, 30, 900, 1);
    made(&other, 60, 30, 900, 2);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_string_not_equal(buf_str(&a), buf_str(&other));
}

/* Many blocks of users; few users whose lines don't fit a page; most users without a line. */
static void the_threads_make_no_difference(void **)
{
    static const struct {
        int32_t users, items;
        int64_t reviews;
    } sizes[] = {{2000, 300, 12000}, {3, 12000, 30000}, {200000, 50, 900}};
    AUTO(buf) one = {0};
    AUTO(buf) many = {0};

    for (int i = 0; i < ARRAY_LEN(sizes); i++) {
        made_by(1, &one, sizes[i].users, sizes[i].items, sizes[i].reviews, 5);
        for (int threads = 2; threads <= 4; threads += 2) {
            made_by(threads, &many, sizes[i].users, sizes[i].items, sizes[i].reviews, 5);
            assert_int_equal(many.len, one.len);
            assert_memory_equal(many.data, one.data, one.len);
        }
    }
}

static int by_length(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* 2,990 lines of Amazon Reviews 2023 have 483 bytes on the average, 328 in the median, and 835 at
 * the 90 % quantile; ours have two fields more, of 46 bytes. */
static void lines_are_as_long_as_real_ones(void **)
{
    enum { N = 20000 };
    static int lengths[N];
    AUTO(buf) text = {0};
    int n = 0;

    made(&text, 2000, 500, N, 6);
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1)
        lengths[n++] = (int)(end - line) + 1;
    assert_int_equal(n, N);
    qsort(lengths, N, sizeof *lengths, by_length);
    assert_in_range(text.len / N, 480, 520);
    assert_in_range(lengths[N / 2], 340, 390);
    assert_in_range(lengths[N / 10 * 9], 780, 880);
    assert_in_range(lengths[N - 1], 5000, 12000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_as_many_lines_as_asked_for),
        cmocka_unit_test(each_line_is_an_object_with_its_fields),
        cmocka_unit_test(each_user_has_five_lines_in_order_of_time),
        cmocka_unit_test(the_seed_alone_decides),
        cmocka_unit_test(the_threads_make_no_difference),
        cmocka_unit_test(lines_are_as_long_as_real_ones),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
