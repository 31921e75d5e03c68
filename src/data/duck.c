#include <duckdb.h>

#include "data/duck.h"

#include "base/interrupt.h"
#include "base/library.h"
#include "base/progress.h"
#include "data/sql/sql.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

enum { WATCH_MS = 20 };

struct duck_state {
    duckdb_database db;
    duckdb_connection con;
    struct err source_err; /* what a source failed with, while a query runs */

    pthread_t watcher;
    bool watched;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    bool stop, shows;
    struct progress bar;
};

/* ---- the library, loaded when a database is first opened ---- */

/* clang-format off */
#define DUCKDB_CALLS(X) \
    X(bind_add_result_column) X(bind_get_extra_info) X(bind_set_cardinality) X(close) \
    X(column_type) X(connect) X(create_config) X(create_logical_type) X(create_table_function) \
    X(data_chunk_get_size) X(data_chunk_get_vector) X(data_chunk_set_size) X(destroy_config) \
    X(destroy_data_chunk) X(destroy_extracted) X(destroy_logical_type) X(destroy_pending) \
    X(destroy_prepare) X(destroy_result) X(destroy_table_function) X(disconnect) \
    X(execute_pending) X(execute_prepared) X(extract_statements) X(extract_statements_error) \
    X(fetch_chunk) X(free) X(function_get_extra_info) X(function_get_init_data) \
    X(function_set_error) X(init_set_init_data) X(init_set_max_threads) X(interrupt) X(open_ext) \
    X(pending_error) X(pending_prepared_streaming) X(prepare_error) \
    X(prepare_extracted_statement) X(query_progress) X(register_table_function) X(result_error) \
    X(result_error_type) X(set_config) X(string_t_data) X(string_t_length) \
    X(table_function_set_bind) X(table_function_set_extra_info) X(table_function_set_function) \
    X(table_function_set_init) X(table_function_set_name) X(validity_row_is_valid) \
    X(validity_set_row_invalid) X(vector_assign_string_element_len) \
    X(vector_ensure_validity_writable) X(vector_get_data) X(vector_get_validity) X(vector_size)
/* clang-format on */

static struct {
#define MEMBER(name) __typeof__(duckdb_##name) *name;
    DUCKDB_CALLS(MEMBER)
} duckdb;

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static struct err load_err;

static void load(void)
{
#define CALL(name) {"duckdb_" #name, &duckdb.name},
    static const struct library_call calls[] = {DUCKDB_CALLS(CALL){0}};

    (void)!library_load("libduckdb.so", calls,
                        "datasets are read and written by DuckDB: install kindred's libduckdb.so",
                        &load_err);
}

/* ---- errors ---- */

/* DuckDB's first line without "Binder Error: " in front. */
static void first_line(const char *text, char *out, size_t size)
{
    const char *colon = strstr(text, "Error: ");
    const char *start = colon && colon - text < 40 ? colon + strlen("Error: ") : text;

    snprintf(out, size, "%.*s", (int)strcspn(start, "\r\n"), start);
}

static bool fail(struct duck_state *s, duckdb_error_type type, const char *text, struct err *err)
{
    char line[512];

    if (interrupt_signal())
        return interrupt_check(err);
    if (s->source_err.kind != ERR_NONE) {
        *err = s->source_err;
        s->source_err = (struct err){0};
        return false;
    }
    first_line(text ? text : "no reason given", line, sizeof line);
    switch (type) {
    case DUCKDB_ERROR_OUT_OF_MEMORY:
        return err_set(err, ERR_IO,
                       "more memory is needed than the limit allows (--memory-limit): %s", line);
    case DUCKDB_ERROR_IO:
    case DUCKDB_ERROR_PERMISSION:
        return err_set(err, ERR_IO, "%s", line);
    default:
        return err_set(err, ERR_DATA, "%s", line);
    }
}

/* ---- opening ---- */

