#include "data/summary.h"

#include "data/timestamp.h"

#include <math.h>

/* ---- over time ---- */

/* The least width that gives few enough bins, of those that people count time in. Each is at most
 * twice the one before, so there are at least half as many as there may be, if there are as many
 * seconds. Weeks begin on Mondays. */
static void choose_bins(struct summary *s)
{
    static const int64_t widths[] = {MS_SECOND,      2 * MS_SECOND,  3 * MS_SECOND,  5 * MS_SECOND,
                                     10 * MS_SECOND, 15 * MS_SECOND, 30 * MS_SECOND, MS_MINUTE,
                                     2 * MS_MINUTE,  3 * MS_MINUTE,  5 * MS_MINUTE,  10 * MS_MINUTE,
                                     15 * MS_MINUTE, 30 * MS_MINUTE, MS_HOUR,        2 * MS_HOUR,
                                     3 * MS_HOUR,    6 * MS_HOUR,    12 * MS_HOUR,   MS_DAY,
                                     2 * MS_DAY,     4 * MS_DAY,     MS_WEEK};
    const int64_t monday = 4 * MS_DAY; /* 1970-01-05 */

    for (int i = 0;; i++) {
        bool in_table = i < ARRAY_LEN(widths);
        int64_t width = in_table ? widths[i] : MS_WEEK << (i - ARRAY_LEN(widths) + 1);
        int64_t origin = width < MS_WEEK ? 0 : monday - width; /* before 1970, as rows are not */
        int64_t first = (s->first_time - origin) / width, last = (s->last_time - origin) / width;

        if (last - first >= SUMMARY_BINS_MAX)
            continue;
        s->bin_ms = width;
        s->bins_start = origin + first * width;
        s->n_bins = (int)(last - first + 1);
        return;
    }
}

static bool fill_bins(struct duck *d, struct summary *s, struct err *err)
{
    AUTO(duck_rows) rows = {0};

    if (!duck_set_int(d, "bin_ms", s->bin_ms, err) ||
        !duck_set_int(d, "bin_origin", s->bins_start, err) ||
        !duck_query(d, &rows, "SELECT bin, train, val, test FROM summary_bins", err))
        return false;
    while (duck_next(&rows, err))
        for (int64_t i = 0; i < rows.n; i++)
            for (int p = 0; p < DATASET_PARTS; p++)
                s->bins[duck_int64(&rows, 0)[i]][p] = duck_int64(&rows, 1 + p)[i];
    return !rows.failed;
}

static bool collect_times(struct duck *d, struct summary *s, struct err *err)
{
    int64_t range[DATASET_PARTS][2], last = -1;

    if (!duck_row(d, "FROM summary_times", range[0], 2 * DATASET_PARTS, err))
        return false;
    s->has_times = s->has_cuts = true;
    s->first_time = INT64_MAX;
    for (int p = 0; p < DATASET_PARTS; p++) {
        s->has_cuts = s->has_cuts && range[p][0] > last;
        last = MAX(last, range[p][1]);
        s->first_time = MIN(s->first_time, range[p][0]);
    }
    s->last_time = last;
    for (int p = DATASET_TRAIN + 1; s->has_cuts && p < DATASET_PARTS; p++)
        s->cuts[p] = s->n_part[p] ? range[p][0] : 0;
    choose_bins(s);
    return fill_bins(d, s, err);
}

/* ---- tails ---- */

/* How many users (or items) have so many rows, for each number that occurs, ascending. */
struct steps {
    struct step {
        int64_t n_rows, n;
    } * at;
    int64_t n, cap;
};

static void steps_release(struct steps *s)
{
    free(s->at);
    *s = (struct steps){0};
}

static bool steps_read(struct steps *s, struct duck *d, const char *query, struct err *err)
{
    AUTO(duck_rows) rows = {0};

    if (!duck_query(d, &rows, query, err))
        return false;
    while (duck_next(&rows, err))
        for (int64_t i = 0; i < rows.n; i++) {
            if (s->n == s->cap) {
                s->cap = MAX(64, 2 * s->cap);
                s->at = xrealloc(s->at, (size_t)s->cap, sizeof *s->at);
            }
            s->at[s->n++] = (struct step){duck_int64(&rows, 0)[i], duck_int64(&rows, 1)[i]};
        }
    return !rows.failed;
}

