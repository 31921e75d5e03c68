#include "data/ingest.h"

#include "base/file.h"
#include "data/timestamp.h"

/* One file while it's read. */
struct reading {
    const struct ingest_options *o;
    struct duck *d;
    struct rows *rows;
    struct input in;
    enum dataset_part part;
    struct fate_rules rules;
    struct buf query; /* instead of a script's */

    struct ingest_counts counts;
    int64_t have[COLUMN_TIME]; /* rows that have a user, an item */
    int64_t n_rows, first_bad; /* that the reader gave; the first bad one, -1: none */
    int64_t reject_at;         /* byte where the first line without a row starts; -1: none */
};

static void reading_release(struct reading *r)
{
    input_release(&r->in);
    buf_release(&r->query);
}

/* ---- how the reader asks for a form ---- */

static bool has_name(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcasecmp(names[i], name)) /* as DuckDB compares them */
            return true;
    return false;
}

/* Append the names of a column that aren't in the struct yet. */
static void put_fields(struct buf *sql, enum column c, const char *const *names, int n,
                       const char **all, int *n_all)
{
    for (int i = 0; i < n; i++) {
        if (has_name(all, *n_all, names[i]))
            continue;
        buf_puts(sql, *n_all ? ", " : "SET VARIABLE fields = {");
        duck_put_quoted(sql, names[i]);
        buf_puts(sql, c == COLUMN_USER || c == COLUMN_ITEM ? ": 'JSON'" : ": 'VARCHAR'");
        all[(*n_all)++] = names[i];
    }
}

/* The struct of names and the lists that read_jsonl.sql asks for. */
static bool prepare_jsonl(struct reading *r, struct err *err)
{
    static const char *const lists[COLUMNS] = {"user_names", "item_names", "time_names",
                                               "rating_names"};
    static const column_names usual;
    const char *all[COLUMNS * (JSONL_NAMES_MAX + 1)], *names[JSONL_NAMES_MAX];
    AUTO(buf) sql = {0};
    int n_all = 0;

    for (int c = 0; c < COLUMNS; c++) { /* those given first: spelled as the user does */
        int n = jsonl_names((enum column)c, r->o->form.names, names);

        if (!duck_set_texts(r->d, lists[c], names, n, err))
            return false;
        if (r->o->form.names[c])
            put_fields(&sql, (enum column)c, names, n, all, &n_all);
    }
    for (int c = 0; c < COLUMNS; c++)
        put_fields(&sql, (enum column)c, names, jsonl_names((enum column)c, usual, names), all,
                   &n_all);
    buf_putc(&sql, '}');
    return duck_exec(r->d, buf_str(&sql), err);
}

static bool set_is_seconds(struct reading *r, struct err *err)
{
    const struct csv_header *h = &r->in.header;
    int at = h->at[COLUMN_TIME];

    return duck_set_bool(r->d, "is_seconds",
                         h->names && at && !strcmp(h->names[at - 1], "unixReviewTime"), err);
}

static bool prepare_csv(struct reading *r, struct err *err)
{
    static const char *const at[COLUMNS] = {"user_at", "item_at", "time_at", "rating_at"};
    const struct csv_header *h = &r->in.header;
    AUTO(buf) escaped = {0};
    AUTO_FREE char *pattern = NULL;

    for (const char *c = h->delimiter; *c; c++)
        buf_printf(&escaped, "\\%c", *c);
    pattern = xasprintf("%s((?:\"(?:[^\"]|\"\")*\")?[^%s]*)", buf_str(&escaped), buf_str(&escaped));
    for (int c = 0; c < COLUMNS; c++)
        if (!duck_set_int(r->d, at[c], h->at[c], err))
            return false;
    return duck_set_int(r->d, "skip", r->in.skip, err) &&
           duck_set_int(r->d, "n_columns", h->n, err) &&
           duck_set_text(r->d, "delimiter", h->delimiter, err) &&
           duck_set_text(r->d, "quoted_field", pattern, err) && set_is_seconds(r, err);
}

/* Ids of other types would be spelled in a way that nobody asked for: 1.0, true, a list. */
static bool check_id_type(const struct reading *r, const char *name, const char *type,
                          struct err *err)
{
    static const char *const fine[] = {"VARCHAR",  "BLOB",    "UUID",     "TINYINT",  "SMALLINT",
                                       "INTEGER",  "BIGINT",  "HUGEINT",  "UTINYINT", "USMALLINT",
                                       "UINTEGER", "UBIGINT", "UHUGEINT", NULL};

