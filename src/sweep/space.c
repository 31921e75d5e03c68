#include "sweep/space.h"

#include "base/rng.h"

static char *c_name(const char *key)
{
    char *name = xstrdup(key);

    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    return name;
}

static bool check(const struct space *s, const char *path, struct err *err)
{
    if (s->n == 0)
        return err_set(err, ERR_USAGE,
                       "%s: no section 'train': the options to try stand there, lists where several "
                       "values are to be tried",
                       path);
    for (int i = 0; i < s->n; i++)
        if (s->axes[i].n == 0)
            return err_set(err, ERR_USAGE, "%s:%d: %s has no value", path, s->axes[i].line,
                           s->axes[i].name);
    return true;
}

bool space_load(struct space *s, const char *path, struct err *err)
{
    *s = (struct space){0};
    if (!yaml_load(&s->yaml, path, err))
        return false;
    s->axes = xcalloc((size_t)s->yaml.n + 1, sizeof *s->axes);
    for (int i = 0; i < s->yaml.n; i++) {
        const struct yaml_entry *e = &s->yaml.entries[i];

        if (e->section && !strcmp(e->section, "train"))
            s->axes[s->n++] = (struct axis){c_name(e->key), e->values, e->n_values, e->line};
    }
    return check(s, path, err);
}

void space_release(struct space *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->axes[i].name);
    free(s->axes);
    yaml_release(&s->yaml);
    *s = (struct space){0};
}

int64_t space_size(const struct space *s)
{
    int64_t size = 1;

    for (int i = 0; i < s->n; i++)
        size = MIN(size * s->axes[i].n, INT32_MAX);
    return size;
}

void space_point(const struct space *s, int64_t index, int *choice)
{
    for (int i = s->n - 1; i >= 0; i--) {
        choice[i] = (int)(index % s->axes[i].n);
        index /= s->axes[i].n;
    }
}

static bool is_among(int64_t x, const int64_t *list, int n)
{
    for (int i = 0; i < n; i++)
        if (list[i] == x)
            return true;
    return false;
}

int space_choose(const struct space *s, bool random, int most, uint64_t seed, int64_t *out)
{
    enum { KEY = 0x5357 };
    int64_t size = space_size(s);
    int n = (int)MIN(size, most);
    struct rng r;

    rng_init(&r, rng_key(seed, KEY, 0, 0));
    for (int k = 0; k < n; k++) {
        out[k] = k;
        while (random && is_among(out[k] = rng_below(&r, (uint32_t)size), out, k))
            ;
    }
    return n;
}
