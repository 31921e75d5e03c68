/* What users took, beside a plain list. */
#include "serve/taken.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char item_bytes[] = "a\0b\0c\0d";
static int64_t item_offsets[] = {0, 2, 4, 6, 8};
static const struct ids items = {4, item_offsets, item_bytes};

static void check(struct taken *t, const char *user, const char *want)
{
    AUTO_FREE int32_t *got = NULL;
    int32_t n = taken_items(t, user, &items, &got);

    assert_int_equal(n, strlen(want));
    assert_true(n > 0 || !got);
    for (int32_t k = 0; k < n; k++)
        assert_int_equal(ids_get(&items, got[k])[0], want[k]);
}

static void items_are_in_order_of_time_and_count_once(void **)
{
    struct taken *t = taken_new();

    check(t, "u", "");
    check(NULL, "u", "");
    taken_add(t, "u", "b", 20);
    taken_add(t, "u", "a", 30);
    taken_add(t, "u", "c", 10);
    taken_add(t, "v", "d", 10);
    taken_add(t, "u", "a", 40);
    check(t, "u", "cba");
    taken_add(t, "u", "a", 5); /* it was earlier */
    taken_add(t, "u", "d", 20);
    check(t, "u", "acbd");
    check(t, "v", "d");
    check(t, "w", "");
    check(t, "", "");
    taken_free(t);
}

static void what_isnt_in_the_dataset_is_passed_over(void **)
{
    struct taken *t = taken_new();

    taken_add(t, "u", "new", 1);
    check(t, "u", "");
    taken_add(t, "u", "b", 2);
    taken_add(t, "u", "newer", 3);
    check(t, "u", "b");
    taken_free(t);
}

static void the_last_ones_are_kept(void **)
{
    struct taken *t = taken_new();
    char name[16];

    taken_add(t, "u", "a", 1);
    for (int i = 0; i < TAKEN_MAX - 1; i++) {
        snprintf(name, sizeof name, "new%d", i);
        taken_add(t, "u", name, 2 + i);
    }
    check(t, "u", "a");
    taken_add(t, "u", "b", 5000);
    check(t, "u", "b");
    taken_add(t, "u", "c", 1); /* too early to be among them */
    check(t, "u", "b");
    taken_free(t);
}

static void many_users_have_their_own(void **)
{
    enum { USERS = 20000 };
    struct taken *t = taken_new();
    char name[16], want[2] = "";

    for (int u = 0; u < USERS; u++) {
        snprintf(name, sizeof name, "u%d", u);
        taken_add(t, name, ids_get(&items, u % 4), u);
    }
    for (int u = 0; u < USERS; u++) {
        snprintf(name, sizeof name, "u%d", u);
        want[0] = ids_get(&items, u % 4)[0];
        check(t, name, want);
    }
    taken_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_in_order_of_time_and_count_once),
        cmocka_unit_test(what_isnt_in_the_dataset_is_passed_over),
        cmocka_unit_test(the_last_ones_are_kept),
        cmocka_unit_test(many_users_have_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
