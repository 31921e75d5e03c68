/* names: each different one a number, and their order that of their bytes. */
#include "test.h"

#include "base/rng.h"
#include "data/names.h"

static struct name text(const char *s)
{
    return (struct name){s, strlen(s)};
}

static void each_different_name_gets_the_next_number(void **)
{
    static const struct {
        const char *bytes;
        size_t len;
        int32_t number;
    } rows[] = {{"a", 1, 0},    {"b", 1, 1},        {"a", 1, 0},         {"", 0, 2},
                {"a\0b", 3, 3}, {"a", 1, 0},        {"a\0c", 3, 4},      {"a\0b", 3, 3},
                {"", 0, 2},     {"12345678", 8, 5}, {"123456789", 9, 6}, {"12345678", 8, 5}};
    AUTO(names) s = {0};

    for (int i = 0; i < ARRAY_LEN(rows); i++) {
        int32_t got;

        assert_true(names_add(&s, &(struct name){rows[i].bytes, rows[i].len}, 1, &got));
        assert_int_equal(got, rows[i].number);
        assert_int_equal(
            name_compare(names_get(&s, got), (struct name){rows[i].bytes, rows[i].len}), 0);
    }
    assert_int_equal(s.n, 7);
}

/* Many, in blocks, each several times: the number is how many different ones came before. */
static void many_names_keep_their_numbers(void **)
{
    enum { N = 200000, BLOCK = 1000 };
    AUTO(names) s = {0};
    struct rng r;
    AUTO_FREE int32_t *number = xmalloc(N, sizeof *number); /* of name i, as first given */

    memset(number, -1, N * sizeof *number);
    rng_init(&r, 1);
    for (int b = 0; b < 3 * N / BLOCK; b++) {
        char bytes[BLOCK][24];
        struct name block[BLOCK];
        int32_t id[BLOCK], got[BLOCK];

        for (int i = 0; i < BLOCK; i++) {
            id[i] = (int32_t)rng_below(&r, N);
            snprintf(bytes[i], sizeof bytes[i], "%.*s%d", id[i] % 13, "xxxxxxxxxxxxx", id[i]);
            block[i] = text(bytes[i]);
        }
        assert_true(names_add(&s, block, BLOCK, got));
        for (int i = 0; i < BLOCK; i++) {
            if (number[id[i]] < 0)
                number[id[i]] = got[i];
            assert_int_equal(number[id[i]], got[i]);
            assert_int_equal(name_compare(names_get(&s, got[i]), block[i]), 0);
        }
    }
    assert_in_range(s.n, N * 9 / 10, N);
}

static void names_are_sorted_by_their_bytes(void **)
{
    static const char *const want[] = {"",   "1",        "10",       "2",         "A",
                                       "Z",  "a",        "aaaaaaaa", "aaaaaaaaa", "aaaaaaaab",
                                       "ab", "\xc3\xa9", "\xff"};
    AUTO(names) s = {0};
    int32_t order[ARRAY_LEN(want)], n = ARRAY_LEN(want);

    for (int32_t i = 0; i < n; i++) {
        struct name name = text(want[i * 5 % n]);

        assert_true(names_add(&s, &name, 1, &order[i]));
    }
    names_seal(&s);
    names_sort(&s, order, n);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(name_compare(names_get(&s, order[i]), text(want[i])), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_different_name_gets_the_next_number),
        cmocka_unit_test(many_names_keep_their_numbers),
        cmocka_unit_test(names_are_sorted_by_their_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
