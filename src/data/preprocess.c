#include "data/preprocess.h"

#include "base/file.h"
#include "base/html.h"
#include "base/memory.h"
#include "data/kept.h"
#include "data/outdir.h"
#include "data/tempdir.h"

#include <math.h>
#include <omp.h>
#include <unistd.h>

/* ---- what shaped the data ---- */

static void add_config_id(const struct preprocess_options *o, struct preprocess_stats *s)
{
    const struct split_options *split = &o->split;
    AUTO(buf) b = {0};

    buf_printf(&b, "%s-u%d-i%d", split->split->name, o->min_user, o->min_item);
    if (split->split->has_ratios)
        buf_printf(&b, "-%.10g-%.10g", split->train_ratio, split->val_ratio);
    if (split->split->has_seed)
        buf_printf(&b, "-s%lld", (long long)split->seed);
    if (!isnan(o->in.min_rating))
        buf_printf(&b, "-r%.10g", o->in.min_rating);
    if (o->in.after)
        buf_printf(&b, "-after-%.40s", o->in.after);
    if (o->in.before)
        buf_printf(&b, "-before-%.40s", o->in.before);
    if (o->repeats != REPEATS_FIRST)
        buf_printf(&b, "-%s", repeats_names[o->repeats]);
    snprintf(s->config_id, sizeof s->config_id, "%s", buf_str(&b));
}

/* ---- memory ---- */

/* What the process holds beside DuckDB's own count (the program, ids, blocks on their way, what
 * the allocator keeps) is met by giving DuckDB a part of the limit; and its reader has some 40 MB a
 * thread. */
static bool set_memory(struct preprocess_options *o, struct buf *of_duckdb, struct err *err)
{
    enum { LEAST_MB = 150, DUCKDB_PERCENT = 70, THREAD_MB = 80 };
    double bytes = 0.8 * memory_of_machine();
    int threads;

    if (o->memory_limit && !memory_parse("--memory-limit", o->memory_limit, &bytes, err))
        return false;
    if (bytes < LEAST_MB * 1e6)
        return err_set(err, ERR_USAGE, "%s is less than the %d MB of memory that are needed",
                       o->memory_limit ? "--memory-limit" : "80 % of what this machine has",
                       LEAST_MB);
    threads = (int)MIN(bytes / 100 * DUCKDB_PERCENT / (THREAD_MB * 1e6), 1024.0);
    o->threads = MIN(o->threads ? o->threads : omp_get_max_threads(), MAX(threads, 1));
    o->in.memory = (size_t)bytes;
    o->in.threads = o->threads;
    buf_printf(of_duckdb, "%zuB", o->in.memory / 100 * DUCKDB_PERCENT);
    return true;
}

/* ---- rows ---- */

static bool nothing_left(const struct preprocess_stats *s, int64_t left, struct err *err)
{
    AUTO(buf) of = {0};

    html_put_int(&of, ingest_lines(&s->in) - ingest_bad_lines(&s->in));
    if (left == 0)
        return err_set(err, ERR_DATA,
                       "no rows are left of %s: all are outside --min-rating, --after or --before",
                       buf_str(&of));
    return err_wrap(err, "no rows are left of %s", buf_str(&of));
}

/* Raw files to the tables users, items and kept. */
static bool select_rows(const struct preprocess_options *o, struct duck *d,
                        struct preprocess_stats *s, struct err *err)
{
    struct rows_options how = {.temp_dir = o->in.temp_dir,
                               .memory = o->in.memory / 4,
                               .repeats = o->repeats,
                               .min_user = o->min_user};
    AUTO(rows) rows = {0};
    AUTO(kept) kept = {0};

    if (!rows_open(&rows, &how, err) || !ingest(d, &o->in, &rows, &s->in, err))
        return false;
    s->has_times = rows.o.has_times;
    if (rows.n == 0)
        return nothing_left(s, 0, err);
    if (!s->has_times && o->split.split->needs_times)
        return err_set(err, ERR_DATA,
                       "the input has no times: choose --split leave-one-out, ratio or random");
    if (!rows_sort(&rows, err))
        return false;
    s->n_repeated = rows.n_repeated;
    if (!kept_find(&kept, &rows, o->min_user, o->min_item, err))
        return err->kind == ERR_DATA ? nothing_left(s, rows.n, err) : false;
    s->n_kept = kept.n_rows;
    s->n_users = kept.n_users;
    s->n_items = kept.n_items;
    s->lost_by_user = kept.lost_by_user;
    s->lost_by_item = kept.lost_by_item;
    return kept_to_tables(&kept, &rows, d, err);
}

