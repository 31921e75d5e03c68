/* packed: whole files pass, and no others; text comes back as it went in. */
#include "test.h"

#include "base/rng.h"
#include "data/packed.h"

#include <zstd.h>

static const char *const endings[] = {"gz", "zst"};

static char *path; /* of plain text */

static int set_up(void **)
{
    path = temp_path("text");
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

/* Append what text_out makes of the text for a name of that ending. */
static void pack(const char *ending, const struct buf *text, struct buf *packed)
{
    AUTO_FREE char *name = xasprintf("%s.%s", path, ending);
    AUTO(text_out) out = {0};
    struct err err = {0};

    assert_ok(text_out_open(&out, name, &err), err);
    for (size_t at = 0; at < text->len; at += 1000)
        assert_ok(text_out_write(&out, text->data + at, MIN(text->len - at, 1000), &err), err);
    assert_ok(text_out_commit(&out, &err), err);
    assert_ok(file_read(name, SIZE_MAX, packed, &err), err);
    remove(name);
}

static void put_skippable(struct buf *b, int kind, const char *content)
{
    uint32_t n = (uint32_t)strlen(content);

    buf_putc(b, (char)(0x50 + kind));
    buf_puts(b, "\x2a\x4d\x18");
    for (int i = 0; i < 4; i++)
        buf_putc(b, (char)(n >> 8 * i));
    buf_puts(b, content);
}

static void write_bytes(const char *bytes, size_t n)
{
    struct err err = {0};

    assert_ok(file_write(path, bytes, n, &err), err);
}

static bool check(const char *bytes, size_t n, struct err *err)
{
    *err = (struct err){0};
    write_bytes(bytes, n);
    return packed_check(path, NULL, err);
}

static void assert_refused(const struct buf *b, size_t n, const char *what, size_t where)
{
    AUTO_FREE char *want =
        xasprintf("'%s': %s %zu%s", path, what, where, strstr(what, "truncated") ? " bytes" : "");
    struct err err;

    assert_false(check(b->data, n, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_string_equal(err.msg, want);
}

/* All of the file at `path`, by reads of n bytes. */
static void unpack(const char *name, size_t n, struct buf *out)
{
    AUTO_FREE char *piece = xmalloc(n, 1);
    AUTO(packed) p = {0};
    struct err err = {0};
    size_t got;

    assert_ok(packed_open(&p, name, &err), err);
    do {
        assert_ok(packed_read(&p, piece, n, &got, &err), err);
        buf_put(out, piece, got);
    } while (got == n);
    assert_ok(packed_read(&p, piece, n, &got, &err), err);
    assert_int_equal(got, 0);
}

static void assert_holds(const struct buf *packed, const struct buf *text)
{
    AUTO(buf) got = {0};

    write_bytes(packed->data, packed->len);
    unpack(path, 100000, &got);
    assert_int_equal(got.len, text->len);
    assert_memory_equal(buf_str(&got), buf_str(text), text->len);
}

/* ---- whole or not ---- */

static void the_first_bytes_tell_the_packing(void **)
{
    static const struct {
        const char *head;
        size_t n;
        enum packing want;
    } cases[] = {
        {"\x1f\x8b\x08\x00", 4, PACKED_GZIP},
        {"\x1f\x8b", 2, PACKED_GZIP},
        {"\x1f", 1, PACKED_NOT},
        {"\x28\xb5\x2f\xfd", 4, PACKED_ZSTD},
        {"\x28\xb5\x2f", 3, PACKED_NOT},
        {"\x28\xb5\x2f\xfc", 4, PACKED_NOT},
        {"\x50\x2a\x4d\x18", 4, PACKED_ZSTD},
        {"\x5f\x2a\x4d\x18", 4, PACKED_ZSTD},
        {"\x60\x2a\x4d\x18", 4, PACKED_NOT},
        {"P*M", 3, PACKED_NOT},
        {"PAR1", 4, PACKED_NOT},
        {"{\"a\"", 4, PACKED_NOT},
        {"", 0, PACKED_NOT},
    };

    for (int i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(packing_of(cases[i].head, cases[i].n), cases[i].want);
}

static void a_whole_file_passes_and_no_part_of_it(void **)
{
    AUTO(buf) text = {0};

    made_text(&text, 3000);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};

        pack(endings[e], &text, &packed);
        assert_true(packed.len < text.len);
        assert_holds(&packed, &text);
        for (size_t n = 4; n < packed.len; n++)
            assert_refused(&packed, n, "truncated after", n);
    }
}

static void a_cut_is_found_in_every_block(void **)
{
    AUTO(buf) text = {0};

    made_text(&text, 1200000);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};

        pack(endings[e], &text, &packed);
        assert_holds(&packed, &text);
        for (size_t n = 7; n < packed.len; n += 25013)
            assert_refused(&packed, n, "truncated after", n);
    }
}

