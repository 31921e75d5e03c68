#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_getFrameHeader */
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "data/packed.h"

#include "base/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    PACKED_IN = 1 << 18,  /* bytes of the file that wait at most */
    TEXT_BLOCK = 1 << 18, /* unpacked bytes that wait at most */
    PIECE = 1 << 20,      /* unpacked bytes between two looks at whether to stop */
    WINDOW_LOG = 31,      /* the widest that libzstd reads: 2 GB, as by `zstd --long=31` */
};

/* ---- which ---- */

static const char gzip_magic[] = "\x1f\x8b", zstd_magic[] = "\x28\xb5\x2f\xfd";

/* Of a frame of anything, which readers pass over; before it stands a byte 0x50..0x5f. */
static const char skippable_magic[] = "\x2a\x4d\x18";

static bool begins_with(const char *magic, const char *head, size_t n)
{
    return !memcmp(head, magic, MIN(n, strlen(magic)));
}

/* The n bytes (at least one), which may be cut short, begin a member or frame. */
static bool begins(enum packing packing, const char *head, size_t n)
{
    if (packing == PACKED_GZIP)
        return begins_with(gzip_magic, head, n);
    return begins_with(zstd_magic, head, n) ||
           ((head[0] & 0xf0) == 0x50 && begins_with(skippable_magic, head + 1, n - 1));
}

bool packing_is_wide(const char *head, size_t n)
{
    ZSTD_frameHeader h;

    return packing_of(head, n) == PACKED_ZSTD && ZSTD_getFrameHeader(&h, head, n) == 0 &&
           h.windowSize > 1 << 27;
}

const char *packing_name(enum packing p)
{
    static const char *const names[] = {"uncompressed", "gzip", "zstd"};

    return names[p];
}

enum packing packing_of(const char *head, size_t n)
{
    if (n >= strlen(gzip_magic) && begins(PACKED_GZIP, head, n))
        return PACKED_GZIP;
    return n >= strlen(zstd_magic) && begins(PACKED_ZSTD, head, n) ? PACKED_ZSTD : PACKED_NOT;
}

/* ---- faults ---- */

static bool truncated(const struct packed *p, struct err *err)
{
    return err_set(err, ERR_DATA, "'%s': truncated after %lld bytes", p->path, (long long)p->taken);
}

static bool corrupt(const struct packed *p, struct err *err)
{
    return err_set(err, ERR_DATA, "'%s': corrupt at byte %lld", p->path,
                   (long long)(p->taken - (int64_t)(p->end - p->at)));
}

static bool too_little_memory(const struct packed *p, struct err *err)
{
    return err_set(err, ERR_IO, "'%s': not enough memory to unpack it", p->path);
}

/* ---- the file ---- */

