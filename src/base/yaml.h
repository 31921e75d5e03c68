/* yaml.h - config files: a mapping of scalars and lists, one level of sections, in which a value
 * may be a mapping of scalars. Owner of libyaml. */
#ifndef KINDRED_YAML_H
#define KINDRED_YAML_H

#include "base/err.h"

struct yaml_entry {
    const char *section; /* the key above it, or NULL at the top level */
    const char *key;
    char **values; /* (n_values) scalars as written; is_mapping: key, value, key, value */
    int n_values, line, column;
    bool is_mapping;
};

struct yaml {
    struct yaml_entry *entries; /* (n) in the order of the file */
    int n;
    void **texts; /* (n_texts) everything the entries point to; free() each */
    int n_texts;
};

/* ERR_IO when the file can't be read; ERR_USAGE with "FILE:LINE:COLUMN: " for what isn't such a
 * file: bad YAML, a key twice, an alias, a mapping deeper than a section's value. */
NODISCARD bool yaml_load(struct yaml *y, const char *path, struct err *err);

void yaml_release(struct yaml *y);

#endif
