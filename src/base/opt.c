#include "base/opt.h"

#include "base/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>

enum { NAME_MAX_LEN = 64, HELP_COLUMN = 28, HELP_WIDTH = 80 };

void opt_add(struct opt_set *s, const char *title, const struct opt *table, const void *defaults,
             void *values, size_t size)
{
    assert(s->n < OPT_GROUPS_MAX);
    memcpy(values, defaults, size);
    s->groups[s->n++] = (struct opt_group){title, table, defaults, values, size};
}

static void *own(struct opt_set *s, void *p)
{
    s->owned = xrealloc(s->owned, (size_t)s->n_owned + 1, sizeof *s->owned);
    return s->owned[s->n_owned++] = p;
}

void opt_set_release(struct opt_set *s)
{
    for (int i = 0; i < s->n_owned; i++)
        free(s->owned[i]);
    free(s->owned);
    *s = (struct opt_set){0};
}

static void *value_of(const struct opt_group *g, const struct opt *o)
{
    return (char *)g->values + o->offset;
}

/* ---- names ---- */

static void copy_name(char out[static NAME_MAX_LEN], const char *name, size_t n, char from, char to)
{
    n = MIN(n, NAME_MAX_LEN - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = name[i] == from ? to : name[i];
    out[n] = '\0';
}

/* Levenshtein distance of two short words. */
static int distance(const char *a, const char *b)
{
    int row[NAME_MAX_LEN + 1], n = (int)strnlen(b, NAME_MAX_LEN);

    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int swap = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = MIN(swap, 1 + MIN(row[j], row[j - 1]));
        }
    }
    return row[n];
}

const char *opt_suggest(const char *word, const char *const *names)
{
    const char *best = NULL;
    int n = (int)strlen(word), nearest = MIN(MAX(2, n / 3), MAX(1, n / 2)) + 1;

    for (; *names; names++) {
        bool prefix = strlen(word) >= 3 && !strncmp(*names, word, strlen(word));
        int d = prefix ? 1 : distance(word, *names);

        if (d < nearest) {
            nearest = d;
            best = *names;
        }
    }
    return best;
}

static bool unknown(const struct opt_set *s, const char *name, const char *shown, struct err *err)
{
    const char *names[256], *near;
    char dashed[NAME_MAX_LEN];
    int n = 0;

    for (int g = 0; g < s->n; g++)
        for (const struct opt *o = s->groups[g].table; o->name && n < ARRAY_LEN(names) - 1; o++)
            names[n++] = o->name;
    names[n] = NULL;
    near = opt_suggest(name, names);
    if (!near)
        return err_set(err, ERR_USAGE, "no option '%s'; --help lists them", shown);
    copy_name(dashed, near, strlen(near), '_', shown[0] == '-' ? '-' : '_');
    return err_set(err, ERR_USAGE, "no option '%s'; did you mean '%s%s'?", shown,
                   shown[0] == '-' ? "--" : "", dashed);
}

static const struct opt *find(const struct opt_set *s, const char *name,
                              const struct opt_group **in)
{
    for (int g = 0; g < s->n; g++)
        for (const struct opt *o = s->groups[g].table; o->name; o++)
            if (!strcmp(o->name, name)) {
                *in = &s->groups[g];
                return o;
            }
    return NULL;
}

/* ---- values ---- */

static bool in_range(const struct opt *o, double v, const char *shown, struct err *err)
{
    if (v >= o->lo && v <= o->hi)
        return true;
    return err_set(err, ERR_USAGE, "%s: %.15g is outside %.15g..%.15g", shown, v, o->lo, o->hi);
}

bool opt_allows(const struct opt *o, const char *text)
{
    size_t n = strlen(text);

    if (!o->arg || !strchr(o->arg, '|'))
        return true;
    for (const char *word = o->arg; word; word = strchr(word, '|')) {
        word += *word == '|';
        if (n && !strncmp(word, text, n) && (word[n] == '\0' || word[n] == '|'))
            return true;
    }
    return false;
}

static bool set_bool(bool *out, const char *text, const char *shown, struct err *err)
{
    static const char *const words[][2] = {
        {"true", "false"}, {"yes", "no"}, {"on", "off"}, {"1", "0"}};

    for (int i = 0; i < ARRAY_LEN(words); i++)
        for (int no = 0; no < 2; no++)
            if (!strcmp(text, words[i][no])) {
                *out = !no;
                return true;
            }
    return err_set(err, ERR_USAGE, "%s: '%s' is neither true nor false", shown, text);
}

