/* packed.h - files packed by gzip or Zstandard, in and out (owner of zlib and libzstd: packed.c).
 *
 * What a file is packed by is told by its first bytes, never by its name. Members (gzip) and frames
 * (Zstandard, the skippable ones too) may follow one another; length and checksum of each are
 * checked. DuckDB takes a cut file for one that ends there, without a word; so what DuckDB reads is
 * read a second time here, in a thread of its own. */
#ifndef KINDRED_PACKED_H
#define KINDRED_PACKED_H

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

#include <pthread.h>
#include <stdatomic.h>

enum packing { PACKED_NOT, PACKED_GZIP, PACKED_ZSTD };

/* What a file of these first bytes is packed by; n is at least 4, or all that the file has. One
 * that is cut within the mark itself (2 bytes of gzip's, 4 of Zstandard's) isn't known as packed.
 */
enum packing packing_of(const char *head, size_t n);

/* A Zstandard file whose first frame asks for a window beyond 128 MB (`zstd --long=28` and up),
 * which readers other than this one refuse; head: (n) its first bytes. */
enum { PACKED_HEAD = 18 };
bool packing_is_wide(const char *head, size_t n);

const char *packing_name(enum packing p); /* "uncompressed", "gzip", "zstd" */

/* Append what gzip's bytes unpack to, which are known to be right. */
void gzip_unpack(const char *bytes, size_t n, struct buf *out);

/* ---- bytes ---- */

/* A file, pipe or "-" (stdin), read as a stream of unpacked bytes. */
struct packed {
    enum packing packing;
    int64_t taken; /* bytes of the file that were read so far */

    char *path;           /* as messages name it; NULL: not open */
    int fd;               /* read from here into: */
    char *in;             /* (PACKED_IN) bytes of the file; those from `at` to `end` wait */
    size_t at, end, hint; /* hint: how many bytes the Zstandard decoder asks for */
    bool drained;         /* the file has no more than what waits */
    bool inside;          /* a member or frame has begun and not ended */
    bool ended;           /* there are no more unpacked bytes */
    struct z_stream_s *gzip;
    struct ZSTD_DCtx_s *zstd;
};

NODISCARD bool packed_open(struct packed *p, const char *path, struct err *err);
void packed_release(struct packed *p);

/* The next n unpacked bytes; *got is less than n only at the end, or where false is returned: then
 * it's what came before the fault.
 *
 * ERR_DATA         "'x.gz': truncated after N bytes", "'x.gz': corrupt at byte N" (of the packed
 *                  file; of Zstandard, where the block begins, or the one before), or a dictionary
 *                  is needed
 * ERR_IO           the file can't be read
 * ERR_INTERRUPTED  looked at whenever the file is read */
NODISCARD bool packed_read(struct packed *p, void *buf, size_t n, size_t *got, struct err *err);

/* ---- whether a file is whole ---- */

/* Read it through, now. `stop` (may be NULL) ends it early, with success. Errors: packed_read's. */
NODISCARD bool packed_check(const char *path, const atomic_bool *stop, struct err *err);

struct packed_watch {
    pthread_t thread;
    char *path;
    atomic_bool stop;
    bool started, ok;
    struct err err;
};

/* Begin to check beside the caller; packed_watch_end waits for the verdict. Released without that,
 * the check is broken off. */
NODISCARD bool packed_watch_start(struct packed_watch *w, const char *path, struct err *err);
NODISCARD bool packed_watch_end(struct packed_watch *w, struct err *err);
void packed_watch_release(struct packed_watch *w);

/* ---- text, packed or not ---- */

/* A file that is read line by line. */
struct text_file {
    struct packed in;
    char *block;   /* (TEXT_BLOCK) unpacked bytes; those from `at` to `end` wait */
    int64_t start; /* of the block, in bytes of the unpacked text */
    size_t at, end;
    bool had_return; /* the last line ended in \r\n */
    struct err err;  /* kind ERR_NONE: nothing is wrong so far */
};

NODISCARD bool text_file_open(struct text_file *t, const char *path, struct err *err);
void text_file_release(struct text_file *t);

/* The next line without its end, into `line`, at most max_bytes of it (the rest is dropped). A line
 * may hold any byte, NUL too. False when there are no more: at the end of the file, or where it
 * can't be read on; text_file_end tells which. */
NODISCARD bool text_file_line(struct text_file *t, struct buf *line, size_t max_bytes);

/* After the last line: true when that's all of the file; else packed_read's error. */
NODISCARD bool text_file_end(const struct text_file *t, struct err *err);

/* Where the next line starts, in bytes of the unpacked text. */
int64_t text_file_offset(const struct text_file *t);

/* A text file being written (base/file.h): packed if its name ends in .gz or .zst. The same text
 * gives the same bytes. */
struct text_out {
    struct outfile file;
    struct z_stream_s *gzip; /* both NULL: plain */
    struct ZSTD_CCtx_s *zstd;
};

NODISCARD bool text_out_open(struct text_out *t, const char *path, struct err *err);
NODISCARD bool text_out_write(struct text_out *t, const void *bytes, size_t n, struct err *err);
NODISCARD bool text_out_commit(struct text_out *t, struct err *err);
void text_out_release(struct text_out *t);

#endif
