#include "data/input.h"

#include <sys/stat.h>

enum { LINE_MAX_BYTES = 64 << 20, COPY_BLOCK = 1 << 20 };

#define BOM "\xef\xbb\xbf" /* what some programs put before UTF-8 */

void input_release(struct input *in)
{
    free(in->path);
    spool_release(&in->copy);
    buf_release(&in->first);
    csv_header_release(&in->header);
    *in = (struct input){0};
}

/* ---- what can't be read as it stands ---- */

/* Copy the unpacked bytes but for the first `skip`, and read them from there. */
static bool copy(struct input *in, size_t skip, const char *temp_dir, struct err *err)
{
    AUTO(packed) from = {0};
    AUTO(spool) to = {0};
    AUTO_FREE char *block = xmalloc(COPY_BLOCK, 1);
    size_t got = COPY_BLOCK;

    if (!packed_open(&from, in->path, err) || !spool_open(&to, temp_dir, err))
        return false;
    for (; got == COPY_BLOCK; skip = 0)
        if (!packed_read(&from, block, COPY_BLOCK, &got, err) ||
            !spool_append(&to, block + MIN(skip, got), got - MIN(skip, got), err))
            return false;
    if (!spool_flush(&to, err))
        return false;
    spool_release(&in->copy);
    in->copy = to;
    to = (struct spool){0};
    free(in->path);
    in->path = spool_path(&in->copy);
    in->packing = PACKED_NOT;
    return true;
}

/* ---- the first bytes ---- */

static bool read_head(struct input *in, char head[static PACKED_HEAD], const char *temp_dir,
                      struct err *err)
{
    FILE *f = fopen(in->path, "rb");
    size_t n;

    if (!f)
        return err_errno(err, "open", in->path);
    n = fread(head, 1, PACKED_HEAD, f);
    fclose(f);
    in->packing = packing_of(head, n);
    return packing_is_wide(head, n) ? copy(in, 0, temp_dir, err) : true;
}

static bool open_input(struct input *in, const char *temp_dir, struct err *err)
{
    struct stat st;
    bool is_stdin = !strcmp(in->name, "-");

    if (!is_stdin && stat(in->name, &st) != 0)
        return err_errno(err, "open", in->name);
    if (!is_stdin && S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "'%s' is a folder; name its files, as in '%s/*.jsonl'",
                       in->name, in->name);
    in->path = xstrdup(in->name);
    return is_stdin || !S_ISREG(st.st_mode) ? copy(in, 0, temp_dir, err) : true;
}

/* ---- the form ---- */

static bool is_blank(const struct buf *line)
{
    for (size_t i = 0; i < line->len; i++)
        if (!strchr(" \t\r\n", line->data[i]) || !line->data[i])
            return false;
    return true;
}

/* The name ends in one of these, an ending .gz or .zst apart. */
static bool has_ending(const char *path, const char *const *endings)
{
    static const char *const packed[] = {".gz", ".zst"};
    size_t n = strlen(path);

    for (int i = 0; i < ARRAY_LEN(packed); i++) {
        size_t e = strlen(packed[i]);

        if (n > e && !strncasecmp(path + n - e, packed[i], e))
            n -= e;
    }
    for (; *endings; endings++) {
        size_t e = strlen(*endings);

        if (n > e && !strncasecmp(path + n - e, *endings, e))
            return true;
    }
    return false;
}

static enum input_form form_of(const struct input *in, const struct input_options *o)
{
    static const char *const names[] = {"auto", "jsonl", "csv", "parquet", "sequence"};
    static const char *const json[] = {".json", ".jsonl", ".ndjson", NULL};
    static const char *const table[] = {".csv", ".tsv", ".txt", ".inter", ".dat", NULL};
    const char *line = buf_str(&in->first);

    for (int f = INPUT_JSONL; f < ARRAY_LEN(names); f++)
        if (!strcmp(o->format, names[f]))
            return (enum input_form)f;
    if (has_ending(in->name, json) || (!has_ending(in->name, table) && line[0] == '{'))
        return INPUT_JSONL;
    return o->columns || strpbrk(line, "\t,;|") || strstr(line, "::") || !strchr(line, ' ')
               ? INPUT_CSV
               : INPUT_SEQUENCE;
}

/* The first line that isn't blank. */
static bool read_first_line(struct input *in, struct err *err)
{
    AUTO(text_file) text = {0};

    in->first_at = in->skip = 0;
    if (!text_file_open(&text, in->path, err))
        return false;
    while (text_file_line(&text, &in->first, LINE_MAX_BYTES)) {
        in->skip++;
        in->first_at++;
        if (!is_blank(&in->first))
            return true;
        in->skip += text.had_return; /* each ends a line there (lines.sql) */
    }
    return text_file_end(&text, err) && err_set(err, ERR_DATA, "'%s' is empty", in->name);
}

static bool begins_with_bom(const struct input *in)
{
    return in->first_at == 1 && in->first.len >= strlen(BOM) &&
           !memcmp(in->first.data, BOM, strlen(BOM));
}

/* In tables a \r ends a line too. */
static void cut_at_return(struct input *in)
{
    size_t blank = strspn(buf_str(&in->first), "\r"), end;

    memmove(in->first.data, in->first.data + blank, in->first.len - blank + 1);
    in->first.len -= blank;
    in->first_at += (int64_t)blank;
    in->skip += (int64_t)blank;
    end = strcspn(in->first.data, "\r");
    in->first.data[in->first.len = MIN(end, in->first.len)] = '\0';
}

