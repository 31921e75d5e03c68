#include "train/share.h"

#include "base/clock.h"

enum { TAG_BLOCK = 0, TAG_REST = 1024 };

/* ---- rows that move ---- */

/* Rows of this rank that go to others, where those that come belong, and those that only change
 * their place here. */
struct moves {
    int64_t *send_begin, *receive_begin; /* (size + 1) */
    int32_t *send, *receive;             /* rows, by the other rank */
    int32_t *stay_from, *stay_to;        /* (n_stay) rows */
    int64_t n_stay;
};

static void moves_release(struct moves *m)
{
    free(m->send_begin);
    free(m->receive_begin);
    free(m->send);
    free(m->receive);
    free(m->stay_from);
    free(m->stay_to);
    *m = (struct moves){0};
}

typedef struct schedule_place place_fn(const struct schedule *s, int32_t item);

/* begin (size + 1): what stands at r + 1 are counts. */
static void sum_up(int64_t *begin, int size)
{
    for (int r = 0; r < size; r++)
        begin[r + 1] += begin[r];
}

/* send_begin and receive_begin, in bytes. */
static void in_bytes(const struct moves *m, int size, int64_t row, int64_t *send, int64_t *receive)
{
    for (int r = 0; r <= size; r++) {
        send[r] = m->send_begin[r] * row;
        receive[r] = m->receive_begin[r] * row;
    }
}

/* How many rows come from each rank. */
static void count_received(struct moves *m, int size)
{
    AUTO_FREE int64_t *counts = xcalloc((size_t)size, sizeof *counts);
    AUTO_FREE int64_t *begin = xcalloc((size_t)size + 1, sizeof *begin);

    for (int r = 0; r < size; r++)
        counts[r] = m->send_begin[r + 1] - m->send_begin[r];
    for (int r = 0; r <= size; r++)
        begin[r] = r * (int64_t)sizeof *counts;
    comm_all_exchange(counts, begin, m->receive_begin + 1, begin);
    sum_up(m->receive_begin, size);
}

/* The rows of items (n), each to its place; -1: nobody's. targets: beside m->send. */
static void sort_rows(struct moves *m, const struct schedule *s, const int32_t *items, int32_t n,
                      place_fn *to, int32_t *targets)
{
    AUTO_FREE int64_t *at = xcalloc((size_t)s->part.size, sizeof *at);

    for (int32_t r = 0; r < n; r++)
        if (items[r] >= 0)
            m->send_begin[to(s, items[r]).rank + 1]++;
    m->n_stay = m->send_begin[s->part.rank + 1];
    m->send_begin[s->part.rank + 1] = 0;
    sum_up(m->send_begin, s->part.size);
    m->send = xmalloc((size_t)m->send_begin[s->part.size] + 1, sizeof *m->send);
    m->stay_from = xmalloc((size_t)m->n_stay + 1, sizeof *m->stay_from);
    m->stay_to = xmalloc((size_t)m->n_stay + 1, sizeof *m->stay_to);
    for (int32_t r = 0; r < n; r++)
        if (items[r] >= 0) {
            struct schedule_place target = to(s, items[r]);
            bool stays = target.rank == s->part.rank;
            int64_t k = at[target.rank]++ + (stays ? 0 : m->send_begin[target.rank]);

            (stays ? m->stay_from : m->send)[k] = r;
            (stays ? m->stay_to : targets)[k] = target.row;
        }
}

/* items (n): whose the rows are; -1: nobody's. Their targets are known to whom they leave. */
static void moves_find(struct moves *m, const struct schedule *s, const int32_t *items, int32_t n,
                       place_fn *to)
{
    int size = s->part.size;
    AUTO_FREE int64_t *bytes = xcalloc(2 * ((size_t)size + 1), sizeof *bytes);
    AUTO_FREE int32_t *targets = xmalloc((size_t)n + 1, sizeof *targets);

    m->send_begin = xcalloc((size_t)size + 1, sizeof *m->send_begin);
    m->receive_begin = xcalloc((size_t)size + 1, sizeof *m->receive_begin);
    sort_rows(m, s, items, n, to, targets);
    count_received(m, size);
    m->receive = xcalloc((size_t)m->receive_begin[size] + 1, sizeof *m->receive);
    in_bytes(m, size, sizeof *targets, bytes, bytes + size + 1);
    comm_all_exchange(targets, bytes, m->receive, bytes + size + 1);
}