static bool read_some(struct packed *p, void *to, size_t n, size_t *got, struct err *err)
{
    ssize_t r;

    do {
        if (!interrupt_check(err))
            return false;
        r = read(p->fd, to, n);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return err_errno(err, "read", p->path);
    *got = (size_t)r;
    p->taken += r;
    p->drained = r == 0;
    return true;
}

/* Let at least n bytes wait, or all that the file has left. */
static bool fill(struct packed *p, size_t n, struct err *err)
{
    size_t got;

    if (p->end - p->at >= n || p->drained)
        return true;
    memmove(p->in, p->in + p->at, p->end - p->at);
    p->end -= p->at;
    p->at = 0;
    for (; p->end < n && !p->drained; p->end += got)
        if (!read_some(p, p->in + p->end, PACKED_IN - p->end, &got, err))
            return false;
    return true;
}

bool packed_open(struct packed *p, const char *path, struct err *err)
{
    bool is_stdin = !strcmp(path, "-");

    p->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (p->fd < 0)
        return err_errno(err, "open", path);
    p->path = xstrdup(is_stdin ? "stdin" : path);
    p->in = xmalloc(PACKED_IN, 1);
    if (!fill(p, 4, err))
        return false;
    p->packing = packing_of(p->in, p->end);
    if (p->packing == PACKED_GZIP) {
        p->gzip = xcalloc(1, sizeof *p->gzip);
        if (inflateInit2(p->gzip, 15 + 16) != Z_OK) /* the widest window; gzip's frame alone */
            return too_little_memory(p, err);
    } else if (p->packing == PACKED_ZSTD) {
        p->zstd = ZSTD_createDCtx();
        if (!p->zstd)
            return too_little_memory(p, err);
        ZSTD_DCtx_setParameter(p->zstd, ZSTD_d_windowLogMax, WINDOW_LOG);
    }
    return true;
}

void packed_release(struct packed *p)
{
    if (p->gzip)
        inflateEnd(p->gzip);
    free(p->gzip);
    ZSTD_freeDCtx(p->zstd);
    if (p->path && p->fd != STDIN_FILENO)
        close(p->fd);
    free(p->in);
    free(p->path);
    *p = (struct packed){0};
}

/* ---- unpacking ---- */

/* gzip's own program takes NULs after the last member, as tapes leave them. */
static bool end_in_padding(struct packed *p, struct err *err)
{
    for (; fill(p, 1, err); p->at++) {
        p->ended = p->at == p->end;
        if (p->ended)
            return true;
        if (p->in[p->at])
            return corrupt(p, err);
    }
    return false;
}

/* Begin the next member or frame, or find the end. */
static bool begin(struct packed *p, struct err *err)
{
    if (!fill(p, 4, err))
        return false;
    p->ended = p->at == p->end;
    if (p->ended)
        return true;
    if (p->packing == PACKED_GZIP && !p->in[p->at])
        return end_in_padding(p, err);
    if (!begins(p->packing, p->in + p->at, p->end - p->at))
        return corrupt(p, err);
    p->inside = true;
    if (p->gzip)
        inflateReset(p->gzip);
    else
        p->hint = ZSTD_initDStream(p->zstd);
    return true;
}

static bool unpack_gzip(struct packed *p, void *to, size_t n, size_t *got, struct err *err)
{
    z_stream *z = p->gzip;
    uInt room = (uInt)MIN(n, (size_t)PIECE);
    int state;

    z->next_in = (Bytef *)p->in + p->at;
    z->avail_in = (uInt)(p->end - p->at);
    z->next_out = to;
    z->avail_out = room;
    state = inflate(z, Z_NO_FLUSH);
    p->at = p->end - z->avail_in;
    *got = room - z->avail_out;
    p->inside = state != Z_STREAM_END;
    if (state == Z_MEM_ERROR)
        return too_little_memory(p, err);
    return state == Z_OK || state == Z_STREAM_END || state == Z_BUF_ERROR ? true : corrupt(p, err);
}

void gzip_unpack(const char *bytes, size_t n, struct buf *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)n};
    char piece[16 << 10];
    int state = inflateInit2(&z, 15 + 16);

    while (state == Z_OK) {
        z.next_out = (Bytef *)piece;
        z.avail_out = sizeof piece;
        state = inflate(&z, Z_NO_FLUSH);
        buf_put(out, piece, sizeof piece - z.avail_out);
    }
    assert(state == Z_STREAM_END);
    inflateEnd(&z);
}

static bool refuse_zstd(const struct packed *p, ZSTD_ErrorCode code, struct err *err)
{
    if (code == ZSTD_error_memory_allocation)
        return too_little_memory(p, err);
    if (code == ZSTD_error_dictionary_wrong)
        return err_set(err, ERR_DATA, "'%s': packed with a dictionary; without one it can be read",
                       p->path);
    return corrupt(p, err);
}

/* Gives the decoder no more than it asks for, a block and the head of the next: so a fault is known
 * to that. */
static bool unpack_zstd(struct packed *p, void *to, size_t n, size_t *got, struct err *err)
{
    ZSTD_inBuffer in = {p->in + p->at, MIN(p->end - p->at, p->hint), 0};
    ZSTD_outBuffer out = {to, n, 0};
    size_t hint = ZSTD_decompressStream(p->zstd, &out, &in);

    if (ZSTD_isError(hint))
        return refuse_zstd(p, ZSTD_getErrorCode(hint), err);
    p->at += in.pos;
    *got = out.pos;
    p->hint = hint;
    p->inside = hint > 0;
    return true;
}

