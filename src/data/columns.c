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
                     {"timestamp", "unixReviewTime", "time", "reviewTime", "date"},
                     {"time", "date", "unix"}},
    [COLUMN_RATING] = {"rating",
                       "--rating-column",
                       {"rating", "overall"},
                       {"rating", "overall", "score"}},
};

/* "a, b, c" of at most a dozen names; a long one is cut, between two characters. */
static void put_name(struct buf *b, const char *name, int i)
{
    enum { SHOWN = 12, SHOWN_BYTES = 40 };
    size_t n = strnlen(name, SHOWN_BYTES);

    while (n > 0 && name[n] && (name[n] & 0xc0) == 0x80)
        n--;
    if (i < SHOWN)
        buf_printf(b, "%s%.*s", i ? ", " : "", (int)n, name);
    else if (i == SHOWN)
        buf_puts(b, ", ...");
}

/* ---- tables ---- */

static const char *const delimiters[] = {"\t", ",", ";", "::", "|", " "};
enum { N_FOR_HEADERS = ARRAY_LEN(delimiters) - 1 }; /* names have spaces in them */

static int count(const char *line, const char *what)
{
    int n = 0;

    for (const char *at = line; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

static void set_delimiter(struct csv_header *h, const char *delimiter)
{
    memcpy(h->delimiter, delimiter, strlen(delimiter) + 1);
}

/* The most frequent; of equals the first in the order above. */
static const char *delimiter_of(const char *line)
{
    int best = 0, most = -1;

    for (int i = 0; i < N_FOR_HEADERS; i++) {
        int n = count(line, delimiters[i]);

        if (n > most) {
            most = n;
            best = i;
        }
    }
    return delimiters[best];
}

/* One name up to the delimiter, quoted or not; returns where it ends. */
static const char *take_name(const char *s, const char *delimiter, struct buf *name)
{
    const char *end = strstr(s, delimiter), *closing;

    if (*s == '"') {
        for (closing = s + 1; *closing; closing++) {
            if (*closing == '"' && closing[1] != '"')
                break;
            if (*closing == '"')
                closing++;
            buf_putc(name, *closing);
        }
        if (*closing == '"' && (!closing[1] || !strncmp(closing + 1, delimiter, strlen(delimiter))))
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

void csv_header_add(struct csv_header *h, const char *name)
{
    h->names = xrealloc(h->names, (size_t)h->n + 1, sizeof *h->names);
    h->names[h->n++] = xstrdup(name);
}

void csv_header_find(struct csv_header *h, const column_names given)
{
    for (int c = 0; c < COLUMNS; c++)
        h->at[c] = find_column(h, (enum column)c, given[c]);
}

void csv_header_parse(struct csv_header *h, const char *line, const column_names given)
{
    set_delimiter(h, delimiter_of(line));
    for (;; line += strlen(h->delimiter)) {
        AUTO(buf) name = {0};

        line = take_name(line, h->delimiter, &name);
        csv_header_add(h, buf_str(&name));
        if (!*line)
            break;
    }
    csv_header_find(h, given);
}

/* One word of --columns, at place `at`. */
static bool add_given(struct csv_header *h, const char *word, size_t n, int at, struct err *err)
{
    if (n == 1 && *word == '-')
        return true;
    for (int c = 0; c < COLUMNS; c++) {
        if (strlen(columns[c].what) != n || strncmp(columns[c].what, word, n))
            continue;
        if (h->at[c])
            return err_set(err, ERR_USAGE, "--columns names the %s twice", columns[c].what);
        h->at[c] = at;
        return true;
    }
    return err_set(err, ERR_USAGE,
                   "--columns: '%.*s' is none of user, item, rating, time and - (a column of no "
                   "interest)",
                   (int)n, word);
}

bool csv_header_given(struct csv_header *h, const char *spec, const char *first_line,
                      struct err *err)
{
    for (const char *word = spec;; word++) {
        size_t n = strcspn(word, ",");

        if (!add_given(h, word, n, ++h->n, err))
            return false;
        word += n;
        if (!*word)
            break;
    }
    if (!h->at[COLUMN_USER] || !h->at[COLUMN_ITEM])
        return err_set(err, ERR_USAGE, "--columns '%s' must name user and item", spec);
    for (int i = 0; i < ARRAY_LEN(delimiters); i++)
        if (count(first_line, delimiters[i]) == h->n - 1) {
            set_delimiter(h, delimiters[i]);
            return true;
        }
    return err_set(err, ERR_DATA, "the first line hasn't the %d fields of --columns %s: %.80s",
                   h->n, spec, first_line);
}

void csv_header_release(struct csv_header *h)
{
    for (int i = 0; h->names && i < h->n; i++)
        free(h->names[i]);
    free(h->names);
    *h = (struct csv_header){0};
}

/* "item..., product..., asin" */
static void put_wanted(struct buf *b, enum column c)
{
    for (int w = 0; w < JSONL_NAMES_MAX && columns[c].csv[w]; w++) {
        const char *name = columns[c].csv[w];

        buf_printf(b, "%s%s%s", w ? ", " : "", name + (*name == '='), *name == '=' ? "" : "...");
    }
}

bool csv_header_check(const struct csv_header *h, const column_names given, bool needs_time,
                      struct err *err)
{
    AUTO(buf) has = {0};
    AUTO(buf) want = {0};

    for (int i = 0; h->names && i < h->n; i++)
        put_name(&has, h->names[i], i);
    for (int c = 0; c < COLUMNS; c++) {
        bool needed = c == COLUMN_TIME ? needs_time : c != COLUMN_RATING;

        if (h->at[c] || (!needed && !given[c]))
            continue;
        if (given[c])
            return err_set(err, ERR_DATA, "no column '%s' (%s); the header has: %s", given[c],
                           columns[c].option, buf_str(&has));
        put_wanted(&want, (enum column)c);
        return err_set(err, ERR_DATA,
                       "no column for the %s: looked for %s; the header has: %s; name it by %s, or "
                       "%s",
                       columns[c].what, buf_str(&want), buf_str(&has), columns[c].option,
                       c == COLUMN_TIME ? "say --no-times where there are none"
                                        : "all of them by --columns where there is no header");
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
