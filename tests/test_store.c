/* A model's file: what is written is read back; what is broken is refused, with a reason. */
#include "model/store.h"

#include "base/json.h"
#include "made.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static struct dataset data;
static char path[64];
static struct buf whole; /* a good file: 20 users, 12 items, 3 dimensions */

static int make_file(void **)
{
    struct err err = {0};
    struct model *m;

    snprintf(path, sizeof path, "test_store.%d.safetensors", (int)getpid());
    made_dataset(&data, 20, 12, 1);
    m = made_model("mf", &data, UINT64_MAX);
    made_set(m, "embedding_dim", 3);
    made_set(m, "lr", 0.1 + 0.2);
    m->ops->init(m, &data.part[DATASET_TRAIN]);
    assert_true(store_save(m, path, &err));
    assert_true(file_read(path, 1 << 20, &whole, &err));
    model_free(m);
    return 0;
}

static int remove_file(void **)
{
    unlink(path);
    buf_release(&whole);
    made_release(&data);
    return 0;
}

/* The options and the seed come back to the last bit. */
static void what_is_written_is_read_back(void **)
{
    struct err err = {0};
    struct model *m = store_load(path, &err), *again;
    struct tensor t[MODEL_TENSORS_MAX];
    AUTO(buf) second = {0};

    if (!m)
        fail_msg("%s", err.msg);
    assert_true(m->seed == UINT64_MAX);
    m->ops->tensors(m, t);
    assert_int_equal(t[0].rows * t[0].cols, 20 * 3);
    assert_int_equal(t[1].rows * t[1].cols, 12 * 3);
    assert_true(store_save(m, path, &err));
    assert_true(file_read(path, 1 << 20, &second, &err));
    assert_int_equal(second.len, whole.len);
    assert_memory_equal(second.data, whole.data, whole.len);
    again = store_load(path, &err);
    assert_non_null(again);
    model_free(again);
    model_free(m);
}

static void the_numbers_start_at_a_multiple_of_64(void **)
{
    uint64_t size;

    memcpy(&size, whole.data, sizeof size);
    assert_int_equal((8 + size) % 64, 0);
    assert_int_equal(whole.len, 8 + size + (20 + 12) * 3 * sizeof(float));
}

static void refused(const void *bytes, size_t n, const char *reason, const char *what)
{
    struct err err = {0};
    struct model *m;

    assert_true(file_write(path, bytes, n, &err));
    m = store_load(path, &err);
    if (m)
        fail_msg("%s: was taken", what);
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.msg, path) || !strstr(err.msg, reason))
        fail_msg("%s: '%s' should name the file and say '%s'", what, err.msg, reason);
}

static void a_file_cut_anywhere_is_refused(void **)
{
    for (size_t n = 0; n < whole.len; n++)
        refused(whole.data, n, "", "cut");
}

static void bytes_behind_the_end_are_refused(void **)
{
    AUTO(buf) b = {0};

    buf_put(&b, whole.data, whole.len);
    buf_puts(&b, "more");
    refused(b.data, b.len, "bytes of numbers", "longer");
}

/* The file with one text of its header in place of another, then the numbers. */
static void put_changed(struct buf *out, const struct buf *file, const char *from, const char *to)
{
    uint64_t size;
    AUTO(buf) header = {0};
    const char *text = file->data + 8, *at;

    memcpy(&size, file->data, sizeof size);
    at = memmem(text, size, from, strlen(from));
    assert_non_null(at);
    buf_put(&header, text, (size_t)(at - text));
    buf_puts(&header, to);
    buf_put(&header, at + strlen(from), size - (size_t)(at - text) - strlen(from));
    size = header.len;
    buf_put(out, &size, sizeof size);
    buf_put(out, header.data, header.len);
    memcpy(&size, file->data, sizeof size);
    buf_put(out, text + size, file->len - 8 - size);
}

