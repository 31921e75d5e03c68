/* input.h - what an input file is, as far as its first bytes and lines tell.
 *
 *     form       told by
 *     Parquet    its first bytes
 *     JSONL      a name in .json .jsonl .ndjson; or another name than that of a table, and `{`
 *     sequence   a first line with blanks and no other delimiter, where --columns says nothing else
 *     CSV        the rest: a table whose first line is a header, unless --columns stands for one
 *
 * each plain, gzip or Zstandard, which is told by the first bytes alone. Fields are found by name:
 *
 *                JSONL, in order of preference        CSV, Parquet: the first column beginning with
 *     user       user_id reviewerID                   user, reviewer
 *     item       parent_asin asin item_id             item, product, or is parent_asin, asin
 *     time       timestamp unixReviewTime time        time, date, unix
 *                reviewTime date
 *     rating     rating overall                       rating, overall, score */
#ifndef KINDRED_INPUT_H
#define KINDRED_INPUT_H

#include "data/columns.h"
#include "data/duck.h"
#include "data/packed.h"
#include "data/spool.h"

enum input_form { INPUT_AUTO, INPUT_JSONL, INPUT_CSV, INPUT_PARQUET, INPUT_SEQUENCE };
#define INPUT_FORMATS "auto|jsonl|csv|parquet|sequence"

struct input_options {
    const char *format;  /* one of INPUT_FORMATS */
    const char *columns; /* of a table without a header; NULL: there is one */
    column_names names;  /* NULL each: found by name */
    bool has_times;      /* false: none are looked for */
};

struct input {
    const char *name;  /* what the user calls it */
    char *path;        /* what is read */
    struct spool copy; /* of what can't be read as it stands; path is then this one's */
    enum packing packing;
    enum input_form form;
    bool has_times;

    /* Of a text. */
    struct buf first;         /* the first line that isn't blank, without a byte order mark */
    int64_t first_at;         /* its line number, from 1 */
    int64_t skip;             /* of a CSV, line ends to pass over before the first row */
    struct csv_header header; /* of a CSV, and of a Parquet file once its schema was read */
};

/* Look at a file; "-" is standard input. What can be read only once, this and pipes, is copied to
 * temp_dir, unpacked; so is a text with a byte order mark, without it, and what is packed in a way
 * that DuckDB doesn't read.
 *
 * ERR_IO    it can't be read
 * ERR_DATA  it's empty, damaged, of a foreign kind, or hasn't the columns */
NODISCARD bool input_look(struct input *in, const char *name, const struct input_options *o,
                          const char *temp_dir, struct err *err);
void input_release(struct input *in);

/* Let `read` read the file, as getvariable('input') with getvariable('compression'). What is packed
 * is meanwhile checked; damage is told instead of what the reader makes of it. Errors that a
 * reading of bad data ends with name the file. */
typedef bool input_reader(void *context, struct err *err);
NODISCARD bool input_read(const struct input *in, struct duck *d, input_reader *read, void *context,
                          struct err *err);

/* The number, from 1, of the text line in which row `row` (from 0, of those that the reader of
 * this form gives; byte -1) stands, or the one that holds the unpacked text's byte `byte`,
 * whichever comes first. */
NODISCARD bool input_line_of(const struct input *in, int64_t row, int64_t byte, int64_t *line,
                             struct err *err);

#endif
