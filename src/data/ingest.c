#include "data/ingest.h"

#include "base/file.h"
#include "base/json.h"
#include "data/columns.h"
#include "data/packed.h"

#include <glob.h>
#include <sys/stat.h>

enum { LINE_MAX_BYTES = 64 << 20 };

#define BOM "\xef\xbb\xbf" /* what some programs put before UTF-8 */

/* One input file, as far as its first lines tell. */
struct input {
    const char *path;
    bool is_gzip, is_jsonl, has_bom;
    struct buf first;   /* the first line that isn't blank, without a BOM */
    int64_t first_at;   /* its line number, from 1 */
    int64_t skip;       /* of a CSV, what to pass over up to and with the header */
    int64_t start;      /* rowid of the first row that it gets in `raw` */
    int64_t lines, bad; /* after reading */
    int64_t reject_at;  /* of a CSV, where the first line without a row starts; -1: none */
};

static void input_release(struct input *in)
{
    buf_release(&in->first);
}

/* ---- looking ---- */

static bool is_blank(const char *line)
{
    return !line[strspn(line, " \t\r\n")];
}

/* The name ends in one of these, an ending .gz apart. */
static bool has_ending(const char *path, const char *const *endings)
{
    size_t n = strlen(path);

    if (n > 3 && !strcmp(path + n - 3, ".gz"))
        n -= 3;
    for (; *endings; endings++) {
        size_t e = strlen(*endings);

        if (n > e && !strncasecmp(path + n - e, *endings, e))
            return true;
    }
    return false;
}

static bool looks_like_jsonl(const struct input *in)
{
    static const char *const json[] = {".json", ".jsonl", ".ndjson", NULL};
    static const char *const csv[] = {".csv", ".tsv", ".txt", NULL};

    if (has_ending(in->path, json))
        return true;
    return !has_ending(in->path, csv) && buf_str(&in->first)[0] == '{';
}

static bool check_kind(struct input *in, struct err *err)
{
    static const struct {
        const char *magic, *name;
    } foreign[] = {{"PAR1", "Parquet"}, {"\x28\xb5\x2f\xfd", "Zstandard"}, {"PK\x03\x04", "zip"}};
    char head[4] = {0};
    struct stat st;
    FILE *f;

    if (stat(in->path, &st) != 0)
        return err_errno(err, "open", in->path);
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "'%s' is a folder; name its files, as in '%s/*.jsonl'",
                       in->path, in->path);
    f = fopen(in->path, "rb");
    if (!f)
        return err_errno(err, "open", in->path);
    (void)!fread(head, 1, sizeof head, f);
    fclose(f);
    in->is_gzip = !memcmp(head, "\x1f\x8b", 2);
    for (int i = 0; i < ARRAY_LEN(foreign); i++)
        if (!memcmp(head, foreign[i].magic, sizeof head))
            return err_set(err, ERR_DATA,
                           "'%s' is a %s file; JSONL and CSV, plain or .gz, are read", in->path,
                           foreign[i].name);
    return true;
}

static bool look(struct input *in, struct err *err)
{
    AUTO(text_file) text = {0};

    if (!check_kind(in, err) || !text_file_open(&text, in->path, err))
        return false;
    while (text_file_line(&text, &in->first, LINE_MAX_BYTES)) {
        in->skip++;
        if (++in->first_at == 1 && !strncmp(buf_str(&in->first), BOM, strlen(BOM))) {
            in->has_bom = true;
            in->first.len -= strlen(BOM);
            memmove(in->first.data, in->first.data + strlen(BOM), in->first.len + 1);
        }
        if (!is_blank(buf_str(&in->first))) {
            in->is_jsonl = looks_like_jsonl(in);
            return true;
        }
        in->skip += text.had_return; /* each ends a line there (read_csv.sql) */
    }
    return text_file_end(&text, err) && err_set(err, ERR_DATA, "'%s' is empty", in->path);
}

/* ---- reading ---- */

static bool has_name(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcasecmp(names[i], name)) /* as DuckDB compares them */
            return true;
    return false;
}

/* The struct of names and the lists that read_jsonl.sql asks for. */
static bool set_jsonl_names(struct duck *d, const column_names given, struct err *err)
{
    static const char *const lists[COLUMNS] = {"user_names", "item_names", "time_names",
                                               "rating_names"};
    static const column_names usual;
    const char *all[COLUMNS * (JSONL_NAMES_MAX + 1)], *names[JSONL_NAMES_MAX];
    AUTO(buf) sql = {0};
    int n_all = 0;

    for (int c = 0; c < COLUMNS; c++)
        if (!duck_set_texts(d, lists[c], names, jsonl_names((enum column)c, given, names), err))
            return false;
    for (int c = 0; c < COLUMNS; c++) /* first, so that they are spelled as the user does */
        if (given[c] && !has_name(all, n_all, given[c]))
            all[n_all++] = given[c];
    for (int c = 0; c < COLUMNS; c++) {
        int n = jsonl_names((enum column)c, usual, names);

        for (int i = 0; i < n; i++)
            if (!has_name(all, n_all, names[i]))
                all[n_all++] = names[i];
    }
    for (int i = 0; i < n_all; i++) {
        buf_puts(&sql, i ? ", " : "SET VARIABLE fields = {");
        duck_put_quoted(&sql, all[i]);
        buf_puts(&sql, ": 'VARCHAR'");
    }
    buf_putc(&sql, '}');
    return duck_exec(d, buf_str(&sql), err);
}