    for (int i = 0; fine[i]; i++)
        if (!strcmp(type, fine[i]))
            return true;
    return err_set(err, ERR_DATA, "'%s': column '%s' is %s; ids are text or whole numbers",
                   r->in.name, name, type);
}

static bool read_schema(struct reading *r, struct buf *types, struct err *err)
{
    AUTO(duck_rows) block = {0};

    if (!duck_query(r->d, &block,
                    "SELECT column_name, column_type FROM "
                    "(DESCRIBE FROM read_parquet(getvariable('input'), binary_as_string = true))",
                    err))
        return err_wrap(err, "'%s'", r->in.name);
    while (duck_next(&block, err))
        for (int64_t i = 0; i < block.n; i++) {
            size_t name_len, type_len;
            const char *name = duck_text(&block, 0, i, &name_len);
            const char *type = duck_text(&block, 1, i, &type_len);
            AUTO_FREE char *one = xstrndup(name, name_len);

            csv_header_add(&r->in.header, one);
            buf_put(types, type, type_len);
            buf_putc(types, '\0');
        }
    return !block.failed;
}

/* A query with the columns of read_csv.sql. */
static bool prepare_parquet(struct reading *r, struct err *err)
{
    const struct csv_header *h = &r->in.header;
    AUTO(buf) types = {0};

    if (!duck_exec(r->d, "SET TimeZone = 'UTC'", err) || /* in which times become text */
        !read_schema(r, &types, err))
        return false;
    csv_header_find(&r->in.header, r->o->form.names);
    if (!csv_header_check(h, r->o->form.names, r->o->form.has_times, err))
        return err_wrap(err, "'%s'", r->in.name);
    buf_puts(&r->query, "SELECT ");
    for (int c = 0; c < COLUMNS; c++) {
        const char *type = types.data;

        for (int i = 1; i < h->at[c]; i++)
            type += strlen(type) + 1;
        if (c <= COLUMN_ITEM && !check_id_type(r, h->names[h->at[c] - 1], type, err))
            return false;
        buf_puts(&r->query, "CAST(");
        if (h->at[c])
            duck_put_name(&r->query, h->names[h->at[c] - 1]);
        else
            buf_puts(&r->query, "NULL");
        buf_puts(&r->query, " AS VARCHAR), ");
    }
    buf_puts(&r->query, "getvariable('is_seconds') "
                        "FROM read_parquet(getvariable('input'), binary_as_string = true)");
    return set_is_seconds(r, err);
}

static bool prepare_sequence(struct reading *r, struct err *err)
{
    (void)r;
    (void)err;
    return true;
}

static const struct {
    const char *script; /* NULL: the query that prepare made */
    bool (*prepare)(struct reading *r, struct err *err);
    bool has_rejects; /* lines that get no row are in reject_errors */
} forms[] = {
    [INPUT_JSONL] = {"read_jsonl", prepare_jsonl, false},
    [INPUT_CSV] = {"read_csv", prepare_csv, true},
    [INPUT_PARQUET] = {NULL, prepare_parquet, false},
    [INPUT_SEQUENCE] = {"read_sequence", prepare_sequence, true},
};

/* ---- reading ---- */

/* A block as text, and the rows of it that count. */
struct batch {
    struct duck_string user[NAMES_BLOCK], item[NAMES_BLOCK], time[NAMES_BLOCK], rating[NAMES_BLOCK];

    struct name users[NAMES_BLOCK], items[NAMES_BLOCK];
    int64_t times[NAMES_BLOCK];
    float ratings[NAMES_BLOCK];
    int n;
    char *owned[2 * NAMES_BLOCK]; /* the ids that had to be put together */
    int n_owned;
};

static void batch_clear(struct batch *b)
{
    while (b->n_owned > 0)
        free(b->owned[--b->n_owned]);
    b->n = 0;
}

static void take_row(struct batch *b, const struct fate_row *row)
{
    b->users[b->n] = (struct name){row->user.bytes, row->user.len};
    b->items[b->n] = (struct name){row->item.bytes, row->item.len};
    b->times[b->n] = row->time;
    b->ratings[b->n++] = row->rating;
}