static void prefetch_row(const float *row, int64_t cols)
{
    enum { FLOATS_A_LINE = 16 };

    for (int64_t c = 0; c < cols; c += FLOATS_A_LINE)
        __builtin_prefetch(row + c);
}

enum { ROWS_AHEAD = 8, ROWS_A_TEAM = 4096 }; /* fewer aren't worth waking threads for */

/* out (n, cols): the rows of x that are named. */
static void pick_rows(const float *x, int64_t cols, const int32_t *rows, int64_t n, float *out)
{
#pragma omp parallel for if (n > ROWS_A_TEAM)
    for (int64_t k = 0; k < n; k++) {
        prefetch_row(x + rows[MIN(k + ROWS_AHEAD, n - 1)] * cols, cols);
        memcpy(out + k * cols, x + rows[k] * cols, (size_t)cols * sizeof *x);
    }
}

/* The other way round: the rows of x become those of `in`. */
static void put_rows(const float *in, int64_t cols, const int32_t *rows, int64_t n, float *x)
{
#pragma omp parallel for if (n > ROWS_A_TEAM)
    for (int64_t k = 0; k < n; k++) {
        prefetch_row(x + rows[MIN(k + ROWS_AHEAD, n - 1)] * cols, cols);
        memcpy(x + rows[k] * cols, in + k * cols, (size_t)cols * sizeof *x);
    }
}

/* One tensor's rows, of so many floats; target may be source. */
static void moves_make(const struct moves *m, struct share *sh, int64_t cols, const float *source,
                       float *target)
{
    int size = sh->s->part.size;
    int64_t n_send = m->send_begin[size], n_receive = m->receive_begin[size];
    size_t row = (size_t)cols * sizeof *source;
    size_t room = (size_t)MAX(n_send + n_receive + m->n_stay, 1) * row;
    AUTO_FREE int64_t *bytes = xcalloc(2 * ((size_t)size + 1), sizeof *bytes);
    float *out, *in, *stay;

    if (room > sh->room_size) {
        free(sh->room);
        sh->room = xaligned(room, 1);
        sh->room_size = room;
    }
    out = sh->room;
    in = out + n_send * cols;
    stay = in + n_receive * cols;
    in_bytes(m, size, (int64_t)row, bytes, bytes + size + 1);
    pick_rows(source, cols, m->send, n_send, out);
    pick_rows(source, cols, m->stay_from, m->n_stay, stay);
    comm_all_exchange(out, bytes, in, bytes + size + 1);
    put_rows(in, cols, m->receive, n_receive, target);
    put_rows(stay, cols, m->stay_to, m->n_stay, target);
}

/* ---- set-up ---- */

int64_t share_row_begin(const struct share *sh, enum tensor_of of, int rank)
{
    return of == OF_USERS ? sh->user_first[rank]
                          : schedule_share(sh->s->n_items, rank, sh->s->part.size);
}

/* How many items rest here, from `first` on. */
static int32_t n_rested(const struct share *sh, int32_t *first)
{
    int rank = sh->s->part.rank;

    *first = (int32_t)share_row_begin(sh, OF_ITEMS, rank);
    return (int32_t)share_row_begin(sh, OF_ITEMS, rank + 1) - *first;
}

static int list_all(struct model *m, struct tensor out[2 * MODEL_TENSORS_MAX], int *n_model)
{
    *n_model = m->ops->tensors(m, out);
    return *n_model + model_training(m, out + *n_model);
}

/* What the share has of the whole; of items in common the rank's rows at rest. */
static int list_own(struct share *sh, struct tensor out[2 * MODEL_TENSORS_MAX], int *n_model)
{
    int32_t first, n_items = n_rested(sh, &first);
    int n = list_all(sh->m, out, n_model);

    for (int i = 0; i < n && sh->s->common; i++)
        if (out[i].of == OF_ITEMS) {
            out[i].rows = n_items;
            out[i].data += first * out[i].cols;
        }
    return n;
}

/* Bytes. Above, blocks travel on one host too: the rows of a block lie together there, in huge
 * pages, which is worth more than not to copy them (docs/decisions/0010-ranks.md). */
enum { COMMON_MOST = 32 << 20 };