/* The number of rows that the rank-th has, from the one with the fewest, which is rank 1. */
static int64_t rows_of_rank(const struct steps *s, int64_t rank)
{
    int64_t i = 0;

    for (int64_t below = 0; below + s->at[i].n < rank; i++)
        below += s->at[i].n;
    return s->at[i].n_rows;
}

/* The share of all rows that the `top` with the most have. */
static double share_of_top(const struct steps *s, int64_t top, int64_t n_rows)
{
    int64_t sum = 0;

    for (int64_t i = s->n - 1; top > 0; i--) {
        int64_t n = MIN(top, s->at[i].n);

        sum += n * s->at[i].n_rows;
        top -= n;
    }
    return (double)sum / (double)n_rows;
}

/* G = 2 sum(i x_i) / (n sum(x_i)) - (n + 1) / n, x ascending, i from 1. (Damgaard, Weiner:
 * Describing inequality in plant size or fecundity. Ecology 81, 2000) */
static double gini(const struct steps *s, int64_t n, int64_t n_rows)
{
    double weighted = 0, below = 0;

    for (int64_t i = 0; i < s->n; i++) {
        double k = (double)s->at[i].n;

        weighted += (double)s->at[i].n_rows * k * (below + (k + 1) / 2);
        below += k;
    }
    return 2 * weighted / ((double)n * (double)n_rows) - (double)(n + 1) / (double)n;
}

/* 22 ranks a decade are 200 for 10^9 of them; the same ones whatever n is, so that two tails can be
 * read side by side. */
static void put_points(struct summary_tail *t, const struct steps *s)
{
    int64_t rank = 0;

    for (int k = 0; rank < t->n; k++) {
        int64_t next = MIN(t->n, (int64_t)pow(10, k / 22.0));

        if (next == rank)
            continue;
        rank = next;
        t->points[t->n_points++] = (struct summary_point){rank, rows_of_rank(s, t->n - rank + 1)};
        assert(t->n_points <= SUMMARY_POINTS_MAX);
    }
}

static int64_t share_of(int64_t n, int percent)
{
    return (n * percent + 99) / 100;
}

static bool collect_tail(struct duck *d, const char *query, int64_t n_rows, struct summary_tail *t,
                         struct err *err)
{
    AUTO(steps) s = {0};

    if (!steps_read(&s, d, query, err))
        return false;
    for (int64_t i = 0; i < s.n; i++)
        t->n += s.at[i].n;
    t->min = s.at[0].n_rows;
    t->median = rows_of_rank(&s, share_of(t->n, 50));
    t->p90 = rows_of_rank(&s, share_of(t->n, 90));
    t->p99 = rows_of_rank(&s, share_of(t->n, 99));
    t->max = s.at[s.n - 1].n_rows;
    t->mean = (double)n_rows / (double)t->n;
    t->top1 = share_of_top(&s, share_of(t->n, 1), n_rows);
    t->top10 = share_of_top(&s, share_of(t->n, 10), n_rows);
    t->gini = gini(&s, t->n, n_rows);
    put_points(t, &s);
    return true;
}

/* ---- ratings ---- */

/* The least of 1, 2, 5, 10, ... times a power of ten that gives few enough bins. */
static double rating_step(double min, double max)
{
    static const double nice[] = {1, 2, 5};

    for (int k = -38;; k++)
        for (int i = 0; i < ARRAY_LEN(nice); i++) {
            double step = nice[i] * pow(10, k);

            if (floor(max / step) - floor(min / step) < SUMMARY_RATINGS_MAX)
                return step;
        }
}

/* One for each rating where they are few, else bins. */
static void put_rating(struct summary *s, double rating, int64_t n, double step)
{
    double from = step > 0 ? floor(rating / step) * step : rating;
    struct summary_rating *last = s->ratings + s->n_ratings - 1;

    if (s->n_ratings > 0 && last->from == from) {
        last->n += n;
        return;
    }
    assert(s->n_ratings < SUMMARY_RATINGS_MAX);
    s->ratings[s->n_ratings++] = (struct summary_rating){from, step > 0 ? from + step : from, n};
}