/* ---- the columns ---- */

static bool look_at_table(struct input *in, const struct input_options *o, struct err *err)
{
    cut_at_return(in);
    if (o->columns) {
        in->skip = in->first_at = 0;
        if (!csv_header_given(&in->header, o->columns, buf_str(&in->first), err))
            return err->kind == ERR_USAGE ? false : err_wrap(err, "'%s'", in->name);
        in->has_times = o->has_times && in->header.at[COLUMN_TIME];
        return true;
    }
    csv_header_parse(&in->header, buf_str(&in->first), o->names);
    in->has_times = o->has_times;
    return csv_header_check(&in->header, o->names, o->has_times, err) ||
           err_wrap(err, "'%s'", in->name);
}

static bool look_at_text(struct input *in, const struct input_options *o, const char *temp_dir,
                         struct err *err)
{
    if (!read_first_line(in, err))
        return false;
    if (begins_with_bom(in) && !(copy(in, strlen(BOM), temp_dir, err) && read_first_line(in, err)))
        return false;
    if (!strncmp(buf_str(&in->first), "PAR1", 4)) { /* its reader jumps to and fro */
        in->form = INPUT_PARQUET;
        in->has_times = o->has_times;
        return copy(in, 0, temp_dir, err);
    }
    if (!strncmp(buf_str(&in->first), "PK\x03\x04", 4))
        return err_set(err, ERR_DATA, "'%s' is a zip file: unpack it first", in->name);
    in->form = form_of(in, o);
    in->has_times = o->has_times && in->form != INPUT_SEQUENCE;
    if (in->form == INPUT_PARQUET)
        return err_set(err, ERR_DATA, "'%s' is no Parquet file", in->name);
    return in->form == INPUT_CSV ? look_at_table(in, o, err) : true;
}

bool input_look(struct input *in, const char *name, const struct input_options *o,
                const char *temp_dir, struct err *err)
{
    char head[PACKED_HEAD] = {0};

    *in = (struct input){.name = name};
    if (!open_input(in, temp_dir, err) || !read_head(in, head, temp_dir, err))
        return false;
    if (memcmp(head, "PAR1", 4))
        return look_at_text(in, o, temp_dir, err);
    in->form = INPUT_PARQUET;
    in->has_times = o->has_times;
    return true;
}

/* ---- reading ---- */

/* What a reader failed with, in words that name the file. */
static bool name_file(const struct input *in, struct err *err)
{
    if (err->kind != ERR_DATA || strstr(err->msg, in->name))
        return false;
    if (strstr(err->msg, "maximum_object_size"))
        return err_set(err, ERR_DATA, "'%s': a line is longer than can be read with this memory",
                       in->name);
    return err_wrap(err, "'%s'", in->name);
}

bool input_read(const struct input *in, struct duck *d, input_reader *read, void *context,
                struct err *err)
{
    AUTO(packed_watch) whole = {0};
    struct err damage;
    bool ok;

    if (in->packing != PACKED_NOT && !packed_watch_start(&whole, in->path, err))
        return false;
    ok = duck_set_text(d, "input", in->path, err) &&
         duck_set_text(d, "compression", packing_name(in->packing), err) && read(context, err);
    if (!ok && err->kind == ERR_INTERRUPTED)
        return false;
    if (!packed_watch_end(&whole, &damage)) { /* says it better than a failed reading */
        *err = damage;
        return false;
    }
    return ok ? true : name_file(in, err);
}

/* ---- from rows back to lines ---- */

/* How many rows the reader makes of a line, or of a piece of one between \r's. */
static int64_t rows_of(const struct input *in, const char *line, size_t n)
{
    int64_t words = 0;
    bool in_word = false;

    for (size_t i = 0; i < n; i++) {
        bool blank = line[i] == ' ' || line[i] == '\t' || line[i] == '\r';

        words += !blank && !in_word;
        in_word = !blank;
    }
    return in->form == INPUT_SEQUENCE && words > 2 ? words - 1 : words > 0;
}

/* Where a search stands. */
struct place {
    int64_t rows_left, byte, line;
};

/* True when it's in this line, whose first byte is at `start`. */
static bool search_line(const struct input *in, struct place *p, const struct buf *line,
                        int64_t start)
{
    const char *text = buf_str(line), *end = text + line->len;

    for (const char *piece = text;; piece++) {
        size_t n = (size_t)(end - piece);
        const char *stop = in->form == INPUT_JSONL ? NULL : memchr(piece, '\r', n);

        n = stop ? (size_t)(stop - piece) : n;
        p->line++;
        if (p->byte >= 0 && start + (piece - text) + (int64_t)n >= p->byte)
            return true;
        if (p->line > in->first_at || in->form != INPUT_CSV)
            p->rows_left -= rows_of(in, piece, n);
        if (p->rows_left < 0)
            return true;
        piece += n;
        if (piece == end)
            return false;
    }
}

bool input_line_of(const struct input *in, int64_t row, int64_t byte, int64_t *line,
                   struct err *err)
{
    struct place p = {.rows_left = row, .byte = byte};
    AUTO(text_file) text = {0};
    AUTO(buf) one = {0};

    if (!text_file_open(&text, in->path, err))
        return false;
    for (int64_t start = 0; text_file_line(&text, &one, LINE_MAX_BYTES);
         start = text_file_offset(&text))
        if (search_line(in, &p, &one, start))
            break;
    *line = p.line;
    return text_file_end(&text, err);
}
