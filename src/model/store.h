/* store.h - models as files: safetensors, float32 and int32.
 *
 * A file is: 8 bytes, the header's length (little-endian); the header, JSON that gives each
 * tensor's name, dtype, shape and place; the numbers. `__metadata__` in it holds the model's name,
 * its options (JSON), n_users, n_items, the seed, the dataset's digest, the program's version, and
 * what training saw of it (JSON);
 * of a model made of others also name, options and seed of each, as "part.0.model" and so on. Any
 * safetensors reader opens it. */
#ifndef KINDRED_STORE_H
#define KINDRED_STORE_H

#include "model/model.h"

/* Write the model to `path`: whole or not at all. ERR_IO. */
NODISCARD bool store_save(struct model *m, const char *path, struct err *err);

/* The same as a checkpoint: with what model_training lists, and the text `training` in the
 * metadata. */
NODISCARD bool store_save_checkpoint(struct model *m, const char *training, const char *path,
                                     struct err *err);

/* The same where the numbers are elsewhere: `m` has names and shapes, put() writes those of tensor
 * i. They are asked for in order; training NULL: as store_save. */
typedef bool store_put(void *context, int i, struct outfile *out, struct err *err);
NODISCARD bool store_save_from(struct model *m, const char *training, const char *path,
                               store_put *put, void *context, struct err *err);

/* All tensors of a model that was loaded from a checkpoint, in order: its own, then those that
 * model_training lists. Returns how many. */
int store_checkpoint_tensors(struct model *m, struct tensor out[2 * MODEL_TENSORS_MAX]);

/* Append the text of a model that was loaded from a checkpoint. False where the file is none. */
NODISCARD bool store_training(const struct model *m, struct buf *out);

/* Copy what model_training lists from a model that was loaded from a checkpoint into one of the
 * same options and sizes, where it's allocated. */
void store_copy_training(struct model *to, struct model *from);

/* Map the file and take it as a model's state, without a copy; one pass checks that all numbers are
 * finite. NULL on failure; to be freed by model_free.
 *
 * ERR_IO    the file can't be opened
 * ERR_DATA  it isn't a whole file that store_save could have written; the message says where it
 *           differs */
struct model *store_load(const char *path, struct err *err);

/* Whether the model was trained on this dataset; else ERR_DATA that names both and what to do.
 * path, dir: where they came from. */
NODISCARD bool store_check(const struct model *m, const char *path, const struct dataset *d,
                           const char *dir, struct err *err);

#endif
