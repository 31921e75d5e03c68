/* source.h - where a served model is from: a file beside its dataset, or a registry. */
#ifndef KINDRED_SOURCE_H
#define KINDRED_SOURCE_H

#include "serve/catalog.h"

struct source {
    const char *path, *data_dir;                /* a model's file, and the dataset's folder */
    const char *uri, *tracking_uri, *cache_dir; /* uri not NULL: "models:/films@champion" instead */
};

/* What is there now. before: see catalog_open(). what: to be freed; where it's from, and what tells
 * it from others behind a
 * '#'. */
NODISCARD bool source_open(const struct source *s, const struct catalog *before, struct catalog *c,
                           char **what, struct err *err);

/* The same `what`, without opening it; NULL: it can't be known. */
char *source_look(const struct source *s);

/* A file by its name and its place on disk: who writes it anew makes another. NULL: there is none.
 */
char *source_mark(const char *path);

#endif
