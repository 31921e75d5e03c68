/* recommendations.h - ranked lists to a file that other programs read. */
#ifndef KINDRED_RECOMMENDATIONS_H
#define KINDRED_RECOMMENDATIONS_H

#include "data/duck.h"

/* The source that recommendations_write reads: fills columns user_idx INTEGER, item_idx INTEGER,
 * rank INTEGER, score FLOAT; see duck.h for `next`. */
#define RECOMMENDATIONS_COLUMNS                                                                    \
    {                                                                                              \
        {"user_idx", DUCK_INT32}, {"item_idx", DUCK_INT32}, {"rank", DUCK_INT32},                  \
            {"score", DUCK_FLOAT},                                                                 \
    }
#define RECOMMENDATIONS_SOURCE "recommended"

/* Whether the path ends in a form that can be written (.csv, .jsonl, .parquet); else ERR_USAGE. */
NODISCARD bool recommendations_check(const char *path, struct err *err);

/* Write user_id, item_id, rank, score to `path` in the form that its ending names, as the source
 * gives them, in its order: whole or not at all. The names come from the dataset folder `dir`. The
 * rows pass through; memory is that of the names. */
NODISCARD bool recommendations_write(const struct duck_source *source, const char *dir,
                                     const char *path, struct err *err);

/* Where part r of n is written: "list.csv" alone, "list-00000-of-00003.csv" of several. To be
 * freed. */
char *recommendations_part(const char *path, int r, int n);

/* Remove the parts that an earlier run in another number of parts left there. n 1: none are. */
NODISCARD bool recommendations_tidy(const char *path, int n, struct err *err);

#endif
