/* parts.h - a table of a dataset: one Parquet file, or a folder of them, as engines that run on
 * many machines write it. Their rows follow one another in the order of the files' names. */
#ifndef KINDRED_PARTS_H
#define KINDRED_PARTS_H

#include "base/err.h"
#include "data/duck.h"

struct parts {
    int n;
    char **paths;   /* (n) in bytewise order */
    int64_t *begin; /* (n + 1) rows before each */
};

bool parts_is_folder(const char *path);

/* A path for read_parquet: that of the file, or a pattern for the folder's. To be freed. */
char *parts_pattern(const char *path);

/* ERR_IO: no such file, or none in the folder; ERR_DATA: one that isn't Parquet. */
NODISCARD bool parts_open(struct parts *p, const char *path, struct duck *duck, struct err *err);
void parts_release(struct parts *p);

#endif
