/* columns.h - which fields of a file stand for user, item, time and rating (the table in ingest.h).
 */
#ifndef KINDRED_COLUMNS_H
#define KINDRED_COLUMNS_H

#include "base/buf.h"
#include "base/err.h"

enum column { COLUMN_USER, COLUMN_ITEM, COLUMN_TIME, COLUMN_RATING, COLUMNS };

/* (COLUMNS) what the user named; NULL: find it. */
typedef const char *column_names[COLUMNS];

/* ---- CSV ---- */

struct csv_header {
    char delimiter;
    char **names; /* (n) */
    int n;
    int at[COLUMNS]; /* counted from 1; 0: none */
};

/* Take a header line apart. Never fails: what is missing is for csv_missing to say. */
void csv_header_parse(struct csv_header *h, const char *line, const column_names given);
void csv_header_release(struct csv_header *h);

/* ERR_DATA naming the first column that is lacking, where it was looked for, and what there is. */
NODISCARD bool csv_header_check(const struct csv_header *h, const column_names given,
                                struct err *err);

/* ---- JSONL ---- */

/* The names that are looked for, in order of preference: `given`, or the usual ones. Returns how
 * many, at most JSONL_NAMES_MAX. */
enum { JSONL_NAMES_MAX = 4 };
int jsonl_names(enum column c, const column_names given, const char *out[JSONL_NAMES_MAX]);

/* ERR_DATA: no line had a `c`; names what was looked for, and the members of `line`. */
bool jsonl_missing(enum column c, const column_names given, const char *line, struct err *err);

#endif
