#include "data/columns.h"

#include "base/json.h"

#include <ctype.h>

static const struct {
    const char *what, *option;
    const char *json[JSONL_NAMES_MAX]; /* NULL at the end */
    const char *csv[JSONL_NAMES_MAX];  /* beginnings in lower case; whole names after '=' */
} columns[COLUMNS] = {
    [COLUMN_USER] = {"user", "--user-column", {"user_id", "reviewerID"}, {"user", "reviewer"}},
    [COLUMN_ITEM] = {"item",
                     "--item-column",
                     {"parent_asin", "asin", "item_id"},
                     {"item", "product", "=parent_asin", "=asin"}},
    [COLUMN_TIME] = {"time",
                     "--time-column",
                     {"timestamp", "unixReviewTime", "time"},
                     {"time", "date", "unix"}},
    [COLUMN_RATING] = {"rating", NULL, {"rating", "overall"}, {"rating", "overall", "score"}},
};

/* "a, b, c" of at most a dozen names. */
static void put_name(struct buf *b, const char *name, int i)
{
    enum { SHOWN = 12 };

    if (i < SHOWN)
        buf_printf(b, "%s%.40s", i ? ", " : "", name);
    else if (i == SHOWN)
        buf_puts(b, ", ...");
}

/* ---- CSV ---- */

/* The most frequent; of equals the first in this order. */
static char delimiter_of(const char *line)
{
    static const char candidates[] = "\t,;";
    int best = 0, most = -1;

    for (int i = 0; candidates[i]; i++) {
        int n = 0;

        for (const char *c = line; *c; c++)
            n += *c == candidates[i];
        if (n > most) {
            most = n;
            best = i;
        }
    }
    return candidates[best];
}

/* One name up to the delimiter, quoted or not; returns where it ends. */
static const char *take_name(const char *s, char delimiter, struct buf *name)
{
    const char *end = strchr(s, delimiter), *closing;

    if (*s == '"') {
        for (closing = s + 1; *closing; closing++) {
            if (*closing == '"' && closing[1] != '"')
                break;
            if (*closing == '"')
                closing++;
            buf_putc(name, *closing);
        }
        if (*closing == '"' && (closing[1] == delimiter || !closing[1]))
            return closing + 1;
        buf_clear(name); /* a stray quote */
    }
    if (!end)
        end = s + strlen(s);
    buf_put(name, s, (size_t)(end - s));
    return end;
}

static bool begins_with(const char *name, const char *want)
{
    size_t n = strlen(want);

    return want[0] == '=' ? !strcasecmp(name, want + 1) : !strncasecmp(name, want, n);
}

static int find_column(const struct csv_header *h, enum column c, const char *given)
{
    for (int i = 0; given && i < h->n; i++)
        if (!strcmp(h->names[i], given))
            return i + 1;
    if (given)
        return 0;
    for (int w = 0; w < JSONL_NAMES_MAX && columns[c].csv[w]; w++)
        for (int i = 0; i < h->n; i++)
            if (begins_with(h->names[i], columns[c].csv[w]))
                return i + 1;
    return 0;
}

void csv_header_parse(struct csv_header *h, const char *line, const column_names given)
{
    h->delimiter = delimiter_of(line);
    for (;;) {
        AUTO(buf) name = {0};

        line = take_name(line, h->delimiter, &name);
        h->names = xrealloc(h->names, (size_t)h->n + 1, sizeof *h->names);
        h->names[h->n++] = xstrdup(buf_str(&name));
        if (!*line)
            break;
        line++;
    }
    for (int c = 0; c < COLUMNS; c++)
        h->at[c] = find_column(h, (enum column)c, given[c]);
}

void csv_header_release(struct csv_header *h)
{
    for (int i = 0; i < h->n; i++)
        free(h->names[i]);
    free(h->names);
    *h = (struct csv_header){0};
}

bool csv_header_check(const struct csv_header *h, const column_names given, struct err *err)
{
    AUTO(buf) has = {0};
    AUTO(buf) want = {0};

    for (int i = 0; i < h->n; i++)
        put_name(&has, h->names[i], i);
    for (int c = 0; c < COLUMNS; c++) {
        if (h->at[c] || !columns[c].option)
            continue;
        if (given[c])
            return err_set(err, ERR_DATA, "no column '%s' (%s); the header has: %s", given[c],
                           columns[c].option, buf_str(&has));
        for (int w = 0; w < JSONL_NAMES_MAX && columns[c].csv[w]; w++) {
            const char *name = columns[c].csv[w];

            buf_printf(&want, "%s%s%s", w ? ", " : "", name + (*name == '='),
                       *name == '=' ? "" : "...");
        }
        return err_set(err, ERR_DATA,
                       "no column for the %s: looked for %s; the header has: %s; name it by %s",
                       columns[c].what, buf_str(&want), buf_str(&has), columns[c].option);
    }
    return true;
}

/* ---- JSONL ---- */

int jsonl_names(enum column c, const column_names given, const char *out[JSONL_NAMES_MAX])
{
    int n = 0;

    if (given[c]) {
        out[0] = given[c];
        return 1;
    }
    for (; n < JSONL_NAMES_MAX && columns[c].json[n]; n++)
        out[n] = columns[c].json[n];
    return n;
}

struct members {
    struct buf names;
    int n;
};

static bool add_member(void *context, const char *key, const struct json_t *value, struct err *err)
{
    struct members *m = context;

    (void)value;
    (void)err;
    put_name(&m->names, key, m->n++);
    return true;
}

bool jsonl_missing(enum column c, const column_names given, const char *line, struct err *err)
{
    const char *names[JSONL_NAMES_MAX];
    int n = jsonl_names(c, given, names);
    AUTO(json_doc) doc = {0};
    struct members has = {0};
    AUTO(buf) want = {0};
    struct err ignored;

    for (int i = 0; i < n; i++)
        put_name(&want, names[i], i);
    if (!json_parse(&doc, line, strlen(line), &ignored) || json_kind(doc.root) != JVAL_OBJECT)
        return err_set(err, ERR_DATA, "no line is a JSON object with a valid %s", columns[c].what);
    (void)json_each(doc.root, add_member, &has, &ignored);
    err_set(err, ERR_DATA,
            "no line has a valid %s: looked for %s; the first line has: %s; name it by %s",
            columns[c].what, buf_str(&want), buf_str(&has.names), columns[c].option);
    buf_release(&has.names);
    return false;
}
