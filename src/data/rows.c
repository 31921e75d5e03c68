#include "data/rows.h"

#include "base/interrupt.h"
#include "base/progress.h"

const char *const repeats_names[] = {"first", "last", "all"};

enum repeats repeats_named(const char *name)
{
    int r = REPEATS_FIRST;

    for (; strcmp(repeats_names[r], name) != 0; r++)
        assert(r < REPEATS_ALL);
    return (enum repeats)r;
}

/* ---- collecting ---- */

bool rows_open(struct rows *r, const struct rows_options *o, struct err *err)
{
    *r = (struct rows){.o = *o};
    return spool_open(&r->raw, o->temp_dir, err);
}

void rows_release(struct rows *r)
{
    names_release(&r->users);
    names_release(&r->items);
    free(r->n_of_user);
    free(r->user_at);
    free(r->offsets);
    spool_release(&r->raw);
    spool_release(&r->items_of);
    spool_release(&r->rest_of);
    *r = (struct rows){0};
}

size_t rows_memory(const struct rows *r)
{
    return names_memory(&r->users) + names_memory(&r->items) +
           r->n_of_user_cap * sizeof *r->n_of_user;
}

static void count_users(struct rows *r, const int32_t *users, int n)
{
    if ((size_t)r->users.n > r->n_of_user_cap) {
        size_t cap = MAX(r->n_of_user_cap + r->n_of_user_cap / 2, (size_t)r->users.n);

        r->n_of_user = xrealloc(r->n_of_user, cap, sizeof *r->n_of_user);
        memset(r->n_of_user + r->n_of_user_cap, 0, (cap - r->n_of_user_cap) * sizeof *r->n_of_user);
        r->n_of_user_cap = cap;
    }
    for (int i = 0; i < n; i++)
        r->n_of_user[users[i]]++;
}

bool rows_add(struct rows *r, int n, const struct name *user, const struct name *item,
              const int64_t *time, const float *rating, int part, struct err *err)
{
    int32_t users[NAMES_BLOCK], items[NAMES_BLOCK];
    struct row block[NAMES_BLOCK];

    if (!names_add(&r->users, user, n, users) || !names_add(&r->items, item, n, items))
        return err_set(err, ERR_DATA, "more users or items than the %d that can be numbered",
                       INT32_MAX);
    count_users(r, users, n);
    for (int i = 0; i < n; i++)
        block[i] = (struct row){time[i], users[i], items[i], rating[i], part};
    r->n += n;
    return spool_append(&r->raw, block, (size_t)n * sizeof *block, err);
}

/* ---- places ---- */

/* Fill user_at and offsets; returns each user's place, to be freed. */
static int32_t *place_users(struct rows *r)
{
    int32_t n = r->users.n, n_sorted = 0, n_others = 0;
    int32_t *place = xmalloc((size_t)n, sizeof *place);

    r->user_at = xmalloc((size_t)n, sizeof *r->user_at);
    r->offsets = xmalloc((size_t)n + 1, sizeof *r->offsets);
    for (int32_t u = 0; u < n; u++)
        if (r->n_of_user[u] >= r->o.min_user)
            r->user_at[n_sorted++] = u;
        else
            r->user_at[n - ++n_others] = u;
    names_sort(&r->users, r->user_at, n_sorted);
    r->offsets[0] = 0;
    for (int32_t p = 0; p < n; p++) {
        place[r->user_at[p]] = p;
        r->offsets[p + 1] = r->offsets[p] + r->n_of_user[r->user_at[p]];
    }
    return place;
}

/* ---- what fits into memory at a time ---- */

/* Places first .. end - 1, whose rows are sorted together. */
struct range {
    int32_t first, end;
};

struct sorter {
    struct rows *r;
    const int32_t *place; /* (users.n) */
    struct range *ranges; /* (n_ranges) */
    int n_ranges;
    struct spool parted;  /* the rows by range, where there are several */
    struct row *in, *out; /* the rows of a range */
    bool *seen;           /* (items.n) */
};

static void sorter_release(struct sorter *s)
{
    free(s->ranges);
    free(s->in);
    free(s->out);
    free(s->seen);
    spool_release(&s->parted);
}

