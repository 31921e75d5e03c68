#include "data/dataset.h"

#include "base/file.h"
#include "base/json.h"
#include "data/duck.h"
#include "data/parts.h"

const char *const dataset_parts[DATASET_PARTS] = {"train", "val", "test"};

const char *const dataset_files[DATASET_FILES + 1] = {
    "train.parquet", "val.parquet", "test.parquet", "users.parquet", "items.parquet", "stats.json",
};

/* ---- what stats.json says ---- */

enum { STATS_MAX_BYTES = 1 << 20 };

struct stats {
    struct json_doc doc;
};

static void stats_release(struct stats *s)
{
    json_doc_release(&s->doc);
}

static bool stats_read(struct stats *s, const char *dir, struct err *err)
{
    AUTO_FREE char *path = path_join(dir, dataset_files[DATASET_STATS]);
    AUTO(buf) text = {0};

    if (!file_exists(path))
        return err_set(err, ERR_IO, "'%s' holds no dataset (no stats.json); run kindred preprocess",
                       dir);
    return file_read(path, STATS_MAX_BYTES, &text, err) &&
           (json_parse(&s->doc, buf_str(&text), text.len, err) || err_wrap(err, "'%s'", path));
}

static bool stats_count(const struct stats *s, const char *dir, const char *key, int32_t *out,
                        struct err *err)
{
    int64_t n = json_int_or(json_get(s->doc.root, key), -1);

    if (n < 1 || n > INT32_MAX)
        return err_set(err, ERR_DATA, "'%s/stats.json' has no valid %s", dir, key);
    *out = (int32_t)n;
    return true;
}

static bool is_the_one(const struct stats *s, const char *path, int file, struct err *err)
{
    const char *want = json_text(json_get(json_get(s->doc.root, "files"), dataset_files[file]));
    char got[DIGEST_HEX];

    if (!digest_file(path, got, err))
        return false;
    return (want && !strcmp(want, got)) ||
           err_set(err, ERR_DATA,
                   "'%s' isn't the file that stats.json speaks of; run kindred preprocess", path);
}

/* The file's path, with `check` after a look whether it's the one that stats.json speaks of; else
 * NULL. A folder is by others, who know no digests. */
static char *find_file(const struct stats *s, const char *dir, int file, bool check,
                       struct err *err)
{
    char *path = path_join(dir, dataset_files[file]);

    if (!file_exists(path))
        err_set(err, ERR_IO, "'%s' is missing; run kindred preprocess", path);
    else if (!check || parts_is_folder(path) || is_the_one(s, path, file, err))
        return path;
    free(path);
    return NULL;
}

/* ---- interactions ---- */

void interactions_release(struct interactions *x)
{
    free(x->offsets);
    free(x->items);
    free(x->times);
    *x = (struct interactions){0};
}

static void append_row(struct interactions *out, const struct interactions *x, int32_t user)
{
    int64_t from = x->offsets[user], n = x->offsets[user + 1] - from;

    if (n)
        memcpy(out->items + out->n, x->items + from, (size_t)n * sizeof *out->items);
    out->n += n;
}

void interactions_join(struct interactions *out, const struct interactions *a,
                       const struct interactions *b, int32_t n_users)
{
    *out = (struct interactions){
        .offsets = xcalloc((size_t)n_users + 1, sizeof *out->offsets),
        .items = xaligned((size_t)(a->n + b->n), sizeof *out->items),
    };
    for (int32_t u = 0; u < n_users; u++) {
        append_row(out, a, u);
        append_row(out, b, u);
        out->offsets[u + 1] = out->n;
    }
}

void interactions_transpose(struct interactions *out, const struct interactions *x, int32_t n_users,
                            int32_t n_items)
{
    *out = (struct interactions){
        .offsets = xcalloc((size_t)n_items + 2, sizeof *out->offsets),
        .items = xaligned((size_t)x->n, sizeof *out->items),
        .n = x->n,
    };
    for (int64_t k = 0; k < x->n; k++) /* counted two places on, where rows begin one place on */
        out->offsets[x->items[k] + 2]++;
    for (int32_t i = 0; i < n_items; i++)
        out->offsets[i + 2] += out->offsets[i + 1];
    for (int32_t u = 0; u < n_users; u++)
        for (int64_t k = x->offsets[u]; k < x->offsets[u + 1]; k++)
            out->items[out->offsets[x->items[k] + 1]++] = u;
}

