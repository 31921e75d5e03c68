/* spool.h - a temporary file without a name: what is larger than memory goes through it. Whatever
 * ends the program, nothing of it is left. */
#ifndef KINDRED_SPOOL_H
#define KINDRED_SPOOL_H

#include "base/err.h"

struct spool {
    int fd;     /* counted from 1; 0: not open */
    char *dir;  /* for messages */
    int64_t at; /* bytes written */
    char *block;
    size_t n_block; /* bytes that wait in it */
};

/* dir: an existing folder. */
NODISCARD bool spool_open(struct spool *s, const char *dir, struct err *err);
void spool_release(struct spool *s);

/* Append. ERR_IO: "no space left in 'DIR'", and what to do about it. */
NODISCARD bool spool_append(struct spool *s, const void *bytes, size_t n, struct err *err);

/* Write what waits: before the first spool_read. */
NODISCARD bool spool_flush(struct spool *s, struct err *err);

/* Write at a place of one's own, beyond the end too. */
NODISCARD bool spool_write(struct spool *s, int64_t at, const void *bytes, size_t n,
                           struct err *err);

/* Read (n) bytes that are there. */
NODISCARD bool spool_read(const struct spool *s, int64_t at, void *bytes, size_t n,
                          struct err *err);

/* A path under which this process can open it; to be freed. */
char *spool_path(const struct spool *s);

#endif
