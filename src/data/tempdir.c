#include "data/tempdir.h"

#include "base/file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "kindred-"

static void remove_old(void *context, const char *path)
{
    (void)context;
    dir_remove(path);
}

bool tempdir_open(struct tempdir *t, const char *parent, struct err *err)
{
    AUTO_FREE char *name = xasprintf(PREFIX "%ld", (long)getpid());
    AUTO_FREE char *path = path_join(parent, name);

    if (!dir_create(parent, err))
        return false;
    dir_each_stale(parent, PREFIX, remove_old, NULL);
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