static void a_header_that_lies_is_refused(void **)
{
    static const struct {
        const char *what, *from, *to, *reason;
    } cases[] = {
        {"another dtype", "F32", "F16", "is F16, not F32"},
        {"another shape", "[20,3]", "[3,20]", "not of shape 20 x 3"},
        {"one dimension", "[20,3]", "[60]", "not of shape 20 x 3"},
        {"offsets past the end", "[240,384]", "[241,385]", "lies outside"},
        {"offsets below zero", "[0,240]", "[-4,236]", "lies outside"},
        {"offsets that are huge", "[240,384]", "[9223372036854775804,9223372036854775807]",
         "lies outside"},
        {"offsets not at a float", "[0,240]", "[1,241]", "lies outside"},
        {"overlap", "[240,384]", "[0,144]", "overlap"},
        {"another model", "\"mf\"", "\"fm\"", "its model is 'fm'"},
        {"other sizes", "\"n_users\":\"20\"", "\"n_users\":\"21\"", "not of shape 21 x 3"},
        {"no size", "\"n_users\":\"20\"", "\"n_users\":\"\"", "'n_users'"},
        {"a size below zero", "\"n_users\":\"20\"", "\"n_users\":\"-1\"", "'n_users'"},
        {"a size beyond int32", "\"n_users\":\"20\"", "\"n_users\":\"4294967316\"", "'n_users'"},
        {"an option out of range", "\\\"embedding_dim\\\":3", "\\\"embedding_dim\\\":0",
         "'embedding_dim'"},
        {"an option of another kind", "\\\"embedding_dim\\\":3", "\\\"embedding_dim\\\":\\\"3\\\"",
         "'embedding_dim'"},
        {"options that are no JSON", "{\\\"embedding_dim", "{\\\"embedding_dim\\\"", "'options'"},
        {"a missing tensor", "item_embedding.weight", "item_embedding",
         "'item_embedding.weight' is missing"},
        {"a word that isn't one", "\\\"optimizer\\\":\\\"sgd", "\\\"optimizer\\\":\\\"sgx",
         "'optimizer'"},
        {"a text that isn't one", "\\\"optimizer\\\":\\\"sgd\\\"", "\\\"optimizer\\\":1",
         "'optimizer'"},
        {"no metadata", "__metadata__", "metadata", "not a model that kindred wrote"},
        {"a short digest", "dddd", "d", "not a model that kindred wrote"},
        {"no JSON", "{\"__metadata__", "{{\"__metadata__", "header"},
    };

    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        AUTO(buf) b = {0};

        put_changed(&b, &whole, cases[c].from, cases[c].to);
        refused(b.data, b.len, cases[c].reason, cases[c].what);
    }
}

/* As a file of an earlier version, which knew of no such option. */
static void an_option_that_is_lacking_takes_its_default(void **)
{
    static const char *const lacking[] = {"\\\"optimizer\\\":\\\"sgd\\\",", "\\\"batch_size\\\":1,",
                                          "\\\"item_bias\\\":false,"};

    for (int i = 0; i < ARRAY_LEN(lacking); i++) {
        struct err err = {0};
        struct model *m, *back;
        AUTO(buf) b = {0};

        put_changed(&b, &whole, lacking[i], "");
        assert_true(file_write(path, b.data, b.len, &err));
        m = store_load(path, &err);
        if (!m)
            fail_msg("without %s: %s", lacking[i], err.msg);
        assert_true(store_save(m, path, &err));
        back = store_load(path, &err);
        assert_non_null(back);
        AUTO_FREE char *x = model_options_json(m);
        AUTO_FREE char *y = model_options_json(back);
        assert_string_equal(x, y);
        assert_non_null(strstr(x, "\"optimizer\":\"sgd\""));
        model_free(m);
        model_free(back);
    }
}

