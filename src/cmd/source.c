#include "cmd/source.h"

#include "cmd/package.h"
#include "cmd/tracking.h"

#include <sys/stat.h>

/* "models:/films/3", of what the alias names now. */
static bool resolve(const struct source *s, const char *uri, struct registry **r,
                    struct registry_ref *ref, char **what, struct err *err)
{
    if (!registry_ref_parse(ref, s->uri, err) || !registry_open(r, uri, err) ||
        !registry_resolve(*r, ref, err))
        return false;
    *what = xasprintf("models:/%s/%s", ref->name, ref->version);
    return true;
}

static bool fetch(const struct source *s, struct catalog *c, char **what, struct err *err)
{
    AUTO_FREE char *uri = tracking_registry_uri(s->tracking_uri), *dir = NULL;
    AUTO(registry_ref) ref = {0};
    struct registry *r = NULL;
    bool ok = resolve(s, uri, &r, &ref, what, err) &&
              package_fetch(r, uri, ref.name, ref.version, s->cache_dir, &dir, err) &&
              package_open(c, dir, err);

    registry_close(r);
    return ok;
}

bool source_open(const struct source *s, const struct catalog *before, struct catalog *c,
                 char **what, struct err *err)
{
    if (s->uri)
        return fetch(s, c, what, err);
    *what = source_mark(s->path);
    return catalog_open(c, before, s->path, s->data_dir, err);
}

char *source_look(const struct source *s)
{
    AUTO_FREE char *uri = tracking_registry_uri(s->tracking_uri);
    AUTO(registry_ref) ref = {0};
    struct registry *r = NULL;
    struct err ignored = {0};
    char *what = NULL;

    if (!s->uri)
        return source_mark(s->path);
    (void)!resolve(s, uri, &r, &ref, &what, &ignored);
    registry_close(r);
    return what;
}

char *source_mark(const char *path)
{
    struct stat st;

    if (stat(path, &st))
        return NULL;
    return xasprintf("%s#%llx-%llx-%llx", path, (unsigned long long)st.st_ino,
                     (unsigned long long)st.st_size,
                     (unsigned long long)st.st_mtim.tv_sec * 1000000000ull +
                         (unsigned long long)st.st_mtim.tv_nsec);
}
