/* space.h - what a sweep tries: the `train` section of a config file, in which an option whose value
 * is a list is an axis. */
#ifndef KINDRED_SPACE_H
#define KINDRED_SPACE_H

#include "base/err.h"
#include "base/yaml.h"

struct axis {
    char *name; /* as in C: embedding_dim */
    char **values;
    int n; /* 1: the same for all */
    int line;
};

struct space {
    struct yaml yaml;  /* the values are its own */
    struct axis *axes; /* (n) in the order of the file */
    int n;
};

/* ERR_IO, ERR_USAGE: the file has no such section, or no axis in it. */
NODISCARD bool space_load(struct space *s, const char *path, struct err *err);
void space_release(struct space *s);

/* How many points the grid has; at most INT32_MAX. */
int64_t space_size(const struct space *s);

/* The index-th point: which value each axis has, (n); the last axis changes fastest. */
void space_point(const struct space *s, int64_t index, int *choice);

/* Which points to try, and in which order: all of them, or at random without repeats. out: at most
 * `most`; returns how many. */
int space_choose(const struct space *s, bool random, int most, uint64_t seed, int64_t *out);

#endif