/* Some of the next n unpacked bytes, maybe none. */
static bool unpack(struct packed *p, void *to, size_t n, size_t *got, struct err *err)
{
    if (!p->inside)
        return begin(p, err);
    if (!fill(p, 1, err))
        return false;
    if (!(p->gzip ? unpack_gzip : unpack_zstd)(p, to, n, got, err))
        return false;
    if (p->inside && *got == 0 && p->drained && p->at == p->end)
        return truncated(p, err);
    return true;
}

/* What waits first, which may be nothing. */
static bool copy_plain(struct packed *p, void *to, size_t n, size_t *got, struct err *err)
{
    if (p->at == p->end && !p->drained)
        return read_some(p, to, n, got, err);
    *got = MIN(n, p->end - p->at);
    memcpy(to, p->in + p->at, *got);
    p->at += *got;
    p->ended = p->drained && p->at == p->end;
    return true;
}

bool packed_read(struct packed *p, void *buf, size_t n, size_t *got, struct err *err)
{
    bool ok = true;

    for (*got = 0; ok && *got < n && !p->ended;) {
        size_t more = 0;

        ok = (p->packing == PACKED_NOT ? copy_plain : unpack)(p, (char *)buf + *got, n - *got,
                                                              &more, err);
        *got += more;
    }
    return ok;
}

/* ---- whether a file is whole ---- */

bool packed_check(const char *path, const atomic_bool *stop, struct err *err)
{
    AUTO_FREE char *piece = xmalloc(PIECE, 1);
    AUTO(packed) p = {0};
    size_t got = PIECE;

    if (!packed_open(&p, path, err))
        return false;
    while (got == PIECE && !(stop && atomic_load(stop)))
        if (!packed_read(&p, piece, PIECE, &got, err))
            return false;
    return true;
}

static void *check_beside(void *arg)
{
    struct packed_watch *w = arg;

    w->ok = packed_check(w->path, &w->stop, &w->err);
    return NULL;
}

bool packed_watch_start(struct packed_watch *w, const char *path, struct err *err)
{
    w->path = xstrdup(path);
    w->started = pthread_create(&w->thread, NULL, check_beside, w) == 0;
    return w->started ? true : err_set(err, ERR_IO, "cannot start a thread");
}

bool packed_watch_end(struct packed_watch *w, struct err *err)
{
    if (!w->started)
        return true;
    pthread_join(w->thread, NULL);
    w->started = false;
    if (!w->ok)
        *err = w->err;
    return w->ok;
}

void packed_watch_release(struct packed_watch *w)
{
    struct err ignored;

    atomic_store(&w->stop, true);
    (void)!packed_watch_end(w, &ignored);
    free(w->path);
    w->path = NULL;
}

/* ---- text in ---- */

bool text_file_open(struct text_file *t, const char *path, struct err *err)
{
    t->block = xmalloc(TEXT_BLOCK, 1);
    return packed_open(&t->in, path, err);
}

void text_file_release(struct text_file *t)
{
    packed_release(&t->in);
    free(t->block);
    *t = (struct text_file){0};
}

/* The block that follows, once the last one is used up. A fault ends the text where it's seen. */
static bool next_block(struct text_file *t)
{
    t->start += (int64_t)t->end;
    t->at = t->end = 0;
    if (t->err.kind == ERR_NONE)
        (void)!packed_read(&t->in, t->block, TEXT_BLOCK, &t->end, &t->err);
    return t->end > 0;
}

static void strip_returns(struct buf *line)
{
    while (line->len > 0 && line->data[line->len - 1] == '\r')
        line->data[--line->len] = '\0';
}

