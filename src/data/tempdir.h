/* tempdir.h - a folder for what is larger than memory, gone when its user is. */
#ifndef KINDRED_TEMPDIR_H
#define KINDRED_TEMPDIR_H

#include "base/err.h"

struct tempdir {
    char *path; /* PARENT/kindred-PID */
};

/* Make it, and the folders above; what killed runs left beside it is removed. */
NODISCARD bool tempdir_open(struct tempdir *t, const char *parent, struct err *err);
void tempdir_release(struct tempdir *t);

#endif