/* Beside every query: shows how far it is, and stops it when a signal came. */
static void *watch(void *arg)
{
    struct duck_state *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WATCH_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&s->wake, &s->lock, &until);
        if (interrupt_signal())
            duckdb.interrupt(s->con);
        if (s->shows) {
            double share = duckdb.query_progress(s->con).percentage / 100;

            progress_update(&s->bar, (int64_t)(MAX(share, 0) * (double)s->bar.total), NULL);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void duck_progress(struct duck *d, const char *what, const char *unit, int64_t total)
{
    struct duck_state *s = d->state;

    pthread_mutex_lock(&s->lock);
    progress_release(&s->bar);
    s->shows = what != NULL;
    if (what)
        progress_init(&s->bar, what, unit, total);
    pthread_mutex_unlock(&s->lock);
}

static bool open_database(struct duck_state *s, int threads, struct err *err)
{
    duckdb_config config = NULL;
    char *why = NULL, n_threads[16];
    bool ok = duckdb.create_config(&config) == DuckDBSuccess;

    assert(ok);
    snprintf(n_threads, sizeof n_threads, "%d", threads);
    if (threads > 0)
        duckdb.set_config(config, "threads", n_threads);
    duckdb.set_config(config, "autoload_known_extensions", "false");
    duckdb.set_config(config, "autoinstall_known_extensions", "false");
    ok = duckdb.open_ext(NULL, &s->db, config, &why) == DuckDBSuccess;
    if (!ok)
        fail(s, DUCKDB_ERROR_INVALID, why, err);
    duckdb.free(why);
    duckdb.destroy_config(&config);
    if (ok && duckdb.connect(s->db, &s->con) != DuckDBSuccess)
        ok = err_set(err, ERR_IO, "cannot connect to DuckDB");
    return ok;
}

static void put_between(struct buf *b, const char *text, char mark)
{
    buf_putc(b, mark);
    for (; *text; text++) {
        if (*text == mark)
            buf_putc(b, mark);
        buf_putc(b, *text);
    }
    buf_putc(b, mark);
}

void duck_put_quoted(struct buf *b, const char *text)
{
    put_between(b, text, '\'');
}

void duck_put_name(struct buf *b, const char *name)
{
    put_between(b, name, '"');
}

static bool set_limits(struct duck *d, const struct duck_options *o, struct err *err)
{
    AUTO(buf) sql = {0};

    buf_puts(&sql, "SET preserve_insertion_order = true;"
                   "SET enable_caching_operators = false;" /* they let small blocks fall behind */
                   "SET disabled_optimizers = 'join_order,build_side_probe_side';"
                   "SET enable_progress_bar = true; SET enable_progress_bar_print = false;"
                   "SET temp_directory = ");
    duck_put_quoted(&sql, o->spill_dir ? o->spill_dir : "");
    if (!duck_exec(d, buf_str(&sql), err))
        return false;
    if (!o->memory_limit)
        return true;
    buf_clear(&sql);
    buf_puts(&sql, "SET memory_limit = ");
    duck_put_quoted(&sql, o->memory_limit);
    if (duck_exec(d, buf_str(&sql), err))
        return true;
    return err->kind != ERR_INTERRUPTED &&
           err_set(err, ERR_USAGE, "memory limit '%s' is no size such as 4GB", o->memory_limit);
}

bool duck_open(struct duck *d, const struct duck_options *options, struct err *err)
{
    static const struct duck_options none;
    struct duck_state *s;

    pthread_once(&load_once, load);
    if (load_err.kind != ERR_NONE) {
        *err = load_err;
        return false;
    }
    s = d->state = xcalloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    if (!options)
        options = &none;
    if (!open_database(s, options->threads, err) || !set_limits(d, options, err))
        return false;
    s->watched = pthread_create(&s->watcher, NULL, watch, s) == 0;
    return s->watched ? true : err_set(err, ERR_IO, "cannot start a thread");
}

void duck_release(struct duck *d)
{
    struct duck_state *s = d->state;

    if (!s)
        return;
    if (s->watched) {
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->watcher, NULL);
    }
    progress_release(&s->bar);
    duckdb.disconnect(&s->con);
    duckdb.close(&s->db);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    free(s);
    d->state = NULL;
}

/* ---- statements ---- */

static bool run_statement(struct duck_state *s, duckdb_extracted_statements all, idx_t i,
                          struct err *err)
{
    duckdb_prepared_statement one = NULL;
    duckdb_result result = {0};
    bool ok = duckdb.prepare_extracted_statement(s->con, all, i, &one) == DuckDBSuccess;