static bool set_number(const struct opt *o, void *out, const char *text, const char *shown,
                       struct err *err)
{
    bool whole = o->kind != OPT_REAL;
    char *end;
    double v;
    int64_t n = 0;

    errno = 0;
    if (whole)
        v = (double)(n = strtoll(text, &end, 10));
    else
        v = strtod(text, &end);
    if (end == text || *end || errno || !isfinite(v) || isspace((unsigned char)*text))
        return err_set(err, ERR_USAGE, "%s: '%s' is not a %s", shown, text,
                       whole ? "whole number" : "number");
    if (!in_range(o, v, shown, err))
        return false;
    if (o->kind == OPT_INT)
        *(int *)out = (int)n;
    else if (o->kind == OPT_INT64)
        *(int64_t *)out = n;
    else
        *(double *)out = v;
    return true;
}

/* On the command line a list that is given again goes on; elsewhere what comes later wins. */
static bool set_list(struct opt_set *s, struct opt_list *out, const char *const *texts, int n)
{
    const char **items;
    int before = 0;

    for (int i = s->line_from; i < s->n_owned; i++)
        if (s->owned[i] == out->items)
            before = out->n;
    items = own(s, xcalloc((size_t)(before + n), sizeof *items));
    if (before)
        memcpy(items, out->items, (size_t)before * sizeof *items);
    memcpy(items + before, texts, (size_t)n * sizeof *items);
    *out = (struct opt_list){items, before + n};
    return true;
}

/* texts: (n) words that outlive the set's values. shown: how the user named the option. */
static bool set_value(struct opt_set *s, const struct opt_group *g, const struct opt *o,
                      const char *const *texts, int n, const char *shown, struct err *err)
{
    void *out = value_of(g, o);

    if (o->kind == OPT_LIST)
        return set_list(s, out, texts, n);
    if (n != 1)
        return err_set(err, ERR_USAGE, "%s takes one value, not %d", shown, n);
    if (o->kind == OPT_BOOL)
        return set_bool(out, texts[0], shown, err);
    if (o->kind != OPT_TEXT)
        return set_number(o, out, texts[0], shown, err);
    *(opt_text *)out = texts[0];
    return opt_allows(o, texts[0]) ||
           err_set(err, ERR_USAGE, "%s: '%s' is none of %s", shown, texts[0], o->arg);
}

int opt_int_list(const char *option, const char *text, int lo, int hi, int *out, int max,
                 struct err *err)
{
    int n = 0;

    for (const char *p = text;; p++) {
        char *end;
        long v = strtol(p, &end, 10);

        if (end == p || (*end && *end != ',') || v < lo || v > hi || n == max) {
            err_set(err, ERR_USAGE, "%s: '%s' is not a list of 1 to %d numbers within %d..%d",
                    option, text, max, lo, hi);
            return -1;
        }
        out[n++] = (int)v;
        if (!*end)
            return n;
        p = end;
    }
}

/* ---- sources ---- */

static bool is_option(const char *arg)
{
    return arg[0] == '-' && arg[1] == '-' && arg[2];
}

/* One option at argv[0]; returns how many words it took, 0 on a fault. */
static int parse_one(struct opt_set *s, const char *const *argv, unsigned flags, struct err *err)
{
    const char *word = argv[0] + 2, *eq = strchr(word, '='), *value = eq ? eq + 1 : NULL;
    const struct opt_group *g = NULL;
    char name[NAME_MAX_LEN], shown[NAME_MAX_LEN];
    const struct opt *o;
    int n = 0;

    copy_name(name, word, eq ? (size_t)(eq - word) : strlen(word), '-', '_');
    copy_name(shown, argv[0], eq ? (size_t)(eq - argv[0]) : strlen(argv[0]), '\0', '\0');
    o = find(s, name, &g);
    if (!o && !strncmp(name, "no_", 3)) {
        const struct opt *negated = find(s, name + 3, &g);

        if (negated && negated->kind == OPT_BOOL) {
            if (value)
                return err_set(err, ERR_USAGE, "%s takes no value", shown);
            *(bool *)value_of(g, negated) = false;
            return 1;
        }
    }
    if (!o)
        return flags & OPT_LENIENT ? 1 : unknown(s, name, shown, err);
    if (o->kind == OPT_BOOL && !value) {
        *(bool *)value_of(g, o) = true;
        return 1;
    }
    if (value)
        return set_value(s, g, o, &value, 1, shown, err) ? 1 : 0;
    while (argv[1 + n] && !is_option(argv[1 + n]) && (n == 0 || o->kind == OPT_LIST))
        n++;
    if (n == 0)
        return err_set(err, ERR_USAGE, "%s needs a value (%s)", shown, o->arg ? o->arg : "VALUE");
    return set_value(s, g, o, argv + 1, n, shown, err) ? 1 + n : 0;
}

