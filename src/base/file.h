/* file.h - files that appear whole or not at all. */
#ifndef KINDRED_FILE_H
#define KINDRED_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* A file being written: to PATH.tmp-PID first, then flushed to disk and renamed to PATH by commit.
 * Released without commit, nothing is left. The path "-" is stdout; a device or a pipe is written
 * as it is, and has no tmp. */
struct outfile {
    FILE *f;
    char *path, *tmp;
};

NODISCARD bool outfile_open(struct outfile *o, const char *path, struct err *err);
NODISCARD bool outfile_write(struct outfile *o, const void *bytes, size_t n, struct err *err);
NODISCARD bool outfile_commit(struct outfile *o, struct err *err);
void outfile_release(struct outfile *o);

/* Open, write, commit in one. */
NODISCARD bool file_write(const char *path, const void *bytes, size_t n, struct err *err);

/* Have the file's bytes as they are now at `to` as well, which may be there: by another name for
 * them, or a copy on another file system. Who writes the file anew makes another, as outfile does.
 */
NODISCARD bool file_keep(const char *from, const char *to, struct err *err);

/* Append the whole file to `out`. ERR_DATA when it's larger than max_bytes. */
NODISCARD bool file_read(const char *path, size_t max_bytes, struct buf *out, struct err *err);

/* A file mapped into memory to be read; data is NULL for an empty file. */
struct mapped {
    const char *data;
    size_t size;
};

NODISCARD bool file_map(struct mapped *m, const char *path, struct err *err);
void mapped_release(struct mapped *m);

bool file_exists(const char *path);  /* a file or a folder */
int64_t file_size(const char *path); /* bytes; -1 when there is none */

NODISCARD bool dir_create(const char *path,
                          struct err *err); /* with its parents; an existing one is fine */

/* "PREFIXpid", and that process is gone. */
bool file_is_stale(const char *name, const char *prefix);

/* Call f for the path of each such entry of the folder. */
void dir_each_stale(const char *dir, const char *prefix, void (*f)(void *context, const char *path),
                    void *context);

/* Remove a folder with the files in it (it has no folders of its own); errors are ignored. */
void dir_remove(const char *path);

/* Write a folder's content to disk before it's renamed. */
NODISCARD bool dir_sync(const char *path, struct err *err);

/* Call f for the file of that name, or for what the glob matches, sorted by name, until it returns
 * false. ERR_IO where a glob matches none; whether the file of a plain name is there is f's to say.
 */
typedef bool path_fn(void *context, const char *path, struct err *err);
NODISCARD bool glob_each(const char *pattern, path_fn *f, void *context, struct err *err);

/* "dir/name", to be freed. */
char *path_join(const char *dir, const char *name);

/* The last part of a path, "b.c" of "a/b.c"; borrowed. */
const char *path_name(const char *path);

/* The path itself, or the nearest folder above it that is there. To be freed. */
char *path_existing(const char *path);

/* The folder part of a path: "a/b.c" gives "a", "b.c" gives ".". To be freed. */
char *path_dir(const char *path);

#endif