/* ---- tables ---- */

static bool write_part(struct duck *d, const char *dir, enum dataset_part part,
                       struct preprocess_stats *s, struct err *err)
{
    AUTO_FREE char *path = path_join(dir, dataset_files[part]);

    return duck_set_text(d, "part", dataset_parts[part], err) &&
           duck_set_text(d, "output", path, err) &&
           duck_row(d, "SELECT count(*) FROM labelled WHERE part = getvariable('part')",
                    &s->n_part[part], 1, err) &&
           duck_run(d, "write_part", err);
}

/* On one thread: on several the bounds of the row groups would depend on who is first. */
static bool write_files(struct duck *d, const char *dir, struct preprocess_stats *s,
                        struct err *err)
{
    AUTO_FREE char *users = path_join(dir, dataset_files[DATASET_USERS]);
    AUTO_FREE char *items = path_join(dir, dataset_files[DATASET_ITEMS]);
    AUTO_FREE char *restore = NULL;
    int64_t threads;

    if (!duck_row(d, "SELECT current_setting('threads')", &threads, 1, err) ||
        !duck_exec(d, "SET threads = 1", err))
        return false;
    restore = xasprintf("SET threads = %lld", (long long)threads);
    for (int p = 0; p < DATASET_PARTS; p++) {
        duck_progress(d, dataset_files[p], "rows", s->n_kept);
        if (!write_part(d, dir, (enum dataset_part)p, s, err))
            return false;
    }
    duck_progress(d, NULL, NULL, 0);
    return duck_set_text(d, "users_output", users, err) &&
           duck_set_text(d, "items_output", items, err) && duck_run(d, "write_ids", err) &&
           duck_exec(d, restore, err);
}

static bool write_tables(const struct preprocess_options *o, struct duck *d, const char *dir,
                         struct preprocess_stats *s, struct err *err)
{
    int64_t found[3];

    if (!items_read(d, o->items.names, o->items.n, o->in.temp_dir, &s->items, err) ||
        !split_label(&o->split, d, err) || !write_files(d, dir, s, err) ||
        !duck_row(d,
                  "SELECT min(timestamp), max(timestamp), (SELECT count(title) FROM item_meta) "
                  "FROM kept",
                  found, 3, err))
        return false;
    s->first_time = found[0];
    s->last_time = found[1];
    s->n_titles = found[2];
    return true;
}

static bool make_tables(const struct preprocess_options *o, const char *dir,
                        struct preprocess_stats *s, struct summary *summary, struct err *err)
{
    AUTO(tempdir) temp = {0};
    AUTO_FREE char *spill = path_join(dir, OUTDIR_SPILL);
    struct preprocess_options own = *o;
    AUTO(buf) memory = {0};
    struct duck_options how = {.spill_dir = spill};
    AUTO(duck) d = {0};

    if (!set_memory(&own, &memory, err) || (o->temp_dir && !tempdir_open(&temp, o->temp_dir, err)))
        return false;
    how.memory_limit = buf_str(&memory);
    how.threads = own.threads;
    own.in.temp_dir = temp.path ? temp.path : dir;
    if (temp.path)
        how.spill_dir = temp.path;
    return duck_open(&d, &how, err) && select_rows(&own, &d, s, err) &&
           write_tables(&own, &d, dir, s, err) &&
           (!summary || summary_collect(&d, s->has_times, summary, err));
}

/* ---- stats.json ---- */

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