/* Judge the rows; those that count go into the batch. */
static void judge(struct reading *r, const struct duck_rows *block, struct batch *b)
{
    const bool *is_seconds = duck_bool(block, 4);

    duck_texts(block, 0, b->user);
    duck_texts(block, 1, b->item);
    duck_texts(block, 2, b->time);
    duck_texts(block, 3, b->rating);
    for (int64_t i = 0; i < block->n; i++) {
        struct fate_texts texts = {b->user[i], b->item[i], b->time[i], b->rating[i], is_seconds[i]};
        struct fate_row row;
        enum fate fate = fate_of(&r->rules, &texts, &row);

        if (row.owned_user)
            b->owned[b->n_owned++] = row.owned_user;
        if (row.owned_item)
            b->owned[b->n_owned++] = row.owned_item;
        if (fate == FATE_VALID)
            take_row(b, &row);
        r->have[COLUMN_USER] += row.user.len > 0;
        r->have[COLUMN_ITEM] += row.item.len > 0;
        r->counts.n[fate]++;
        if (r->first_bad < 0 && fate_is_bad(fate))
            r->first_bad = r->n_rows + i;
    }
    r->n_rows += block->n;
}

static bool take_block(struct reading *r, const struct duck_rows *block, struct batch *b,
                       struct err *err)
{
    bool ok;

    assert(block->n <= NAMES_BLOCK);
    judge(r, block, b);
    ok = rows_add(r->rows, b->n, b->users, b->items, b->times, b->ratings, (int)r->part, err);
    batch_clear(b);
    if (ok && rows_memory(r->rows) > r->o->memory)
        return err_set(err, ERR_IO,
                       "%d users and %d items don't fit into --memory-limit: their ids alone take "
                       "%zu MB",
                       r->rows->users.n, r->rows->items.n, rows_memory(r->rows) / 1000000);
    return ok;
}

static bool read_rows(struct reading *r, struct err *err)
{
    AUTO_FREE struct batch *batch = xcalloc(1, sizeof *batch);
    AUTO(duck_rows) block = {0};
    const char *script = forms[r->in.form].script;

    if (!(script ? duck_query_script(r->d, &block, script, err)
                 : duck_query(r->d, &block, buf_str(&r->query), err)))
        return false;
    while (duck_next(&block, err))
        if (!take_block(r, &block, batch, err))
            return false;
    return !block.failed;
}

/* Lines that the reader gave no row for. */
static bool count_rejects(struct reading *r, struct err *err)
{
    int64_t found[2];

    if (!forms[r->in.form].has_rejects)
        return true;
    if (!duck_row(r->d,
                  "SELECT count(DISTINCT line), CAST(coalesce(min(line_byte_position), -1) AS "
                  "BIGINT) FROM reject_errors",
                  found, 2, err))
        return false;
    r->counts.n[FATE_MALFORMED] += found[0];
    r->reject_at = found[1];
    return true;
}

static bool read_all(void *context, struct err *err)
{
    struct reading *r = context;
    bool ok;

    duck_progress(r->d, "read", "bytes", file_size(r->in.path));
    ok = forms[r->in.form].prepare(r, err) && read_rows(r, err) && count_rejects(r, err);
    duck_progress(r->d, NULL, NULL, 0);
    return ok;
}

/* ---- too many bad lines ---- */

static bool refuse_bad_lines(const struct reading *r, const char *why, struct err *err)
{
    int64_t row = r->first_bad < 0 ? INT64_MAX - 1 : r->first_bad, line = row + 1;

    if (r->in.form != INPUT_PARQUET && !input_line_of(&r->in, row, r->reject_at, &line, err))
        return false;
    return err_set(err, ERR_DATA, "%s:%lld: no valid row (%s)", r->in.name, (long long)line, why);
}

/* No line of the file is a row: say what it lacks. */
static bool refuse_file(const struct reading *r, struct err *err)
{
    int64_t lines = ingest_lines(&r->counts);

    if (lines == 0)
        return err_set(err, ERR_DATA, "'%s' has no rows", r->in.name);
    for (int c = 0; r->in.form == INPUT_JSONL && c <= COLUMN_TIME; c++)
        if (c == COLUMN_TIME || r->have[c] == 0) {
            jsonl_missing((enum column)c, r->o->form.names, buf_str(&r->in.first), err);
            return err_wrap(err, "'%s'", r->in.name);
        }
    return err_set(err, ERR_DATA, "'%s': none of %lld lines has a user, an item%s", r->in.name,
                   (long long)lines, r->in.has_times ? " and a valid time" : "");
}