/* What an optimiser carries comes back with a checkpoint, and is no part of the model. */
static void a_checkpoint_brings_back_what_the_optimiser_carries(void **)
{
    struct err err = {0};
    struct model *m = made_model("mf", &data, 1), *was, *to = made_model("mf", &data, 1);
    struct tensor a[MODEL_TENSORS_MAX], b[MODEL_TENSORS_MAX];
    AUTO(buf) text = {0};
    int n;

    made_set_text(m, "optimizer", "adam");
    made_set_text(to, "optimizer", "adam");
    m->ops->init(m, &data.part[DATASET_TRAIN]);
    to->ops->init(to, &data.part[DATASET_TRAIN]);
    n = model_training(m, a);
    assert_int_equal(n, 6);
    assert_int_equal(model_training(to, b), n);
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < a[i].rows * a[i].cols; k++)
            a[i].data[k] = (float)(k + 1000 * i);
    assert_true(store_save_checkpoint(m, "told", path, &err));
    was = store_load(path, &err);
    if (!was)
        fail_msg("%s", err.msg);
    assert_true(store_training(was, &text));
    assert_string_equal(buf_str(&text), "told");
    store_copy_training(to, was);
    for (int i = 0; i < n; i++)
        assert_memory_equal(a[i].data, b[i].data, (size_t)(a[i].rows * a[i].cols) * sizeof(float));
    model_free(was);
    assert_true(store_save(m, path, &err));
    was = store_load(path, &err);
    assert_non_null(was);
    assert_false(store_training(was, &text));
    model_free(was);
    model_free(m);
    model_free(to);
}

static void a_header_length_beyond_the_file_is_refused(void **)
{
    AUTO(buf) b = {0};

    buf_put(&b, whole.data, whole.len);
    memset(b.data, 0xff, 8);
    refused(b.data, b.len, "header of 18446744073709551615 bytes", "huge");
    memset(b.data, 0, 8);
    refused(b.data, b.len, "header", "none");
    b.data[0] = 5;
    refused(b.data, b.len, "header", "short");
}

static void numbers_that_are_not_finite_are_refused(void **)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};

    for (int i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(buf) b = {0};

        buf_put(&b, whole.data, whole.len);
        memcpy(b.data + b.len - sizeof(float), &bad[i], sizeof(float));
        refused(b.data, b.len, "'item_embedding.weight' holds NaN or infinity", "last number");
    }
}

static void ids_keep_their_type_and_their_range(void **)
{
    static const int32_t bad[] = {12, -2, INT32_MAX, INT32_MIN};
    struct err err = {0};
    struct model *m = made_model("itemknn", &data, 1);
    AUTO(buf) good = {0};
    char *at;

    made_set(m, "neighbors", 3);
    assert_true(m->ops->fit(m, &data.part[DATASET_TRAIN], &err));
    assert_true(store_save(m, path, &err));
    model_free(m);
    assert_true(file_read(path, 1 << 20, &good, &err));
    m = store_load(path, &err);
    assert_non_null(m);
    model_free(m);
    for (int i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(buf) b = {0};

        buf_put(&b, good.data, good.len);
        memcpy(b.data + b.len - 2 * 12 * 3 * sizeof(float), &bad[i], sizeof bad[i]);
        refused(b.data, b.len, "'neighbor.index' holds the id", "an id that isn't");
    }
    at = memmem(good.data, good.len, "I32", 3);
    assert_non_null(at);
    memcpy(at, "F32", 3);
    refused(good.data, good.len, "'neighbor.index' is F32, not I32", "floats for ids");
}

/* A blend of popularity and itemknn. */
static void make_blend(struct buf *out)
{
    struct err err = {0};
    struct model *m = made_model("blend", &data, 1);
    AUTO_FREE char *one = xasprintf("%s.one", path);
    AUTO_FREE char *other = xasprintf("%s.other", path);
    AUTO_FREE char *both = xasprintf("%s,%s", one, other);

    made_file("popularity", &data, one);
    made_file("itemknn", &data, other);
    made_set_text(m, "parts", both);
    if (!m->ops->combine(m, &data.part[DATASET_TRAIN], &data.part[DATASET_VAL], &err))
        fail_msg("%s", err.msg);
    unlink(one);
    unlink(other);
    assert_true(store_save(m, path, &err));
    model_free(m);
    assert_true(file_read(path, 1 << 20, out, &err));
}

