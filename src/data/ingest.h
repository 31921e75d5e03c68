/* ingest.h - raw files to the table `raw`: a row for each line, in the order of the input.
 *
 * A file is JSONL (each line an object) or CSV (a header; delimited by tab, comma or semicolon),
 * plain or .gz; which, is told by its name and its first bytes. Fields are found by name:
 *
 *                JSONL, in order of preference        CSV: the first column that begins with
 *     user       user_id reviewerID                   user, reviewer
 *     item       parent_asin asin item_id             item, product, or is parent_asin, asin
 *     time       timestamp unixReviewTime time        time, date, unix
 *     rating     rating overall                       rating, overall, score
 *
 * A line is bad if it can't be read, if user or item is empty, or if the time is no number within
 * the years 1970 to 9999. A rating may be absent. Blank lines don't count. */
#ifndef KINDRED_INGEST_H
#define KINDRED_INGEST_H

#include "data/duck.h"

struct ingest_options {
    const char *const *input; /* (n_input) files and globs */
    int n_input;
    const char *user_column, *item_column, *time_column; /* NULL: found by name */
    bool refuse_bad_lines;
    int64_t max_bad_lines; /* -1: any number */
    const char *work_dir;  /* a folder for a file that is gone again afterwards */
};

struct ingest_counts {
    int64_t lines_read, bad_lines;
};

/* Read all files into the table `raw` (user_id, item_id, timestamp, rating), which is made here;
 * bad lines have no timestamp; rowid is the order, with gaps. A CSV's lines of invalid UTF-8 have
 * no row.
 *
 * ERR_IO    a file can't be read, a glob matches none
 * ERR_DATA  a file without rows, a damaged .gz, a column that isn't there, too many bad lines */
NODISCARD bool ingest(struct duck *d, const struct ingest_options *o, struct ingest_counts *counts,
                      struct err *err);

#endif