static void a_flipped_bit_is_found_in_the_data_and_behind_it(void **)
{
    static const size_t header[] = {10, 6}; /* bytes, which may differ */
    AUTO(buf) text = {0};

    made_text(&text, 3000);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};
        struct err err;

        pack(endings[e], &text, &packed);
        for (size_t at = header[e]; at < packed.len; at++) {
            if (e == 0 && at == packed.len - 9)
                continue; /* the last byte of the data may end in bits that mean nothing */
            packed.data[at] ^= 16;
            assert_false(check(packed.data, packed.len, &err));
            assert_contains(err.msg,
                            strstr(err.msg, "truncated") ? "truncated after" : "corrupt at byte");
            packed.data[at] ^= 16;
        }
        assert_holds(&packed, &text);
    }
}

/* A block's head is 3 bytes, little-endian: whether it's the last, 2 bits of kind (3: none), the
 * size. It's read together with the block before. */
static void damage_is_placed_by_the_block(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) packed = {0};
    uint32_t head = 0;
    size_t before = 0;
    int blocks = 0;

    made_text(&text, 1200000);
    pack("zst", &text, &packed);
    for (size_t at = 6; !(head & 1); at += 3 + (head >> 3), blocks++) {
        unsigned char *h = (unsigned char *)packed.data + at;
        unsigned long long where = 0;
        struct err err;

        head = h[0] | (uint32_t)h[1] << 8 | (uint32_t)h[2] << 16;
        *h |= 6;
        assert_false(check(packed.data, packed.len, &err));
        assert_contains(err.msg, "': corrupt at byte ");
        assert_int_equal(sscanf(strstr(err.msg, "': "), "': corrupt at byte %llu", &where), 1);
        assert_in_range(where, before, at);
        *h = (unsigned char)head;
        before = at + 3;
    }
    assert_true(blocks > 5);
}

static void members_and_frames_may_follow_but_nothing_else(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) doubled = {0};

    made_text(&text, 2500000); /* more than what is looked at in one piece */
    buf_put(&doubled, text.data, text.len);
    buf_put(&doubled, text.data, text.len);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};
        size_t one;

        pack(endings[e], &text, &packed);
        one = packed.len;
        pack(endings[e], &text, &packed);
        assert_holds(&packed, &doubled);
        for (size_t n = 1; n < 9; n++) {
            assert_refused(&packed, one + n, "truncated after", one + n);
            assert_refused(&packed, 2 * one - n, "truncated after", 2 * one - n);
        }
        packed.len = one;
        buf_puts(&packed, "?");
        assert_refused(&packed, packed.len, "corrupt at byte", one);
        buf_puts(&packed, " more than enough of something else");
        assert_refused(&packed, packed.len, "corrupt at byte", one);
        packed.len = one;
        pack(endings[1 - e], &text, &packed);
        assert_refused(&packed, packed.len, "corrupt at byte", one);
    }
}