    if (!ok) {
        fail(s, DUCKDB_ERROR_INVALID, duckdb.prepare_error(one), err);
    } else {
        ok = duckdb.execute_prepared(one, &result) == DuckDBSuccess;
        if (!ok)
            fail(s, duckdb.result_error_type(&result), duckdb.result_error(&result), err);
        duckdb.destroy_result(&result);
    }
    duckdb.destroy_prepare(&one);
    return ok;
}

bool duck_exec(struct duck *d, const char *sql, struct err *err)
{
    struct duck_state *s = d->state;
    duckdb_extracted_statements all = NULL;
    idx_t n = duckdb.extract_statements(s->con, sql, &all);
    bool ok = n > 0;

    if (!ok)
        fail(s, DUCKDB_ERROR_PARSER, duckdb.extract_statements_error(all), err);
    for (idx_t i = 0; ok && i < n; i++)
        ok = interrupt_check(err) && run_statement(s, all, i, err);
    duckdb.destroy_extracted(&all);
    return ok;
}

static const char *script(const char *name)
{
    for (const struct embedded *s = sql_scripts; s->name; s++)
        if (!strcmp(s->name, name))
            return s->text;
    assert(!"a script of src/data/sql");
    return NULL;
}

bool duck_run(struct duck *d, const char *name, struct err *err)
{
    return duck_exec(d, script(name), err);
}

static bool set_variable(struct duck *d, const char *name, const struct buf *value, struct err *err)
{
    AUTO_FREE char *sql = xasprintf("SET VARIABLE %s = %s", name, buf_str(value));

    return duck_exec(d, sql, err);
}

bool duck_set_int(struct duck *d, const char *name, int64_t value, struct err *err)
{
    AUTO(buf) b = {0};

    buf_printf(&b, "CAST(%lld AS BIGINT)", (long long)value);
    return set_variable(d, name, &b, err);
}

bool duck_set_real(struct duck *d, const char *name, double value, struct err *err)
{
    AUTO(buf) b = {0};

    buf_puts(&b, "CAST(");
    if (isnan(value))
        buf_puts(&b, "NULL");
    else
        buf_printf(&b, "%.17g", value);
    buf_puts(&b, " AS DOUBLE)");
    return set_variable(d, name, &b, err);
}

bool duck_set_bool(struct duck *d, const char *name, bool value, struct err *err)
{
    AUTO(buf) b = {0};

    buf_puts(&b, value ? "true" : "false");
    return set_variable(d, name, &b, err);
}

bool duck_set_text(struct duck *d, const char *name, const char *value, struct err *err)
{
    AUTO(buf) b = {0};

    duck_put_quoted(&b, value);
    return set_variable(d, name, &b, err);
}

bool duck_set_texts(struct duck *d, const char *name, const char *const *values, int n,
                    struct err *err)
{
    AUTO(buf) b = {0};

    buf_puts(&b, "CAST([");
    for (int i = 0; i < n; i++) {
        if (i)
            buf_putc(&b, ',');
        duck_put_quoted(&b, values[i]);
    }
    buf_puts(&b, "] AS VARCHAR[])");
    return set_variable(d, name, &b, err);
}

/* ---- results ---- */

struct duck_rows_state {
    struct duck_state *duck;
    duckdb_prepared_statement statement;
    duckdb_result result;
    duckdb_data_chunk chunk;
};

/* Run all statements but the last, and prepare that one. */
static bool prepare_last(struct duck_state *s, const char *sql, duckdb_prepared_statement *last,
                         struct err *err)
{
    duckdb_extracted_statements all = NULL;
    idx_t n = duckdb.extract_statements(s->con, sql, &all);
    bool ok = n > 0;

    if (!ok)
        fail(s, DUCKDB_ERROR_PARSER, duckdb.extract_statements_error(all), err);
    for (idx_t i = 0; ok && i + 1 < n; i++)
        ok = interrupt_check(err) && run_statement(s, all, i, err);
    if (ok && duckdb.prepare_extracted_statement(s->con, all, n - 1, last) != DuckDBSuccess)
        ok = fail(s, DUCKDB_ERROR_INVALID, duckdb.prepare_error(*last), err);
    duckdb.destroy_extracted(&all);
    return ok;
}