static bool choose_step(struct duck *d, double *step, struct err *err)
{
    AUTO(duck_rows) rows = {0};

    *step = 0;
    if (!duck_query(d, &rows, "SELECT count(*), min(rating), max(rating) FROM summary_ratings",
                    err))
        return false;
    while (duck_next(&rows, err))
        if (duck_int64(&rows, 0)[0] > SUMMARY_RATINGS_MAX)
            *step = rating_step((double)duck_float(&rows, 1)[0], (double)duck_float(&rows, 2)[0]);
    return !rows.failed;
}

static bool collect_ratings(struct duck *d, struct summary *s, struct err *err)
{
    AUTO(duck_rows) rows = {0};
    double step;

    if (!choose_step(d, &step, err) || !duck_query(d, &rows, "FROM summary_ratings", err))
        return false;
    while (duck_next(&rows, err))
        for (int64_t i = 0; i < rows.n; i++)
            put_rating(s, (double)duck_float(&rows, 0)[i], duck_int64(&rows, 1)[i], step);
    return !rows.failed;
}

/* ---- all of it ---- */

bool summary_collect(struct duck *d, bool has_times, struct summary *s, struct err *err)
{
    *s = (struct summary){0};
    if (!duck_run(d, "summary", err) ||
        !duck_row(d, "FROM summary_sizes", s->n_part, DATASET_PARTS, err))
        return false;
    for (int p = 0; p < DATASET_PARTS; p++)
        s->n_rows += s->n_part[p];
    return (!has_times || collect_times(d, s, err)) &&
           collect_tail(d, "FROM summary_users", s->n_rows, &s->users, err) &&
           collect_tail(d, "FROM summary_items", s->n_rows, &s->items, err) &&
           collect_ratings(d, s, err);
}

/* ---- JSON ---- */

static void put_times(const struct summary *s, struct json_out *j)
{
    json_open(j, "over_time", '{');
    json_put_int(j, "first_time", s->first_time);
    json_put_int(j, "last_time", s->last_time);
    for (int p = DATASET_TRAIN + 1; p < DATASET_PARTS; p++)
        if (s->cuts[p]) {
            AUTO_FREE char *key = xasprintf("%s_from", dataset_parts[p]);

            json_put_int(j, key, s->cuts[p]);
        }
    json_put_int(j, "start", s->bins_start);
    json_put_int(j, "bin_ms", s->bin_ms);
    for (int p = 0; p < DATASET_PARTS; p++) {
        json_open(j, dataset_parts[p], '[');
        for (int i = 0; i < s->n_bins; i++)
            json_put_int(j, NULL, s->bins[i][p]);
        json_close(j, ']');
    }
    json_close(j, '}');
}

static void put_tail(const struct summary_tail *t, const char *key, struct json_out *j)
{
    json_open(j, key, '{');
    json_put_int(j, "min", t->min);
    json_put_int(j, "median", t->median);
    json_put_real(j, "mean", t->mean);
    json_put_int(j, "p90", t->p90);
    json_put_int(j, "p99", t->p99);
    json_put_int(j, "max", t->max);
    json_put_real(j, "top_1_percent", t->top1);
    json_put_real(j, "top_10_percent", t->top10);
    json_put_real(j, "gini", t->gini);
    json_open(j, "rank", '[');
    for (int i = 0; i < t->n_points; i++)
        json_put_int(j, NULL, t->points[i].rank);
    json_close(j, ']');
    json_open(j, "rows", '[');
    for (int i = 0; i < t->n_points; i++)
        json_put_int(j, NULL, t->points[i].n_rows);
    json_close(j, ']');
    json_close(j, '}');
}

void summary_put_json(const struct summary *s, struct json_out *j)
{
    if (s->has_times)
        put_times(s, j);
    put_tail(&s->users, "rows_per_user", j);
    put_tail(&s->items, "rows_per_item", j);
    json_open(j, "ratings", '[');
    for (int i = 0; i < s->n_ratings; i++) {
        json_open(j, NULL, '{');
        json_put_float(j, "from", (float)s->ratings[i].from);
        json_put_float(j, "to", (float)s->ratings[i].to);
        json_put_int(j, "n", s->ratings[i].n);
        json_close(j, '}');
    }
    json_close(j, ']');
}