/* Which rows to read: those of the users first_user .. until - 1. */
struct window {
    int64_t first_user, until;
    int64_t first_row; /* of the table: where they begin */
    int32_t base;      /* the user that is 0 */
    bool whole;        /* all rows */
};

static bool check_row(const struct dataset *d, int32_t user, int32_t item, const char *path,
                      struct err *err)
{
    if (user >= 0 && user < d->n_users && item >= 0 && item < d->n_items)
        return true;
    return err_set(err, ERR_DATA, "'%s': user_idx %d or item_idx %d is out of range (%d, %d)", path,
                   user, item, d->n_users, d->n_items);
}

/* From one file, whose rows stand `before` others of the table behind. Rows by their place;
 * offsets[u + 1] counts those of user u. Without times the file has each row's place among the
 * user's, which says nothing about other users' rows. */
static bool fill(const struct dataset *d, struct interactions *x, struct duck *duck,
                 const char *path, const struct window *w, int64_t before, struct err *err)
{
    AUTO(duck_rows) rows = {0};

    if (!duck_set_text(duck, "file", path, err) ||
        !duck_query(duck, &rows,
                    "SELECT file_row_number, user_idx, item_idx, timestamp "
                    "FROM read_parquet(getvariable('file'), file_row_number = true) "
                    "WHERE user_idx >= getvariable('first') AND user_idx < getvariable('until')",
                    err))
        return false;
    while (duck_next(&rows, err)) {
        const int64_t *at = duck_int64(&rows, 0), *time = duck_int64(&rows, 3);
        const int32_t *user = duck_int32(&rows, 1), *item = duck_int32(&rows, 2);

        for (int64_t i = 0; i < rows.n; i++) {
            int32_t u = user[i] - w->base;
            int64_t row = before + at[i] - w->first_row;

            if (!check_row(d, u, item[i], path, err))
                return false;
            if (row < 0 || row >= x->n)
                return err_set(err, ERR_DATA, "'%s': the rows of user_idx %d don't stand together",
                               path, user[i]);
            x->items[row] = item[i];
            if (x->times)
                x->times[row] = time[i];
            x->offsets[u + 1]++;
        }
    }
    return !rows.failed;
}

/* How many rows the window has, and where they begin. */
static bool count_rows(struct window *w, const struct parts *files, struct duck *duck, int64_t *n,
                       struct err *err)
{
    *n = w->whole ? files->begin[files->n] : 0;
    for (int i = 0; !w->whole && i < files->n; i++) {
        int64_t found[2];

        if (!duck_set_text(duck, "file", files->paths[i], err) ||
            !duck_row(duck,
                      "SELECT count(*), coalesce(min(file_row_number), 0) "
                      "FROM read_parquet(getvariable('file'), file_row_number = true) "
                      "WHERE user_idx >= getvariable('first') AND user_idx < getvariable('until')",
                      found, 2, err))
            return false;
        if (!*n)
            w->first_row = files->begin[i] + found[1];
        *n += found[0];
    }
    return true;
}

/* whole: all users, and who isn't one is an error. */
static bool read_part(struct dataset *d, struct interactions *x, struct duck *duck,
                      const char *path, int32_t first_user, bool whole, bool timed, struct err *err)
{
    struct window w = {.first_user = whole ? INT32_MIN : first_user,
                       .until = whole ? INT32_MAX : (int64_t)first_user + d->n_users,
                       .base = first_user,
                       .whole = whole};
    AUTO(parts) files = {0};

    if (!parts_open(&files, path, duck, err) || !duck_set_int(duck, "first", w.first_user, err) ||
        !duck_set_int(duck, "until", w.until, err) || !count_rows(&w, &files, duck, &x->n, err))
        return false;
    x->offsets = xcalloc((size_t)d->n_users + 1, sizeof *x->offsets);
    x->items = xaligned((size_t)x->n, sizeof *x->items);
    if (timed)
        x->times = xaligned((size_t)x->n, sizeof *x->times);
    for (int i = 0; i < files.n; i++)
        if (!fill(d, x, duck, files.paths[i], &w, files.begin[i], err))
            return false;
    for (int32_t u = 0; u < d->n_users; u++)
        x->offsets[u + 1] += x->offsets[u];
    return true;
}

