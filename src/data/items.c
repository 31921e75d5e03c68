#include "data/items.h"

#include "base/file.h"
#include "data/input.h"

struct meta {
    struct duck *duck;
    struct items_counts *counts;
    const char *temp_dir;
};

static bool run_script(void *context, struct err *err)
{
    struct meta *m = context;

    return duck_run(m->duck, "read_items", err);
}

static bool read_file(void *context, const char *path, struct err *err)
{
    static const struct input_options jsonl = {.format = "jsonl"};
    struct meta *m = context;
    AUTO(input) in = {0};
    int64_t lines[2]; /* all, bad ones */

    if (!input_look(&in, path, &jsonl, m->temp_dir, err) ||
        !input_read(&in, m->duck, run_script, m, err) ||
        !duck_row(m->duck, "SELECT getvariable('lines_read'), getvariable('bad_lines')", lines, 2,
                  err))
        return false;
    m->counts->lines_read += lines[0];
    m->counts->bad_lines += lines[1];
    if (lines[0] == lines[1])
        return err_set(
            err, ERR_DATA,
            "'%s': none of %lld lines is a JSON object with a parent_asin, asin or item_id", path,
            (long long)lines[0]);
    return true;
}

bool items_read(struct duck *d, const char *const *files, int n, const char *temp_dir,
                struct items_counts *counts, struct err *err)
{
    struct meta m = {d, counts, temp_dir};

    *counts = (struct items_counts){0};
    if (!duck_run(d, "item_meta", err))
        return false;
    for (int i = 0; i < n; i++)
        if (!glob_each(files[i], read_file, &m, err))
            return false;
    return true;
}