static void zeros_may_follow_a_gzip_to_its_end(void **)
{
    AUTO(buf) text = {0};
    AUTO_FREE char *zeros = xcalloc(1000000, 1);

    made_text(&text, 3000);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};
        size_t one;

        pack(endings[e], &text, &packed);
        one = packed.len;
        buf_put(&packed, zeros, 1000000);
        if (e == 0)
            assert_holds(&packed, &text);
        else
            assert_refused(&packed, packed.len, "corrupt at byte", one);
        buf_putc(&packed, '\x1f');
        assert_refused(&packed, packed.len, "corrupt at byte", e ? one : one + 1000000);
    }
}

static void skippable_frames_are_skipped_and_must_be_whole(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) long_one = {0};
    AUTO(buf) packed = {0};
    AUTO(buf) doubled = {0};
    size_t whole;

    made_text(&text, 3000);
    made_text(&long_one, 500000);
    buf_put(&doubled, text.data, text.len);
    buf_put(&doubled, text.data, text.len);
    put_skippable(&packed, 0, "a table of what follows, say");
    pack("zst", &text, &packed);
    put_skippable(&packed, 15, buf_str(&long_one));
    put_skippable(&packed, 7, "");
    pack("zst", &text, &packed);
    whole = packed.len;
    assert_holds(&packed, &doubled);
    put_skippable(&packed, 1, "the end");
    assert_holds(&packed, &doubled);
    for (size_t n = whole + 1; n < packed.len; n++)
        assert_refused(&packed, n, "truncated after", n);
}

static void nothing_is_empty_packed_or_not(void **)
{
    static const struct buf nothing;

    assert_holds(&nothing, &nothing);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};
        AUTO(text_file) in = {0};
        AUTO(buf) line = {0};
        struct err err = {0};

        pack(endings[e], &nothing, &packed);
        assert_true(packed.len > 4);
        assert_holds(&packed, &nothing);
        for (size_t n = 4; n < packed.len; n++)
            assert_refused(&packed, n, "truncated after", n);
        pack(endings[e], &nothing, &packed);
        assert_holds(&packed, &nothing);
        assert_ok(text_file_open(&in, path, &err), err);
        assert_false(text_file_line(&in, &line, 10));
        assert_ok(text_file_end(&in, &err), err);
    }
}

static void a_frame_of_any_make_is_read(void **)
{
    static const int levels[] = {-5, 1, 3, 19};
    AUTO(buf) text = {0};

    made_text(&text, 400000);
    for (int i = 0; i < ARRAY_LEN(levels); i++) { /* with the content's size, without checksum */
        AUTO(buf) packed = {0};
        size_t n = ZSTD_compressBound(text.len);
        AUTO_FREE char *bytes = xmalloc(n, 1);

        n = ZSTD_compress(bytes, n, text.data, text.len, levels[i]);
        assert_false(ZSTD_isError(n));
        buf_put(&packed, bytes, n);
        assert_holds(&packed, &text);
        assert_refused(&packed, n - 1, "truncated after", n - 1);
    }
}

/* As `zstd --long=31` writes it: magic, no flags, a window of 2^31 (10 + 21 in the upper five
 * bits), the last block, raw, of 5 bytes. */
static void the_widest_window_is_read(void **)
{
    static const char frame[] = "\x28\xb5\x2f\xfd\x00\xa8\x29\x00\x00hello";
    struct buf packed = {(char *)frame, sizeof frame - 1, 0}, text = {(char *)"hello", 5, 0};

    assert_holds(&packed, &text);
}

/* Magic, the flag for a dictionary's number of one byte, a window of 1 KB, number 7, the block. */
static void a_dictionary_is_named(void **)
{
    static const char frame[] = "\x28\xb5\x2f\xfd\x01\x00\x07\x29\x00\x00hello";
    struct err err;

    assert_false(check(frame, sizeof frame - 1, &err));
    assert_contains(err.msg, path);
    assert_contains(err.msg, "dictionary");
}