static bool check_bad_lines(const struct reading *r, int64_t bad_so_far, struct err *err)
{
    int64_t bad = ingest_bad_lines(&r->counts);
    AUTO_FREE char *why = NULL;

    if (ingest_lines(&r->counts) == bad)
        return refuse_file(r, err);
    if (bad && r->o->refuse_bad_lines)
        return refuse_bad_lines(r, "--bad-lines fail", err);
    if (!bad || r->o->max_bad_lines < 0 || bad_so_far <= r->o->max_bad_lines)
        return true;
    why = xasprintf("the first of %lld bad lines; --max-bad-lines is %lld", (long long)bad_so_far,
                    (long long)r->o->max_bad_lines);
    return refuse_bad_lines(r, why, err);
}

/* ---- files ---- */

struct ingester {
    const struct ingest_options *o;
    struct duck *d;
    struct rows *rows;
    struct ingest_counts *counts;
    int64_t after, before;
    enum dataset_part part;
    bool any; /* a file was read; has_times is that of all */
};

/* Times of the world and places in an order don't go together. */
static bool check_times(struct ingester *g, const struct input *in, struct err *err)
{
    if (g->any && g->rows->o.has_times != in->has_times)
        return err_set(err, ERR_DATA, "'%s' has %s times, unlike the files before it", in->name,
                       in->has_times ? "got" : "no");
    if (!in->has_times && (g->o->after || g->o->before))
        return err_set(err, ERR_USAGE, "--after and --before: '%s' has no times", in->name);
    g->rows->o.has_times = in->has_times;
    g->any = true;
    return true;
}

static bool ingest_file(void *context, const char *name, struct err *err)
{
    struct ingester *g = context;
    AUTO(reading)
    r = {.o = g->o, .d = g->d, .rows = g->rows, .part = g->part, .first_bad = -1, .reject_at = -1};

    if (!input_look(&r.in, name, &g->o->form, g->o->temp_dir, err) || !check_times(g, &r.in, err))
        return false;
    r.rules = (struct fate_rules){.has_times = r.in.has_times,
                                  .is_json = r.in.form == INPUT_JSONL,
                                  .nulls_are_malformed = r.in.form != INPUT_PARQUET,
                                  .min_rating = g->o->min_rating,
                                  .after = g->after,
                                  .before = g->before};
    if (!input_read(&r.in, g->d, read_all, &r, err))
        return false;
    for (int f = 0; f < FATES; f++)
        g->counts->n[f] += r.counts.n[f];
    return check_bad_lines(&r, ingest_bad_lines(g->counts), err);
}

/* The time that an option says, or `none` without. */
static bool parse_date(const char *option, const char *text, int64_t none, int64_t *ms,
                       struct err *err)
{
    *ms = none;
    if (!text || timestamp_parse(text, strlen(text), false, ms))
        return true;
    return err_set(err, ERR_USAGE, "%s '%s' is no date such as 2015-09-04", option, text);
}

/* The reader's buffers, of which each thread has a few, in proportion to the memory. (With a stream
 * of less than some MB one thread alone works.) */
static bool set_buffers(struct duck *d, const struct ingest_options *o, struct err *err)
{
    enum { MB = 1 << 20, LINE_LEAST = 2 * MB, LINE_MOST = 32 * MB, STREAM_MOST = 32 * MB };
    size_t share = o->memory / 16 / (size_t)MAX(o->threads, 1);
    size_t line = MIN(MAX(share, (size_t)LINE_LEAST), (size_t)LINE_MOST);
    AUTO_FREE char *stream =
        xasprintf("SET streaming_buffer_size = '%zuB'", MIN(o->memory / 16, (size_t)STREAM_MOST));

    return duck_set_int(d, "line_bytes", (int64_t)line, err) && duck_exec(d, stream, err);
}

bool ingest(struct duck *d, const struct ingest_options *o, struct rows *rows,
            struct ingest_counts *counts, struct err *err)
{
    struct ingester g = {.o = o, .d = d, .rows = rows, .counts = counts};

    *counts = (struct ingest_counts){0};
    if (!parse_date("--after", o->after, 0, &g.after, err) ||
        !parse_date("--before", o->before, INT64_MAX, &g.before, err) || !set_buffers(d, o, err) ||
        !duck_run(d, "lines", err))
        return false;
    for (g.part = DATASET_TRAIN; g.part < DATASET_PARTS; g.part++)
        for (int i = 0; i < o->files[g.part].n; i++)
            if (!glob_each(o->files[g.part].names[i], ingest_file, &g, err))
                return false;
    return true;
}
