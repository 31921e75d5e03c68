/* items.h - what is known of an item beside who took it: META files to the table item_meta.
 *
 * META is JSONL in the form of Amazon's data of 2023, plain, gzip or zstd, told by the first bytes:
 *
 *     id              parent_asin, else asin, else item_id: text or a whole number
 *     price           a number, or text such as "12.99" or "$1,012.99"
 *     categories      a list of texts
 *     images          a list; of its first element `large`, else hi_res, else thumb, or its text
 *     title, main_category, store   text
 *
 * What is of another type is null. A line is bad if it is no JSON object or has no id. */
#ifndef KINDRED_ITEMS_H
#define KINDRED_ITEMS_H

#include "data/duck.h"

struct items_counts {
    int64_t lines_read, bad_lines;
};

/* Make the table item_meta (item_idx INTEGER, title VARCHAR, price DOUBLE, main_category VARCHAR,
 * categories VARCHAR[], store VARCHAR, image VARCHAR) of (n) files and globs: one row at most for
 * each item of the table items (item_id VARCHAR; rowid is the index), none for others. Of an item's
 * lines the first counts, files in their order. temp_dir: as in input.h. Memory: 12 bytes a line of
 * one file, and what is kept.
 *
 * ERR_IO    a file can't be read, a glob matches none
 * ERR_DATA  a damaged or empty file, a file with lines none of which has an id */
NODISCARD bool items_read(struct duck *d, const char *const *files, int n, const char *temp_dir,
                          struct items_counts *counts, struct err *err);

#endif
