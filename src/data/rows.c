#include "data/rows.h"

#include "data/kcore.h"

#include <math.h>

/* ---- from SQL ---- */

/* What the dictionaries say of each line, in the input's order. */
struct lines {
    int64_t n;
    int32_t *user, *item; /* (n) user -1: a bad line */
    int64_t *time;
    float *rating;
};

static void lines_release(struct lines *l)
{
    free(l->user);
    free(l->item);
    free(l->time);
    free(l->rating);
    *l = (struct lines){0};
}

static bool lines_read(struct lines *l, struct duck *d, struct err *err)
{
    AUTO(duck_rows) block = {0};

    if (!duck_query(d, &block,
                    "SELECT raw.rowid, CAST(u.rowid AS INTEGER), CAST(i.rowid AS INTEGER),"
                    "       raw.timestamp, raw.rating "
                    "FROM raw JOIN user_dict u USING (user_id) JOIN item_dict i USING (item_id) "
                    "WHERE raw.timestamp IS NOT NULL",
                    err))
        return false;
    while (duck_next(&block, err)) {
        const int64_t *at = duck_int64(&block, 0), *time = duck_int64(&block, 3);
        const int32_t *user = duck_int32(&block, 1), *item = duck_int32(&block, 2);
        const float *rating = duck_float(&block, 4);

        for (int64_t b = 0; b < block.n; b++) {
            l->user[at[b]] = user[b];
            l->item[at[b]] = item[b];
            l->time[at[b]] = time[b];
            l->rating[at[b]] = duck_is_null(&block, 4, b) ? NAN : rating[b];
        }
    }
    return !block.failed;
}

static bool lines_load(struct lines *l, struct rows *r, struct duck *d, struct err *err)
{
    int64_t counts[3];

    if (!duck_row(d,
                  "SELECT coalesce(max(rowid) + 1, 0), (SELECT count(*) FROM user_dict),"
                  "       (SELECT count(*) FROM item_dict) FROM raw",
                  counts, 3, err))
        return false;
    if (counts[0] > INT32_MAX)
        return err_set(err, ERR_DATA, "%lld lines are more than the %d that can be numbered",
                       (long long)counts[0], INT32_MAX);
    l->n = counts[0];
    r->n_users = (int32_t)counts[1];
    r->n_items = (int32_t)counts[2];
    l->user = xmalloc((size_t)l->n, sizeof *l->user);
    l->item = xmalloc((size_t)l->n, sizeof *l->item);
    l->time = xmalloc((size_t)l->n, sizeof *l->time);
    l->rating = xmalloc((size_t)l->n, sizeof *l->rating);
    memset(l->user, -1, (size_t)l->n * sizeof *l->user);
    return lines_read(l, d, err);
}

/* ---- sorting ---- */

