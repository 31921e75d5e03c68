/* rows: sorted and without repeats, against sorting all at once, whatever the memory. */
#include "test.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/rows.h"

enum { N = 3000, N_USERS = 90, N_ITEMS = 25 };

static char *dir;

static int set_up(void **)
{
    struct err err;

    dir = temp_path("rows");
    return dir_create(dir, &err) ? 0 : -1;
}

static int tear_down(void **)
{
    dir_remove(dir);
    free(dir);
    return 0;
}

struct made {
    char user[8], item[8];
    int64_t time;
    float rating; /* the place in the input: tells which of two rows was kept */
    int part, place;
};

static void make(struct made *rows, uint64_t seed)
{
    struct rng r;

    rng_init(&r, seed);
    for (int i = 0; i < N; i++) {
        double x = rng_uniform(&r);

        rows[i] = (struct made){
            .time = rng_below(&r, 40), .rating = (float)i, .part = i * 3 / N, .place = i};
        snprintf(rows[i].user, sizeof rows[i].user, "u%d", (int)(x * x * N_USERS));
        snprintf(rows[i].item, sizeof rows[i].item, "i%d", (int)rng_below(&r, N_ITEMS));
    }
}

static void add(struct rows *r, const struct made *rows, bool has_parts)
{
    struct err err = {0};

    for (int i = 0; i < N; i++) {
        struct name user = {rows[i].user, strlen(rows[i].user)};
        struct name item = {rows[i].item, strlen(rows[i].item)};

        assert_ok(rows_add(r, 1, &user, &item, &rows[i].time, &rows[i].rating,
                           has_parts ? rows[i].part : 0, &err),
                  err);
    }
}

static bool all_parts; /* for the comparison */

static int by_definition(const void *a, const void *b)
{
    const struct made *x = a, *y = b;
    int c = strcmp(x->user, y->user);

    if (c)
        return c;
    if (all_parts && x->part != y->part)
        return x->part - y->part;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->place - y->place;
}

static bool same_pair(const struct made *x, const struct made *y)
{
    return !strcmp(x->user, y->user) && !strcmp(x->item, y->item) &&
           (!all_parts || x->part == y->part);
}

static bool is_repeat(const struct made *sorted, int i, enum repeats repeats)
{
    if (repeats == REPEATS_FIRST)
        for (int j = 0; j < i; j++)
            if (same_pair(&sorted[j], &sorted[i]))
                return true;
    if (repeats == REPEATS_LAST)
        for (int j = i + 1; j < N; j++)
            if (same_pair(&sorted[j], &sorted[i]))
                return true;
    return false;
}

/* What the files hold is `want`, sorted; all users have a place among the sorted ones. */
static void assert_rows(const struct rows *r, struct made *want)
{
    struct err err = {0};
    int64_t at = 0;
    int from = 0;

    qsort(want, N, sizeof *want, by_definition);
    for (int32_t p = 0; p < r->users.n; p++) {
        struct name user = names_get(&r->users, r->user_at[p]);
        int rank = 0;

        assert_int_equal(r->offsets[p], at);
        assert_int_equal(user.len, strlen(want[from].user));
        assert_memory_equal(user.bytes, want[from].user, user.len);
        for (; from < N && !strncmp(want[from].user, user.bytes, user.len) &&
               !want[from].user[user.len];
             from++, rank++) {
            struct row_rest rest;
            struct name item;
            int32_t number;

            if (is_repeat(want, from, r->o.repeats))
                continue;
            assert_ok(spool_read(&r->items_of, at * 4, &number, sizeof number, &err), err);
            assert_ok(spool_read(&r->rest_of, at * (int64_t)sizeof rest, &rest, sizeof rest, &err),
                      err);
            item = names_get(&r->items, number);
            assert_memory_equal(item.bytes, want[from].item, item.len);
            assert_int_equal((int)rest.rating, want[from].place);
            assert_int_equal(rest.time, r->o.has_times ? want[from].time : rank);
            assert_int_equal(rest.part, all_parts ? want[from].part : 0);
            at++;
        }
    }
    assert_int_equal(from, N);
    assert_int_equal(r->offsets[r->users.n], at);
    assert_int_equal(r->n_repeated, N - at);
}

static void rows_come_out_sorted_and_without_repeats(void **)
{
    static const size_t memory[] = {SIZE_MAX / 2, 20000, 1};
    AUTO_FREE struct made *made = xmalloc(N, sizeof *made), *want = xmalloc(N, sizeof *want);

    for (int kind = 0; kind < 3 * 2 * ARRAY_LEN(memory); kind++) {
        AUTO(rows) r = {0};
        struct err err = {0};
        struct rows_options o = {dir, memory[kind / 6], (enum repeats)(kind % 3), true, 1};

        all_parts = kind / 3 % 2;
        make(made, (uint64_t)kind);
        memcpy(want, made, N * sizeof *want);
        assert_ok(rows_open(&r, &o, &err), err);
        add(&r, made, all_parts);
        assert_int_equal(r.n, N);
        assert_ok(rows_sort(&r, &err), err);
        assert_rows(&r, want);
    }
}

/* Without times the order is that of the input, repeats counted in. */
static void without_times_the_place_is_the_time(void **)
{
    AUTO_FREE struct made *made = xmalloc(N, sizeof *made);
    AUTO(rows) r = {0};
    struct err err = {0};

    all_parts = false;
    make(made, 1);
    for (int i = 0; i < N; i++)
        made[i].time = 0;
    assert_ok(rows_open(&r, &(struct rows_options){dir, 5000, REPEATS_FIRST, false, 1}, &err), err);
    add(&r, made, false);
    assert_ok(rows_sort(&r, &err), err);
    assert_rows(&r, made);
}

static void users_with_too_few_rows_come_after_the_others(void **)
{
    AUTO_FREE struct made *made = xmalloc(N, sizeof *made);
    AUTO(rows) r = {0};
    struct err err = {0};
    int32_t p = 0;

    make(made, 2);
    assert_ok(rows_open(&r, &(struct rows_options){dir, 5000, REPEATS_ALL, true, 30}, &err), err);
    add(&r, made, false);
    assert_ok(rows_sort(&r, &err), err);
    for (; p < r.users.n && r.offsets[p + 1] - r.offsets[p] >= 30; p++)
        if (p)
            assert_true(name_compare(names_get(&r.users, r.user_at[p - 1]),
                                     names_get(&r.users, r.user_at[p])) < 0);
    assert_in_range(p, 10, r.users.n - 10);
    for (; p < r.users.n; p++)
        assert_true(r.offsets[p + 1] - r.offsets[p] < 30);
}

static void nothing_is_left_in_the_folder(void **)
{
    AUTO(rows) r = {0};
    struct err err = {0};

    assert_ok(rows_open(&r, &(struct rows_options){dir, 1, REPEATS_ALL, true, 1}, &err), err);
    assert_int_equal(rmdir(dir), 0); /* empty, though the file is open */
    rows_release(&r);
    assert_false(rows_open(&r, &(struct rows_options){dir, 1, REPEATS_ALL, true, 1}, &err));
    assert_contains(err.msg, dir);
    assert_ok(dir_create(dir, &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_out_sorted_and_without_repeats),
        cmocka_unit_test(without_times_the_place_is_the_time),
        cmocka_unit_test(users_with_too_few_rows_come_after_the_others),
        cmocka_unit_test(nothing_is_left_in_the_folder),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
