/* package.h - a model as MLflow keeps it, a folder:
 *
 *     MLmodel                  what it is; YAML, of the kind that is JSON
 *     data/model.safetensors   the model
 *     data/catalog.safetensors names of users and items, and what each user took
 *     code/kindred_pyfunc.py   loads it in Python: mlflow.pyfunc.load_model(DIR).predict(users)
 *     requirements.txt, python_env.yaml   what that needs
 *
 * or a record alone: an MLmodel that says which model the run's model.safetensors is. */
#ifndef KINDRED_PACKAGE_H
#define KINDRED_PACKAGE_H

#include "serve/catalog.h"
#include "track/registry.h"

/* What a package, and a record, consist of: paths below the folder; NULL at the end. */
extern const char *const package_all[], *const package_record[];

/* Write a record, or with names the whole package, of the model in that file. ERR_IO, ERR_DATA. */
NODISCARD bool package_write(const char *dir, const struct model_ops *ops, const char *digest,
                             const char *model_path, const char *data_dir, bool whole,
                             struct err *err);

/* Fetch the version's package into a folder below cache_dir that is this version's alone, unless
 * it's there already; and check it. *dir: to be freed. ERR_IO; ERR_DATA: it's no package, or not
 * the files that it speaks of. */
NODISCARD bool package_fetch(struct registry *r, const char *uri, const char *name,
                             const char *version, const char *cache_dir, char **dir,
                             struct err *err);

/* The catalog of a package that was checked. */
NODISCARD bool package_open(struct catalog *c, const char *dir, struct err *err);

#endif