static int by_time(const void *a, const void *b, void *context)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    const int64_t *time = context;

    if (time[x] != time[y])
        return time[x] < time[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

/* order: (offsets[n_users]) the lines by user, then time, then place in the input. */
static int32_t *sort_lines(const struct lines *l, struct rows *r)
{
    int64_t *at = xcalloc((size_t)r->n_users + 2, sizeof *at);
    int32_t *order;

    for (int64_t i = 0; i < l->n; i++)
        if (l->user[i] >= 0)
            at[l->user[i] + 2]++;
    for (int32_t u = 0; u < r->n_users; u++)
        at[u + 2] += at[u + 1];
    order = xmalloc((size_t)at[r->n_users + 1], sizeof *order);
    for (int64_t i = 0; i < l->n; i++)
        if (l->user[i] >= 0)
            order[at[l->user[i] + 1]++] = (int32_t)i;
    for (int32_t u = 0; u < r->n_users; u++)
        qsort_r(order + at[u], (size_t)(at[u + 1] - at[u]), sizeof *order, by_time, l->time);
    r->offsets = at;
    return order;
}

/* The rows in that order, a user's later rows of an item left out. */
static void gather(const struct lines *l, const int32_t *order, struct rows *r)
{
    int64_t n = r->offsets[r->n_users], to = 0, start = 0;
    AUTO_FREE int32_t *last_user = xmalloc((size_t)r->n_items, sizeof *last_user);

    r->items = xmalloc((size_t)n, sizeof *r->items);
    r->times = xmalloc((size_t)n, sizeof *r->times);
    r->ratings = xmalloc((size_t)n, sizeof *r->ratings);
    memset(last_user, -1, (size_t)r->n_items * sizeof *last_user);
    for (int32_t u = 0; u < r->n_users; u++) {
        int64_t end = r->offsets[u + 1];

        for (int64_t e = start; e < end; e++) {
            int32_t i = order[e], item = l->item[i];

            if (last_user[item] == u)
                continue;
            last_user[item] = u;
            r->items[to] = item;
            r->times[to] = l->time[i];
            r->ratings[to++] = l->rating[i];
        }
        start = end;
        r->offsets[u + 1] = to;
    }
    r->n_repeated = n - to;
}

bool rows_load(struct rows *r, struct duck *d, struct err *err)
{
    AUTO(lines) l = {0};
    AUTO_FREE int32_t *order = NULL;

    *r = (struct rows){0};
    if (!duck_run(d, "dictionaries", err) || !lines_load(&l, r, d, err) ||
        !duck_exec(d, "DROP TABLE raw", err))
        return false;
    order = sort_lines(&l, r);
    gather(&l, order, r);
    return true;
}

void rows_release(struct rows *r)
{
    free(r->offsets);
    free(r->items);
    free(r->times);
    free(r->ratings);
    free(r->keep_user);
    free(r->keep_item);
    free(r->user_order);
    free(r->item_idx);
    *r = (struct rows){0};
}

/* ---- the core ---- */

/* The most rows that one user has, and one item. */
static void most_rows(const struct rows *r, int64_t *of_user, int64_t *of_item)
{
    AUTO_FREE int64_t *count = xcalloc((size_t)r->n_items, sizeof *count);

    *of_user = *of_item = 0;
    for (int32_t u = 0; u < r->n_users; u++)
        *of_user = MAX(*of_user, r->offsets[u + 1] - r->offsets[u]);
    for (int64_t e = 0; e < r->offsets[r->n_users]; e++)
        *of_item = MAX(*of_item, ++count[r->items[e]]);
}

static bool none_left(const struct rows *r, int min_user, int min_item, struct err *err)
{
    int64_t of_user, of_item;
    const char *lower = "--min-user or --min-item";
    AUTO_FREE char *why = NULL;

    most_rows(r, &of_user, &of_item);
    if (of_user < min_user && of_item < min_item) {
        why = xasprintf("no user has %d rows (--min-user; the most is %lld) and no item has %d "
                        "(--min-item; the most is %lld)",
                        min_user, (long long)of_user, min_item, (long long)of_item);
        lower = "both";
    } else if (of_user < min_user) {
        why = xasprintf("no user has %d rows (--min-user; the most is %lld)", min_user,
                        (long long)of_user);
        lower = "--min-user";
    } else if (of_item < min_item) {
        why = xasprintf("no item has %d rows (--min-item; the most is %lld)", min_item,
                        (long long)of_item);
        lower = "--min-item";
    } else {
        why = xasprintf("no users of %d rows (--min-user) have items of %d (--min-item) in common",
                        min_user, min_item);
    }
    return err_set(err, ERR_DATA, "%s; lower %s", why, lower);
}

bool rows_core(struct rows *r, int min_user, int min_item, struct err *err)
{
    r->keep_user = xmalloc((size_t)r->n_users, sizeof *r->keep_user);
    r->keep_item = xmalloc((size_t)r->n_items, sizeof *r->keep_item);
    r->n_kept = kcore_peel(r->offsets, r->items, r->n_users, r->n_items, min_user, min_item,
                           r->keep_user, r->keep_item);
    return r->n_kept > 0 ? true : none_left(r, min_user, min_item, err);
}

/* ---- back to SQL ---- */

/* The numbers of what is kept, for the source kept_users or kept_items. */
struct flags {
    const bool *keep;
    int32_t n, at;
};

static bool next_kept(void *context, int64_t at, void *const *columns, int64_t max, int64_t *n,
                      struct err *err)
{
    struct flags *f = context;
    int32_t *number = columns[0];

    (void)err;
    if (at == 0)
        f->at = 0;
    for (*n = 0; f->at < f->n && *n < max; f->at++)
        if (f->keep[f->at])
            number[(*n)++] = f->at;
    return true;
}

static bool order_users(struct rows *r, struct duck *d, struct err *err)
{
    AUTO(duck_rows) block = {0};
    int64_t n;

    if (!duck_row(d, "SELECT count(*) FROM users", &n, 1, err) ||
        !duck_query(d, &block, "SELECT rowid, number FROM users", err))
        return false;
    r->n_kept_users = (int32_t)n;
    r->user_order = xmalloc((size_t)n, sizeof *r->user_order);
    while (duck_next(&block, err)) {
        const int64_t *idx = duck_int64(&block, 0);
        const int32_t *number = duck_int32(&block, 1);

        for (int64_t i = 0; i < block.n; i++)
            r->user_order[idx[i]] = number[i];
    }
    return !block.failed;
}

static bool index_items(struct rows *r, struct duck *d, struct err *err)
{
    AUTO(duck_rows) block = {0};

    r->item_idx = xmalloc((size_t)r->n_items, sizeof *r->item_idx);
    if (!duck_query(d, &block, "SELECT rowid, number FROM items", err))
        return false;
    while (duck_next(&block, err)) {
        const int64_t *idx = duck_int64(&block, 0);
        const int32_t *number = duck_int32(&block, 1);

        for (int64_t i = 0; i < block.n; i++)
            r->item_idx[number[i]] = (int32_t)idx[i];
        r->n_kept_items += (int32_t)block.n;
    }
    return !block.failed;
}

bool rows_number(struct rows *r, struct duck *d, struct err *err)
{
    struct flags users = {r->keep_user, r->n_users, 0}, items = {r->keep_item, r->n_items, 0};
    struct duck_source kept_users = {
        "kept_users", {{"number", DUCK_INT32}}, r->n_users, next_kept, &users};
    struct duck_source kept_items = {
        "kept_items", {{"number", DUCK_INT32}}, r->n_items, next_kept, &items};

    return duck_register_source(d, &kept_users, err) && duck_register_source(d, &kept_items, err) &&
           duck_run(d, "number_kept", err) && order_users(r, d, err) && index_items(r, d, err);
}

/* A walk over the kept rows. */
struct walk {
    const struct rows *r;
    int32_t user_idx;
    int64_t row; /* of that user, where the walk stands */
};

static bool next_rows(void *context, int64_t at, void *const *columns, int64_t max, int64_t *n,
                      struct err *err)
{
    struct walk *w = context;
    const struct rows *r = w->r;
    int32_t *user = columns[0], *item = columns[1];
    int64_t *time = columns[2];
    float *rating = columns[3];

    (void)err;
    if (at == 0)
        *w = (struct walk){r, 0, r->offsets[r->user_order[0]]};
    *n = 0;
    while (*n < max && w->user_idx < r->n_kept_users) {
        if (w->row == r->offsets[r->user_order[w->user_idx] + 1]) {
            if (++w->user_idx < r->n_kept_users)
                w->row = r->offsets[r->user_order[w->user_idx]];
            continue;
        }
        if (r->keep_item[r->items[w->row]]) {
            user[*n] = w->user_idx;
            item[*n] = r->item_idx[r->items[w->row]];
            time[*n] = r->times[w->row];
            rating[(*n)++] = r->ratings[w->row];
        }
        w->row++;
    }
    return true;
}

bool rows_to_table(struct rows *r, struct duck *d, struct err *err)
{
    struct walk walk = {.r = r};
    struct duck_source source = {"kept_rows",
                                 {{"user_idx", DUCK_INT32},
                                  {"item_idx", DUCK_INT32},
                                  {"timestamp", DUCK_INT64},
                                  {"rating", DUCK_FLOAT}},
                                 r->n_kept,
                                 next_rows,
                                 &walk};

    return duck_register_source(d, &source, err) &&
           duck_exec(d,
                     "CREATE TABLE kept_in_order AS FROM kept_rows();"
                     "CREATE VIEW kept AS SELECT *, rowid AS n FROM kept_in_order",
                     err);
}
