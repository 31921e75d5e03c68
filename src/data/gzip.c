#include <zlib.h>

#include "data/gzip.h"

#include "base/interrupt.h"

enum { PIECE = 1 << 20 }; /* bytes between two looks at whether to stop */

static bool truncated(const char *path, const struct mapped *m, struct err *err)
{
    return err_set(err, ERR_DATA, "'%s': truncated after %zu bytes", path, m->size);
}

static bool corrupt(const char *path, size_t at, struct err *err)
{
    return err_set(err, ERR_DATA, "'%s': corrupt at byte %zu", path, at);
}

static bool check_mapped(const struct mapped *m, z_stream *z, const char *path,
                         const atomic_bool *stop, struct err *err)
{
    AUTO_FREE unsigned char *out = xmalloc(PIECE, 1);
    size_t at = 0;       /* bytes of the file that were handed over */
    bool inside = false; /* a member has begun and not ended */

    for (;;) {
        int state;

        if (interrupt_signal() || (stop && atomic_load(stop)))
            return true; /* nobody waits for the verdict */
        if (z->avail_in == 0) {
            z->next_in = (unsigned char *)m->data + at;
            z->avail_in = (unsigned)MIN(m->size - at, (size_t)PIECE);
            at += z->avail_in;
        }
        if (z->avail_in == 0)
            return inside || at == 0 ? truncated(path, m, err) : true;
        z->next_out = out;
        z->avail_out = PIECE;
        inside = true;
        state = inflate(z, Z_NO_FLUSH);
        if (state == Z_STREAM_END) {
            inside = false;
            inflateReset(z);
        } else if (state != Z_OK && state != Z_BUF_ERROR) {
            return corrupt(path, at - z->avail_in, err);
        }
    }
}

bool gzip_check(const char *path, const atomic_bool *stop, struct err *err)
{
    AUTO(mapped) m = {0};
    z_stream z = {0};
    bool ok;

    if (!file_map(&m, path, err))
        return false;
    ok = inflateInit2(&z, 15 + 16) == Z_OK; /* the widest window; gzip's frame and no other */
    assert(ok);
    ok = check_mapped(&m, &z, path, stop, err);
    inflateEnd(&z);
    return ok;
}

static void *check_beside(void *arg)
{
    struct gzip_watch *w = arg;

    w->ok = gzip_check(w->path, &w->stop, &w->err);
    return NULL;
}

bool gzip_watch_start(struct gzip_watch *w, const char *path, struct err *err)
{
    w->path = xstrdup(path);
    w->started = pthread_create(&w->thread, NULL, check_beside, w) == 0;
    return w->started ? true : err_set(err, ERR_IO, "cannot start a thread");
}

bool gzip_watch_end(struct gzip_watch *w, struct err *err)
{
    if (!w->started)
        return true;
    pthread_join(w->thread, NULL);
    w->started = false;
    if (!w->ok)
        *err = w->err;
    return w->ok;
}

void gzip_watch_release(struct gzip_watch *w)
{
    struct err ignored;

    atomic_store(&w->stop, true);
    (void)!gzip_watch_end(w, &ignored);
    free(w->path);
    w->path = NULL;
}

/* ---- text, packed or not ---- */

bool text_file_open(struct text_file *t, const char *path, struct err *err)
{
    t->gz = gzopen(path, "rb");
    if (!t->gz)
        return err_errno(err, "open", path);
    gzbuffer(t->gz, 1 << 16);
    return true;
}

void text_file_release(struct text_file *t)
{
    if (t->gz)
        gzclose(t->gz);
    *t = (struct text_file){0};
}

bool text_file_line(struct text_file *t, struct buf *line, size_t max_bytes)
{
    bool any = false;
    char part[8192];

    buf_clear(line);
    while (gzgets(t->gz, part, sizeof part)) {
        size_t n = strlen(part); /* a NUL in the text cuts the line: it's for people to look at */
        bool ends = n > 0 && part[n - 1] == '\n';

        any = true;
        if (line->len < max_bytes)
            buf_put(line, part, MIN(n, max_bytes - line->len));
        if (ends || n + 1 < sizeof part)
            break;
    }
    t->had_return = line->len > 1 && line->data[line->len - 2] == '\r';
    while (line->len > 0 && strchr("\r\n", line->data[line->len - 1]))
        line->data[--line->len] = '\0';
    return any;
}

int64_t text_file_offset(const struct text_file *t)
{
    return gztell(t->gz);
}

/* ---- text out ---- */

bool text_out_open(struct text_out *t, const char *path, struct err *err)
{
    size_t n = strlen(path);
    int state;

    if (!outfile_open(&t->file, path, err))
        return false;
    if (n < 3 || strcmp(path + n - 3, ".gz"))
        return true;
    t->packer = xcalloc(1, sizeof *t->packer);
    state = deflateInit2(t->packer, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    assert(state == Z_OK);
    return true;
}

/* flush: Z_NO_FLUSH, or Z_FINISH at the end. */
static bool pack(struct text_out *t, const void *bytes, size_t n, int flush, struct err *err)
{
    unsigned char out[1 << 16];
    int state;

    assert(n <= UINT32_MAX);
    t->packer->next_in = (unsigned char *)bytes;
    t->packer->avail_in = (unsigned)n;
    do {
        t->packer->next_out = out;
        t->packer->avail_out = sizeof out;
        state = deflate(t->packer, flush);
        assert(state == Z_OK || state == Z_STREAM_END || state == Z_BUF_ERROR);
        if (!outfile_write(&t->file, out, sizeof out - t->packer->avail_out, err))
            return false;
    } while (t->packer->avail_out == 0);
    return true;
}

bool text_out_write(struct text_out *t, const void *bytes, size_t n, struct err *err)
{
    return t->packer ? pack(t, bytes, n, Z_NO_FLUSH, err) : outfile_write(&t->file, bytes, n, err);
}

bool text_out_commit(struct text_out *t, struct err *err)
{
    if (t->packer && !pack(t, NULL, 0, Z_FINISH, err))
        return false;
    return outfile_commit(&t->file, err);
}

void text_out_release(struct text_out *t)
{
    if (t->packer)
        deflateEnd(t->packer);
    free(t->packer);
    t->packer = NULL;
    outfile_release(&t->file);
}