/* Sizes and digest; *timed: whether rows have times. */
static bool open_stats(struct dataset *d, const char *dir, struct stats *stats, bool *timed,
                       struct err *err)
{
    const struct json_t *times;
    const char *digest;

    *d = (struct dataset){0};
    if (!stats_read(stats, dir, err) || !stats_count(stats, dir, "num_users", &d->n_users, err) ||
        !stats_count(stats, dir, "num_items", &d->n_items, err))
        return false;
    times = json_get(stats->doc.root, "has_times");
    *timed = !times || json_truth(times);
    digest = json_text(json_get(stats->doc.root, "digest"));
    if (!digest || strlen(digest) + 1 != sizeof d->digest)
        return err_set(err, ERR_DATA, "'%s/stats.json' has no valid digest", dir);
    memcpy(d->digest, digest, sizeof d->digest);
    return true;
}

/* The parts of users first .. first + d->n_users - 1. whole: these are all, and the files are
 * checked. */
static bool read_parts(struct dataset *d, const struct stats *stats, const char *dir,
                       unsigned parts, int32_t first, bool whole, struct err *err)
{
    AUTO(duck) duck = {0};

    if (parts && !duck_open(&duck, NULL, err))
        return false;
    for (int p = 0; p < DATASET_PARTS; p++) {
        AUTO_FREE char *path = NULL;

        if (!(parts & 1u << p))
            continue;
        path = find_file(stats, dir, p, whole, err);
        if (!path ||
            !read_part(d, &d->part[p], &duck, path, first, whole, parts & DATASET_TIMES, err))
            return false;
    }
    return true;
}

bool dataset_open(struct dataset *d, const char *dir, unsigned parts, struct err *err)
{
    AUTO(stats) stats = {0};
    bool timed;

    return open_stats(d, dir, &stats, &timed, err) &&
           read_parts(d, &stats, dir, timed ? parts : parts & ~(unsigned)DATASET_TIMES, 0, true,
                      err);
}

bool dataset_open_users(struct dataset *d, const char *dir, unsigned parts, int32_t first,
                        int32_t end, struct err *err)
{
    AUTO(stats) stats = {0};
    bool timed;

    if (!open_stats(d, dir, &stats, &timed, err))
        return false;
    assert(first >= 0 && first <= end && end <= d->n_users);
    d->n_users = end - first;
    return read_parts(d, &stats, dir, timed ? parts : parts & ~(unsigned)DATASET_TIMES, first,
                      false, err);
}

/* The user of one row. */
static bool user_of_row(const struct parts *files, struct duck *duck, int64_t row, int32_t *out,
                        struct err *err)
{
    int64_t user;
    int i = 0;

    while (files->begin[i + 1] <= row)
        i++;
    if (!duck_set_text(duck, "file", files->paths[i], err) ||
        !duck_set_int(duck, "row", row - files->begin[i], err) ||
        !duck_row(duck,
                  "SELECT user_idx::BIGINT FROM read_parquet(getvariable('file'), "
                  "file_row_number = true) WHERE file_row_number = getvariable('row')",
                  &user, 1, err))
        return false;
    *out = (int32_t)user;
    return true;
}

