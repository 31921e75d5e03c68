#include "data/outdir.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- clearing up ---- */

static bool is_ours(const struct outdir *o, const char *name)
{
    for (int i = 0; i < o->n_names; i++)
        if (!strcmp(name, o->names[i]))
            return true;
    return false;
}

/* Remove a folder that is no longer wanted. What isn't ours in it moves to o->path, unless there is
 * something of that name there; then it stays, and so does the folder. */
static void retire(void *context, const char *old)
{
    const struct outdir *o = context;
    AUTO_FREE char *spill = path_join(old, OUTDIR_SPILL);
    DIR *d = opendir(old);
    struct dirent *e;

    dir_remove(spill);
    while (d && (e = readdir(d))) {
        AUTO_FREE char *from = NULL, *to = NULL;

        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        from = path_join(old, e->d_name);
        to = path_join(o->path, e->d_name);
        if (is_ours(o, e->d_name))
            unlink(from);
        else if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0 &&
                 errno == EINVAL && !file_exists(to))
            (void)!rename(from, to);
    }
    if (d)
        closedir(d);
    rmdir(old);
}

/* ---- opening ---- */

/* The real path of what may not exist yet, the folders above it made. */
static bool make_real_path(struct outdir *o, const char *path, struct err *err)
{
    AUTO_FREE char *trimmed = xstrdup(path), *parent = NULL, *above = NULL, *real_parent = NULL;
    char *slash;
    size_t n = strlen(trimmed);

    while (n > 1 && trimmed[n - 1] == '/')
        trimmed[--n] = '\0';
    parent = path_dir(trimmed);
    above = path_existing(parent);
    o->above = realpath(above, NULL);
    o->path = realpath(path, NULL);
    if (o->path)
        return true;
    if (!dir_create(parent, err))
        return false;
    real_parent = realpath(parent, NULL);
    if (!real_parent)
        return err_errno(err, "open", parent);
    slash = strrchr(trimmed, '/');
    o->path = path_join(real_parent, slash ? slash + 1 : trimmed);
    return true;
}

/* Take back the folders that were made on the way to a path that is still not there. */
static void remove_parents(const struct outdir *o)
{
    AUTO_FREE char *dir = o->path && o->above ? path_dir(o->path) : NULL;

    while (dir && strlen(dir) > strlen(o->above) && rmdir(dir) == 0) {
        char *next = path_dir(dir);

        free(dir);
        dir = next;
    }
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* One of them is mounted: what is inside can't move to the outside. A bind mount shows by its id
 * alone (Linux 5.8). */
static bool on_two_mounts(const char *a, const char *b)
{
    struct statx x, y;

    if (statx(AT_FDCWD, a, 0, STATX_MNT_ID, &x) != 0 ||
        statx(AT_FDCWD, b, 0, STATX_MNT_ID, &y) != 0)
        return true;
    return x.stx_dev_major != y.stx_dev_major || x.stx_dev_minor != y.stx_dev_minor ||
           ((x.stx_mask & y.stx_mask & STATX_MNT_ID) && x.stx_mnt_id != y.stx_mnt_id);
}

/* The folder exists and can't change places with one beside it. */
static bool must_stay(const char *path, const char *parent)
{
    return file_exists(path) && (same_folder(path, ".") || same_folder(path, "/") ||
                                 access(parent, W_OK) != 0 || on_two_mounts(path, parent));
}

static bool make_tmp(struct outdir *o, const char *parent, struct err *err)
{
    const char *slash = strrchr(o->path, '/');
    AUTO_FREE char *prefix =
        o->one_by_one ? xstrdup(".tmp-") : xasprintf("%s.tmp-", slash ? slash + 1 : o->path);
    const char *dir = o->one_by_one ? o->path : parent;
    AUTO_FREE char *name = xasprintf("%s%ld", prefix, (long)getpid());

    dir_each_stale(dir, prefix, retire, o);
    o->tmp = path_join(dir, name);
    if (mkdir(o->tmp, 0777) == 0 || errno == EEXIST)
        return true;
    err_errno(err, "create folder", o->tmp);
    free(o->tmp);
    o->tmp = NULL;
    return false;
}

bool outdir_open(struct outdir *o, const char *path, const char *const *names, int n_names,
                 struct err *err)
{
    AUTO_FREE char *parent = NULL;
    struct stat st;

    *o = (struct outdir){.names = names, .n_names = n_names};
    if (!make_real_path(o, path, err))
        return false;
    if (stat(o->path, &st) == 0 && !S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "'%s' is a file; a folder is needed", path);
    parent = path_dir(o->path);
    o->one_by_one = must_stay(o->path, parent);
    return make_tmp(o, parent, err);
}

void outdir_release(struct outdir *o)
{
    if (o->tmp)
        retire(o, o->tmp);
    remove_parents(o);
    free(o->path);
    free(o->above);
    free(o->tmp);
    *o = (struct outdir){0};
}

/* ---- into place ---- */

static bool flush_files(const struct outdir *o, struct err *err)
{
    for (int i = 0; i < o->n_names; i++) {
        AUTO_FREE char *path = path_join(o->tmp, o->names[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);

        if (!ok)
            err_errno(err, "write", path);
        if (fd >= 0)
            close(fd);
        if (!ok)
            return false;
    }
    return dir_sync(o->tmp, err);
}

static bool move_one_by_one(const struct outdir *o, struct err *err)
{
    AUTO_FREE char *seal = path_join(o->path, o->names[o->n_names - 1]);

    if (unlink(seal) != 0 && errno != ENOENT)
        return err_errno(err, "replace", seal);
    if (!dir_sync(o->path, err))
        return false;
    for (int i = 0; i < o->n_names; i++) {
        AUTO_FREE char *from = path_join(o->tmp, o->names[i]);
        AUTO_FREE char *to = path_join(o->path, o->names[i]);

        if (i == o->n_names - 1 && !dir_sync(o->path, err))
            return false;
        if (rename(from, to) != 0)
            return err_errno(err, "create", to);
    }
    return dir_sync(o->path, err);
}

static bool move_whole(struct outdir *o, struct err *err)
{
    AUTO_FREE char *parent = path_dir(o->path);
    struct stat st;

    if (stat(o->path, &st) != 0)
        return rename(o->tmp, o->path) == 0 ? dir_sync(parent, err)
                                            : err_errno(err, "create folder", o->path);
    if (renameat2(AT_FDCWD, o->tmp, AT_FDCWD, o->path, RENAME_EXCHANGE) == 0)
        return dir_sync(parent, err);
    if (errno != EINVAL && errno != ENOSYS) /* else the file system can't */
        return err_errno(err, "replace folder", o->path);
    return move_one_by_one(o, err);
}

bool outdir_commit(struct outdir *o, struct err *err)
{
    AUTO_FREE char *spill = path_join(o->tmp, OUTDIR_SPILL);

    dir_remove(spill);
    if (!flush_files(o, err))
        return false;
    return o->one_by_one ? move_one_by_one(o, err) : move_whole(o, err);
}