void preprocess_account(const struct preprocess_stats *s,
                        struct preprocess_step out[PREPROCESS_STEPS])
{
    const struct preprocess_step steps[] = {
        {NULL, "lines read", ingest_lines(&s->in)},
        {"malformed", "malformed", s->in.n[FATE_MALFORMED]},
        {"missing_field", "without user, item or time", s->in.n[FATE_MISSING_FIELD]},
        {"out_of_range", "time unreadable or out of range", s->in.n[FATE_OUT_OF_RANGE]},
        {"below_min_rating", "below --min-rating", s->in.n[FATE_BELOW_MIN_RATING]},
        {"outside_dates", "outside --after and --before", s->in.n[FATE_OUTSIDE_DATES]},
        {"repeated", "repeats of a user and an item", s->n_repeated},
        {"filtered_by_users", "of users with too few rows", s->lost_by_user},
        {"filtered_by_items", "of items with too few rows", s->lost_by_item},
        {"filtered_interactions", "kept", s->n_kept},
    };

    static_assert(ARRAY_LEN(steps) == PREPROCESS_STEPS, "a row for each");
    memcpy(out, steps, sizeof steps);
}

/* The steps of the account with these keys in between, `from` and `to` too. */
static void put_steps(const struct preprocess_stats *s, enum fate from, int to, struct json_out *j)
{
    struct preprocess_step steps[PREPROCESS_STEPS];

    preprocess_account(s, steps);
    for (int i = (int)from; i <= to; i++)
        json_put_int(j, steps[i].key, steps[i].n);
}

void preprocess_put_stats(const struct preprocess_options *o, const struct preprocess_stats *s,
                          struct json_out *j)
{
    json_put_str(j, "config_id", s->config_id);
    json_put_int(j, "lines_read", ingest_lines(&s->in));
    json_put_int(j, "bad_lines", ingest_bad_lines(&s->in));
    put_steps(s, FATE_MALFORMED, FATE_OUT_OF_RANGE, j);
    json_put_int(j, "raw_interactions", ingest_lines(&s->in) - ingest_bad_lines(&s->in));
    put_steps(s, FATE_BELOW_MIN_RATING, PREPROCESS_STEPS - 1, j);
    json_put_int(j, "num_users", s->n_users);
    json_put_int(j, "num_items", s->n_items);
    json_put_int(j, "items_with_title", s->n_titles);
    json_put_int(j, "train_size", s->n_part[DATASET_TRAIN]);
    json_put_int(j, "val_size", s->n_part[DATASET_VAL]);
    json_put_int(j, "test_size", s->n_part[DATASET_TEST]);
    json_put_str(j, "split_strategy", o->split.split->name);
    json_put_str(j, "repeats", repeats_names[o->repeats]);
    json_put_int(j, "min_user", o->min_user);
    json_put_int(j, "min_item", o->min_item);
    json_put_real(j, "train_ratio", o->split.train_ratio);
    json_put_real(j, "val_ratio", o->split.val_ratio);
    json_put_bool(j, "has_times", s->has_times);
    json_put_int(j, "first_time", s->first_time);
    json_put_int(j, "last_time", s->last_time);
    json_open(j, "files", '{');
    for (int f = 0; f < DATASET_FILES; f++)
        json_put_str(j, dataset_files[f], s->file_digest[f]);
    json_close(j, '}');
    json_put_str(j, "digest", s->digest);
    json_put_str(j, "version", KINDRED_VERSION);
}

static bool write_stats(const struct preprocess_options *o, const struct preprocess_stats *s,
                        const char *dir, struct err *err)
{
    AUTO(json_out) json = {0};
    AUTO_FREE char *path = path_join(dir, dataset_files[DATASET_STATS]);

    json.pretty = true;
    json_open(&json, NULL, '{');
    preprocess_put_stats(o, s, &json);
    json_close(&json, '}');
    return file_write(path, json.buf.data, json.buf.len, err);
}

bool preprocess(const struct preprocess_options *o, struct preprocess_stats *s,
                struct summary *summary, struct err *err)
{
    AUTO(outdir) out = {0};

    *s = (struct preprocess_stats){0};
    if (!outdir_open(&out, o->output_dir, dataset_files, DATASET_FILES + 1, err))
        return false;
    add_config_id(o, s);
    return make_tables(o, out.tmp, s, summary, err) && add_digests(out.tmp, s, err) &&
           write_stats(o, s, out.tmp, err) && outdir_commit(&out, err);
}
