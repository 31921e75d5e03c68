/* preprocess.h - from raw files to a dataset folder (dataset.h): what the command does. */
#ifndef KINDRED_PREPROCESS_H
#define KINDRED_PREPROCESS_H

#include "base/json.h"
#include "data/dataset.h"
#include "data/ingest.h"
#include "data/items.h"
#include "data/split.h"
#include "data/summary.h"

struct preprocess_options {
    struct ingest_options in;  /* temp_dir and memory are set here */
    struct ingest_files items; /* metadata */
    const char *output_dir;
    const char *temp_dir; /* NULL: within the output's temporary folder */
    int min_user, min_item;
    enum repeats repeats;
    struct split_options split;
    int threads;              /* 0: all cores */
    const char *memory_limit; /* "4GB"; NULL: 80 % of the machine's */
};

struct preprocess_stats {
    struct ingest_counts in;
    struct items_counts items;
    int64_t n_repeated, lost_by_user, lost_by_item, n_kept, n_part[DATASET_PARTS];
    int32_t n_users, n_items;
    int64_t n_titles; /* items that have one */
    bool has_times;
    int64_t first_time, last_time; /* of the kept rows */
    char config_id[256];           /* "temporal-u5-i5-0.7-0.15": what shaped the data */
    char file_digest[DATASET_FILES][DIGEST_HEX], digest[DIGEST_HEX];
};

/* The account of the lines: what became of those read, one after the other, and what was kept.
 * Fills (PREPROCESS_STEPS) rows. */
enum { PREPROCESS_STEPS = FATES + 4 };
struct preprocess_step {
    const char *key;  /* in stats.json; NULL for the lines read, the sum of all others */
    const char *what; /* for people */
    int64_t n;
};
void preprocess_account(const struct preprocess_stats *s,
                        struct preprocess_step out[PREPROCESS_STEPS]);

/* Write the whole folder or leave what was there. summary: NULL: not wanted.
 *
 * Memory: that of the limit; the ids of all users and items have to fit into it. */
NODISCARD bool preprocess(const struct preprocess_options *o, struct preprocess_stats *s,
                          struct summary *summary, struct err *err);

/* What stats.json holds, as members of the object that is open. */
void preprocess_put_stats(const struct preprocess_options *o, const struct preprocess_stats *s,
                          struct json_out *j);

#endif
