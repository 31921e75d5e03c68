#include "data/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

/* Not every file system can make a file without a name. */
static int open_unnamed(const char *dir)
{
    AUTO_FREE char *name = xasprintf("%s/kindred-XXXXXX", dir);
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    return fd;
}

bool spool_open(struct spool *s, const char *dir, struct err *err)
{
    int fd = open_unnamed(dir);

    if (fd < 0)
        return err_errno(err, "create a temporary file in", dir);
    *s = (struct spool){.fd = fd + 1, .dir = xstrdup(dir), .block = xmalloc(BLOCK, 1)};
    return true;
}

void spool_release(struct spool *s)
{
    if (s->fd)
        close(s->fd - 1);
    free(s->dir);
    free(s->block);
    *s = (struct spool){0};
}

bool spool_write(struct spool *s, int64_t at, const void *bytes, size_t n, struct err *err)
{
    const char *from = bytes;

    while (n > 0) {
        ssize_t done = pwrite(s->fd - 1, from, n, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return err_set(err, ERR_IO, "no space left in '%s' for temporary files (--temp-dir)",
                           s->dir);
        if (done < 0)
            return err_errno(err, "write a temporary file in", s->dir);
        from += done;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool spool_flush(struct spool *s, struct err *err)
{
    size_t n = s->n_block;

    s->n_block = 0;
    s->at += (int64_t)n;
    return spool_write(s, s->at - (int64_t)n, s->block, n, err);
}

bool spool_append(struct spool *s, const void *bytes, size_t n, struct err *err)
{
    const char *from = bytes;

    while (n > 0) {
        size_t part = MIN(n, BLOCK - s->n_block);

        memcpy(s->block + s->n_block, from, part);
        s->n_block += part;
        from += part;
        n -= part;
        if (s->n_block == BLOCK && !spool_flush(s, err))
            return false;
    }
    return true;
}

bool spool_read(const struct spool *s, int64_t at, void *bytes, size_t n, struct err *err)
{
    char *to = bytes;

    assert(s->n_block == 0);
    while (n > 0) {
        ssize_t done = pread(s->fd - 1, to, n, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return err_errno(err, "read a temporary file in", s->dir);
        to += done;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

char *spool_path(const struct spool *s)
{
    return xasprintf("/proc/self/fd/%d", s->fd - 1);
}