void share_all_map(struct model *whole, struct comm_memory *common)
{
    struct tensor all[2 * MODEL_TENSORS_MAX];
    int n_model, n = list_all(whole, all, &n_model);
    size_t size = schedule_common(whole->n_items) +
                  comm_memory_room(SCHEDULE_MAX, sizeof *((struct share *)0)->done);

    for (int i = 0; i < n; i++)
        if (all[i].of == OF_ITEMS)
            size += comm_memory_room((size_t)(all[i].rows * all[i].cols), sizeof *all[i].data);
    if (size <= COMMON_MOST)
        comm_all_map(common, size);
}

static void list_items(struct share *sh)
{
    struct tensor all[2 * MODEL_TENSORS_MAX];
    int n_model, n = list_all(sh->m, all, &n_model);

    for (int i = 0; i < n; i++)
        if (all[i].of == OF_ITEMS)
            sh->items[sh->n_tensors++] = all[i];
}

/* Which items the rows are of when the epoch begins. */
static void name_rows(struct share *sh)
{
    const struct schedule *s = sh->s;

    sh->item_ids = xcalloc((size_t)s->part.n_rows, sizeof *sh->item_ids);
    for (int32_t r = 0; r < s->part.n_rows; r++)
        sh->item_ids[r] = -1;
    for (int32_t i = 0; i < s->n_items; i++) {
        struct schedule_place at = schedule_start(s, i);

        if (at.rank == s->part.rank)
            sh->item_ids[at.row] = i;
    }
}

/* Each rank fills its share. */
static void name_own_rows(struct share *sh)
{
    int32_t first, n = n_rested(sh, &first);

    sh->item_ids = xcalloc((size_t)sh->s->n_items, sizeof *sh->item_ids);
    for (int32_t i = 0; i < sh->s->n_items; i++)
        sh->item_ids[i] = i >= first && i < first + n ? i : -1;
}

void share_init(struct share *sh, struct model *whole, struct schedule *s,
                const int32_t *user_begin, const struct interactions *train)
{
    int size = s->part.size;

    *sh = (struct share){.whole = whole, .s = s};
    sh->user_first = xcalloc((size_t)size + 1, sizeof *sh->user_first);
    for (int r = 0; r <= size; r++)
        sh->user_first[r] = user_begin[schedule_share(s->p, r, size)];
    if (s->common) {
        sh->done = comm_memory_take(s->common, SCHEDULE_MAX, sizeof *sh->done);
        name_own_rows(sh);
    } else {
        schedule_deal(s, 0);
        name_rows(sh);
    }
    sh->m = model_new(whole->ops, s->n_users, s->common ? s->n_items : s->part.n_rows,
                      whole->digest, whole->options, whole->seed);
    sh->m->first_user = sh->user_first[s->part.rank];
    sh->m->item_ids = sh->item_ids;
    sh->m->common = s->common;
    sh->m->ops->init(sh->m, train);
    list_items(sh);
    sh->travel.out = xcalloc((size_t)(s->part.n_slots * sh->n_tensors), sizeof *sh->travel.out);
    sh->travel.in = xcalloc((size_t)(s->part.n_slots * sh->n_tensors), sizeof *sh->travel.in);
    atomic_flag_clear(&sh->travel.busy);
}

void share_release(struct share *sh)
{
    model_free(sh->m);
    rested_release(&sh->rest);
    free(sh->room);
    free(sh->user_first);
    free(sh->item_ids);
    free(sh->travel.out);
    free(sh->travel.in);
    *sh = (struct share){0};
}

/* ---- from epoch to epoch ---- */

static void move_on(struct share *sh, int epoch)
{
    const struct schedule_part *part = &sh->s->part;
    AUTO_FREE int32_t *items = xmalloc((size_t)part->n_rows, sizeof *items);
    AUTO(moves) moves = {0};

    memcpy(items, sh->s->end_item, (size_t)part->n_rows * sizeof *items);
    schedule_deal(sh->s, epoch);
    moves_find(&moves, sh->s, items, part->n_rows, schedule_start);
    for (int i = 0; i < sh->n_tensors; i++)
        moves_make(&moves, sh, sh->items[i].cols, sh->items[i].data, sh->items[i].data);
}

static void wake(struct share *sh, int epoch)
{
    int32_t first, n = n_rested(sh, &first);
    AUTO_FREE int32_t *items = xmalloc((size_t)n + 1, sizeof *items);
    AUTO(moves) moves = {0};
    int next = 0;

    for (int32_t i = 0; i < n; i++)
        items[i] = first + i;
    schedule_deal(sh->s, epoch);
    moves_find(&moves, sh->s, items, n, schedule_start);
    for (int i = 0; i < sh->rest.n; i++)
        if (sh->rest.t[i].of == OF_ITEMS) {
            moves_make(&moves, sh, sh->rest.t[i].cols, sh->rest.t[i].data, sh->items[next].data);
            next++;
        }
    rested_release(&sh->rest);
}

