/* Files that appear whole or not at all, JSON both ways, digests, random streams. */
#include "test.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

static void a_file_appears_whole_or_not_at_all(void **)
{
    AUTO_FREE char *path = temp_path("file"), *tmp = xasprintf("%s.tmp-%ld", path, (long)getpid());
    struct err err = {0};

    {
        AUTO(outfile) out = {0};

        assert_ok(outfile_open(&out, path, &err), err);
        assert_ok(outfile_write(&out, "half", 4, &err), err);
    } /* no commit */
    assert_false(file_exists(path));
    assert_false(file_exists(tmp));
    assert_ok(file_write(path, "whole", 5, &err), err);
    assert_int_equal(file_size(path), 5);
    assert_false(file_exists(tmp));
    unlink(path);
}

static void a_file_that_cannot_be_made_is_named(void **)
{
    struct err err = {0};

    assert_false(file_write("/nonexistent/dir/file", "x", 1, &err));
    assert_int_equal(err.kind, ERR_IO);
    assert_contains(err.msg, "/nonexistent/dir/file");
}

static void a_pipe_is_written_and_stays_one(void **)
{
    AUTO_FREE char *path = temp_path("pipe");
    struct err err = {0};
    char got[4];
    struct stat st;
    int fd;

    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDWR | O_NONBLOCK);
    assert_ok(file_write(path, "text", 4, &err), err);
    assert_int_equal(read(fd, got, 4), 4);
    assert_memory_equal(got, "text", 4);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    close(fd);
    remove(path);
}

static void a_full_disk_is_an_error(void **)
{
    struct err err = {0};
    struct outfile out = {.f = fopen("/dev/full", "wb"), .path = xstrdup("full"), .tmp = NULL};

    if (!out.f)
        skip();
    (void)!outfile_write(&out, "x", 1, &err);
    assert_false(outfile_commit(&out, &err));
    assert_contains(err.msg, "cannot write 'full'");
    outfile_release(&out);
}

static void reading_keeps_to_its_limit(void **)
{
    AUTO_FREE char *path = temp_path("limit");
    AUTO(buf) text = {0};
    AUTO(mapped) m = {0};
    struct err err = {0};

    assert_ok(file_write(path, "12345", 5, &err), err);
    assert_ok(file_read(path, 5, &text, &err), err);
    assert_string_equal(text.data, "12345");
    assert_false(file_read(path, 4, &text, &err));
    assert_ok(file_map(&m, path, &err), err);
    assert_int_equal(m.size, 5);
    unlink(path);
}

static void folders_are_made_with_their_parents(void **)
{
    AUTO_FREE char *top = temp_path("dir"), *low = xasprintf("%s/a b/c", top),
                   *file = xasprintf("%s/f", low), *mid = path_dir(low);
    struct err err = {0};

    assert_ok(dir_create(low, &err), err);
    assert_ok(dir_create(low, &err), err);
    assert_ok(file_write(file, "", 0, &err), err);
    assert_false(dir_create(file, &err));
    dir_remove(low);
    assert_false(file_exists(low));
    rmdir(mid);
    rmdir(top);
}

static void errors_stay_one_line_and_within_bounds(void **)
{
    char longer[3000];
    struct err err = {0};

    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    err_set(&err, ERR_DATA, "a\nb %s", longer);
    err_wrap(&err, "file '%s'", "f\n");
    assert_null(strchr(err.msg, '\n'));
    assert_memory_equal(err.msg, "file 'f ': a b x", 16);
}

static void json_that_was_written_reads_back(void **)
{
    AUTO(json_out) out = {0};
    AUTO(json_doc) d = {0};
    struct err err = {0};
    const double numbers[] = {0.1, 1e300, -2.5, 1.0 / 3, 3, 5e-324};

    json_open(&out, NULL, '{');
    json_put_str(&out, "text", "q\"\\\n\x01\xc3\xa9");
    json_open(&out, "numbers", '[');
    for (int i = 0; i < ARRAY_LEN(numbers); i++)
        json_put_real(&out, NULL, numbers[i]);
    json_close(&out, ']');
    json_put_real(&out, "nan", (double)NAN);
    json_open(&out, "empty", '{');
    json_close(&out, '}');
    json_put_int(&out, "big", INT64_MAX);
    json_close(&out, '}');

    assert_ok(json_parse(&d, out.buf.data, out.buf.len, &err), err);
    assert_string_equal(json_text(json_get(d.root, "text")), "q\"\\\n\x01\xc3\xa9");
    for (int i = 0; i < ARRAY_LEN(numbers); i++)
        assert_true(json_real_or(json_at(json_get(d.root, "numbers"), i), 0) == numbers[i]);
    assert_int_equal(json_kind(json_get(d.root, "nan")), JVAL_NULL);
    assert_int_equal(json_kind(json_get(d.root, "absent")), JVAL_NONE);
    assert_true(json_int_or(json_get(d.root, "big"), 0) == INT64_MAX);
    {
        AUTO(json_out) copy = {0};

        json_put_copy(&copy, NULL, d.root);
        assert_string_equal(copy.buf.data, out.buf.data);
    }
}

