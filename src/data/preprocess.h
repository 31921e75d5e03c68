/* preprocess.h - from raw files to a dataset folder (dataset.h): what the command does. */
#ifndef KINDRED_PREPROCESS_H
#define KINDRED_PREPROCESS_H

#include "base/json.h"
#include "data/dataset.h"
#include "data/ingest.h"
#include "data/split.h"

struct preprocess_options {
    struct ingest_options in;
    const char *output_dir;
    int min_user, min_item;
    const struct split *split;
    double train_ratio, val_ratio; /* within 0..1, and so is their sum */
    int threads;                   /* 0: all cores */
    const char *memory_limit;      /* NULL: DuckDB's own */
};

struct preprocess_stats {
    struct ingest_counts in;
    int64_t n_repeated, n_kept, n_part[DATASET_PARTS];
    int32_t n_users, n_items;
    char config_id[128]; /* "temporal-u5-i5-0.7-0.15": what shaped the data */
    char file_digest[DATASET_FILES][DIGEST_HEX], digest[DIGEST_HEX];
};

/* Write the whole folder or leave what was there. json: empty; gets what stats.json gets.
 *
 * Memory: DuckDB's limit and 60 bytes a line. */
NODISCARD bool preprocess(const struct preprocess_options *o, struct preprocess_stats *s,
                          struct json_out *json, struct err *err);

#endif