static void assert_packs_to(const struct buf *packed, const char *ending, const struct buf *text,
                            size_t piece)
{
    AUTO_FREE char *name = xasprintf("%s.%s", path, ending);
    AUTO(text_out) out = {0};
    AUTO(buf) bytes = {0};
    struct err err = {0};

    assert_ok(text_out_open(&out, name, &err), err);
    assert_ok(text_out_write(&out, "", 0, &err), err);
    for (size_t at = 0; at < text->len; at += piece)
        assert_ok(text_out_write(&out, text->data + at, MIN(text->len - at, piece), &err), err);
    assert_ok(text_out_commit(&out, &err), err);
    assert_ok(file_read(name, SIZE_MAX, &bytes, &err), err);
    assert_int_equal(bytes.len, packed->len);
    assert_memory_equal(bytes.data, packed->data, packed->len);
    remove(name);
}

static void the_same_text_gives_the_same_bytes_however_it_comes(void **)
{
    static const size_t pieces[] = {1, 1000, 131072, 3000000};
    static const struct buf nothing;
    AUTO(buf) text = {0};

    made_text(&text, 1000000);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};

        pack(endings[e], &text, &packed);
        for (int i = 0; i < ARRAY_LEN(pieces); i++)
            assert_packs_to(&packed, endings[e], &text, pieces[i]);
        buf_clear(&packed);
        pack(endings[e], &nothing, &packed);
        assert_packs_to(&packed, endings[e], &nothing, 1);
    }
}

static void reads_may_be_tiny(void **)
{
    static const size_t sizes[] = {1, 7, 4096};
    AUTO(buf) text = {0};

    made_text(&text, 300000);
    for (int e = -1; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};

        if (e >= 0) {
            pack(endings[e], &text, &packed);
            pack(endings[e], &text, &packed);
        } else {
            buf_put(&packed, text.data, text.len);
            buf_put(&packed, text.data, text.len);
        }
        write_bytes(packed.data, packed.len);
        for (int i = 0; i < ARRAY_LEN(sizes); i++) {
            AUTO(buf) got = {0};

            unpack(path, sizes[i], &got);
            assert_int_equal(got.len, 2 * text.len);
            assert_memory_equal(got.data, text.data, text.len);
            assert_memory_equal(got.data + text.len, text.data, text.len);
        }
    }
}

static void stdin_is_read_from_a_pipe(void **)
{
    AUTO(buf) text = {0};

    made_text(&text, 3000);
    for (int e = -1; e < ARRAY_LEN(endings); e++) {
        int ends[2], saved = dup(STDIN_FILENO);
        AUTO(buf) packed = {0};
        AUTO(buf) got = {0};

        if (e >= 0)
            pack(endings[e], &text, &packed);
        else
            buf_put(&packed, text.data, text.len);
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], packed.data, packed.len), packed.len);
        close(ends[1]);
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        unpack("-", 100, &got);
        dup2(saved, STDIN_FILENO);
        close(saved);
        assert_int_equal(got.len, text.len);
        assert_memory_equal(got.data, text.data, text.len);
    }
}

static void what_cannot_be_opened_or_read_is_named(void **)
{
    AUTO(packed) missing = {0};
    struct err err = {0};

    assert_false(packed_open(&missing, "/nowhere/x.gz", &err));
    assert_int_equal(err.kind, ERR_IO);
    assert_contains(err.msg, "cannot open '/nowhere/x.gz'");
    assert_false(packed_check("/", NULL, &err));
    assert_int_equal(err.kind, ERR_IO);
    assert_contains(err.msg, "cannot read '/'");
}

/* ---- beside the caller ---- */

