/* catalog_file.c - the names and histories of a catalog as one file, which is mapped: nothing is
 * copied, and no Parquet is read. It is safetensors, as the model's:
 *
 *     user_offsets  I64 (n_users + 1)   into user_bytes, where each id ends in '\0'
 *     item_offsets  I64 (n_items + 1)   likewise
 *     seen_offsets  I64 (n_users + 1)   into seen_items
 *     seen_items    I32                 what each user took in train, then in val
 *     user_bytes, item_bytes  U8
 *     meta_offsets, meta_bytes  what is known of items, JSON each, likewise
 *
 * and `__metadata__` has the dataset's digest. */
#include "serve/catalog.h"

#include "base/json.h"
#include "model/store.h"

enum {
    USER_OFFSETS,
    ITEM_OFFSETS,
    SEEN_OFFSETS,
    META_OFFSETS,
    SEEN_ITEMS,
    USER_BYTES,
    ITEM_BYTES,
    META_BYTES,
    N_ARRAYS
};

enum { ALIGN = 64, HEADER_MAX = 1 << 16 };

struct array {
    const char *name, *dtype;
    int64_t width; /* bytes of a number */
    int64_t n;
    const void *data;
};

/* ---- writing ---- */

static void list_arrays(const struct catalog *c, struct array out[N_ARRAYS])
{
    const struct array all[N_ARRAYS] = {
        {"user_offsets", "I64", 8, c->users.n + 1, c->users.offsets},
        {"item_offsets", "I64", 8, c->items.n + 1, c->items.offsets},
        {"seen_offsets", "I64", 8, c->users.n + 1, c->seen.offsets},
        {"meta_offsets", "I64", 8, c->items.n + 1, c->item_meta.offsets},
        {"seen_items", "I32", 4, c->seen.n, c->seen.items},
        {"user_bytes", "U8", 1, c->users.offsets[c->users.n], c->users.bytes},
        {"item_bytes", "U8", 1, c->items.offsets[c->items.n], c->items.bytes},
        {"meta_bytes", "U8", 1, c->item_meta.offsets[c->items.n], c->item_meta.bytes},
    };

    memcpy(out, all, sizeof all);
}

static void put_header(const struct array *arrays, const char *digest, struct json_out *j)
{
    int64_t at = 0;

    json_open(j, NULL, '{');
    json_open(j, "__metadata__", '{');
    json_put_str(j, "catalog", "1");
    json_put_str(j, "digest", digest);
    json_put_str(j, "version", KINDRED_VERSION);
    json_close(j, '}');
    for (int i = 0; i < N_ARRAYS; i++) {
        json_open(j, arrays[i].name, '{');
        json_put_str(j, "dtype", arrays[i].dtype);
        json_open(j, "shape", '[');
        json_put_int(j, NULL, arrays[i].n);
        json_close(j, ']');
        json_open(j, "data_offsets", '[');
        json_put_int(j, NULL, at);
        json_put_int(j, NULL, at += arrays[i].n * arrays[i].width);
        json_close(j, ']');
        json_close(j, '}');
    }
    json_close(j, '}');
    while ((j->buf.len + sizeof(uint64_t)) % ALIGN)
        buf_putc(&j->buf, ' ');
}

bool catalog_save(const struct catalog *c, const char *path, struct err *err)
{
    struct array arrays[N_ARRAYS];
    AUTO(outfile) out = {0};
    AUTO(json_out) header = {0};
    uint64_t size;

    list_arrays(c, arrays);
    put_header(arrays, c->model->digest, &header);
    size = header.buf.len;
    if (!outfile_open(&out, path, err) || !outfile_write(&out, &size, sizeof size, err) ||
        !outfile_write(&out, header.buf.data, size, err))
        return false;
    for (int i = 0; i < N_ARRAYS; i++)
        if (!outfile_write(&out, arrays[i].data, (size_t)(arrays[i].n * arrays[i].width), err))
            return false;
    return outfile_commit(&out, err);
}

/* ---- reading ---- */

static bool bad(struct err *err, const char *what)
{
    return err_set(err, ERR_DATA, "not a whole catalog that kindred wrote: %s", what);
}

/* Points the arrays into the file: they stand there one after the other, in the order of the list.
 */
static bool find_arrays(const struct json_t *header, const char *numbers, int64_t room,
                        struct array arrays[N_ARRAYS], struct err *err)
{
    int64_t at = 0;

