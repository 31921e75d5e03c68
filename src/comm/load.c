#include "comm/load.h"

#include "base/file.h"

#include <dlfcn.h>
#include <limits.h>
#include <unistd.h>

static const struct {
    const char *mpi, *package, *libraries; /* Debian's, to build and to run with */
} known[] = {
    {"openmpi", "libopenmpi-dev", "libopenmpi3"},
    {"mpich", "libmpich-dev", "libmpich12"},
};

/* Point to point and shared memory as Open MPI does it best without special hardware, which it
 * otherwise takes 0.2 s to look for; and a cut link is noticed after ten seconds, else never. */
static const char *const environment[][2] = {
    {"OMPI_MCA_pml", "ob1"},
    {"OMPI_MCA_btl", "self,vader,tcp"},
    {"OMPI_MCA_oob_tcp_keepalive_time", "5"},
    {"OMPI_MCA_oob_tcp_keepalive_intvl", "2"},
    {"OMPI_MCA_oob_tcp_keepalive_probes", "3"},
};

static int find_known(const char *mpi)
{
    for (int i = 0; i < ARRAY_LEN(known); i++)
        if (!strcmp(mpi, known[i].mpi))
            return i;
    return -1;
}

/* The folder of the running program. */
static char *program_dir(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash;

    path[MAX(n, 0)] = '\0';
    slash = strrchr(path, '/');
    return slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
}

/* Beside the program, as in a build folder; else where it's installed. NULL: in neither. */
static char *find_module(int which, const char *started_by, struct err *err)
{
    AUTO_FREE char *file = xasprintf("kindred_comm_%s.so", known[which].mpi);
    AUTO_FREE char *dir = program_dir();
    AUTO_FREE char *installed = path_join(dir, COMM_MODULE_DIR);
    const char *const dirs[] = {dir, installed};

    for (int i = 0; i < ARRAY_LEN(dirs); i++) {
        char *path = path_join(dirs[i], file);

        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    err_set(err, ERR_IO,
            "%s started this, but there is no '%s' in '%s' or '%s': build kindred with %s "
            "installed, or name a module by KINDRED_MPI",
            started_by, file, dirs[0], dirs[1], known[which].package);
    return NULL;
}

static const struct comm_module *open_module(const char *path, const char *package, struct err *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    const struct comm_module *m;

    if (!library) {
        err_set(err, ERR_IO, "cannot load '%s': %s; its MPI is in Debian's %s", path, dlerror(),
                package);
        return NULL;
    }
    m = dlsym(library, COMM_MODULE_SYMBOL);
    if (m && m->version == COMM_MODULE_VERSION)
        return m;
    err_set(err, ERR_IO, "'%s' is no module of kindred " KINDRED_VERSION ": build both together",
            path);
    return NULL;
}

const struct comm_module *comm_load(const struct launcher *l, struct err *err)
{
    AUTO_FREE char *path = NULL;
    int which = find_known(l->mpi);

    if (which >= 0) {
        path = find_module(which, l->name, err);
    } else if (strchr(l->mpi, '/')) {
        path = xstrdup(l->mpi);
    } else {
        err_set(err, ERR_USAGE, "KINDRED_MPI is '%s': openmpi, mpich, or the path of a module",
                l->mpi);
    }
    if (!path)
        return NULL;
    for (int i = 0; i < ARRAY_LEN(environment); i++)
        setenv(environment[i][0], environment[i][1], 0);
    return open_module(path, which < 0 ? "libopenmpi3 or libmpich12" : known[which].libraries, err);
}