bool duck_query(struct duck *d, struct duck_rows *r, const char *sql, struct err *err)
{
    struct duck_rows_state *s = xcalloc(1, sizeof *s);
    duckdb_pending_result pending = NULL;
    bool ok;

    *r = (struct duck_rows){.state = s};
    s->duck = d->state;
    if (!prepare_last(d->state, sql, &s->statement, err))
        return false;
    ok = duckdb.pending_prepared_streaming(s->statement, &pending) == DuckDBSuccess;
    if (!ok)
        fail(d->state, DUCKDB_ERROR_INVALID, duckdb.pending_error(pending), err);
    if (ok) {
        ok = duckdb.execute_pending(pending, &s->result) == DuckDBSuccess;
        if (!ok)
            fail(d->state, duckdb.result_error_type(&s->result), duckdb.result_error(&s->result),
                 err);
    }
    duckdb.destroy_pending(&pending);
    return ok;
}

bool duck_query_script(struct duck *d, struct duck_rows *r, const char *name, struct err *err)
{
    return duck_query(d, r, script(name), err);
}

bool duck_next(struct duck_rows *r, struct err *err)
{
    struct duck_rows_state *s = r->state;
    const char *why;

    duckdb.destroy_data_chunk(&s->chunk);
    s->chunk = duckdb.fetch_chunk(s->result);
    r->n = s->chunk ? (int64_t)duckdb.data_chunk_get_size(s->chunk) : 0;
    if (s->chunk)
        return true;
    why = duckdb.result_error(&s->result);
    if (why || interrupt_signal()) {
        r->failed = true;
        fail(s->duck, duckdb.result_error_type(&s->result), why, err);
    }
    return false;
}

void duck_rows_release(struct duck_rows *r)
{
    struct duck_rows_state *s = r->state;

    if (!s)
        return;
    duckdb.destroy_data_chunk(&s->chunk);
    duckdb.destroy_result(&s->result);
    duckdb.destroy_prepare(&s->statement);
    free(s);
    *r = (struct duck_rows){0};
}

static duckdb_vector vector_of(const struct duck_rows *r, int column)
{
    return duckdb.data_chunk_get_vector(r->state->chunk, (idx_t)column);
}

static const void *column_of(const struct duck_rows *r, int column, duckdb_type type)
{
    assert(duckdb.column_type(&r->state->result, (idx_t)column) == type);
    return duckdb.vector_get_data(vector_of(r, column));
}

const int32_t *duck_int32(const struct duck_rows *r, int column)
{
    return column_of(r, column, DUCKDB_TYPE_INTEGER);
}

const int64_t *duck_int64(const struct duck_rows *r, int column)
{
    return column_of(r, column, DUCKDB_TYPE_BIGINT);
}

const float *duck_float(const struct duck_rows *r, int column)
{
    return column_of(r, column, DUCKDB_TYPE_FLOAT);
}

const bool *duck_bool(const struct duck_rows *r, int column)
{
    return column_of(r, column, DUCKDB_TYPE_BOOLEAN);
}

const char *duck_text(const struct duck_rows *r, int column, int64_t row, size_t *len)
{
    duckdb_string_t *s = (duckdb_string_t *)column_of(r, column, DUCKDB_TYPE_VARCHAR) + row;

    *len = duckdb.string_t_length(*s);
    return duckdb.string_t_data(s);
}

bool duck_is_null(const struct duck_rows *r, int column, int64_t row)
{
    uint64_t *valid = duckdb.vector_get_validity(vector_of(r, column));

    return valid && !duckdb.validity_row_is_valid(valid, (idx_t)row);
}

void duck_texts(const struct duck_rows *r, int column, struct duck_string *out)
{
    duckdb_string_t *s = (duckdb_string_t *)column_of(r, column, DUCKDB_TYPE_VARCHAR);
    const uint64_t *valid = duckdb.vector_get_validity(vector_of(r, column));

    for (int64_t i = 0; i < r->n; i++)
        if (valid && !(valid[i / 64] >> i % 64 & 1))
            out[i] = (struct duck_string){0};
        else
            out[i] =
                (struct duck_string){duckdb.string_t_data(&s[i]), duckdb.string_t_length(s[i])};
}

bool duck_row(struct duck *d, const char *sql, int64_t *out, int n, struct err *err)
{
    AUTO(duck_rows) r = {0};
    int64_t seen = 0;

    if (!duck_query(d, &r, sql, err))
        return false;
    for (; duck_next(&r, err); seen += r.n)
        for (int i = 0; i < n; i++) {
            assert(!duck_is_null(&r, i, 0));
            out[i] = duck_int64(&r, i)[0];
        }
    assert(r.failed || seen == 1);
    return !r.failed;
}