/* DuckDB takes a BOM for a part of the first line and the line for a bad one; so that line is read
 * from a file of its own, and the row that it first got is removed. */
static bool read_first_line(struct input *in, struct duck *d, const char *work_dir, struct err *err)
{
    AUTO_FREE char *path = path_join(work_dir, "first_line.jsonl");
    bool ok = file_write(path, in->first.data, in->first.len, err) &&
              duck_set_text(d, "input", path, err) &&
              duck_set_text(d, "compression", "uncompressed", err) &&
              duck_run(d, "read_jsonl", err);

    remove(path);
    return ok;
}

static bool set_file(const struct input *in, struct duck *d, struct err *err)
{
    return duck_set_text(d, "input", in->path, err) &&
           duck_set_text(d, "compression", in->is_gzip ? "gzip" : "uncompressed", err);
}

static bool read_jsonl(struct input *in, struct duck *d, const char *work_dir,
                       const column_names given, struct err *err)
{
    if (!set_jsonl_names(d, given, err))
        return false;
    if (in->has_bom && in->first_at == 1 && !read_first_line(in, d, work_dir, err))
        return false;
    if (!set_file(in, d, err) || !duck_run(d, "read_jsonl", err))
        return false;
    if (!in->has_bom)
        return true;
    if (!duck_set_int(d, "spoiled", in->start + (in->first_at == 1), err))
        return false;
    return duck_exec(d, "DELETE FROM raw WHERE rowid = getvariable('spoiled')", err);
}

static bool read_csv(struct input *in, struct duck *d, const column_names given, struct err *err)
{
    static const char *const at[COLUMNS] = {"user_at", "item_at", "time_at", "rating_at"};
    AUTO(csv_header) h = {0};
    AUTO_FREE char *pattern = NULL;
    const char *time_name;

    csv_header_parse(&h, buf_str(&in->first), given);
    if (!csv_header_check(&h, given, err))
        return err_wrap(err, "'%s'", in->path);
    pattern = xasprintf("%c((?:\"(?:[^\"]|\"\")*\")?[^%c]*)", h.delimiter, h.delimiter);
    time_name = h.names[h.at[COLUMN_TIME] - 1];
    for (int c = 0; c < COLUMNS; c++)
        if (!duck_set_int(d, at[c], h.at[c], err))
            return false;
    return set_file(in, d, err) && duck_set_int(d, "skip", in->skip, err) &&
           duck_set_int(d, "n_columns", h.n, err) &&
           duck_set_text(d, "delimiter", (char[]){h.delimiter, '\0'}, err) &&
           duck_set_text(d, "quoted_field", pattern, err) &&
           duck_exec(d,
                     !strcmp(time_name, "unixReviewTime") ? "SET VARIABLE is_seconds = true"
                                                          : "SET VARIABLE is_seconds = false",
                     err) &&
           duck_run(d, "read_csv", err);
}

static bool read_file(struct input *in, struct duck *d, const char *work_dir,
                      const column_names given, struct err *err)
{
    AUTO(packed_watch) whole = {0};
    struct err damage;
    bool ok;

    if (in->is_gzip && !packed_watch_start(&whole, in->path, err))
        return false;
    duck_progress(d, "read", "bytes", file_size(in->path));
    ok = in->is_jsonl ? read_jsonl(in, d, work_dir, given, err) : read_csv(in, d, given, err);
    duck_progress(d, NULL, NULL, 0);
    if (!ok && err->kind == ERR_INTERRUPTED)
        return false;
    if (!packed_watch_end(&whole, &damage)) { /* says it better than a failed reading */
        *err = damage;
        return false;
    }
    return ok;
}

/* ---- counting ---- */

/* The number of the first bad line. Reads the file up to it. */
static int64_t first_bad_line(const struct input *in, struct duck *d, struct err *err)
{
    AUTO(text_file) text = {0};
    AUTO(buf) line = {0};
    int64_t row, number = 0;

    if (!duck_row(d,
                  "SELECT coalesce(min(rowid), 9223372036854775807) FROM raw "
                  "WHERE timestamp IS NULL AND rowid >= getvariable('start')",
                  &row, 1, err) ||
        !text_file_open(&text, in->path, err))
        return -1;
    row -= in->start;
    if (in->is_jsonl && in->has_bom && row > 0)
        row--; /* the row that was removed */
    while (text_file_line(&text, &line, LINE_MAX_BYTES)) {
        number++;
        if (in->reject_at >= 0 && text_file_offset(&text) > in->reject_at)
            break;
        if (number < in->first_at || (!in->is_jsonl && number == in->first_at))
            continue;
        if (!is_blank(buf_str(&line)) && row-- == 0)
            break;
    }
    return number;
}

