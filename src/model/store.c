#include "model/store.h"

#include "base/json.h"

#include <math.h>

enum { HEADER_MAX = 100 << 20, ALIGN = 64 };

static const char *const type_names[] = {[TENSOR_F32] = "F32", [TENSOR_I32] = "I32"};

static const char TRAINING[] = "training"; /* in the metadata: it's a checkpoint */

static const char METRICS[] = "metrics";

enum { KEY_MAX = 32 };

/* "seed", or "part.0.seed" for a part. */
static const char *key_of(int part, const char *name, char out[static KEY_MAX])
{
    if (part < 0)
        return name;
    snprintf(out, KEY_MAX, "part.%d.%s", part, name);
    return out;
}

/* ---- saving ---- */

static void put_number(struct json_out *j, const char *key, uint64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    json_put_str(j, key, text);
}

/* What a model is without its numbers and sizes. part: which of the model's, -1: the model itself.
 */
static void put_model(const struct model *m, int part, struct json_out *j)
{
    AUTO_FREE char *options = model_options_json(m);
    char key[KEY_MAX];

    json_put_str(j, key_of(part, "model", key), m->ops->name);
    json_put_str(j, key_of(part, "options", key), options);
    put_number(j, key_of(part, "seed", key), m->seed);
}

static void put_metadata(const struct model *m, const char *training, struct json_out *j)
{
    struct model *parts[MODEL_PARTS_MAX];
    int n = m->ops->parts ? m->ops->parts(m, parts) : 0;

    json_open(j, "__metadata__", '{');
    put_model(m, -1, j);
    put_number(j, "n_users", (uint64_t)m->n_users);
    put_number(j, "n_items", (uint64_t)m->n_items);
    json_put_str(j, "digest", m->digest);
    json_put_str(j, "version", KINDRED_VERSION);
    if (m->metrics)
        json_put_str(j, METRICS, m->metrics);
    for (int p = 0; p < n; p++)
        put_model(parts[p], p, j);
    if (training)
        json_put_str(j, TRAINING, training);
    json_close(j, '}');
}

static int64_t tensor_bytes(const struct tensor *t)
{
    return t->rows * t->cols * (int64_t)sizeof(float);
}

/* The header, with spaces behind it so that the numbers start at a multiple of ALIGN. training: the
 * text of a checkpoint, or NULL. */
static void put_header(const struct model *m, const struct tensor *t, int n, const char *training,
                       struct json_out *j)
{
    int64_t at = 0;

    json_open(j, NULL, '{');
    put_metadata(m, training, j);
    for (int i = 0; i < n; i++) {
        json_open(j, t[i].name, '{');
        json_put_str(j, "dtype", type_names[t[i].type]);
        json_open(j, "shape", '[');
        json_put_int(j, NULL, t[i].rows);
        if (t[i].cols != 1)
            json_put_int(j, NULL, t[i].cols);
        json_close(j, ']');
        json_open(j, "data_offsets", '[');
        json_put_int(j, NULL, at);
        json_put_int(j, NULL, at += tensor_bytes(&t[i]));
        json_close(j, ']');
        json_close(j, '}');
    }
    json_close(j, '}');
    while ((j->buf.len + sizeof(uint64_t)) % ALIGN)
        buf_putc(&j->buf, ' ');
}

/* What a model's file holds, and a checkpoint after it. Returns how many. */
static int all_tensors(struct model *m, bool checkpoint, struct tensor t[2 * MODEL_TENSORS_MAX])
{
    int n = m->ops->tensors(m, t);

    return checkpoint ? n + model_training(m, t + n) : n;
}

bool store_save_from(struct model *m, const char *training, const char *path, store_put *put,
                     void *context, struct err *err)
{
    AUTO(outfile) out = {0};
    AUTO(json_out) header = {0};
    struct tensor t[2 * MODEL_TENSORS_MAX];
    int n = all_tensors(m, training != NULL, t);
    uint64_t size;

    put_header(m, t, n, training, &header);
    size = header.buf.len;
    if (!outfile_open(&out, path, err) || !outfile_write(&out, &size, sizeof size, err) ||
        !outfile_write(&out, header.buf.data, size, err))
        return false;
    for (int i = 0; i < n; i++)
        if (!put(context, i, &out, err))
            return err_wrap(err, "tensor '%s'", t[i].name);
    return outfile_commit(&out, err);
}

static bool put_own(void *context, int i, struct outfile *out, struct err *err)
{
    const struct tensor *t = (const struct tensor *)context + i;

    return outfile_write(out, t->data, (size_t)tensor_bytes(t), err);
}

