/* catalog.h - what is served: a model, the names of its users and items, and what each user has
 * seen. Loaded as a whole, checked, and never changed after: all loops read it at once, and another
 * can be put in its place as a whole. */
#ifndef KINDRED_CATALOG_H
#define KINDRED_CATALOG_H

#include "model/model.h"

struct catalog {
    struct model *model;
    struct ids users, items, item_meta;
    struct interactions seen; /* what each user took in train, then in val, in order of time */
    struct mapped names; /* where all of these lie, of a saved catalog; else they are its own */
    struct names_source *from; /* whence, and how many catalogs have them; NULL: only this one */
};

/* before: what was there, or NULL; with a model of the same dataset its names and histories serve
 * this one too, if their files are still those.
 *
 * ERR_IO, ERR_DATA  a file is missing or isn't right, or the model is of another dataset. */
NODISCARD bool catalog_open(struct catalog *c, const struct catalog *before, const char *model_path,
                            const char *data_dir, struct err *err);

/* Write names and histories to one file, and take a catalog from it and the model's, without
 * Parquet (catalog_file.c). Errors as catalog_open. */
NODISCARD bool catalog_save(const struct catalog *c, const char *path, struct err *err);
NODISCARD bool catalog_open_saved(struct catalog *c, const char *model_path, const char *path,
                                  struct err *err);

void catalog_release(struct catalog *c);

#endif