static void parts_that_are_not_what_the_file_says_are_refused(void **)
{
    static const struct {
        const char *what, *from, *to, *reason;
    } cases[] = {
        {"no part at all", "part.0.model", "port.0.model", "0 parts, where its options name 2"},
        {"a part too few", "part.1.model", "part.2.model", "1 parts, where its options name 2"},
        {"an unknown part", "\"popularity\"", "\"popularety\"",
         "part 0: its model is 'popularety'"},
        {"a blend of blends", "\"part.0.model\":\"popularity\",\"part.0.options\":\"{",
         "\"part.0.model\":\"blend\",\"part.0.options\":\"{\\\"parts\\\":\\\"a,b\\\",",
         "part 0 is a blend itself"},
        {"a part's option out of range", "\\\"neighbors\\\":200", "\\\"neighbors\\\":0",
         "part 1: its metadata has no valid option 'neighbors'"},
        {"a part's option that makes another shape", "\\\"neighbors\\\":200",
         "\\\"neighbors\\\":20", "'part.1.neighbor.index' is not of shape 12 x 20"},
        {"a part without a seed", "part.1.seed", "part.1.seeds", "no valid 'part.1.seed'"},
        {"a part's tensor that is missing",
         "part.0.item_count\":", "part.0.item_counts\":", "'part.0.item_count' is missing"},
        {"a weight too many", "\"shape\":[2]", "\"shape\":[3]", "not of shape 2 x 1"},
        {"options of one part", ".one,", ".one.", "names 2 to 8 saved models, not 1"},
    };
    AUTO(buf) good = {0};

    make_blend(&good);
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        AUTO(buf) b = {0};

        put_changed(&b, &good, cases[c].from, cases[c].to);
        refused(b.data, b.len, cases[c].reason, cases[c].what);
    }
}

/* Any byte of the header or of its length changed: refused or taken, but never a crash. */
static void a_changed_byte_never_crashes(void **)
{
    AUTO(buf) blend = {0};
    const struct buf *const files[] = {&whole, &blend};

    make_blend(&blend);
    for (int f = 0; f < ARRAY_LEN(files); f++) {
        uint64_t size;

        memcpy(&size, files[f]->data, sizeof size);
        for (size_t at = 0; at < 8 + size; at++)
            for (int bit = 0; bit < 8; bit += 3) {
                AUTO(buf) b = {0};
                struct err err = {0};

                buf_put(&b, files[f]->data, files[f]->len);
                b.data[at] = (char)(b.data[at] ^ 1 << bit);
                assert_true(file_write(path, b.data, b.len, &err));
                model_free(store_load(path, &err));
            }
    }
}

static void a_file_that_is_not_there_is_an_io_error(void **)
{
    struct err err = {0};

    assert_null(store_load("nonesuch.safetensors", &err));
    assert_int_equal(err.kind, ERR_IO);
    assert_non_null(strstr(err.msg, "nonesuch.safetensors"));
}

static void another_dataset_is_refused(void **)
{
    struct dataset other = {.n_users = 20, .n_items = 12};
    struct err err = {0};
    struct model *m;

    assert_true(file_write(path, whole.data, whole.len, &err));
    m = store_load(path, &err);
    assert_non_null(m);
    assert_true(store_check(m, path, &data, "data/x", &err));
    memset(other.digest, 'e', DIGEST_HEX - 1);
    assert_false(store_check(m, path, &other, "data/x", &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "data/x"));
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_numbers_start_at_a_multiple_of_64),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(bytes_behind_the_end_are_refused),
        cmocka_unit_test(a_header_that_lies_is_refused),
        cmocka_unit_test(an_option_that_is_lacking_takes_its_default),
        cmocka_unit_test(a_checkpoint_brings_back_what_the_optimiser_carries),
        cmocka_unit_test(a_header_length_beyond_the_file_is_refused),
        cmocka_unit_test(numbers_that_are_not_finite_are_refused),
        cmocka_unit_test(ids_keep_their_type_and_their_range),
        cmocka_unit_test(parts_that_are_not_what_the_file_says_are_refused),
        cmocka_unit_test(a_changed_byte_never_crashes),
        cmocka_unit_test(a_file_that_is_not_there_is_an_io_error),
        cmocka_unit_test(another_dataset_is_refused),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