bool dataset_cut(struct dataset *whole, const char *dir, int *n_blocks, dataset_blocks_fn *choose,
                 int32_t **begin, struct err *err)
{
    AUTO(stats) stats = {0};
    AUTO(duck) duck = {0};
    AUTO(parts) files = {0};
    AUTO_FREE char *path = NULL;
    int64_t n_rows;
    int32_t *at;
    bool timed;

    if (!open_stats(whole, dir, &stats, &timed, err) || !duck_open(&duck, NULL, err))
        return false;
    path = find_file(&stats, dir, DATASET_TRAIN, false, err);
    if (!path || !parts_open(&files, path, &duck, err))
        return false;
    n_rows = files.begin[files.n];
    if (!*n_blocks)
        *n_blocks = choose(n_rows, whole->n_users, whole->n_items);
    *begin = at = xcalloc((size_t)*n_blocks + 1, sizeof *at);
    at[*n_blocks] = whole->n_users;
    for (int b = 1; b < *n_blocks && n_rows; b++) {
        if (!user_of_row(&files, &duck, n_rows * b / *n_blocks, &at[b], err))
            return false;
        if (at[b] < at[b - 1] || at[b] >= whole->n_users)
            return err_set(err, ERR_DATA, "'%s': users aren't in order", path);
    }
    return true;
}

void dataset_release(struct dataset *d)
{
    for (int p = 0; p < DATASET_PARTS; p++)
        interactions_release(&d->part[p]);
    *d = (struct dataset){0};
}

/* ---- ids ---- */

static bool append_ids(struct ids *ids, struct buf *bytes, struct duck *d, const char *sql,
                       struct err *err)
{
    AUTO(duck_rows) rows = {0};

    if (!duck_query(d, &rows, sql, err))
        return false;
    while (duck_next(&rows, err))
        for (int64_t i = 0; i < rows.n; i++) {
            size_t len;
            const char *text = duck_text(&rows, 0, i, &len);

            buf_put(bytes, text, len);
            buf_putc(bytes, '\0');
            ids->offsets[++ids->n] = (int64_t)bytes->len;
        }
    return !rows.failed;
}

/* what: "user" or "item"; column: an expression over their file's columns. */
static bool open_texts(struct ids *ids, const char *dir, const char *what, const char *column,
                       struct err *err)
{
    bool users = !strcmp(what, "user");
    AUTO_FREE char *path = NULL, *pattern = NULL, *sql = NULL;
    AUTO(stats) stats = {0};
    AUTO(buf) bytes = {0};
    AUTO(duck) d = {0};
    int32_t n = 0;

    *ids = (struct ids){0};
    if (!stats_read(&stats, dir, err) ||
        !stats_count(&stats, dir, users ? "num_users" : "num_items", &n, err))
        return false;
    path = find_file(&stats, dir, users ? DATASET_USERS : DATASET_ITEMS, true, err);
    if (!path || !duck_open(&d, NULL, err))
        return false;
    pattern = parts_pattern(path);
    if (!duck_set_text(&d, "file", pattern, err))
        return false;
    ids->offsets = xcalloc((size_t)n + 1, sizeof *ids->offsets);
    sql = xasprintf("SELECT %s FROM read_parquet(getvariable('file')) ORDER BY %s_idx LIMIT %d",
                    column, what, n);
    if (!append_ids(ids, &bytes, &d, sql, err))
        return false;
    if (ids->n != n)
        return err_set(err, ERR_DATA, "'%s' has %d ids; stats.json says %d", path, ids->n, n);
    ids->bytes = bytes.data;
    bytes = (struct buf){0};
    return true;
}

bool ids_open(struct ids *ids, const char *dir, const char *what, struct err *err)
{
    AUTO_FREE char *column = xasprintf("%s_id", what);

    return open_texts(ids, dir, what, column, err);
}

bool titles_open(struct ids *titles, const char *dir, struct err *err)
{
    return open_texts(titles, dir, "item", "coalesce(nullif(trim(title), ''), item_id)", err);
}

bool item_meta_open(struct ids *meta, const char *dir, struct err *err)
{
    return open_texts(meta, dir, "item",
                      "CASE WHEN coalesce(title, main_category, store, image) IS NULL AND price IS "
                      "NULL AND categories IS NULL THEN '' ELSE CAST(to_json({'title': title, "
                      "'price': price, 'main_category': main_category, 'categories': categories, "
                      "'store': store, 'image': image}) AS VARCHAR) END",
                      err);
}

void ids_release(struct ids *ids)
{
    free(ids->offsets);
    free(ids->bytes);
    *ids = (struct ids){0};
}

int32_t ids_find(const struct ids *ids, const char *id)
{
    int32_t lo = 0, hi = ids->n;

    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        int c = strcmp(ids_get(ids, mid), id);

        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}
