#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- writing ---- */

/* A device or a pipe: nothing to put another file in place of. */
static bool is_special(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

bool outfile_open(struct outfile *o, const char *path, struct err *err)
{
    if (!strcmp(path, "-")) {
        o->f = stdout;
        return true;
    }
    o->path = xstrdup(path);
    if (!is_special(path))
        o->tmp = xasprintf("%s.tmp-%ld", path, (long)getpid());
    o->f = fopen(o->tmp ? o->tmp : path, "wb");
    return o->f ? true : err_errno(err, "create", path);
}

static const char *shown_path(const struct outfile *o)
{
    return o->path ? o->path : "stdout";
}

bool outfile_write(struct outfile *o, const void *bytes, size_t n, struct err *err)
{
    if (n == 0 || fwrite(bytes, 1, n, o->f) == n)
        return true;
    return err_errno(err, "write", shown_path(o));
}

static bool sync_parent(const char *path, struct err *err)
{
    AUTO_FREE char *dir = path_dir(path);

    return dir_sync(dir, err);
}

bool outfile_commit(struct outfile *o, struct err *err)
{
    bool ok = fflush(o->f) == 0;

    if (!o->tmp)
        return ok ? true : err_errno(err, "write", shown_path(o));
    ok = ok && fsync(fileno(o->f)) == 0;
    ok = fclose(o->f) == 0 && ok;
    o->f = NULL;
    if (!ok)
        return err_errno(err, "write", o->path);
    if (rename(o->tmp, o->path) != 0)
        return err_errno(err, "create", o->path);
    free(o->tmp);
    o->tmp = NULL;
    return sync_parent(o->path, err);
}

void outfile_release(struct outfile *o)
{
    if (o->f && o->path)
        fclose(o->f);
    if (o->tmp)
        unlink(o->tmp);
    free(o->path);
    free(o->tmp);
    *o = (struct outfile){0};
}

bool file_write(const char *path, const void *bytes, size_t n, struct err *err)
{
    AUTO(outfile) out = {0};

    return outfile_open(&out, path, err) && outfile_write(&out, bytes, n, err) &&
           outfile_commit(&out, err);
}

/* ---- reading ---- */

bool file_read(const char *path, size_t max_bytes, struct buf *out, struct err *err)
{
    FILE *f = fopen(path, "rb");
    char block[16384];
    size_t n, total = 0;
    bool ok = true;

    if (!f)
        return err_errno(err, "open", path);
    while (ok && (n = fread(block, 1, sizeof block, f)) > 0) {
        total += n;
        ok = total <= max_bytes;
        if (ok)
            buf_put(out, block, n);
        else
            err_set(err, ERR_DATA, "'%s' is larger than %zu bytes", path, max_bytes);
    }
    if (ok && ferror(f))
        ok = err_errno(err, "read", path);
    fclose(f);
    return ok;
}

bool file_map(struct mapped *m, const char *path, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *data = NULL;
    bool ok;

    if (fd < 0)
        return err_errno(err, "open", path);
    ok = fstat(fd, &st) == 0;
    if (ok && !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(err, ERR_IO, "'%s' is not a file", path);
    }
    if (ok && st.st_size > 0) {
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = data != MAP_FAILED;
    }
    close(fd);
    if (!ok)
        return err_errno(err, "read", path);
    *m = (struct mapped){data, (size_t)st.st_size};
    return true;
}

void mapped_release(struct mapped *m)
{
    if (m->data)
        munmap((void *)m->data, m->size);
    *m = (struct mapped){0};
}

static bool copy_file(const char *from, const char *to, struct err *err)
{
    enum { PIECE = 1 << 20 };
    AUTO_FREE char *piece = xmalloc(PIECE, 1);
    AUTO(outfile) out = {0};
    FILE *in = fopen(from, "rb");
    bool ok = in && outfile_open(&out, to, err);

    if (!in)
        return err_errno(err, "open", from);
    for (size_t n; ok && (n = fread(piece, 1, PIECE, in)) > 0;)
        ok = outfile_write(&out, piece, n, err);
    if (ok && ferror(in))
        ok = err_errno(err, "read", from);
    fclose(in);
    return ok && outfile_commit(&out, err);
}

bool file_keep(const char *from, const char *to, struct err *err)
{
    AUTO_FREE char *tmp = xasprintf("%s.tmp-%d", to, getpid());

    if (link(from, tmp))
        return copy_file(from, to, err);
    if (rename(tmp, to)) {
        err_errno(err, "write", to);
        unlink(tmp);
        return false;
    }
    unlink(tmp); /* it stays where both are names of one file already */
    return true;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int64_t file_size(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* ---- folders ---- */

bool dir_create(const char *path, struct err *err)
{
    AUTO_FREE char *part = xstrdup(path);
    struct stat st;

    for (char *c = part + 1; *part && *c; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return err_errno(err, "create folder", part);
        *c = '/';
    }
    if (mkdir(part, 0777) != 0 && errno != EEXIST)
        return err_errno(err, "create folder", path);
    if (stat(part, &st) == 0 && !S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "'%s' is a file; a folder is needed", path);
    return true;
}

bool file_is_stale(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    char *end;
    long pid;

    if (strncmp(name, prefix, n) || name[n] < '1' || name[n] > '9')
        return false;
    pid = strtol(name + n, &end, 10);
    return !*end && pid <= INT_MAX && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

void dir_each_stale(const char *dir, const char *prefix, void (*f)(void *context, const char *path),
                    void *context)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        AUTO_FREE char *path = path_join(dir, e->d_name);

        if (file_is_stale(e->d_name, prefix))
            f(context, path);
    }
    if (d)
        closedir(d);
}

void dir_remove(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    if (!d)
        return;
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(path);
}

bool dir_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL); /* some file systems can't */

    if (!ok)
        err_errno(err, "write", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* ---- names ---- */

bool glob_each(const char *pattern, path_fn *f, void *context, struct err *err)
{
    glob_t found = {0};
    bool ok = true;

    if (file_exists(pattern) || !strpbrk(pattern, "*?["))
        return f(context, pattern, err);
    if (glob(pattern, 0, NULL, &found) != 0)
        return err_set(err, ERR_IO, "no file matches '%s'", pattern);
    for (size_t i = 0; ok && i < found.gl_pathc; i++)
        ok = f(context, found.gl_pathv[i], err);
    globfree(&found);
    return ok;
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    return xasprintf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

char *path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return xstrdup(".");
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

char *path_existing(const char *path)
{
    char *at = xstrdup(path);

    while (!file_exists(at) && strcmp(at, ".") != 0 && strcmp(at, "/") != 0) {
        char *above = path_dir(at);

        free(at);
        at = above;
    }
    return at;
}
