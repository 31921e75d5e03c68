#include "sweep/space.h"

#include "base/rng.h"

#include <math.h>

static char *c_name(const char *key)
{
    char *name = xstrdup(key);

    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    return name;
}

static bool has_section(const struct space *s, int section)
{
    for (int i = 0; i < s->n; i++)
        if (s->axes[i].section == section)
            return true;
    return false;
}

static bool check(const struct space *s, const char *path, const char *needed, struct err *err)
{
    if (!has_section(s, 0))
        return err_set(err, ERR_USAGE,
                       "%s: no section '%s': the options to try stand there, lists where several "
                       "values are to be tried",
                       path, needed);
    for (int i = 0; i < s->n; i++)
        if (s->axes[i].n == 0)
            return err_set(err, ERR_USAGE, "%s:%d: %s has no value", path, s->axes[i].line,
                           s->axes[i].name);
    return true;
}

/* ---- ranges ---- */

static const char *member(const struct yaml_entry *e, const char *name)
{
    for (int i = 0; i + 1 < e->n_values; i += 2)
        if (!strcmp(e->values[i], name))
            return e->values[i + 1];
    return NULL;
}

static bool is_number(const char *text, double *out)
{
    char *end;

    *out = text ? strtod(text, &end) : 0;
    return text && end != text && !*end && isfinite(*out);
}

static bool is_whole(const char *text)
{
    return text[strspn(text, "+-0123456789")] == '\0';
}

static bool read_range(const struct yaml_entry *e, const char *path, struct axis *out,
                       struct err *err)
{
    const char *min = member(e, "min"), *max = member(e, "max"), *scale = member(e, "scale");
    int known = (min != NULL) + (max != NULL) + (scale != NULL);

    if (!is_number(min, &out->min) || !is_number(max, &out->max) || out->min > out->max ||
        2 * known != e->n_values)
        return err_set(err, ERR_USAGE,
                       "%s:%d: a range is {min: A, max: B}, A at most B, and may have scale: log",
                       path, e->line);
    if (scale && strcmp(scale, "log") != 0 && strcmp(scale, "linear") != 0)
        return err_set(err, ERR_USAGE, "%s:%d: scale is log or linear, not '%s'", path, e->line,
                       scale);
    out->is_range = true;
    out->n = 1;
    out->log = scale && !strcmp(scale, "log");
    out->whole = is_whole(min) && is_whole(max);
    return !out->log || out->min > 0 ||
           err_set(err, ERR_USAGE, "%s:%d: scale log needs a min above 0", path, e->line);
}

static char *draw(const struct axis *a, uint64_t seed, int number, int axis)
{
    enum { KEY = 0x5358, TRIES = 1 << 24 };
    double at, value;
    struct rng r;

    rng_init(&r, rng_key(seed, KEY, (uint64_t)number, (uint64_t)axis));
    at = (double)rng_below(&r, TRIES) / (TRIES - 1);
    value = a->log ? exp(log(a->min) + at * (log(a->max) - log(a->min)))
                   : a->min + at * (a->max - a->min);
    value = MIN(a->max, MAX(a->min, value));
    return a->whole ? xasprintf("%.0f", value) : xasprintf("%.6g", value);
}

/* ---- the file ---- */

static bool add_axis(struct space *s, const struct yaml_entry *e, int section, const char *path,
                     struct err *err)
{
    struct axis *a = &s->axes[s->n++];

    *a = (struct axis){.section = section, .name = c_name(e->key), .line = e->line};
    if (e->is_mapping) {
        s->has_range = true;
        return read_range(e, path, a, err);
    }
    a->values = e->values;
    a->n = e->n_values;
    return true;
}

/* Which of the sections the entry stands in; -1: none. */
static int section_of(const struct yaml_entry *e, const char *const *sections)
{
    for (int i = 0; e->section && sections[i]; i++)
        if (!strcmp(e->section, sections[i]))
            return i;
    return -1;
}

bool space_load(struct space *s, const char *path, const char *const *sections, struct err *err)
{
    *s = (struct space){0};
    if (!yaml_load(&s->yaml, path, err))
        return false;
    s->axes = xcalloc((size_t)s->yaml.n + 1, sizeof *s->axes);
    for (int i = 0; i < s->yaml.n; i++) {
        const struct yaml_entry *e = &s->yaml.entries[i];
        int section = section_of(e, sections);

        if (section >= 0 && !add_axis(s, e, section, path, err))
            return false;
    }
    return check(s, path, sections[0], err);
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

void space_values(const struct space *s, int64_t index, uint64_t seed, int number, char **out)
{
    for (int i = s->n - 1; i >= 0; i--) {
        const struct axis *a = &s->axes[i];

        out[i] = a->is_range ? draw(a, seed, number, i) : xstrdup(a->values[index % a->n]);
        index /= a->n;
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
    int n = s->has_range ? most : (int)MIN(size, most);
    struct rng r;

    rng_init(&r, rng_key(seed, KEY, 0, 0));
    for (int k = 0; k < n; k++) {
        do
            out[k] = random ? (int64_t)rng_below(&r, (uint32_t)size) : k;
        while (random && !s->has_range && is_among(out[k], out, k));
    }
    return n;
}