bool store_save_checkpoint(struct model *m, const char *training, const char *path, struct err *err)
{
    struct tensor t[2 * MODEL_TENSORS_MAX];

    all_tensors(m, training != NULL, t);
    return store_save_from(m, training, path, put_own, t, err);
}

bool store_save(struct model *m, const char *path, struct err *err)
{
    return store_save_checkpoint(m, NULL, path, err);
}

/* ---- loading ---- */

/* "12" -> 12, within lo..hi. */
static bool get_number(const struct json_t *metadata, const char *key, uint64_t lo, uint64_t hi,
                       uint64_t *out, struct err *err)
{
    const char *text = json_text(json_get(metadata, key));
    char *end;

    if (text && *text >= '0' && *text <= '9') {
        *out = strtoull(text, &end, 10);
        if (!*end && *out >= lo && *out <= hi)
            return true;
    }
    return err_set(err, ERR_DATA, "its metadata has no valid '%s'", key);
}

static bool read_option(const struct json_t *v, const struct opt *o, void *out, struct err *err)
{
    double x = json_real_or(v, NAN);
    const char *text = json_text(v);

    if (o->kind == OPT_BOOL && json_kind(v) == JVAL_BOOL) {
        *(bool *)out = json_truth(v);
        return true;
    }
    if (o->kind == OPT_INT && json_kind(v) == JVAL_INT && x >= o->lo && x <= o->hi) {
        *(int *)out = (int)json_int_or(v, 0);
        return true;
    }
    if (o->kind == OPT_REAL && x >= o->lo && x <= o->hi) {
        *(double *)out = x;
        return true;
    }
    if (o->kind == OPT_TEXT && (json_kind(v) == JVAL_NULL || (text && opt_allows(o, text)))) {
        *(opt_text *)out = text;
        return true;
    }
    return err_set(err, ERR_DATA, "its metadata has no valid option '%s'", o->name);
}

/* Over the defaults, which stay where a file of an earlier version knows of no such option. Texts
 * are the document's. */
static bool read_options(const struct model_ops *ops, const char *text, struct json_doc *doc,
                         void *out, struct err *err)
{
    if (!text || !json_parse(doc, text, strlen(text), err) || json_kind(doc->root) != JVAL_OBJECT)
        return err_set(err, ERR_DATA, "its metadata has no valid 'options'");
    if (ops->options_size)
        memcpy(out, ops->defaults, ops->options_size);
    for (const struct opt *o = ops->options; o->name; o++) {
        const struct json_t *v = json_get(doc->root, o->name);

        if (v && !read_option(v, o, (char *)out + o->offset, err))
            return false;
    }
    return true;
}

/* What put_model wrote. of: sizes and digest. */
static struct model *read_model(const struct json_t *metadata, int part, const struct model *of,
                                struct err *err)
{
    char key[KEY_MAX];
    const char *name = json_text(json_get(metadata, key_of(part, "model", key)));
    struct err why = {0};
    const struct model_ops *ops = model_find(name, &why);
    AUTO_FREE void *options = NULL;
    AUTO(json_doc) doc = {0};
    uint64_t seed;

    if (!ops) {
        err_set(err, ERR_DATA, "its model is '%s', which this version (%s) does not know", name,
                KINDRED_VERSION);
        return NULL;
    }
    options = xcalloc(1, ops->options_size);
    if (!get_number(metadata, key_of(part, "seed", key), 0, UINT64_MAX, &seed, err) ||
        !read_options(ops, json_text(json_get(metadata, key_of(part, "options", key))), &doc,
                      options, err))
        return NULL;
    if (ops->check && !ops->check(options, &why)) {
        err_set(err, ERR_DATA, "its metadata has no valid options: %s", why.msg);
        return NULL;
    }
    return model_new(ops, of->n_users, of->n_items, of->digest, options, seed);
}

/* What the model is made of, if it is of a kind that is made of others. */
static bool read_parts(const struct json_t *metadata, struct model *m, struct err *err)
{
    struct model *parts[MODEL_PARTS_MAX];
    char key[KEY_MAX];
    bool ok = true;
    int n = 0;

    while (ok && n < MODEL_PARTS_MAX && json_text(json_get(metadata, key_of(n, "model", key)))) {
        parts[n] = read_model(metadata, n, m, err);
        ok = parts[n] != NULL || err_wrap(err, "part %d", n);
        n += ok;
    }
    if (ok)
        return m->ops->take_parts(m, parts, n, err);
    while (n--)
        model_free(parts[n]);
    return false;
}