static bool parse_argv(struct opt_set *s, const char *const *argv, unsigned flags, struct err *err)
{
    s->line_from = s->n_owned;
    while (*argv) {
        int took = 1;

        if (is_option(*argv))
            took = parse_one(s, argv, flags, err);
        else if (!(flags & OPT_LENIENT))
            return err_set(err, ERR_USAGE, "unexpected argument '%s'", *argv);
        if (!took)
            return false;
        argv += took;
    }
    return true;
}

static bool parse_env(struct opt_set *s, struct err *err)
{
    s->line_from = INT_MAX;
    for (int g = 0; g < s->n; g++)
        for (const struct opt *o = s->groups[g].table; o->name; o++) {
            char name[NAME_MAX_LEN];
            const char *text;

            snprintf(name, sizeof name, "KINDRED_%s", o->name);
            for (char *c = name; *c; c++)
                *c = (char)toupper((unsigned char)*c);
            text = getenv(name);
            if (text && !set_value(s, &s->groups[g], o, &text, 1, name, err))
                return false;
        }
    return true;
}

static bool listed(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(word, *words))
            return true;
    return false;
}

/* One key of the file. A key of the top level may be meant for another command: it's an error only
 * if it stands in this command's section. */
static bool apply_entry(struct opt_set *s, const struct yaml_entry *e, const char *path,
                        const char *command, const char *const *commands, unsigned flags,
                        struct err *err)
{
    const struct opt_group *g = NULL;
    char name[NAME_MAX_LEN];
    const struct opt *o;

    if (e->section && strcmp(e->section, command)) {
        if (listed(e->section, commands))
            return true;
        err_set(err, ERR_USAGE, "no command '%s' to have a section", e->section);
        return err_wrap(err, "%s:%d", path, e->line);
    }
    if (e->is_mapping)
        return err_set(err, ERR_USAGE, "%s:%d:%d: sections do not nest", path, e->line, e->column);
    copy_name(name, e->key, strlen(e->key), '-', '_');
    o = find(s, name, &g);
    if (!o && (flags & OPT_LENIENT))
        return true;
    if (!o) {
        unknown(s, name, name, err);
        return err_wrap(err, "%s:%d", path, e->line);
    }
    if (set_value(s, g, o, (const char *const *)e->values, e->n_values, e->key, err))
        return true;
    return err_wrap(err, "%s:%d", path, e->line);
}

static bool parse_config(struct opt_set *s, const char *path, const char *command,
                         const char *const *commands, unsigned flags, struct err *err)
{
    AUTO(yaml) y = {0};

    if (!yaml_load(&y, path, err))
        return false;
    s->line_from = INT_MAX;
    for (int pass = 0; pass < 2; pass++) /* what stands in the section wins */
        for (int i = 0; i < y.n; i++)
            if ((y.entries[i].section != NULL) == pass &&
                !apply_entry(s, &y.entries[i], path, command, commands, flags, err))
                return false;
    for (int i = 0; i < y.n_texts; i++)
        own(s, y.texts[i]);
    y.n_texts = 0;
    return true;
}

static bool check_given(const struct opt_set *s, struct err *err)
{
    for (int i = 0; i < s->n; i++) {
        const struct opt_group *g = &s->groups[i];

        for (const struct opt *o = g->table; o->name; o++) {
            char dashed[NAME_MAX_LEN];
            bool absent = (o->kind == OPT_TEXT && !*(opt_text *)value_of(g, o)) ||
                          (o->kind == OPT_LIST && !((struct opt_list *)value_of(g, o))->n);

            if (!absent || o->lo < 1)
                continue;
            copy_name(dashed, o->name, strlen(o->name), '_', '-');
            return err_set(err, ERR_USAGE, "--%s %s is needed: %s", dashed, o->arg ? o->arg : "",
                           o->help);
        }
    }
    return true;
}