void share_all_deal(struct share *sh, int epoch)
{
    struct travel *t = &sh->travel;

    if (sh->s->common)
        schedule_deal(sh->s, epoch);
    else if (sh->state == SHARE_ENDED)
        move_on(sh, epoch);
    else if (sh->state == SHARE_RESTED)
        wake(sh, epoch);
    else
        assert(sh->s->epoch == epoch);
    sh->state = SHARE_ENDED; /* when it has run */
    t->sent = t->left = 0;
    t->asked = sh->s->part.n;
    atomic_store(&t->arrived, sh->s->part.n);
}

/* ---- travel ---- */

/* The rows of a visit in the tensor, how many bytes. */
static float *rows_of(const struct share *sh, int tensor, int visit, int64_t *size)
{
    const struct tensor *t = &sh->items[tensor];
    const struct schedule *s = sh->s;
    int64_t n = s->visit_begin[visit + 1] - s->visit_begin[visit];

    *size = n * t->cols * (int64_t)sizeof *t->data;
    return t->data + (int64_t)(visit % s->part.n_slots) * s->part.slot_rows * t->cols;
}

static struct comm_request *requests(const struct share *sh, struct comm_request *of, int visit)
{
    return of + (int64_t)(visit % sh->s->part.n_slots) * sh->n_tensors;
}

static void send_visit(struct share *sh, int visit)
{
    const struct schedule_part *part = &sh->s->part;

    for (int i = 0; i < sh->n_tensors; i++) {
        int64_t size;
        const float *rows = rows_of(sh, i, visit, &size);

        comm_send(rows, size, (part->rank + part->size - 1) % part->size, TAG_BLOCK + i,
                  requests(sh, sh->travel.out, visit) + i);
    }
}

static void ask_for_visit(struct share *sh, int visit)
{
    const struct schedule_part *part = &sh->s->part;

    for (int i = 0; i < sh->n_tensors; i++) {
        int64_t size;
        float *rows = rows_of(sh, i, visit, &size);

        comm_receive(rows, size, (part->rank + 1) % part->size, TAG_BLOCK + i,
                     requests(sh, sh->travel.in, visit) + i);
    }
}

static bool is_done(const struct share *sh, struct comm_request *of, int visit)
{
    struct comm_request *r = requests(sh, of, visit);

    for (int i = 0; i < sh->n_tensors; i++)
        if (!comm_test(&r[i]))
            return false;
    return true;
}

/* The last visit's block stays. A visit is asked for once the one before in its slot is gone. */
void share_travel(struct share *sh, int done)
{
    struct travel *t = &sh->travel;
    const struct schedule *s = sh->s;
    int n_sent = MIN(done, s->p - 1), n_visits = s->p + s->part.n - 1, arrived;

    if (atomic_flag_test_and_set_explicit(&t->busy, memory_order_acquire))
        return;
    arrived = atomic_load(&t->arrived);
    for (; t->sent < n_sent; t->sent++)
        send_visit(sh, t->sent);
    while (t->left < t->sent && is_done(sh, t->out, t->left))
        t->left++;
    for (; t->asked < n_visits && t->asked - s->part.n_slots < t->left; t->asked++)
        ask_for_visit(sh, t->asked);
    while (arrived < t->asked && is_done(sh, t->in, arrived))
        arrived++;
    atomic_store_explicit(&t->arrived, arrived, memory_order_release);
    atomic_flag_clear_explicit(&t->busy, memory_order_release);
}

void share_leave(struct share *sh)
{
    struct travel *t = &sh->travel;

    if (sh->s->common)
        return;
    share_travel(sh, sh->s->p);
    for (; t->left < t->sent; t->left++)
        for (int i = 0; i < sh->n_tensors; i++)
            comm_wait(requests(sh, t->out, t->left) + i);
}

void share_all_gather(const struct schedule_part *part, int p, void *rows, size_t size)
{
    int64_t begin[SCHEDULE_MAX + 1];

    for (int r = 0; r <= part->size; r++)
        begin[r] = schedule_share(p, r, part->size) * (int64_t)size;
    comm_all_gather(rows, begin);
}

/* ---- at rest ---- */

