/* gzip.h - packed text in and out, and whether a .gz file is whole (owner of zlib: gzip.c).
 *
 * DuckDB reads a cut or damaged .gz without a word. So each is read a second time, by zlib, which
 * checks length and CRC of every member; in a thread of its own, beside DuckDB's reading. */
#ifndef KINDRED_GZIP_H
#define KINDRED_GZIP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

#include <pthread.h>
#include <stdatomic.h>

/* The whole file, now. `stop` (may be NULL) ends it early, with success.
 *
 * ERR_DATA  "'x.gz': truncated after N bytes", "'x.gz': corrupt at byte N" (of the packed file) */
NODISCARD bool gzip_check(const char *path, const atomic_bool *stop, struct err *err);

struct gzip_watch {
    pthread_t thread;
    char *path;
    atomic_bool stop;
    bool started, ok;
    struct err err;
};

/* Begin to check beside the caller; gzip_watch_end waits for the verdict. Released without that,
 * the check is broken off. */
NODISCARD bool gzip_watch_start(struct gzip_watch *w, const char *path, struct err *err);
NODISCARD bool gzip_watch_end(struct gzip_watch *w, struct err *err);
void gzip_watch_release(struct gzip_watch *w);

/* ---- text, packed or not ---- */

/* A file that is read line by line; what is packed is unpacked. */
struct text_file {
    struct gzFile_s *gz;
    bool had_return; /* the last line ended in \r\n */
};

NODISCARD bool text_file_open(struct text_file *t, const char *path, struct err *err);
void text_file_release(struct text_file *t);

/* The next line without its end, into `line`, at most max_bytes of it (the rest is dropped). False
 * at the end of the file, and where it can't be unpacked: gzip_check says that better. */
NODISCARD bool text_file_line(struct text_file *t, struct buf *line, size_t max_bytes);

/* Where the next line starts, in bytes of the unpacked text. */
int64_t text_file_offset(const struct text_file *t);

/* A text file being written (base/file.h): packed if its name ends in .gz. The same text gives the
 * same bytes. */
struct text_out {
    struct outfile file;
    struct z_stream_s *packer; /* NULL: plain */
};

NODISCARD bool text_out_open(struct text_out *t, const char *path, struct err *err);
NODISCARD bool text_out_write(struct text_out *t, const void *bytes, size_t n, struct err *err);
NODISCARD bool text_out_commit(struct text_out *t, struct err *err);
void text_out_release(struct text_out *t);

#endif