bool opt_parse(struct opt_set *s, const char *const *argv, const char *command,
               const char *const *commands, unsigned flags, struct err *err)
{
    const struct opt_group *g = NULL;
    const struct opt *config = find(s, "config", &g);

    if (config) { /* a first look at the command line tells which file comes before it */
        const char *path;

        if (!parse_argv(s, argv, flags | OPT_LENIENT, err))
            return false;
        path = *(opt_text *)value_of(g, config);
        for (int i = 0; i < s->n; i++)
            memcpy(s->groups[i].values, s->groups[i].defaults, s->groups[i].size);
        if (path && !parse_config(s, path, command, commands, flags, err))
            return false;
    }
    if ((flags & OPT_ENV) && !parse_env(s, err))
        return false;
    if (!parse_argv(s, argv, flags, err))
        return false;
    return flags & OPT_LENIENT ? true : check_given(s, err);
}

/* ---- output ---- */

static void put_default(const struct opt_group *g, const struct opt *o, char *out, size_t size)
{
    const void *v = (const char *)g->defaults + o->offset;
    const char *text;

    *out = '\0';
    switch (o->kind) {
    case OPT_BOOL:
        snprintf(out, size, " (default %s)", *(const bool *)v ? "yes" : "no");
        break;
    case OPT_INT:
        snprintf(out, size, " (default %d)", *(const int *)v);
        break;
    case OPT_INT64:
        snprintf(out, size, " (default %lld)", (long long)*(const int64_t *)v);
        break;
    case OPT_REAL:
        if (!isnan(*(const double *)v)) /* NAN: none */
            snprintf(out, size, " (default %g)", *(const double *)v);
        break;
    case OPT_TEXT:
        text = *(const opt_text *)v;
        if (text && *text)
            snprintf(out, size, " (default %s)", text);
        else if (o->lo >= 1)
            snprintf(out, size, " (needed)");
        break;
    case OPT_LIST:
        if (o->lo >= 1)
            snprintf(out, size, " (needed)");
        break;
    }
}

static void put_wrapped(FILE *out, const char *text, int column)
{
    while (*text) {
        size_t n = strcspn(text, " ");

        if (column > HELP_COLUMN && column + 1 + (int)n > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, n, out);
        column += (int)n;
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void help_row(const struct opt_group *g, const struct opt *o, FILE *out)
{
    AUTO_FREE char *left = NULL, *right = NULL;
    char dashed[NAME_MAX_LEN], def[256];
    int column;

    copy_name(dashed, o->name, strlen(o->name), '_', '-');
    put_default(g, o, def, sizeof def);
    if (o->kind == OPT_BOOL && *(const bool *)((const char *)g->defaults + o->offset))
        left = xasprintf("  --no-%s", dashed);
    else
        left = xasprintf("  --%s%s%s%s", dashed, o->arg ? " " : "", o->arg ? o->arg : "",
                         o->kind == OPT_LIST ? "..." : "");
    right = xasprintf("%s%s", o->help, o->kind == OPT_BOOL ? "" : def);
    column = fprintf(out, "%s", left);
    if (column + 2 > HELP_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - column, "");
    put_wrapped(out, right, HELP_COLUMN);
}

void opt_help(const struct opt_set *s, FILE *out)
{
    for (int i = 0; i < s->n; i++) {
        if (!s->groups[i].table->name)
            continue;
        fprintf(out, "\n%s:\n", s->groups[i].title);
        for (const struct opt *o = s->groups[i].table; o->name; o++)
            help_row(&s->groups[i], o, out);
    }
}

static void write_value(const void *v, const struct opt *o, struct json_out *out)
{
    const struct opt_list *list;

    switch (o->kind) {
    case OPT_BOOL:
        json_put_bool(out, o->name, *(const bool *)v);
        break;
    case OPT_INT:
        json_put_int(out, o->name, *(const int *)v);
        break;
    case OPT_INT64:
        json_put_int(out, o->name, *(const int64_t *)v);
        break;
    case OPT_REAL:
        json_put_real(out, o->name, *(const double *)v);
        break;
    case OPT_TEXT:
        json_put_str(out, o->name, *(const opt_text *)v);
        break;
    case OPT_LIST:
        list = v;
        json_open(out, o->name, '[');
        for (int i = 0; i < list->n; i++)
            json_put_str(out, NULL, list->items[i]);
        json_close(out, ']');
        break;
    }
}

void opt_write_json(const struct opt_group *g, struct json_out *out)
{
    for (const struct opt *o = g->table; o->name; o++)
        write_value(value_of(g, o), o, out);
}

const struct opt *opt_in_table(const struct opt *table, const char *name)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name))
            return table;
    return NULL;
}
