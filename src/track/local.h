/* local.h - what the files of the local sink share: statements. */
#ifndef KINDRED_LOCAL_H
#define KINDRED_LOCAL_H

#include "track/sink.h"

enum { LOCAL_NUMBER_MAX = 24, LOCAL_PATH_MAX = 4096, LOCAL_UUID = 33 };

struct sqlite3;

struct local {
    struct sink sink;
    struct sqlite3 *db;
    char *path, *dir; /* of the file, and its folder */
    char experiment[LOCAL_NUMBER_MAX];
    char artifacts[LOCAL_PATH_MAX]; /* the run's folder */
};

static inline struct local *local_of(struct sink *s)
{
    return (struct local *)s;
}

/* One statement; kinds: of its values, t text, i int64_t, d double. out: the first column of the
 * first row, "" where there is none; may be NULL. */
NODISCARD bool local_sql(struct local *l, struct err *err, char *out, size_t room, const char *text,
                         const char *kinds, ...);

/* What stands between goes in as a whole, where `ok`, or not at all. */
NODISCARD bool local_begin_all(struct local *l, struct err *err);
NODISCARD bool local_end_all(struct local *l, bool ok, struct err *err);

/* As MLflow: no number is 0 with a mark, the infinite the largest double. */
double local_value(double x);

/* struct sink_ops has what these do. */
bool local_model(struct sink *s, const struct run_model *m, struct err *err);
bool local_find(struct sink *s, const char *name, const char *alias,
                char version[static SINK_VERSION_MAX], struct err *err);
bool local_fetch(struct sink *s, const char *name, const char *version, const char *as,
                 const char *to, struct err *err);
bool local_set_alias(struct sink *s, const char *name, const char *alias, const char *version,
                     struct err *err);
bool local_tag_version(struct sink *s, const char *name, const char *version, const char *key,
                       const char *value, struct err *err);

#endif