static void a_check_beside_tells_what_a_check_tells(void **)
{
    AUTO(buf) text = {0};

    made_text(&text, 100000);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(buf) packed = {0};
        AUTO(packed_watch) whole = {0};
        AUTO(packed_watch) cut = {0};
        struct err err = {0};

        pack(endings[e], &text, &packed);
        write_bytes(packed.data, packed.len);
        assert_ok(packed_watch_start(&whole, path, &err), err);
        assert_ok(packed_watch_end(&whole, &err), err);
        write_bytes(packed.data, packed.len / 2);
        assert_ok(packed_watch_start(&cut, path, &err), err);
        assert_false(packed_watch_end(&cut, &err));
        assert_contains(err.msg, "truncated");
    }
}

static void a_check_that_is_stopped_finds_no_fault(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) packed = {0};
    AUTO(packed_watch) left_alone = {0};
    atomic_bool stop = true;
    struct err err = {0};

    made_text(&text, 3000000);
    pack("zst", &text, &packed);
    write_bytes(packed.data, packed.len - 1);
    assert_ok(packed_check(path, &stop, &err), err);
    stop = false;
    assert_false(packed_check(path, &stop, &err));
    assert_ok(packed_watch_start(&left_alone, path, &err), err);
}

/* ---- lines ---- */

static void lines_are_read_packed_or_not(void **)
{
    static const struct {
        const char *text;
        bool had_return;
        int64_t next;
    } want[] = {{"one", false, 4},   {"", false, 5},  {"two", true, 10},   {"", true, 12},
                {"a\rb", false, 16}, {"x", true, 20}, {"three", false, 25}};
    static const char text[] = "one\n\ntwo\r\n\r\na\rb\nx\r\r\nthree";

    for (int e = -1; e < ARRAY_LEN(endings); e++) {
        struct buf b = {(char *)text, strlen(text), 0};
        AUTO(text_file) in = {0};
        AUTO(buf) packed = {0};
        AUTO(buf) line = {0};
        struct err err = {0};

        if (e >= 0)
            pack(endings[e], &b, &packed);
        else
            buf_puts(&packed, text);
        write_bytes(packed.data, packed.len);
        assert_ok(text_file_open(&in, path, &err), err);
        for (int i = 0; i < ARRAY_LEN(want); i++) {
            assert_true(text_file_line(&in, &line, 100));
            assert_string_equal(buf_str(&line), want[i].text);
            assert_int_equal(in.had_return, want[i].had_return);
            assert_int_equal(text_file_offset(&in), want[i].next);
        }
        assert_false(text_file_line(&in, &line, 100));
        assert_false(text_file_line(&in, &line, 100));
        assert_ok(text_file_end(&in, &err), err);
    }
}

/* Lines of all lengths up to a block and beyond, so that borders fall on every part of some. */
static void lines_are_whole_across_the_borders_of_blocks(void **)
{
    AUTO(text_file) in = {0};
    AUTO(buf) text = {0};
    AUTO(buf) packed = {0};
    AUTO(buf) line = {0};
    struct err err = {0};
    struct rng r;
    size_t at = 0;

    rng_init(&r, 2);
    for (int i = 0; i < 600; i++) {
        uint32_t n = rng_below(&r, i % 50 ? 8000 : 600000);

        for (uint32_t j = 0; j < n; j++)
            buf_putc(&text, "ab\r\0"[rng_below(&r, 4)]);
        buf_puts(&text, i % 2 ? "\n" : "x\r\n");
    }
    pack("zst", &text, &packed);
    write_bytes(packed.data, packed.len);
    assert_ok(text_file_open(&in, path, &err), err);
    while (text_file_line(&in, &line, SIZE_MAX)) {
        const char *from = text.data + at, *end = memchr(from, '\n', text.len - at);
        size_t n = (size_t)(end - from);

        at += n + 1;
        assert_int_equal(in.had_return, n > 0 && from[n - 1] == '\r');
        while (n > 0 && from[n - 1] == '\r')
            n--;
        assert_int_equal(line.len, n);
        assert_memory_equal(buf_str(&line), from, n);
        assert_int_equal(text_file_offset(&in), at);
    }
    assert_ok(text_file_end(&in, &err), err);
    assert_int_equal(at, text.len);
}

