/* rows.h - the valid rows of the input: collected, sorted by user and time, without repeats.
 *
 * The rows themselves lie in temporary files (spool.h); in memory are the ids, a few numbers a user
 * and an item, and as much of the rows as is sorted at a time. */
#ifndef KINDRED_ROWS_H
#define KINDRED_ROWS_H

#include "data/names.h"
#include "data/spool.h"

/* Which of a user's rows of one item counts, by time and then by place in the input. */
enum repeats { REPEATS_FIRST, REPEATS_LAST, REPEATS_ALL };
#define REPEATS_NAMES "first|last|all"
extern const char *const repeats_names[]; /* one by one */

/* One that the option table has let through. */
enum repeats repeats_named(const char *name);

struct rows_options {
    const char *temp_dir;
    size_t memory; /* bytes of rows that are worked on at a time */
    enum repeats repeats;
    bool has_times; /* else a row's time is its place among the user's rows: 0, 1, ... */
    int min_user;   /* users who have fewer rows are kept in no order */
};

/* A row as it lies in the file; its place there is its place in the input. */
struct row {
    int64_t time; /* milliseconds since 1970 */
    int32_t user, item;
    float rating; /* NaN: none */
    int32_t part; /* enum dataset_part, where the input says it; rows of different parts are no
                     repeats, and are sorted by part first */
};

struct rows {
    struct rows_options o;
    struct names users, items;
    int64_t n;
    int32_t *n_of_user; /* (users.n) */
    size_t n_of_user_cap;
    struct spool raw; /* struct row (n), in the input's order */

    /* After rows_sort. A user's place: those who have min_user rows in the order of their ids,
     * then the others. */
    int32_t *user_at;      /* (users.n) who stands at a place */
    int64_t *offsets;      /* (users.n + 1) by place */
    struct spool items_of; /* int32_t (offsets[users.n]) by place, then part, time, input */
    struct spool rest_of;  /* struct row_rest, in the same order */
    int64_t n_repeated;    /* rows that were left out */
};

struct row_rest {
    int64_t time;
    float rating;
    int32_t part;
};

NODISCARD bool rows_open(struct rows *r, const struct rows_options *o, struct err *err);

/* Append (n <= NAMES_BLOCK) rows; rating NaN: none. ERR_DATA for more than 2^31 - 1 users or
 * items. */
NODISCARD bool rows_add(struct rows *r, int n, const struct name *user, const struct name *item,
                        const int64_t *time, const float *rating, int part, struct err *err);

size_t rows_memory(const struct rows *r); /* bytes that the ids take */

/* Cost: each row passes by once or, where `memory` is less than all takes, twice. */
NODISCARD bool rows_sort(struct rows *r, struct err *err);
void rows_release(struct rows *r);

#endif