/* The shortest of 6 to 9 digits that reads back, whichever way it's found. */
static void assert_shortest(float x)
{
    AUTO(json_out) got = {0}, want = {0};
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    json_put_real(&want, NULL, strtod(text, NULL));
    json_put_float(&got, NULL, x);
    assert_string_equal(buf_str(&got.buf), buf_str(&want.buf));
}

static void floats_are_written_as_short_as_they_read_back(void **)
{
    static const float some[] = {0,      -0.0F,     1,       -1,        10,    99999.99F,
                                 1e5F,   1e-4F,     9.9e-5F, 0.1F,      0.2F,  0.3F,
                                 2.5F,   9.999999F, 3e-4F,   65536,     1e10F, 1.5e-30F,
                                 0.001F, 0.0625F,   0.4999F, 123456.7F, 446,   1000};
    struct rng r;

    for (int i = 0; i < ARRAY_LEN(some); i++)
        assert_shortest(some[i]);
    rng_init(&r, 7);
    for (int i = 0; i < 300000; i++) {
        uint32_t bits = (uint32_t)rng_next(&r);
        float x;

        if (i % 4) /* most of them between 2^-14 and 2^17 */
            bits = (bits & 0x807fffffu) | (113 + bits % 32) << 23;
        memcpy(&x, &bits, sizeof x);
        if (isfinite(x))
            assert_shortest(x);
        if (i % 4 == 1) /* few digits */
            assert_shortest((float)(int)(x * 64) / 100);
    }
}

static void what_is_not_json_is_refused(void **)
{
    static const char *const bad[] = {"",      "{",        "{} x",  "{\"a\":1,}", "nul",
                                      "[1 2]", "\"\x80\"", "1e400", "'a'",        "{\"a\":01}"};

    for (int i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(json_doc) d = {0};
        struct err err = {0};

        assert_false(json_parse(&d, bad[i], strlen(bad[i]), &err));
        assert_int_equal(err.kind, ERR_DATA);
    }
}

/* The values of FIPS 180-2, appendix B. */
static void sha256_matches_the_standard(void **)
{
    char hex[DIGEST_HEX];

    digest_bytes("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_bytes("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void streams_depend_on_every_part_of_their_key(void **)
{
    const uint64_t keys[] = {rng_key(1, 2, 3, 4), rng_key(2, 2, 3, 4), rng_key(1, 3, 3, 4),
                             rng_key(1, 2, 4, 4), rng_key(1, 2, 3, 5), rng_key(1, 2, 4, 3)};

    for (int i = 0; i < ARRAY_LEN(keys); i++)
        for (int j = 0; j < i; j++)
            assert_true(keys[i] != keys[j]);
}

static void draws_are_uniform(void **)
{
    enum { N = 200000, BINS = 10 };
    int below[BINS] = {0}, uniform[BINS] = {0};
    struct rng r;

    rng_init(&r, 7);
    for (int i = 0; i < N; i++) {
        below[rng_below(&r, BINS)]++;
        uniform[(int)(rng_uniform(&r) * BINS)]++;
    }
    for (int b = 0; b < BINS; b++) { /* five standard deviations */
        assert_in_range(below[b], N / BINS - 5 * 135, N / BINS + 5 * 135);
        assert_in_range(uniform[b], N / BINS - 5 * 135, N / BINS + 5 * 135);
    }
}

static void a_shuffle_is_a_permutation(void **)
{
    int32_t ids[100], seen[100] = {0};
    int moved = 0;
    struct rng r;

    for (int i = 0; i < 100; i++)
        ids[i] = i;
    rng_init(&r, 1);
    rng_shuffle(&r, ids, 100);
    for (int i = 0; i < 100; i++) {
        seen[ids[i]]++;
        moved += ids[i] != i;
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_is_written_and_stays_one),
        cmocka_unit_test(a_file_appears_whole_or_not_at_all),
        cmocka_unit_test(a_file_that_cannot_be_made_is_named),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(reading_keeps_to_its_limit),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(errors_stay_one_line_and_within_bounds),
        cmocka_unit_test(json_that_was_written_reads_back),
        cmocka_unit_test(floats_are_written_as_short_as_they_read_back),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(sha256_matches_the_standard),
        cmocka_unit_test(streams_depend_on_every_part_of_their_key),
        cmocka_unit_test(draws_are_uniform),
        cmocka_unit_test(a_shuffle_is_a_permutation),
    };

    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