/* At every offset from a border of blocks, which are of some power of two. */
static void a_return_before_the_border_is_seen(void **)
{
    for (size_t n = (1 << 18) - 4; n < (1 << 18) + 2; n++) {
        AUTO_FREE char *xs = xmalloc(n, 1);
        AUTO(text_file) in = {0};
        AUTO(buf) text = {0};
        AUTO(buf) line = {0};
        struct err err = {0};

        memset(xs, 'x', n);
        buf_put(&text, xs, n);
        buf_puts(&text, "\r\nnext\n");
        write_bytes(text.data, text.len);
        assert_ok(text_file_open(&in, path, &err), err);
        assert_true(text_file_line(&in, &line, 1 << 20));
        assert_int_equal(line.len, n);
        assert_true(in.had_return);
        assert_true(text_file_line(&in, &line, 1 << 20));
        assert_string_equal(buf_str(&line), "next");
        assert_false(in.had_return);
    }
}

static void a_NUL_is_a_byte_of_the_line(void **)
{
    static const char text[] = "a\0b\n\0\nc\0";
    AUTO(text_file) in = {0};
    AUTO(buf) line = {0};
    struct err err = {0};

    write_bytes(text, sizeof text - 1);
    assert_ok(text_file_open(&in, path, &err), err);
    assert_true(text_file_line(&in, &line, 100));
    assert_int_equal(line.len, 3);
    assert_memory_equal(line.data, "a\0b", 4);
    assert_true(text_file_line(&in, &line, 100));
    assert_int_equal(line.len, 1);
    assert_true(text_file_line(&in, &line, 100));
    assert_int_equal(line.len, 2);
    assert_false(text_file_line(&in, &line, 100));
}

static void a_long_line_is_one_line(void **)
{
    AUTO(text_file) in = {0};
    AUTO(buf) text = {0};
    AUTO(buf) line = {0};
    struct err err = {0};

    for (int i = 0; i < 1000000; i++)
        buf_putc(&text, 'x');
    buf_puts(&text, "\r\nnext\n");
    write_bytes(text.data, text.len);
    assert_ok(text_file_open(&in, path, &err), err);
    assert_true(text_file_line(&in, &line, 50000));
    assert_int_equal(line.len, 50000); /* the rest is dropped, and not taken for a line */
    assert_true(in.had_return);
    assert_int_equal(text_file_offset(&in), 1000002);
    assert_true(text_file_line(&in, &line, 50000));
    assert_string_equal(buf_str(&line), "next");
}

static void a_return_within_a_line_stays_where_the_line_is_cut(void **)
{
    static const char text[] = "ab\rcd\n";
    AUTO(text_file) in = {0};
    AUTO(buf) line = {0};
    struct err err = {0};

    write_bytes(text, strlen(text));
    assert_ok(text_file_open(&in, path, &err), err);
    assert_true(text_file_line(&in, &line, 3));
    assert_string_equal(buf_str(&line), "ab\r");
    assert_false(in.had_return);
}

static void lines_before_a_fault_come_and_then_the_fault(void **)
{
    AUTO(buf) text = {0};

    for (int i = 0; i < 100000; i++)
        buf_printf(&text, "line %d\n", i);
    for (int e = 0; e < ARRAY_LEN(endings); e++) {
        AUTO(text_file) in = {0};
        AUTO(buf) packed = {0};
        AUTO(buf) line = {0};
        struct err err = {0};
        int n = 0;

        pack(endings[e], &text, &packed);
        write_bytes(packed.data, packed.len - 1);
        assert_ok(text_file_open(&in, path, &err), err);
        for (; text_file_line(&in, &line, 100); n++) {
            AUTO_FREE char *want = xasprintf("line %d", n);

            assert_string_equal(buf_str(&line), want);
        }
        assert_int_equal(n, 100000);
        assert_false(text_file_line(&in, &line, 100));
        assert_false(text_file_end(&in, &err));
        assert_int_equal(err.kind, ERR_DATA);
        assert_contains(err.msg, "truncated after");
    }
}