static void plan(struct sorter *s)
{
    const struct rows *r = s->r;
    int64_t most = (int64_t)(r->o.memory / (2 * sizeof(struct row))), largest = 0;

    for (int32_t first = 0, end; first < r->users.n; first = end) {
        for (end = first + 1; end < r->users.n; end++)
            if (r->offsets[end + 1] - r->offsets[first] > most)
                break;
        s->ranges = xrealloc(s->ranges, (size_t)s->n_ranges + 1, sizeof *s->ranges);
        s->ranges[s->n_ranges++] = (struct range){first, end};
        largest = MAX(largest, r->offsets[end] - r->offsets[first]);
    }
    s->in = xmalloc((size_t)largest, sizeof *s->in);
    s->out = xmalloc((size_t)largest, sizeof *s->out);
    s->seen = xcalloc((size_t)r->items.n, sizeof *s->seen);
}

/* ---- rows to their ranges ---- */

enum { WAITING = 4096 }; /* rows of a range that are written together */

struct parting {
    struct row *waiting; /* (n_ranges, WAITING) */
    int *n;              /* (n_ranges) */
    int64_t *at;         /* (n_ranges) where the next go, in rows */
    int32_t *range_of;   /* (users.n) by place */
};

static void parting_release(struct parting *p)
{
    free(p->waiting);
    free(p->n);
    free(p->at);
    free(p->range_of);
}

static bool pass_on(struct sorter *s, struct parting *p, int range, struct err *err)
{
    size_t bytes = (size_t)p->n[range] * sizeof(struct row);
    int64_t at = p->at[range] * (int64_t)sizeof(struct row);

    p->at[range] += p->n[range];
    p->n[range] = 0;
    return spool_write(&s->parted, at, p->waiting + (size_t)range * WAITING, bytes, err);
}

static void parting_init(struct parting *p, const struct sorter *s)
{
    size_t n = (size_t)s->n_ranges;

    p->waiting = xmalloc(n * WAITING, sizeof *p->waiting);
    p->n = xcalloc(n, sizeof *p->n);
    p->at = xmalloc(n, sizeof *p->at);
    p->range_of = xmalloc((size_t)s->r->users.n, sizeof *p->range_of);
    for (int i = 0; i < s->n_ranges; i++) {
        p->at[i] = s->r->offsets[s->ranges[i].first];
        for (int32_t place = s->ranges[i].first; place < s->ranges[i].end; place++)
            p->range_of[place] = i;
    }
}

/* Write the rows to s->parted, each range's together, in the input's order. */
static bool part_rows(struct sorter *s, struct err *err)
{
    AUTO(parting) p = {0};
    AUTO_FREE struct row *block = xmalloc(WAITING, sizeof *block);
    const struct rows *r = s->r;

    if (!spool_open(&s->parted, r->o.temp_dir, err))
        return false;
    parting_init(&p, s);
    for (int64_t at = 0; at < r->n; at += WAITING) {
        int64_t n = MIN(r->n - at, (int64_t)WAITING);

        if (!interrupt_check(err) || !spool_read(&r->raw, at * (int64_t)sizeof *block, block,
                                                 (size_t)n * sizeof *block, err))
            return false;
        for (int64_t i = 0; i < n; i++) {
            int range = p.range_of[s->place[block[i].user]];

            p.waiting[(size_t)range * WAITING + (size_t)p.n[range]++] = block[i];
            if (p.n[range] == WAITING && !pass_on(s, &p, range, err))
                return false;
        }
    }
    for (int range = 0; range < s->n_ranges; range++)
        if (!pass_on(s, &p, range, err))
            return false;
    return true;
}

/* ---- a range ---- */

/* Of one user's rows, whose `user` is their place in the input. */
static int by_part_and_time(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->user > y->user) - (x->user < y->user);
}

static void sort_user(struct row *rows, int32_t n, bool has_times)
{
    bool sorted = true;

    for (int32_t i = 0; i < n; i++) {
        rows[i].user = i;
        sorted &= i == 0 || by_part_and_time(&rows[i - 1], &rows[i]) < 0;
    }
    if (!sorted)
        qsort(rows, (size_t)n, sizeof *rows, by_part_and_time);
    for (int32_t i = 0; !has_times && i < n; i++)
        rows[i].time = i;
}