/* What training saw of it, in files that have it. */
static bool read_metrics(const struct json_t *metadata, struct model *m, struct err *err)
{
    const char *text = json_text(json_get(metadata, METRICS));
    AUTO(json_doc) doc = {0};

    if (!text)
        return true;
    if (!json_parse(&doc, text, strlen(text), err) || json_kind(doc.root) != JVAL_OBJECT)
        return err_set(err, ERR_DATA, "its metadata has no valid '%s'", METRICS);
    m->metrics = xstrdup(text);
    return true;
}

/* A model by what the header's metadata says of it, without its numbers. */
static struct model *read_metadata(const struct json_t *header, struct err *err)
{
    const struct json_t *metadata = json_get(header, "__metadata__");
    const char *digest = json_text(json_get(metadata, "digest"));
    struct model of = {0}, *m;
    uint64_t n_users, n_items;

    if (!json_text(json_get(metadata, "model")) || !digest || strlen(digest) != DIGEST_HEX - 1) {
        err_set(err, ERR_DATA,
                "not a model that kindred wrote: its metadata lacks model and digest");
        return NULL;
    }
    if (!get_number(metadata, "n_users", 0, INT32_MAX, &n_users, err) ||
        !get_number(metadata, "n_items", 0, INT32_MAX, &n_items, err))
        return NULL;
    of.n_users = (int32_t)n_users;
    of.n_items = (int32_t)n_items;
    memcpy(of.digest, digest, sizeof of.digest);
    m = read_model(metadata, -1, &of, err);
    if (!m ||
        ((!m->ops->take_parts || read_parts(metadata, m, err)) && read_metrics(metadata, m, err)))
        return m;
    model_free(m);
    return NULL;
}

static bool shape_is(const struct json_t *shape, const struct tensor *t)
{
    int n = t->cols == 1 ? 1 : 2;

    return json_size(shape) == n && json_int_or(json_at(shape, 0), -1) == t->rows &&
           (n == 1 || json_int_or(json_at(shape, 1), -1) == t->cols);
}

/* Where the tensor's numbers start, counted from the end of the header; -1 on a fault. */
static int64_t find_tensor(const struct json_t *header, const struct tensor *t, int64_t room,
                           struct err *err)
{
    const struct json_t *entry = json_get(header, t->name);
    const struct json_t *offsets = json_get(entry, "data_offsets");
    const char *dtype = json_text(json_get(entry, "dtype"));
    int64_t begin = json_int_or(json_at(offsets, 0), -1),
            end = json_int_or(json_at(offsets, 1), -1);

    if (!entry)
        err_set(err, ERR_DATA, "tensor '%s' is missing", t->name);
    else if (!dtype || strcmp(dtype, type_names[t->type]))
        err_set(err, ERR_DATA, "tensor '%s' is %s, not %s", t->name, dtype ? dtype : "untyped",
                type_names[t->type]);
    else if (!shape_is(json_get(entry, "shape"), t))
        err_set(err, ERR_DATA, "tensor '%s' is not of shape %lld x %lld", t->name,
                (long long)t->rows, (long long)t->cols);
    else if (begin < 0 || end > room || end - begin != tensor_bytes(t) || begin % 4)
        err_set(err, ERR_DATA,
                "tensor '%s' lies outside the file's %lld bytes of numbers: was it cut?", t->name,
                (long long)room);
    else
        return begin;
    return -1;
}

/* Whether the ids of a tensor name what there is. */
static bool ids_in_range(const struct tensor *t, struct err *err)
{
    for (int64_t k = 0; t->type == TENSOR_I32 && k < t->rows * t->cols; k++)
        if (t->ids[k] < -1 || t->ids[k] >= t->n_ids)
            return err_set(err, ERR_DATA, "tensor '%s' holds the id %d, outside -1..%d", t->name,
                           t->ids[k], t->n_ids - 1);
    return true;
}

/* Point the model's tensors into the mapped file. numbers: what follows the header. */
static bool adopt(struct model *m, const struct json_t *header, const char *numbers, int64_t room,
                  struct err *err)
{
    struct tensor t[2 * MODEL_TENSORS_MAX];
    int n = all_tensors(m, json_get(json_get(header, "__metadata__"), TRAINING), t);
    int64_t at[2 * MODEL_TENSORS_MAX], total = 0;
    const char *bad;