    for (int i = 0; i < N_ARRAYS; i++) {
        const struct json_t *entry = json_get(header, arrays[i].name);
        const struct json_t *offsets = json_get(entry, "data_offsets");
        const char *dtype = json_text(json_get(entry, "dtype"));
        int64_t begin = json_int_or(json_at(offsets, 0), -1),
                end = json_int_or(json_at(offsets, 1), -1);

        if (!dtype || strcmp(dtype, arrays[i].dtype) != 0 || begin != at || end < begin ||
            end > room || (end - begin) % arrays[i].width)
            return bad(err, arrays[i].name);
        arrays[i].n = (end - begin) / arrays[i].width;
        arrays[i].data = numbers + begin;
        at = end;
    }
    return at == room || bad(err, "its length");
}

/* The last one is the n of what they lead into. */
static bool offsets_rise(const struct array *offsets, int64_t into, int64_t least)
{
    const int64_t *x = offsets->data;

    if (offsets->n < 1 || offsets->n > INT32_MAX || x[0] != 0 || x[offsets->n - 1] != into)
        return false;
    for (int64_t i = 1; i < offsets->n; i++)
        if (x[i] - x[i - 1] < least || x[i] > into)
            return false;
    return true;
}

/* Each with its end; `rising`: they are looked up by halves. */
static bool take_ids(struct ids *ids, const struct array *offsets, const struct array *bytes,
                     bool rising)
{
    const char *text = bytes->data;
    const int64_t *at = offsets->data;

    if (!offsets_rise(offsets, bytes->n, 1))
        return false;
    for (int64_t i = 0; i + 1 < offsets->n; i++)
        if (text[at[i + 1] - 1] || (rising && i && strcmp(text + at[i - 1], text + at[i]) >= 0))
            return false;
    /* mapped for reading: never written */
    *ids = (struct ids){(int32_t)(offsets->n - 1), (int64_t *)(uintptr_t)offsets->data,
                        (char *)(uintptr_t)bytes->data};
    return true;
}

static bool take_seen(struct catalog *c, const struct array *offsets, const struct array *items)
{
    const int32_t *ids = items->data;

    if (offsets->n != c->users.n + 1 || !offsets_rise(offsets, items->n, 0))
        return false;
    for (int64_t k = 0; k < items->n; k++)
        if (ids[k] < 0 || ids[k] >= c->items.n)
            return false;
    c->seen = (struct interactions){.offsets = (int64_t *)(uintptr_t)offsets->data,
                                    .items = (int32_t *)(uintptr_t)items->data,
                                    .n = items->n};
    return true;
}

static bool take(struct catalog *c, const struct json_t *header, const char *numbers, int64_t room,
                 struct err *err)
{
    const char *digest = json_text(json_get(json_get(header, "__metadata__"), "digest"));
    struct array a[N_ARRAYS];

    list_arrays(&(struct catalog){.users.offsets = &(int64_t){0},
                                  .items.offsets = &(int64_t){0},
                                  .item_meta.offsets = &(int64_t){0}},
                a);
    if (!digest || !find_arrays(header, numbers, room, a, err))
        return digest ? false : bad(err, "its digest");
    if (!take_ids(&c->users, &a[USER_OFFSETS], &a[USER_BYTES], true) ||
        !take_ids(&c->items, &a[ITEM_OFFSETS], &a[ITEM_BYTES], true) ||
        !take_ids(&c->item_meta, &a[META_OFFSETS], &a[META_BYTES], false) ||
        c->item_meta.n != c->items.n)
        return bad(err, "its ids");
    if (!take_seen(c, &a[SEEN_OFFSETS], &a[SEEN_ITEMS]))
        return bad(err, "what users took");
    return (!strcmp(digest, c->model->digest) && c->users.n == c->model->n_users &&
            c->items.n == c->model->n_items) ||
           err_set(err, ERR_DATA, "it's of another dataset than the model");
}

static bool map_names(struct catalog *c, const char *path, struct err *err)
{
    AUTO(json_doc) header = {0};
    uint64_t size = 0;

    if (!file_map(&c->names, path, err))
        return false;
    if (c->names.size >= sizeof size)
        memcpy(&size, c->names.data, sizeof size);
    if (!size || size > HEADER_MAX || size > c->names.size - sizeof size || size % sizeof size ||
        !json_parse(&header, c->names.data + sizeof size, size, err))
        bad(err, "its header");
    else if (take(c, header.root, c->names.data + sizeof size + size,
                  (int64_t)(c->names.size - sizeof size - size), err))
        return true;
    return err_wrap(err, "%s", path);
}

bool catalog_open_saved(struct catalog *c, const char *model_path, const char *path,
                        struct err *err)
{
    *c = (struct catalog){0};
    c->model = store_load(model_path, err);
    if (c->model && map_names(c, path, err))
        return true;
    catalog_release(c);
    return false;
}
