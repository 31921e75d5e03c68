/* space.h - what a sweep tries: sections of a config file, in which an option whose value is a list
 * is an axis, and one whose value is {min: ..., max: ...} a range to draw from. */
#ifndef KINDRED_SPACE_H
#define KINDRED_SPACE_H

#include "base/err.h"
#include "base/yaml.h"

struct axis {
    int section; /* which of those that were asked for */
    char *name;  /* as in C: embedding_dim */
    char **values;
    int n; /* 1: the same for all */
    int line;
    bool is_range;   /* values and n are as of one value */
    double min, max; /* both may be drawn */
    bool log, whole; /* evenly in its logarithm; whole numbers alone, as min and max are */
};

struct space {
    struct yaml yaml;  /* the values are its own */
    struct axis *axes; /* (n) in the order of the file */
    int n;
    bool has_range;
};

/* sections: their names, NULL at the end. ERR_IO, ERR_USAGE: the file hasn't the first of them, a
 * value is missing, a range is none. */
NODISCARD bool space_load(struct space *s, const char *path, const char *const *sections,
                          struct err *err);
void space_release(struct space *s);

/* Whether points differ in it. */
static inline bool axis_varies(const struct axis *a)
{
    return a->n > 1 || a->is_range;
}

/* How many points the grid of the lists has; at most INT32_MAX. */
int64_t space_size(const struct space *s);

/* Which points of it to try, and in which order: all of them, or at random; without repeats unless
 * there are ranges to tell them apart. out: at most `most`; returns how many. */
int space_choose(const struct space *s, bool random, int most, uint64_t seed, int64_t *out);

/* The values of the index-th point, (n) texts to be freed; the last axis changes fastest. number:
 * which of the points that are tried it is, for ranges. */
void space_values(const struct space *s, int64_t index, uint64_t seed, int number, char **out);

#endif