    if (json_size(header) != n + 1)
        return err_set(err, ERR_DATA, "it has %d tensors; a %s model has %d", json_size(header) - 1,
                       m->ops->name, n);
    for (int i = 0; i < n; i++) {
        at[i] = find_tensor(header, &t[i], room, err);
        if (at[i] < 0)
            return false;
        total += tensor_bytes(&t[i]);
        for (int k = 0; k < i; k++)
            if (at[i] < at[k] + tensor_bytes(&t[k]) && at[k] < at[i] + tensor_bytes(&t[i]))
                return err_set(err, ERR_DATA, "tensors '%s' and '%s' overlap", t[k].name,
                               t[i].name);
    }
    if (total != room)
        return err_set(err, ERR_DATA, "%lld bytes of numbers, where the header tells of %lld",
                       (long long)room, (long long)total);
    for (int i = 0; i < n; i++) {
        t[i].data = (float *)(uintptr_t)(numbers + at[i]); /* mapped for reading: never written */
        if (!ids_in_range(&t[i], err))
            return false;
    }
    m->ops->adopt(m, t);
    if (!model_finite(m, &bad))
        return err_set(err, ERR_DATA, "tensor '%s' holds NaN or infinity", bad);
    return true;
}

static bool read_header(const struct mapped *file, struct json_doc *doc, uint64_t *size,
                        struct err *err)
{
    if (file->size < sizeof *size)
        return err_set(err, ERR_DATA, "not a safetensors file: %zu bytes long", file->size);
    memcpy(size, file->data, sizeof *size);
    if (*size > file->size - sizeof *size || *size > HEADER_MAX)
        return err_set(err, ERR_DATA,
                       "not a whole safetensors file: a header of %llu bytes in a file of %zu",
                       (unsigned long long)*size, file->size);
    if (!json_parse(doc, file->data + sizeof *size, *size, err))
        return err_wrap(err, "not a safetensors file: its header");
    if (json_kind(doc->root) != JVAL_OBJECT)
        return err_set(err, ERR_DATA, "not a safetensors file: its header is no JSON object");
    return true;
}

struct model *store_load(const char *path, struct err *err)
{
    AUTO(mapped) file = {0};
    AUTO(json_doc) doc = {0};
    struct model *m;
    uint64_t size = 0;

    if (!file_map(&file, path, err))
        return NULL;
    if (!read_header(&file, &doc, &size, err) || !(m = read_metadata(doc.root, err))) {
        err_wrap(err, "%s", path);
        return NULL;
    }
    m->file = file;
    file = (struct mapped){0};
    if (adopt(m, doc.root, m->file.data + sizeof size + size,
              (int64_t)(m->file.size - sizeof size - size), err))
        return m;
    err_wrap(err, "%s", path);
    model_free(m);
    return NULL;
}

bool store_training(const struct model *m, struct buf *out)
{
    AUTO(json_doc) doc = {0};
    struct err ignored;
    uint64_t size;
    const char *text;

    if (!read_header(&m->file, &doc, &size, &ignored))
        return false;
    text = json_text(json_get(json_get(doc.root, "__metadata__"), TRAINING));
    if (text)
        buf_puts(out, text);
    return text != NULL;
}

int store_checkpoint_tensors(struct model *m, struct tensor out[2 * MODEL_TENSORS_MAX])
{
    AUTO(json_doc) doc = {0};
    int n = m->ops->tensors(m, out), n_all = n + model_training(m, out + n);
    struct err ignored;
    uint64_t size = 0;
    bool read = read_header(&m->file, &doc, &size, &ignored);

    assert(read);
    for (int i = n; i < n_all; i++) {
        int64_t at = find_tensor(doc.root, &out[i], INT64_MAX, &ignored);

        assert(at >= 0); /* as store_load found it */
        out[i].data = (float *)(uintptr_t)(m->file.data + sizeof size + size + at);
    }
    return n_all;
}

void store_copy_training(struct model *to, struct model *from)
{
    struct tensor a[MODEL_TENSORS_MAX], b[2 * MODEL_TENSORS_MAX];
    int n = model_training(to, a), n_all = store_checkpoint_tensors(from, b);

    assert(to->ops == from->ops && n <= n_all);
    for (int i = 0; i < n; i++)
        memcpy(a[i].data, b[n_all - n + i].data, (size_t)tensor_bytes(&a[i]));
}

bool store_check(const struct model *m, const char *path, const struct dataset *d, const char *dir,
                 struct err *err)
{
    if (!strcmp(m->digest, d->digest) && m->n_users == d->n_users && m->n_items == d->n_items)
        return true;
    return err_set(err, ERR_DATA,
                   "%s was trained on another dataset than %s: train again, or name the folder it "
                   "was trained on by --data-dir",
                   path, dir);
}
