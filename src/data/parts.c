#include "data/parts.h"

#include "base/file.h"

#include <dirent.h>
#include <sys/stat.h>

static const char ENDING[] = ".parquet";

bool parts_is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *parts_pattern(const char *path)
{
    return parts_is_folder(path) ? path_join(path, "*.parquet") : xstrdup(path);
}

/* Names that begin with a dot or a line are what such engines leave beside: _SUCCESS, .crc. */
static bool is_part(const char *name)
{
    size_t len = strlen(name), end = sizeof ENDING - 1;

    return len > end && !strcmp(name + len - end, ENDING) && name[0] != '.' && name[0] != '_';
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add(struct parts *p, char *path)
{
    p->paths = xrealloc(p->paths, (size_t)p->n + 1, sizeof *p->paths);
    p->paths[p->n++] = path;
}

static bool list_folder(struct parts *p, const char *path, struct err *err)
{
    DIR *d = opendir(path);
    struct dirent *e;

    if (!d)
        return err_errno(err, "read", path);
    while ((e = readdir(d)))
        if (is_part(e->d_name))
            add(p, path_join(path, e->d_name));
    closedir(d);
    if (!p->n)
        return err_set(err, ERR_IO, "'%s' is a folder without a *.parquet file", path);
    qsort(p->paths, (size_t)p->n, sizeof *p->paths, by_name);
    return true;
}

bool parts_open(struct parts *p, const char *path, struct duck *duck, struct err *err)
{
    *p = (struct parts){0};
    if (!parts_is_folder(path))
        add(p, xstrdup(path));
    else if (!list_folder(p, path, err))
        return false;
    p->begin = xcalloc((size_t)p->n + 1, sizeof *p->begin);
    for (int i = 0; i < p->n; i++) {
        int64_t rows;

        if (!duck_set_text(duck, "file", p->paths[i], err) ||
            !duck_row(duck, "SELECT count(*) FROM read_parquet(getvariable('file'))", &rows, 1,
                      err))
            return false;
        p->begin[i + 1] = p->begin[i] + rows;
    }
    return true;
}

void parts_release(struct parts *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->paths[i]);
    free(p->paths);
    free(p->begin);
    *p = (struct parts){0};
}
