/* dataset.h - a folder that preprocess wrote, as arrays in memory. */
#ifndef KINDRED_DATASET_H
#define KINDRED_DATASET_H

#include "base/digest.h"
#include "base/err.h"

/* Who took what: compressed sparse rows. Row u is items[offsets[u]] .. items[offsets[u + 1] - 1],
 * in order of time, and of the input where times are equal. */
struct interactions {
    int64_t *offsets; /* (n_users + 1) */
    int32_t *items;   /* (n) */
    int64_t *times;   /* (n) milliseconds since 1970; NULL: not asked for, or the input had none */
    int64_t n;
};

enum dataset_part { DATASET_TRAIN, DATASET_VAL, DATASET_TEST, DATASET_PARTS };
extern const char *const dataset_parts[DATASET_PARTS]; /* their names */

/* The files of the folder; the first ones by enum dataset_part. stats.json holds the digests of all
 * others (DATASET_FILES) and is put there last. */
enum { DATASET_USERS = DATASET_PARTS, DATASET_ITEMS, DATASET_FILES, DATASET_STATS = DATASET_FILES };
extern const char *const dataset_files[DATASET_FILES + 1];

struct dataset {
    int32_t n_users, n_items;
    char digest[DIGEST_HEX];                 /* of the whole dataset, from stats.json */
    struct interactions part[DATASET_PARTS]; /* those that were asked for; the others are zeroed */
};

enum { DATASET_TIMES = 1 << 8 }; /* a bit for dataset_open */

/* Read the parts whose bits (1u << DATASET_TRAIN ...) are set in `parts`, with the rows' times if
 * DATASET_TIMES is; no other part's file is touched.
 *
 * ERR_IO    a file of the folder is missing; the message says to run preprocess
 * ERR_DATA  a file isn't the one that stats.json speaks of, or an index is out of range */
NODISCARD bool dataset_open(struct dataset *d, const char *dir, unsigned parts, struct err *err);
void dataset_release(struct dataset *d);

/* How many blocks of users suit data of that size. */
typedef int dataset_blocks_fn(int64_t n_rows, int32_t n_users, int32_t n_items);

/* Where the users of train.parquet, in *n_blocks blocks of neighbours with about the same number of
 * rows each, begin: *begin (*n_blocks + 1), to be freed even on failure. 0 blocks become as many as
 * `choose` says. Reads single rows only. `whole` gets sizes and digest, and no part. Errors as
 * dataset_open. */
NODISCARD bool dataset_cut(struct dataset *whole, const char *dir, int *n_blocks,
                           dataset_blocks_fn *choose, int32_t **begin, struct err *err);

/* As dataset_open, of the users first .. end - 1 alone: n_users and all user indices are those
 * within. Only the row groups that hold these users are read; hence it's not known whether the
 * files are whole, and only the numbers that are read are checked. */
NODISCARD bool dataset_open_users(struct dataset *d, const char *dir, unsigned parts, int32_t first,
                                  int32_t end, struct err *err);

/* The row of user u: its items, how many in *n. */
static inline const int32_t *interactions_row(const struct interactions *x, int32_t u, int32_t *n)
{
    *n = (int32_t)(x->offsets[u + 1] - x->offsets[u]);
    return x->items + x->offsets[u];
}

/* Both of each user's rows, those of `a` first; without times. */
void interactions_join(struct interactions *out, const struct interactions *a,
                       const struct interactions *b, int32_t n_users);
/* The same rows by item: row i holds the users that took item i, rising, in `items`; without
 * times. */
void interactions_transpose(struct interactions *out, const struct interactions *x, int32_t n_users,
                            int32_t n_items);
void interactions_release(struct interactions *x);

/* The names behind the indices, in bytewise order: index i is the i-th name. */
struct ids {
    int32_t n;
    int64_t *offsets; /* (n + 1) into bytes */
    char *bytes;      /* each id ends in '\0' */
};

/* what: "user" or "item", for users.parquet or items.parquet. */
NODISCARD bool ids_open(struct ids *ids, const char *dir, const char *what, struct err *err);
void ids_release(struct ids *ids);

/* What items are called, in their order: the title, or the id of one without. */
NODISCARD bool titles_open(struct ids *titles, const char *dir, struct err *err);

/* What is known of items beside their ids, in their order: a JSON object each, or "" for one of
 * which nothing is. */
NODISCARD bool item_meta_open(struct ids *meta, const char *dir, struct err *err);

/* Cost: a binary search, of ids. -1 when there is no such id. */
int32_t ids_find(const struct ids *ids, const char *id);

static inline const char *ids_get(const struct ids *ids, int32_t i)
{
    return ids->bytes + ids->offsets[i];
}

#endif