bool text_file_line(struct text_file *t, struct buf *line, size_t max_bytes)
{
    const char *end = NULL; /* the \n */
    size_t n = 0;           /* bytes before it */
    char last = '\0';

    buf_clear(line);
    while (!end && (t->at < t->end || next_block(t))) {
        const char *from = t->block + t->at;
        size_t part = t->end - t->at;

        end = memchr(from, '\n', part);
        if (end)
            part = (size_t)(end - from);
        buf_put(line, from, MIN(part, max_bytes - line->len));
        if (part > 0)
            last = from[part - 1];
        n += part;
        t->at += part + (end ? 1 : 0);
    }
    t->had_return = end && last == '\r';
    if (line->len == n)
        strip_returns(line);
    return end || (n > 0 && t->err.kind == ERR_NONE);
}

bool text_file_end(const struct text_file *t, struct err *err)
{
    if (t->err.kind != ERR_NONE)
        *err = t->err;
    return t->err.kind == ERR_NONE;
}

int64_t text_file_offset(const struct text_file *t)
{
    return t->start + (int64_t)t->at;
}

/* ---- text out ---- */

static bool ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), e = strlen(ending);

    return n >= e && !strcmp(path + n - e, ending);
}

bool text_out_open(struct text_out *t, const char *path, struct err *err)
{
    if (!outfile_open(&t->file, path, err))
        return false;
    if (ends_in(path, ".gz")) {
        int state;

        t->gzip = xcalloc(1, sizeof *t->gzip);
        state = deflateInit2(t->gzip, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
        assert(state == Z_OK);
    } else if (ends_in(path, ".zst")) {
        t->zstd = ZSTD_createCCtx();
        assert(t->zstd);
        ZSTD_CCtx_setParameter(t->zstd, ZSTD_c_compressionLevel, 1);
        ZSTD_CCtx_setParameter(t->zstd, ZSTD_c_checksumFlag, 1);
    }
    return true;
}

static bool pack_gzip(struct text_out *t, const void *bytes, size_t n, bool finish, struct err *err)
{
    unsigned char out[1 << 16];
    int state;

    assert(n <= UINT32_MAX);
    t->gzip->next_in = (unsigned char *)bytes;
    t->gzip->avail_in = (unsigned)n;
    do {
        t->gzip->next_out = out;
        t->gzip->avail_out = sizeof out;
        state = deflate(t->gzip, finish ? Z_FINISH : Z_NO_FLUSH);
        assert(state == Z_OK || state == Z_STREAM_END || state == Z_BUF_ERROR);
        if (!outfile_write(&t->file, out, sizeof out - t->gzip->avail_out, err))
            return false;
    } while (t->gzip->avail_out == 0);
    return true;
}

static bool pack_zstd(struct text_out *t, const void *bytes, size_t n, bool finish, struct err *err)
{
    ZSTD_inBuffer in = {bytes, n, 0};
    char out[1 << 16];
    size_t left;

    do {
        ZSTD_outBuffer piece = {out, sizeof out, 0};

        left = ZSTD_compressStream2(t->zstd, &piece, &in, finish ? ZSTD_e_end : ZSTD_e_continue);
        assert(!ZSTD_isError(left));
        if (!outfile_write(&t->file, out, piece.pos, err))
            return false;
    } while (finish ? left > 0 : in.pos < in.size);
    return true;
}

bool text_out_write(struct text_out *t, const void *bytes, size_t n, struct err *err)
{
    if (n == 0) /* else an empty text's frame would tell whether nothing was written */
        return true;
    if (t->gzip)
        return pack_gzip(t, bytes, n, false, err);
    if (t->zstd)
        return pack_zstd(t, bytes, n, false, err);
    return outfile_write(&t->file, bytes, n, err);
}

bool text_out_commit(struct text_out *t, struct err *err)
{
    if (t->gzip && !pack_gzip(t, NULL, 0, true, err))
        return false;
    if (t->zstd && !pack_zstd(t, NULL, 0, true, err))
        return false;
    return outfile_commit(&t->file, err);
}

void text_out_release(struct text_out *t)
{
    if (t->gzip)
        deflateEnd(t->gzip);
    free(t->gzip);
    t->gzip = NULL;
    ZSTD_freeCCtx(t->zstd);
    t->zstd = NULL;
    outfile_release(&t->file);
}