static bool refuse_bad_lines(const struct input *in, struct duck *d, const char *why,
                             struct err *err)
{
    int64_t number = first_bad_line(in, d, err);

    return number > 0 &&
           err_set(err, ERR_DATA, "%s:%lld: no valid row (%s)", in->path, (long long)number, why);
}

/* No row of the file is valid: say what it lacks. */
static bool refuse_file(const struct input *in, struct duck *d, const column_names given,
                        struct err *err)
{
    int64_t have[COLUMN_TIME];

    if (!duck_row(
            d,
            "SELECT count(*) FILTER (user_id <> ''), count(*) FILTER (item_id <> '') FROM raw "
            "WHERE rowid >= getvariable('start')",
            have, COLUMN_TIME, err))
        return false;
    if (in->lines == 0)
        return err_set(err, ERR_DATA, "'%s' has a header and no rows", in->path);
    for (int c = 0; in->is_jsonl && c <= COLUMN_TIME; c++)
        if (c == COLUMN_TIME || have[c] == 0) {
            jsonl_missing((enum column)c, given, buf_str(&in->first), err);
            return err_wrap(err, "'%s'", in->path);
        }
    return err_set(err, ERR_DATA, "'%s': none of %lld lines has a user, an item and a valid time",
                   in->path, (long long)in->lines);
}

static bool count_rejects(struct input *in, struct duck *d, struct err *err)
{
    int64_t of_file[2];

    if (in->is_jsonl)
        return true;
    if (!duck_row(
            d,
            "SELECT count(DISTINCT line), CAST(coalesce(min(line_byte_position), -1) AS BIGINT) "
            "FROM reject_errors",
            of_file, 2, err))
        return false;
    in->lines += of_file[0];
    in->bad += of_file[0];
    in->reject_at = of_file[1];
    return true;
}

static bool count(struct input *in, struct duck *d, struct err *err)
{
    int64_t of_file[2];

    if (!duck_row(d,
                  "SELECT count(*), count(*) - count(timestamp) FROM raw "
                  "WHERE rowid >= getvariable('start')",
                  of_file, 2, err))
        return false;
    in->lines = of_file[0];
    in->bad = of_file[1];
    return count_rejects(in, d, err);
}

static bool ingest_file(const char *path, struct duck *d, const struct ingest_options *o,
                        struct ingest_counts *counts, struct err *err)
{
    const column_names given = {o->user_column, o->item_column, o->time_column};
    AUTO(input) in = {.path = path, .reject_at = -1};

    if (!look(&in, err) ||
        !duck_row(d, "SELECT coalesce(max(rowid) + 1, 0) FROM raw", &in.start, 1, err) ||
        !duck_set_int(d, "start", in.start, err) || !read_file(&in, d, o->work_dir, given, err) ||
        !count(&in, d, err))
        return false;
    if (in.lines == in.bad)
        return refuse_file(&in, d, given, err);
    counts->lines_read += in.lines;
    counts->bad_lines += in.bad;
    if (in.bad && o->refuse_bad_lines)
        return refuse_bad_lines(&in, d, "--bad-lines fail", err);
    if (in.bad && o->max_bad_lines >= 0 && counts->bad_lines > o->max_bad_lines) {
        AUTO_FREE char *why = xasprintf("the first of %lld bad lines; --max-bad-lines is %lld",
                                        (long long)counts->bad_lines, (long long)o->max_bad_lines);

        return refuse_bad_lines(&in, d, why, err);
    }
    return true;
}

/* ---- all files ---- */

/* A file of that name, or what the glob matches, sorted by name. */
static bool ingest_pattern(const char *pattern, struct duck *d, const struct ingest_options *o,
                           struct ingest_counts *counts, struct err *err)
{
    glob_t found = {0};
    bool ok = true;

    if (file_exists(pattern) || !strpbrk(pattern, "*?["))
        return ingest_file(pattern, d, o, counts, err);
    if (glob(pattern, 0, NULL, &found) != 0)
        return err_set(err, ERR_IO, "no file matches '%s'", pattern);
    for (size_t i = 0; ok && i < found.gl_pathc; i++)
        ok = ingest_file(found.gl_pathv[i], d, o, counts, err);
    globfree(&found);
    return ok;
}

bool ingest(struct duck *d, const struct ingest_options *o, struct ingest_counts *counts,
            struct err *err)
{
    *counts = (struct ingest_counts){0};
    if (!duck_run(d, "raw", err))
        return false;
    for (int i = 0; i < o->n_input; i++)
        if (!ingest_pattern(o->input[i], d, o, counts, err))
            return false;
    return true;
}
