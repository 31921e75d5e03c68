#include "data/preprocess.h"

#include "base/file.h"
#include "data/outdir.h"
#include "data/rows.h"

static void add_config_id(const struct preprocess_options *o, struct preprocess_stats *s)
{
    int n = snprintf(s->config_id, sizeof s->config_id, "%s-u%d-i%d", o->split->name, o->min_user,
                     o->min_item);

    if (o->split->has_ratios)
        snprintf(s->config_id + n, sizeof s->config_id - (size_t)n, "-%.10g-%.10g", o->train_ratio,
                 o->val_ratio);
}

/* "2990" -> "2,990" */
static const char *grouped(int64_t n, char out[static 32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;

    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

/* Raw files to the tables users, items and kept. */
static bool select_rows(const struct preprocess_options *o, struct duck *d,
                        struct preprocess_stats *s, struct err *err)
{
    AUTO(rows) rows = {0};
    char n[32];

    if (!ingest(d, &o->in, &s->in, err) || !rows_load(&rows, d, err))
        return false;
    s->n_repeated = rows.n_repeated;
    if (!rows_core(&rows, o->min_user, o->min_item, err))
        return err_wrap(err, "no rows are left of %s",
                        grouped(s->in.lines_read - s->in.bad_lines, n));
    s->n_kept = rows.n_kept;
    if (!rows_number(&rows, d, err) || !rows_to_table(&rows, d, err))
        return false;
    s->n_users = rows.n_kept_users;
    s->n_items = rows.n_kept_items;
    return true;
}

static bool write_part(struct duck *d, const char *dir, enum dataset_part part,
                       struct preprocess_stats *s, struct err *err)
{
    AUTO_FREE char *path = path_join(dir, dataset_files[part]);
    AUTO_FREE char *name = xstrndup(dataset_files[part], strcspn(dataset_files[part], "."));

    return duck_set_text(d, "part", name, err) && duck_set_text(d, "output", path, err) &&
           duck_row(d, "SELECT count(*) FROM labelled WHERE part = getvariable('part')",
                    &s->n_part[part], 1, err) &&
           duck_run(d, "write_part", err);
}

static bool write_tables(const struct preprocess_options *o, struct duck *d, const char *dir,
                         struct preprocess_stats *s, struct err *err)
{
    AUTO_FREE char *users = path_join(dir, dataset_files[DATASET_USERS]);
    AUTO_FREE char *items = path_join(dir, dataset_files[DATASET_ITEMS]);

    if (!split_label(o->split, d, s->n_kept, o->train_ratio, o->val_ratio, err))
        return false;
    for (int p = 0; p < DATASET_PARTS; p++)
        if (!write_part(d, dir, (enum dataset_part)p, s, err))
            return false;
    return duck_set_text(d, "users_output", users, err) &&
           duck_set_text(d, "items_output", items, err) && duck_run(d, "write_ids", err);
}

static bool make_tables(const struct preprocess_options *o, const char *dir,
                        struct preprocess_stats *s, struct err *err)
{
    AUTO_FREE char *spill = path_join(dir, OUTDIR_SPILL);
    struct duck_options how = {o->threads, o->memory_limit, spill};
    AUTO(duck) d = {0};

    return duck_open(&d, &how, err) && select_rows(o, &d, s, err) &&
           write_tables(o, &d, dir, s, err);
}

static bool add_digests(const char *dir, struct preprocess_stats *s, struct err *err)
{
    AUTO(buf) lines = {0};

    for (int f = 0; f < DATASET_FILES; f++) {
        AUTO_FREE char *path = path_join(dir, dataset_files[f]);

        if (!digest_file(path, s->file_digest[f], err))
            return false;
        buf_printf(&lines, "%s %s\n", dataset_files[f], s->file_digest[f]);
    }
    digest_bytes(lines.data, lines.len, s->digest);
    return true;
}

static void put_stats(const struct preprocess_options *o, const struct preprocess_stats *s,
                      struct json_out *j)
{
    j->pretty = true;
    json_open(j, NULL, '{');
    json_put_str(j, "config_id", s->config_id);
    json_put_int(j, "lines_read", s->in.lines_read);
    json_put_int(j, "bad_lines", s->in.bad_lines);
    json_put_int(j, "raw_interactions", s->in.lines_read - s->in.bad_lines);
    json_put_int(j, "repeated", s->n_repeated);
    json_put_int(j, "filtered_interactions", s->n_kept);
    json_put_int(j, "num_users", s->n_users);
    json_put_int(j, "num_items", s->n_items);
    json_put_int(j, "train_size", s->n_part[DATASET_TRAIN]);
    json_put_int(j, "val_size", s->n_part[DATASET_VAL]);
    json_put_int(j, "test_size", s->n_part[DATASET_TEST]);
    json_put_str(j, "split_strategy", o->split->name);
    json_put_int(j, "min_user", o->min_user);
    json_put_int(j, "min_item", o->min_item);
    json_put_real(j, "train_ratio", o->train_ratio);
    json_put_real(j, "val_ratio", o->val_ratio);
    json_open(j, "files", '{');
    for (int f = 0; f < DATASET_FILES; f++)
        json_put_str(j, dataset_files[f], s->file_digest[f]);
    json_close(j, '}');
    json_put_str(j, "digest", s->digest);
    json_put_str(j, "version", KINDRED_VERSION);
    json_close(j, '}');
}

bool preprocess(const struct preprocess_options *o, struct preprocess_stats *s,
                struct json_out *json, struct err *err)
{
    AUTO(outdir) out = {0};
    AUTO_FREE char *stats = NULL;
    struct preprocess_options own = *o;

    *s = (struct preprocess_stats){0};
    if (!outdir_open(&out, o->output_dir, dataset_files, DATASET_FILES + 1, err))
        return false;
    own.in.work_dir = out.tmp;
    add_config_id(o, s);
    if (!make_tables(&own, out.tmp, s, err) || !add_digests(out.tmp, s, err))
        return false;
    put_stats(o, s, json);
    stats = path_join(out.tmp, dataset_files[DATASET_STATS]);
    return file_write(stats, json->buf.data, json->buf.len, err) && outdir_commit(&out, err);
}
