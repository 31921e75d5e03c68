/* A catalog's file: what is written is read back; what is broken is refused, or harmless. */
#include "serve/catalog.h"

#include "made.h"
#include "model/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

enum { USERS = 20, ITEMS = 12 };

static struct dataset data;
static struct catalog made;
static char model_path[64], path[64];
static struct buf whole;

/* "u00", "u01", ... */
static struct ids make_ids(char letter, int32_t n)
{
    struct ids ids = {n, xcalloc((size_t)n + 1, sizeof *ids.offsets), xcalloc((size_t)n, 4)};

    for (int32_t i = 0; i < n; i++) {
        snprintf(ids.bytes + 4 * i, 4, "%c%02d", letter, i);
        ids.offsets[i + 1] = 4 * (i + 1);
    }
    return ids;
}

static int make_files(void **)
{
    struct err err = {0};

    snprintf(path, sizeof path, "test_catalog.%d.safetensors", (int)getpid());
    snprintf(model_path, sizeof model_path, "test_catalog.%d.model", (int)getpid());
    made_dataset(&data, USERS, ITEMS, 1);
    made.model = made_model("mf", &data, 1);
    made.model->ops->init(made.model, &data.part[DATASET_TRAIN]);
    made.users = make_ids('u', USERS);
    made.items = make_ids('i', ITEMS);
    made.item_meta = make_ids('m', ITEMS);
    interactions_join(&made.seen, &data.part[DATASET_TRAIN], &data.part[DATASET_VAL], USERS);
    assert_true(store_save(made.model, model_path, &err));
    assert_true(catalog_save(&made, path, &err));
    assert_true(file_read(path, 1 << 20, &whole, &err));
    return 0;
}

static int remove_files(void **)
{
    unlink(path);
    unlink(model_path);
    catalog_release(&made);
    buf_release(&whole);
    made_release(&data);
    return 0;
}

static void what_is_written_is_read_back(void **)
{
    struct err err = {0};
    AUTO(catalog) c;

    if (!catalog_open_saved(&c, model_path, path, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(c.users.n, USERS);
    assert_int_equal(c.items.n, ITEMS);
    assert_int_equal(ids_find(&c.users, "u07"), 7);
    assert_int_equal(ids_find(&c.items, "i11"), 11);
    assert_int_equal(ids_find(&c.items, "u01"), -1);
    assert_string_equal(ids_get(&c.item_meta, 3), "m03");
    assert_int_equal(c.seen.n, made.seen.n);
    assert_memory_equal(c.seen.offsets, made.seen.offsets, (USERS + 1) * sizeof(int64_t));
    assert_memory_equal(c.seen.items, made.seen.items, (size_t)made.seen.n * sizeof(int32_t));
}

static bool open_bytes(const void *bytes, size_t n, struct err *err)
{
    struct catalog c;
    bool ok;

    assert_true(file_write(path, bytes, n, err));
    ok = catalog_open_saved(&c, model_path, path, err);
    if (ok)
        catalog_release(&c);
    else
        assert_non_null(strstr(err->msg, path));
    return ok;
}

static void a_file_cut_anywhere_is_refused(void **)
{
    for (size_t n = 0; n < whole.len; n++) {
        struct err err = {0};

        if (open_bytes(whole.data, n, &err))
            fail_msg("%zu bytes of %zu were taken", n, whole.len);
        assert_int_equal(err.kind, ERR_DATA);
    }
}

static void with_bytes_added_it_is_refused(void **)
{
    struct err err = {0};
    AUTO(buf) longer = {0};

    buf_put(&longer, whole.data, whole.len);
    buf_puts(&longer, "12345678");
    assert_false(open_bytes(longer.data, longer.len, &err));
}

/* Whatever it says, nothing lies outside what is there: the sanitizers look on. */
static void any_byte_may_be_another(void **)
{
    static const unsigned char by[] = {0x01, 0x80, 0xff};
    int n_taken = 0;

    for (size_t at = 0; at < whole.len; at++)
        for (int k = 0; k < ARRAY_LEN(by); k++) {
            AUTO(buf) other = {0};
            struct err err = {0};

            buf_put(&other, whole.data, whole.len);
            other.data[at] = (char)(other.data[at] ^ by[k]);
            n_taken += open_bytes(other.data, other.len, &err);
        }
    assert_true(n_taken > 0); /* another letter, or another item */
    assert_true(n_taken < (int)whole.len);
}

static void the_names_of_another_dataset_are_refused(void **)
{
    struct err err = {0};
    char digest[DIGEST_HEX];

    memcpy(digest, made.model->digest, sizeof digest);
    made.model->digest[0] = digest[0] == '0' ? '1' : '0';
    assert_true(catalog_save(&made, path, &err));
    memcpy(made.model->digest, digest, sizeof digest);
    assert_false(catalog_open_saved(&(struct catalog){0}, model_path, path, &err));
    assert_non_null(strstr(err.msg, "another dataset"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(with_bytes_added_it_is_refused),
        cmocka_unit_test(any_byte_may_be_another),
        cmocka_unit_test(the_names_of_another_dataset_are_refused),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
