#include "data/tempdir.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "kindred-"

static void remove_stale(const char *parent)
{
    DIR *d = opendir(parent);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        AUTO_FREE char *old = path_join(parent, e->d_name);

        if (file_is_stale(e->d_name, PREFIX))
            dir_remove(old);
    }
    if (d)
        closedir(d);
}

bool tempdir_open(struct tempdir *t, const char *parent, struct err *err)
{
    AUTO_FREE char *name = xasprintf(PREFIX "%ld", (long)getpid());
    AUTO_FREE char *path = path_join(parent, name);

    if (!dir_create(parent, err))
        return false;
    remove_stale(parent);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(err, "create folder", path);
    t->path = path;
    path = NULL;
    return true;
}

void tempdir_release(struct tempdir *t)
{
    if (t->path)
        dir_remove(t->path);
    free(t->path);
    t->path = NULL;
}
