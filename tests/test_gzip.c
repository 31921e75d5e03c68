/* gzip: whole files pass, and no others; text comes back as it went in. */
#include "test.h"

#include "base/rng.h"
#include "data/gzip.h"

static char *path;

static int set_up(void **)
{
    path = temp_path("text.gz");
    return 0;
}

static int tear_down(void **)
{
    remove(path);
    free(path);
    return 0;
}

/* Text of `n` bytes that packs to about a half. */
static void made_text(struct buf *b, size_t n)
{
    struct rng r;

    rng_init(&r, 1);
    while (b->len < n)
        buf_putc(b, rng_below(&r, 20) ? (char)('a' + rng_below(&r, 16)) : '\n');
}

static void pack(const struct buf *text, struct buf *packed)
{
    struct err err = {0};
    AUTO(text_out) out = {0};

    assert_ok(text_out_open(&out, path, &err), err);
    for (size_t at = 0; at < text->len; at += 1000)
        assert_ok(text_out_write(&out, text->data + at, MIN(text->len - at, 1000), &err), err);
    assert_ok(text_out_commit(&out, &err), err);
    assert_ok(file_read(path, SIZE_MAX, packed, &err), err);
}

static bool check(const char *bytes, size_t n, struct err *err)
{
    *err = (struct err){0};
    assert_ok(file_write(path, bytes, n, err), *err);
    return gzip_check(path, NULL, err);
}

static void a_whole_file_passes_and_no_part_of_it(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) packed = {0};
    struct err err;

    made_text(&text, 3000);
    pack(&text, &packed);
    assert_true(packed.len < text.len);
    assert_ok(check(packed.data, packed.len, &err), err);
    for (size_t n = 0; n < packed.len; n++) {
        AUTO_FREE char *want = xasprintf("truncated after %zu bytes", n);

        assert_false(check(packed.data, n, &err));
        assert_int_equal(err.kind, ERR_DATA);
        assert_contains(err.msg, want);
        assert_contains(err.msg, path);
    }
}

static void a_flipped_bit_is_found_in_the_data_and_behind_it(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) packed = {0};
    struct err err;

    made_text(&text, 3000);
    pack(&text, &packed);
    for (size_t at = 10; at < packed.len; at++) { /* the header's ten bytes may differ */
        if (at == packed.len - 9)
            continue; /* the last byte of the data may end in bits that mean nothing */
        packed.data[at] ^= 16;
        assert_false(check(packed.data, packed.len, &err));
        assert_contains(err.msg,
                        strstr(err.msg, "truncated") ? "truncated after" : "corrupt at byte");
        packed.data[at] ^= 16;
    }
    assert_ok(check(packed.data, packed.len, &err), err);
}

static void members_may_follow_one_another_but_nothing_else(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) packed = {0};
    AUTO(buf) twice = {0};
    struct err err;

    made_text(&text, 2500000); /* more than what is looked at in one piece */
    pack(&text, &packed);
    buf_put(&twice, packed.data, packed.len);
    buf_put(&twice, packed.data, packed.len);
    assert_ok(check(twice.data, twice.len, &err), err);
    assert_false(check(twice.data, twice.len - 1, &err));
    assert_contains(err.msg, "truncated");
    buf_puts(&packed, "more than enough of something else");
    assert_false(check(packed.data, packed.len, &err));
    assert_contains(err.msg, "corrupt");
}

static void a_check_beside_tells_what_a_check_tells(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) packed = {0};
    AUTO(gzip_watch) whole = {0};
    AUTO(gzip_watch) cut = {0};
    struct err err = {0};

    made_text(&text, 100000);
    pack(&text, &packed);
    assert_ok(gzip_watch_start(&whole, path, &err), err);
    assert_ok(gzip_watch_end(&whole, &err), err);
    assert_ok(file_write(path, packed.data, packed.len / 2, &err), err);
    assert_ok(gzip_watch_start(&cut, path, &err), err);
    assert_false(gzip_watch_end(&cut, &err));
    assert_contains(err.msg, "truncated");
}

static void lines_are_read_packed_or_not(void **)
{
    static const struct {
        const char *text;
        bool had_return;
        int64_t next;
    } want[] = {
        {"one", false, 4}, {"", false, 5}, {"two", true, 10}, {"", true, 12}, {"three", false, 17}};
    static const char text[] = "one\n\ntwo\r\n\r\nthree";

    for (int packed = 0; packed < 2; packed++) {
        AUTO(text_file) in = {0};
        AUTO(buf) line = {0};
        struct err err = {0};

        if (packed) {
            AUTO(buf) ignored = {0};
            struct buf b = {(char *)text, strlen(text), 0};

            pack(&b, &ignored);
        } else {
            assert_ok(file_write(path, text, strlen(text), &err), err);
        }
        assert_ok(text_file_open(&in, path, &err), err);
        for (int i = 0; i < ARRAY_LEN(want); i++) {
            assert_true(text_file_line(&in, &line, 100));
            assert_string_equal(buf_str(&line), want[i].text);
            assert_int_equal(in.had_return, want[i].had_return);
            assert_int_equal(text_file_offset(&in), want[i].next);
        }
        assert_false(text_file_line(&in, &line, 100));
    }
}

static void a_long_line_is_one_line(void **)
{
    AUTO(text_file) in = {0};
    AUTO(buf) text = {0};
    AUTO(buf) line = {0};
    struct err err = {0};

    for (int i = 0; i < 100000; i++)
        buf_putc(&text, 'x');
    buf_puts(&text, "\nnext\n");
    assert_ok(file_write(path, text.data, text.len, &err), err);
    assert_ok(text_file_open(&in, path, &err), err);
    assert_true(text_file_line(&in, &line, 50000));
    assert_int_equal(line.len, 50000); /* the rest is dropped, and not taken for a line */
    assert_true(text_file_line(&in, &line, 50000));
    assert_string_equal(buf_str(&line), "next");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_passes_and_no_part_of_it),
        cmocka_unit_test(a_flipped_bit_is_found_in_the_data_and_behind_it),
        cmocka_unit_test(members_may_follow_one_another_but_nothing_else),
        cmocka_unit_test(a_check_beside_tells_what_a_check_tells),
        cmocka_unit_test(lines_are_read_packed_or_not),
        cmocka_unit_test(a_long_line_is_one_line),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