/* The rows of s->in to s->out, by user, part, time and input. */
static void sort_range(struct sorter *s, const struct range *g)
{
    const struct rows *r = s->r;
    int32_t n_users = g->end - g->first;
    int64_t start = r->offsets[g->first], n = r->offsets[g->end] - start;
    AUTO_FREE int64_t *at = xmalloc((size_t)n_users, sizeof *at);

    for (int32_t u = 0; u < n_users; u++)
        at[u] = r->offsets[g->first + u] - start;
    for (int64_t i = 0; i < n; i++)
        s->out[at[s->place[s->in[i].user] - g->first]++] = s->in[i];
#pragma omp parallel for schedule(dynamic, 1024)
    for (int32_t u = 0; u < n_users; u++) {
        int64_t from = r->offsets[g->first + u] - start;

        sort_user(s->out + from, (int32_t)(at[u] - from), r->o.has_times);
    }
}

/* Take the repeats out of rows of one user and part; returns how many are left. */
static int64_t without_repeats(struct sorter *s, struct row *rows, int64_t n)
{
    bool backwards = s->r->o.repeats == REPEATS_LAST;
    int64_t left = 0;

    if (s->r->o.repeats == REPEATS_ALL)
        return n;
    for (int64_t i = 0; i < n; i++) {
        struct row *row = &rows[backwards ? n - 1 - i : i];

        row->user = s->seen[row->item]; /* from here on: whether it goes */
        s->seen[row->item] = true;
    }
    for (int64_t i = 0; i < n; i++) {
        s->seen[rows[i].item] = false;
        if (!rows[i].user)
            rows[left++] = rows[i];
    }
    return left;
}

static bool write_rows(struct rows *r, const struct row *rows, int64_t n, struct err *err)
{
    for (int64_t i = 0; i < n; i++) {
        struct row_rest rest = {rows[i].time, rows[i].rating, rows[i].part};

        if (!spool_append(&r->items_of, &rows[i].item, sizeof rows[i].item, err) ||
            !spool_append(&r->rest_of, &rest, sizeof rest, err))
            return false;
    }
    return true;
}

/* From s->out to the files. to: the place of the next row there. */
static bool write_range(struct sorter *s, const struct range *g, int64_t *to, struct err *err)
{
    struct rows *r = s->r;
    int64_t start = r->offsets[g->first], from = 0;

    for (int32_t p = g->first; p < g->end; p++) {
        int64_t end = r->offsets[p + 1] - start;

        r->offsets[p] = *to;
        while (from < end) {
            int64_t n = 1, left;

            while (from + n < end && s->out[from + n].part == s->out[from].part)
                n++;
            left = without_repeats(s, s->out + from, n);
            if (!write_rows(r, s->out + from, left, err))
                return false;
            from += n;
            *to += left;
        }
    }
    return true;
}

static bool sort_ranges(struct sorter *s, struct err *err)
{
    struct rows *r = s->r;
    const struct spool *from = s->n_ranges > 1 ? &s->parted : &r->raw;
    AUTO(progress) progress = {0};
    int64_t to = 0;

    progress_init(&progress, "sort", "rows", r->n);
    for (int i = 0; i < s->n_ranges; i++) {
        const struct range *g = &s->ranges[i];
        int64_t start = r->offsets[g->first], n = r->offsets[g->end] - start;

        if (!interrupt_check(err) || !spool_read(from, start * (int64_t)sizeof(struct row), s->in,
                                                 (size_t)n * sizeof(struct row), err))
            return false;
        sort_range(s, g);
        if (!write_range(s, g, &to, err))
            return false;
        progress_update(&progress, start + n, NULL);
    }
    r->offsets[r->users.n] = to;
    r->n_repeated = r->n - to;
    return spool_flush(&r->items_of, err) && spool_flush(&r->rest_of, err);
}

bool rows_sort(struct rows *r, struct err *err)
{
    AUTO_FREE int32_t *place = NULL;
    AUTO(sorter) s = {.r = r};

    names_seal(&r->users);
    names_seal(&r->items);
    if (!spool_flush(&r->raw, err) || !spool_open(&r->items_of, r->o.temp_dir, err) ||
        !spool_open(&r->rest_of, r->o.temp_dir, err))
        return false;
    s.place = place = place_users(r);
    plan(&s);
    if ((s.n_ranges > 1 && !part_rows(&s, err)) || !sort_ranges(&s, err))
        return false;
    spool_release(&r->raw);
    return true;
}
