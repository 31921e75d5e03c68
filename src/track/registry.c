#include "track/registry.h"

#include "base/clock.h"
#include "track/sink.h"

#include <ctype.h>
#include <time.h>

static_assert(REGISTRY_VERSION >= (int)SINK_VERSION_MAX, "a version fits");

struct registry {
    struct sink *sink;
    double deadline; /* of the call at hand */
};

bool registry_open(struct registry **out, const char *uri, struct err *err)
{
    const struct sink_ops *ops = sink_for(uri, err);
    struct registry *r;

    if (!ops)
        return false;
    r = xcalloc(1, sizeof *r);
    if (!ops->open(&r->sink, uri, err)) {
        free(r);
        return false;
    }
    *out = r;
    return true;
}

void registry_close(struct registry *r)
{
    if (r)
        r->sink->ops->close(r->sink);
    free(r);
}

/* ---- names ---- */

bool registry_is_name(const char *name)
{
    return *name && !strpbrk(name, "/:");
}

/* Letters, digits, "_" and "-"; neither "latest" nor as a version, "v1". */
bool registry_is_alias(const char *alias)
{
    const char *c = alias;

    while (isalnum((unsigned char)*c) || *c == '_' || *c == '-')
        c++;
    return *alias && !*c && strcasecmp(alias, "latest") != 0 &&
           !(tolower((unsigned char)alias[0]) == 'v' && alias[1] &&
             !alias[1 + strspn(alias + 1, "0123456789")]);
}

bool registry_ref_parse(struct registry_ref *ref, const char *uri, struct err *err)
{
    static const char scheme[] = "models:/";
    const char *name = uri + sizeof scheme - 1, *at, *slash;

    *ref = (struct registry_ref){0};
    if (!strncmp(uri, scheme, sizeof scheme - 1)) {
        slash = strchr(name, '/');
        at = strrchr(name, '@');
        if (slash && slash > name && slash[1] && !slash[1 + strspn(slash + 1, "0123456789")]) {
            ref->name = xstrndup(name, (size_t)(slash - name));
            ref->version = xstrdup(slash + 1);
        } else if (!slash && at && at > name && registry_is_alias(at + 1)) {
            ref->name = xstrndup(name, (size_t)(at - name));
            ref->alias = xstrdup(at + 1);
        }
    }
    if (ref->name && registry_is_name(ref->name))
        return true;
    registry_ref_release(ref);
    return err_set(err, ERR_USAGE, "'%s' is neither models:/NAME@ALIAS nor models:/NAME/VERSION",
                   uri);
}

void registry_ref_release(struct registry_ref *ref)
{
    free(ref->name);
    free(ref->alias);
    free(ref->version);
    *ref = (struct registry_ref){0};
}

/* ---- calls, again while nobody answers ---- */

static void begin(struct registry *r)
{
    enum { PATIENCE_S = 10 };

    r->deadline = clock_seconds() + PATIENCE_S;
}

/* Whether a call that ended so is to be made again. */
static bool again(struct registry *r, bool ok, int *tries, const struct err *err)
{
    double pause = MAX(r->sink->ops->wait(r->sink), 0.2 * (1 << MIN((*tries)++, 4)));

    if (ok || err->kind != ERR_IO || clock_seconds() + pause > r->deadline)
        return false;
    nanosleep(&(struct timespec){(time_t)pause, (long)((pause - (double)(time_t)pause) * 1e9)},
              NULL);
    return true;
}

bool registry_find(struct registry *r, const char *name, const char *alias,
                   char version[static REGISTRY_VERSION], struct err *err)
{
    int tries = 0;
    bool ok;

    begin(r);
    do
        ok = r->sink->ops->find(r->sink, name, alias, version, err);
    while (again(r, ok, &tries, err));
    return ok;
}

bool registry_resolve(struct registry *r, struct registry_ref *ref, struct err *err)
{
    char version[REGISTRY_VERSION];

    if (ref->version)
        return true;
    if (!registry_find(r, ref->name, ref->alias, version, err))
        return false;
    if (!*version)
        return err_set(err, ERR_DATA,
                       "the registry has no model '%s' of which a version is called '%s'",
                       ref->name, ref->alias);
    ref->version = xstrdup(version);
    return true;
}

bool registry_fetch(struct registry *r, const char *name, const char *version, const char *as,
                    const char *to, struct err *err)
{
    int tries = 0;
    bool ok;

    begin(r);
    do
        ok = r->sink->ops->fetch(r->sink, name, version, as, to, err);
    while (again(r, ok, &tries, err));
    return ok || err_wrap(err, "models:/%s/%s", name, version);
}

bool registry_set_alias(struct registry *r, const char *name, const char *alias,
                        const char *version, struct err *err)
{
    int tries = 0;
    bool ok;

    begin(r);
    do
        ok = r->sink->ops->set_alias(r->sink, name, alias, version, err);
    while (again(r, ok, &tries, err));
    return ok;
}

bool registry_tag(struct registry *r, const char *name, const char *version, const char *key,
                  const char *value, struct err *err)
{
    int tries = 0;
    bool ok;

    begin(r);
    do
        ok = r->sink->ops->tag_version(r->sink, name, version, key, value, err);
    while (again(r, ok, &tries, err));
    return ok;
}