void rested_release(struct rested *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->owns == OWNS_ALL || (r->owns == OWNS_ITEMS && r->t[i].of == OF_ITEMS))
            free(r->t[i].data);
    *r = (struct rested){0};
}

static size_t bytes_of(const struct tensor *t)
{
    return (size_t)(t->rows * t->cols) * sizeof *t->data;
}

/* Tensors as the share has them; those of items, unless they're in common, and with `keep` all,
 * with room of their own. */
static void make_rested(struct share *sh, bool keep, struct rested *out)
{
    int32_t first, n_items = n_rested(sh, &first);
    bool common = sh->s->common;

    *out = (struct rested){.owns = keep ? OWNS_ALL : common ? OWNS_NONE : OWNS_ITEMS};
    out->n = list_own(sh, out->t, &out->n_model);
    if (keep) /* a model to be saved, that learns no more */
        out->n = out->n_model;
    for (int i = 0; i < out->n; i++) {
        struct tensor *t = &out->t[i];

        if (t->of == OF_ITEMS)
            t->rows = n_items;
        if (keep || (t->of == OF_ITEMS && !common))
            t->data = xaligned((size_t)MAX(t->rows * t->cols, 1), sizeof *t->data);
    }
}

/* Items that travel, to where they rest. */
static void rest_items(struct share *sh, struct rested *out)
{
    struct tensor all[2 * MODEL_TENSORS_MAX];
    AUTO(moves) moves = {0};
    int n_model;

    list_all(sh->m, all, &n_model);
    if (sh->state == SHARE_ENDED)
        moves_find(&moves, sh->s, sh->s->end_item, sh->s->part.n_rows, schedule_rest);
    for (int i = 0; i < out->n; i++)
        if (all[i].of == OF_ITEMS && sh->state == SHARE_RESTED)
            memcpy(out->t[i].data, sh->rest.t[i].data, bytes_of(&out->t[i]));
        else if (all[i].of == OF_ITEMS)
            moves_make(&moves, sh, all[i].cols, all[i].data, out->t[i].data);
}

void share_all_rest(struct share *sh, bool keep, struct rested *out)
{
    struct tensor own[2 * MODEL_TENSORS_MAX];
    bool common = sh->s->common;
    int n_model;

    assert(sh->state != SHARE_READY);
    make_rested(sh, keep, out);
    list_own(sh, own, &n_model);
    if (!common)
        rest_items(sh, out);
    for (int i = 0; keep && i < out->n; i++)
        if (common || own[i].of != OF_ITEMS)
            memcpy(out->t[i].data, own[i].data, bytes_of(&own[i]));
}

static void take_tensor(struct share *sh, const struct tensor *from, struct tensor *to)
{
    int size = sh->s->part.size, rank = sh->s->part.rank;
    struct comm_request r = {0};

    if (to->of == OF_ALL) {
        if (rank == 0)
            memcpy(to->data, from->data, bytes_of(to));
        comm_all_share(to->data, (int64_t)bytes_of(to), 0);
        return;
    }
    if (rank > 0) {
        comm_receive(to->data, (int64_t)bytes_of(to), 0, TAG_REST, &r);
        comm_wait(&r);
        return;
    }
    memcpy(to->data, from->data, bytes_of(to));
    for (int other = 1; other < size; other++) {
        int64_t first = share_row_begin(sh, to->of, other),
                end = share_row_begin(sh, to->of, other + 1);

        comm_send(from->data + first * from->cols,
                  (end - first) * from->cols * (int64_t)sizeof *from->data, other, TAG_REST, &r);
        comm_wait(&r);
    }
}

static void take_all(struct share *sh, const struct tensor *from, struct rested *out)
{
    for (int i = 0; i < out->n; i++)
        take_tensor(sh, from ? &from[i] : NULL, &out->t[i]);
}

void share_all_take(struct share *sh, const struct tensor *from)
{
    make_rested(sh, false, &sh->rest);
    take_all(sh, from, &sh->rest);
    sh->state = SHARE_RESTED;
}

void share_all_take_kept(struct share *sh, const struct tensor *from, struct rested *out)
{
    make_rested(sh, true, out);
    take_all(sh, from, out);
}

bool share_all_finite(struct share *sh, const char **bad)
{
    int64_t finite = model_finite(sh->m, bad);

    comm_all_fold(&finite, 1, COMM_MIN);
    if (!finite && model_finite(sh->m, bad))
        *bad = "a tensor of another rank";
    return finite;
}