/* ---- sources ---- */

struct source {
    const struct duck_source *is;
    struct duck_state *duck;
};

static const duckdb_type source_types[] = {
    [DUCK_INT32] = DUCKDB_TYPE_INTEGER,
    [DUCK_INT64] = DUCKDB_TYPE_BIGINT,
    [DUCK_FLOAT] = DUCKDB_TYPE_FLOAT,
    [DUCK_TEXT] = DUCKDB_TYPE_VARCHAR,
};

static int n_columns(const struct duck_source *s)
{
    int n = 0;

    while (n < DUCK_SOURCE_COLUMNS_MAX && s->columns[n].name)
        n++;
    return n;
}

static void source_bind(duckdb_bind_info info)
{
    const struct source *s = duckdb.bind_get_extra_info(info);

    for (int i = 0; i < n_columns(s->is); i++) {
        duckdb_logical_type type = duckdb.create_logical_type(source_types[s->is->columns[i].type]);

        duckdb.bind_add_result_column(info, s->is->columns[i].name, type);
        duckdb.destroy_logical_type(&type);
    }
    duckdb.bind_set_cardinality(info, (idx_t)s->is->n_rows, false);
}

static void source_init(duckdb_init_info info)
{
    duckdb.init_set_max_threads(info, 1);
    duckdb.init_set_init_data(info, xcalloc(1, sizeof(int64_t)), free); /* rows given so far */
}

static void nan_to_null(duckdb_vector v, const float *x, int64_t n)
{
    uint64_t *valid = NULL;

    for (int64_t i = 0; i < n; i++) {
        if (!isnan(x[i]))
            continue;
        if (!valid) {
            duckdb.vector_ensure_validity_writable(v);
            valid = duckdb.vector_get_validity(v);
        }
        duckdb.validity_set_row_invalid(valid, (idx_t)i);
    }
}

static void put_texts(duckdb_vector v, const struct duck_string *texts, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        duckdb.vector_assign_string_element_len(v, (idx_t)i, texts[i].bytes, texts[i].len);
}

static void source_next(duckdb_function_info info, duckdb_data_chunk out)
{
    struct source *s = duckdb.function_get_extra_info(info);
    int64_t *at = duckdb.function_get_init_data(info), n = 0, max = (int64_t)duckdb.vector_size();
    void *columns[DUCK_SOURCE_COLUMNS_MAX], *texts[DUCK_SOURCE_COLUMNS_MAX] = {0};
    int width = n_columns(s->is);
    bool ok;

    for (int i = 0; i < width; i++)
        columns[i] = s->is->columns[i].type == DUCK_TEXT
                         ? (texts[i] = xmalloc((size_t)max, sizeof(struct duck_string)))
                         : duckdb.vector_get_data(duckdb.data_chunk_get_vector(out, (idx_t)i));
    ok = s->is->next(s->is->context, *at, columns, max, &n, &s->duck->source_err);
    for (int i = 0; i < width; i++) {
        duckdb_vector v = duckdb.data_chunk_get_vector(out, (idx_t)i);

        if (ok && texts[i])
            put_texts(v, texts[i], n);
        if (ok && s->is->columns[i].type == DUCK_FLOAT)
            nan_to_null(v, columns[i], n);
        free(texts[i]);
    }
    if (!ok) {
        duckdb.function_set_error(info, "a source failed");
        return;
    }
    *at += n;
    duckdb.data_chunk_set_size(out, (idx_t)n);
}

bool duck_register_source(struct duck *d, const struct duck_source *source, struct err *err)
{
    duckdb_table_function f = duckdb.create_table_function();
    struct source *s = xcalloc(1, sizeof *s);
    bool ok;

    *s = (struct source){source, d->state};
    duckdb.table_function_set_name(f, source->name);
    duckdb.table_function_set_extra_info(f, s, free);
    duckdb.table_function_set_bind(f, source_bind);
    duckdb.table_function_set_init(f, source_init);
    duckdb.table_function_set_function(f, source_next);
    ok = duckdb.register_table_function(d->state->con, f) == DuckDBSuccess;
    duckdb.destroy_table_function(&f);
    return ok ? true : err_set(err, ERR_DATA, "cannot register source '%s'", source->name);
}