static void a_line_that_a_cut_goes_through_is_no_line(void **)
{
    AUTO(buf) text = {0};
    AUTO(buf) packed = {0};
    AUTO(buf) line = {0};
    AUTO(text_file) in = {0};
    struct err err = {0};
    size_t n = 0;

    made_text(&text, 1000000);
    pack("gz", &text, &packed);
    write_bytes(packed.data, packed.len / 2);
    assert_ok(text_file_open(&in, path, &err), err);
    while (text_file_line(&in, &line, 1000)) {
        assert_memory_equal(buf_str(&line), text.data + n, line.len);
        n += line.len;
        assert_int_equal(text.data[n++], '\n');
    }
    assert_true(n > 100000);
    assert_false(text_file_end(&in, &err));
}

/* Packed as a stream, whose size isn't known when the header is written. */
static void a_window_that_others_refuse_is_seen(void **)
{
    static const struct {
        int window_log;
        bool is_wide;
    } kinds[] = {{20, false}, {27, false}, {28, true}, {31, true}};

    for (int i = 0; i < ARRAY_LEN(kinds); i++) {
        ZSTD_CCtx *z = ZSTD_createCCtx();
        char out[1000];
        ZSTD_outBuffer to = {out, sizeof out, 0};
        ZSTD_inBuffer from = {"some text", 9, 0};

        ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, kinds[i].window_log);
        ZSTD_compressStream2(z, &to, &from, ZSTD_e_flush);
        assert_true(to.pos >= PACKED_HEAD);
        assert_int_equal(packing_is_wide(out, PACKED_HEAD), kinds[i].is_wide);
        ZSTD_freeCCtx(z);
    }
    assert_false(packing_is_wide("\x1f\x8b and so on: gzip", PACKED_HEAD));
    assert_false(packing_is_wide("{\"a\": 1}", 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_bytes_tell_the_packing),
        cmocka_unit_test(a_whole_file_passes_and_no_part_of_it),
        cmocka_unit_test(a_cut_is_found_in_every_block),
        cmocka_unit_test(a_flipped_bit_is_found_in_the_data_and_behind_it),
        cmocka_unit_test(damage_is_placed_by_the_block),
        cmocka_unit_test(members_and_frames_may_follow_but_nothing_else),
        cmocka_unit_test(zeros_may_follow_a_gzip_to_its_end),
        cmocka_unit_test(skippable_frames_are_skipped_and_must_be_whole),
        cmocka_unit_test(nothing_is_empty_packed_or_not),
        cmocka_unit_test(a_frame_of_any_make_is_read),
        cmocka_unit_test(the_widest_window_is_read),
        cmocka_unit_test(a_dictionary_is_named),
        cmocka_unit_test(the_same_text_gives_the_same_bytes_however_it_comes),
        cmocka_unit_test(reads_may_be_tiny),
        cmocka_unit_test(stdin_is_read_from_a_pipe),
        cmocka_unit_test(what_cannot_be_opened_or_read_is_named),
        cmocka_unit_test(a_check_beside_tells_what_a_check_tells),
        cmocka_unit_test(a_check_that_is_stopped_finds_no_fault),
        cmocka_unit_test(lines_are_read_packed_or_not),
        cmocka_unit_test(lines_are_whole_across_the_borders_of_blocks),
        cmocka_unit_test(a_return_before_the_border_is_seen),
        cmocka_unit_test(a_NUL_is_a_byte_of_the_line),
        cmocka_unit_test(a_long_line_is_one_line),
        cmocka_unit_test(a_return_within_a_line_stays_where_the_line_is_cut),
        cmocka_unit_test(lines_before_a_fault_come_and_then_the_fault),
        cmocka_unit_test(a_line_that_a_cut_goes_through_is_no_line),
        cmocka_unit_test(a_window_that_others_refuse_is_seen),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
