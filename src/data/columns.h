/* columns.h - which fields of a file stand for user, item, time and rating (the table in input.h).
 */
#ifndef KINDRED_COLUMNS_H
#define KINDRED_COLUMNS_H

#include "base/buf.h"
#include "base/err.h"

enum column { COLUMN_USER, COLUMN_ITEM, COLUMN_TIME, COLUMN_RATING, COLUMNS };

/* (COLUMNS) what the user named; NULL: find it. */
typedef const char *column_names[COLUMNS];

/* ---- tables: delimited text, Parquet ---- */

struct csv_header {
    char delimiter[3]; /* one of "\t" "," ";" "::" "|" and, without a header line, " " */
    char **names;      /* (n); NULL where --columns gave them */
    int n;
    int at[COLUMNS]; /* counted from 1; 0: none */
};

/* Take a header line apart. Never fails: what is missing is for csv_header_check to say. */
void csv_header_parse(struct csv_header *h, const char *line, const column_names given);
void csv_header_release(struct csv_header *h);

/* For a file without a header line: what --columns says, "user,item,-,time" with - for a column of
 * no interest, and the delimiter that gives `first_line` as many fields.
 *
 * ERR_USAGE  a word that is none of these, twice the same, no user or no item
 * ERR_DATA   the line hasn't that many fields */
NODISCARD bool csv_header_given(struct csv_header *h, const char *columns, const char *first_line,
                                struct err *err);

/* Append a name of a table whose form brings them; then csv_header_find. */
void csv_header_add(struct csv_header *h, const char *name);
void csv_header_find(struct csv_header *h, const column_names given);

/* ERR_DATA naming the first column that is lacking, where it was looked for, and what there is.
 * needs_time: that one too must be there. */
NODISCARD bool csv_header_check(const struct csv_header *h, const column_names given,
                                bool needs_time, struct err *err);

/* ---- JSONL ---- */

/* The names that are looked for, in order of preference: `given`, or the usual ones. Returns how
 * many, at most JSONL_NAMES_MAX. */
enum { JSONL_NAMES_MAX = 5 };
int jsonl_names(enum column c, const column_names given, const char *out[JSONL_NAMES_MAX]);

/* ERR_DATA: no line had a `c`; names what was looked for, and the members of `line`. */
bool jsonl_missing(enum column c, const column_names given, const char *line, struct err *err);

#endif
