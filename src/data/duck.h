/* duck.h - DuckDB, a database in memory for as long as one job takes (owner of duckdb.h: duck.c).
 *
 * SQL of more than a line stands in src/data/sql/NAME.sql and is run by its name; what it needs to
 * know it asks for by getvariable('...'). Numbers and text cross in blocks of a column each.
 *
 * Joins run as they are written: the table on the left streams past a hash table of the one on the
 * right, so the order of the left one's rows is kept (unless that hash table exceeds the memory
 * limit).
 *
 * A query stops at SIGINT and SIGTERM, with ERR_INTERRUPTED (base/interrupt.h).
 *
 * libduckdb.so is loaded by the first duck_open, which fails with ERR_IO where there is none. */
#ifndef KINDRED_DUCK_H
#define KINDRED_DUCK_H

#include "base/buf.h"
#include "base/err.h"

struct duck {
    struct duck_state *state;
};

struct duck_options {
    int threads;              /* 0: all cores */
    const char *memory_limit; /* "4GB"; NULL: DuckDB's own, 80 % of the machine */
    const char *spill_dir;    /* a folder it may make for what exceeds memory; NULL: none */
};

/* `options` may be NULL. ERR_USAGE for a memory limit that is no size. */
NODISCARD bool duck_open(struct duck *d, const struct duck_options *options, struct err *err);
void duck_release(struct duck *d);

/* From here on show how far the running query is, as a share of `total` units. what == NULL: no
 * longer. `what` and `unit` live as long as they are shown. */
void duck_progress(struct duck *d, const char *what, const char *unit, int64_t total);

/* ---- statements ---- */

/* Run src/data/sql/NAME.sql. */
NODISCARD bool duck_run(struct duck *d, const char *name, struct err *err);

/* Run statements, separated by semicolons. */
NODISCARD bool duck_exec(struct duck *d, const char *sql, struct err *err);

/* What getvariable('name') gives from here on: BIGINT, DOUBLE (NaN: NULL), BOOLEAN, VARCHAR,
 * VARCHAR[]. */
NODISCARD bool duck_set_int(struct duck *d, const char *name, int64_t value, struct err *err);
NODISCARD bool duck_set_real(struct duck *d, const char *name, double value, struct err *err);
NODISCARD bool duck_set_bool(struct duck *d, const char *name, bool value, struct err *err);
NODISCARD bool duck_set_text(struct duck *d, const char *name, const char *value, struct err *err);
NODISCARD bool duck_set_texts(struct duck *d, const char *name, const char *const *values, int n,
                              struct err *err);

/* Append text to SQL, quoted: 'it''s'; or the name of a column: "it's". */
void duck_put_quoted(struct buf *sql, const char *text);
void duck_put_name(struct buf *sql, const char *name);

/* ---- results ---- */

/* The one row of a query with (n) BIGINT columns, none NULL. */
NODISCARD bool duck_row(struct duck *d, const char *sql, int64_t *out, int n, struct err *err);

/* Text: UTF-8, not ended by a '\0'. */
struct duck_string {
    const char *bytes;
    size_t len;
};

/* The rows of a query (of the last one, where there are several statements), block by block:
 *
 *     AUTO(duck_rows) rows = {0};
 *     if (!duck_query(d, &rows, "SELECT user_idx, user_id FROM users", err))
 *         return false;
 *     while (duck_next(&rows, err)) {
 *         const int32_t *user = duck_int32(&rows, 0);
 *         for (int64_t i = 0; i < rows.n; i++) ...
 *     }
 *     return !rows.failed; */
struct duck_rows {
    int64_t n; /* rows in the present block */
    bool failed;
    struct duck_rows_state *state;
};

NODISCARD bool duck_query(struct duck *d, struct duck_rows *r, const char *sql, struct err *err);

/* The same for src/data/sql/NAME.sql: the rows of its last statement. */
NODISCARD bool duck_query_script(struct duck *d, struct duck_rows *r, const char *name,
                                 struct err *err);
NODISCARD bool duck_next(struct duck_rows *r, struct err *err); /* false: the end, or failed */
void duck_rows_release(struct duck_rows *r);

/* A column of the block, (n) values; its type in SQL must be the named one (an assert). What stands
 * at a NULL's place is undefined; duck_is_null tells. Valid until the next duck_next. */
const int32_t *duck_int32(const struct duck_rows *r, int column); /* INTEGER */
const int64_t *duck_int64(const struct duck_rows *r, int column); /* BIGINT */
const float *duck_float(const struct duck_rows *r, int column);   /* FLOAT */
const bool *duck_bool(const struct duck_rows *r, int column);     /* BOOLEAN */
const char *duck_text(const struct duck_rows *r, int column, int64_t row,
                      size_t *len); /* VARCHAR */
bool duck_is_null(const struct duck_rows *r, int column, int64_t row);

/* A whole column of text: out (n); bytes NULL where it's NULL. */
void duck_texts(const struct duck_rows *r, int column, struct duck_string *out);

/* ---- tables that C makes up as a query reads them ---- */

enum duck_type { DUCK_INT32, DUCK_INT64, DUCK_FLOAT, DUCK_TEXT };

enum { DUCK_SOURCE_COLUMNS_MAX = 8 };

/* SELECT ... FROM name(): its rows come in the order in which `next` gives them. */
struct duck_source {
    const char *name;
    struct duck_source_column {
        const char *name;
        enum duck_type type;
    } columns[DUCK_SOURCE_COLUMNS_MAX]; /* ends with a NULL name where there are fewer */
    int64_t n_rows;                     /* about how many there will be, for the planner */

    /* Fill (max) rows at most of columns[c] (of DUCK_TEXT struct duck_string, whose bytes are
     * copied when this returns), set *n: 0 is the end. `at` rows were given by this scan before; 0
     * starts it, and a query may scan more than once. A NaN becomes NULL. Runs on one of DuckDB's
     * threads, one call at a time; must not use the database. */
    bool (*next)(void *context, int64_t at, void *const *columns, int64_t max, int64_t *n,
                 struct err *err);
    void *context;
};

/* The source and its context must outlive the last query that reads it. */
NODISCARD bool duck_register_source(struct duck *d, const struct duck_source *source,
                                    struct err *err);

#endif
