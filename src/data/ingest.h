/* ingest.h - input files to rows (rows.h), with an account of every line. */
#ifndef KINDRED_INGEST_H
#define KINDRED_INGEST_H

#include "data/dataset.h"
#include "data/duck.h"
#include "data/fate.h"
#include "data/input.h"
#include "data/rows.h"

struct ingest_options {
    struct ingest_files {
        const char *const *names; /* (n) files, globs, "-" */
        int n;
    } files[DATASET_PARTS]; /* by the part that their rows are given; else all are the first */
    struct input_options form;
    double min_rating;          /* NaN: none */
    const char *after, *before; /* times as in the input; NULL: none. after <= t < before */
    bool refuse_bad_lines;
    int64_t max_bad_lines; /* -1: any number */
    const char *temp_dir;
    size_t
        memory; /* bytes that the ids may take; the reader's buffers are a part of it for each of */
    int threads; /* 0: all cores */
};

struct ingest_counts {
    int64_t n[FATES]; /* lines; of sequences, pairs of a user and an item */
};

static inline int64_t ingest_lines(const struct ingest_counts *c)
{
    int64_t sum = 0;

    for (int f = 0; f < FATES; f++)
        sum += c->n[f];
    return sum;
}

static inline int64_t ingest_bad_lines(const struct ingest_counts *c)
{
    return c->n[FATE_MALFORMED] + c->n[FATE_MISSING_FIELD] + c->n[FATE_OUT_OF_RANGE];
}

/* Append the valid rows of all files to `rows`, in the order of the input; sets rows->o.has_times.
 *
 * ERR_USAGE  a date that is none
 * ERR_IO     a file can't be read, a glob matches none
 * ERR_DATA   a file without rows, a damaged one, a column that isn't there, too many bad lines,
 *            files with times beside others without */
NODISCARD bool ingest(struct duck *d, const struct ingest_options *o, struct rows *rows,
                      struct ingest_counts *counts, struct err *err);

#endif
