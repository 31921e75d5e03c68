#include "data/recommendations.h"

#include "base/file.h"
#include "data/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

static const struct form {
    const char *ending, *options;
} forms[] = {
    {".csv", "FORMAT csv, HEADER"},
    {".jsonl", "FORMAT json"},
    {".parquet", "FORMAT parquet"},
};

static const struct form *form_of(const char *path)
{
    size_t n = strlen(path);

    for (int i = 0; i < ARRAY_LEN(forms); i++) {
        size_t end = strlen(forms[i].ending);

        if (n > end && !strcmp(path + n - end, forms[i].ending))
            return &forms[i];
    }
    return NULL;
}

bool recommendations_check(const char *path, struct err *err)
{
    if (form_of(path))
        return true;
    return err_set(err, ERR_USAGE, "--output '%s' must end in .csv, .jsonl or .parquet", path);
}

static bool set_names(struct duck *d, const char *dir, struct err *err)
{
    AUTO_FREE char *users = path_join(dir, dataset_files[DATASET_USERS]);
    AUTO_FREE char *items = path_join(dir, dataset_files[DATASET_ITEMS]);

    return duck_set_text(d, "users_file", users, err) && duck_set_text(d, "items_file", items, err);
}

bool recommendations_write(const struct duck_source *source, const char *dir, const char *path,
                           struct err *err)
{
    AUTO(outfile) out = {0};
    AUTO(duck) d = {0};
    AUTO(buf) copy = {0};

    if (!outfile_open(&out, path, err) || !duck_open(&d, NULL, err) || !set_names(&d, dir, err) ||
        !duck_register_source(&d, source, err) || !duck_run(&d, "recommendations", err))
        return false;
    buf_puts(&copy, "COPY recommendations TO ");
    /* the very file that `out` flushes and renames */
    duck_put_quoted(&copy, out.tmp ? out.tmp : out.path);
    buf_printf(&copy, " (%s, USE_TMP_FILE false)", form_of(path)->options);
    if (!duck_exec(&d, buf_str(&copy), err))
        return err->kind == ERR_INTERRUPTED ? false : err_wrap(err, "cannot write '%s'", path);
    return outfile_commit(&out, err);
}

/* ---- in parts ---- */

char *recommendations_part(const char *path, int r, int n)
{
    int stem = (int)(strlen(path) - strlen(form_of(path)->ending));

    if (n == 1)
        return xstrdup(path);
    return xasprintf("%.*s-%05d-of-%05d%s", stem, path, r, n, path + stem);
}

/* Of how many parts `name` is one, by its name; 0: it's none. stem: of the list's file. */
static int parts_of(const char *name, const char *stem, const char *ending)
{
    size_t n = strlen(stem);
    int part, of, end = 0;

    if (strncmp(name, stem, n) || sscanf(name + n, "-%5d-of-%5d%n", &part, &of, &end) != 2)
        return 0;
    return end == 15 && !strcmp(name + n + end, ending) ? of : 0;
}

bool recommendations_tidy(const char *path, int n, struct err *err)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    const char *ending = form_of(path)->ending;
    AUTO_FREE char *dir = path_dir(path), *stem = xstrndup(file, strlen(file) - strlen(ending));
    DIR *d = n > 1 ? opendir(dir) : NULL;
    struct dirent *e;
    bool ok = true;

    while (ok && d && (e = readdir(d))) {
        int of = parts_of(e->d_name, stem, ending);
        AUTO_FREE char *old = path_join(dir, e->d_name);

        if (of && of != n)
            ok = unlink(old) == 0 || errno == ENOENT || err_errno(err, "remove", old);
    }
    if (d)
        closedir(d);
    return ok;
}
