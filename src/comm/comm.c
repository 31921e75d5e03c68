#include "comm/comm.h"

#include "comm/load.h"
#include "base/clock.h"

#include <math.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

/* Tags that only this file sends with. */
enum { TAG_GATHER = COMM_TAGS, TAG_EXCHANGE, TAG_FAILED, TAG_VERDICT };

static const struct comm_module *module = &comm_alone;
static int rank, size = 1;
static struct comm_cost cost;

struct host {
    char name[64];
};

static struct host own_host(void)
{
    struct host h = {0};

    gethostname(h.name, sizeof h.name - 1);
    return h;
}

static void name_rank(struct err *err, int r, const char *host)
{
    err_wrap(err, "rank %d (%s)", r, host);
}

static void name_own_process(void)
{
    char name[96];

    snprintf(name, sizeof name, "rank %d (%s)", rank, own_host().name);
    name_process(name);
}

/* ---- begin and end ---- */

static bool refuse_slurm(const struct launcher *l, struct err *err)
{
    return err_set(err, ERR_USAGE,
                   "%s started this as one of %d tasks that don't know each other: start it with "
                   "srun --mpi=pmix (Open MPI) or srun --mpi=pmi2 (MPICH)",
                   l->name, l->size);
}

/* Under another MPI's launcher each rank starts as a run of its own, without an error. */
static bool check_size(int expected, struct err *err)
{
    if (!expected || size == expected)
        return true;
    return err_set(err, ERR_USAGE,
                   "started as one of %d ranks, but MPI (%s) sees %d: start it with that MPI's own "
                   "launcher, or set KINDRED_MPI to the launcher's MPI",
                   expected, module->mpi, size);
}

static bool begin_mpi(const struct launcher *l, struct err *err)
{
    const struct comm_module *m = comm_load(l, err);

    if (!m)
        return false;
    module = m;
    if (!m->begin(&rank, &size))
        return err_set(err, ERR_IO,
                       "this MPI (%s) was built without threads: it needs MPI_THREAD_SERIALIZED",
                       m->mpi);
    return check_size(l->size, err);
}

/* KINDRED_RANKS: how many there must be, for scripts that don't trust their launcher. */
static bool check_told(struct launcher *l, struct err *err)
{
    int told = launcher_number("KINDRED_RANKS", 0);

    if (told && l->size && told != l->size)
        return err_set(err, ERR_USAGE, "KINDRED_RANKS is %d, but %s %d: start it with mpirun -n %d",
                       told, l->name ? "the launcher started" : "without a launcher there is only",
                       l->size, told);
    if (!l->size)
        l->size = told;
    return true;
}

static bool begin(struct launcher *l, struct err *err)
{
    const char *asked = getenv("KINDRED_MPI");

    if (asked && *asked)
        l->mpi = asked;
    if (!check_told(l, err))
        return false;
    if (l->size == 1)
        return true;
    return l->mpi ? begin_mpi(l, err) : refuse_slurm(l, err);
}

bool comm_begin(struct err *err)
{
    struct launcher l = launcher_find();

    if (begin(&l, err)) {
        if (size > 1)
            name_own_process();
        return true;
    }
    if (l.rank > 0)
        name_rank(err, l.rank, own_host().name);
    return false;
}

void comm_all_end(void)
{
    module->end();
}

void comm_abort(int code)
{
    fflush(NULL);
    module->abort(code);
    _Exit(code);
}

int comm_rank(void)
{
    return rank;
}

int comm_size(void)
{
    return size;
}

/* ---- waiting ---- */

bool comm_test(struct comm_request *r)
{
    if (r->pending && module->test(r))
        r->pending = false;
    return !r->pending;
}

/* Others may need the processor that this rank waits on: more of it is left the longer it takes. */
static void give_way(int turn)
{
    enum { SPINS = 200, YIELDS = 1000 };
    const struct timespec pause = {.tv_nsec = 50000};

    if (turn < SPINS)
        return;
    if (turn < YIELDS)
        sched_yield();
    else
        nanosleep(&pause, NULL);
}

void comm_wait(struct comm_request *r)
{
    double start;

    if (!r->pending)
        return;
    start = clock_seconds();
    for (int turn = 0; !comm_test(r); turn = MIN(turn + 1, INT32_MAX - 1))
        give_way(turn);
    cost.waiting_s += clock_seconds() - start;
}

/* ---- between two ranks ---- */

static void start_send(const void *data, int64_t n, int to, int tag, struct comm_request *out)
{
    assert(n >= 0 && to >= 0 && to < size);
    cost.sent += to != rank ? n : 0;
    module->send(data, n, to, tag, out);
}

static void start_receive(void *data, int64_t n, int from, int tag, struct comm_request *out)
{
    assert(n >= 0 && from >= 0 && from < size);
    module->receive(data, n, from, tag, out);
}

void comm_send(const void *data, int64_t n, int to, int tag, struct comm_request *out)
{
    assert(tag >= 0 && tag < COMM_TAGS);
    start_send(data, n, to, tag, out);
}

void comm_receive(void *data, int64_t n, int from, int tag, struct comm_request *out)
{
    assert(tag >= 0 && tag < COMM_TAGS);
    start_receive(data, n, from, tag, out);
}

/* ---- all ranks ---- */

void comm_all_wait(void)
{
    struct comm_request r;

    module->wait(&r);
    comm_wait(&r);
}

void comm_all_share(void *data, int64_t n, int root)
{
    struct comm_request r;

    assert(n >= 0 && root >= 0 && root < size);
    if (rank == root)
        cost.sent += n * (size - 1);
    for (int64_t done = 0; done < n; done += *module->piece_max) {
        module->share((char *)data + done, (int)MIN(n - done, *module->piece_max), root, &r);
        comm_wait(&r);
    }
}

void comm_all_fold(int64_t *x, int64_t n, enum comm_fold how)
{
    int64_t most = *module->piece_max / (int64_t)sizeof *x;
    struct comm_request r;

    if (size > 1)
        cost.sent += n * (int64_t)sizeof *x;
    for (int64_t done = 0; done < n; done += most) {
        module->fold(x + done, (int)MIN(n - done, most), how, &r);
        comm_wait(&r);
    }
}

static int64_t part_size(const int64_t *begin, int r)
{
    return begin[r + 1] - begin[r];
}

static void receive_parts(char *data, const int64_t *begin, int tag, struct comm_request *out)
{
    for (int r = 0; r < size; r++)
        if (r != rank)
            start_receive(data + begin[r], part_size(begin, r), r, tag, &out[r]);
}

static void wait_for_parts(struct comm_request *requests)
{
    for (int i = 0; i < 2 * size; i++)
        comm_wait(&requests[i]);
}

/* Who sends to whom next, so that not all begin with the same rank. */
static int after(int i)
{
    return (rank + i) % size;
}

void comm_all_gather(void *data, const int64_t *begin)
{
    AUTO_FREE struct comm_request *r = xcalloc((size_t)size * 2, sizeof *r);
    const char *own = (const char *)data + begin[rank];

    receive_parts(data, begin, TAG_GATHER, r);
    for (int i = 1; i < size; i++)
        start_send(own, part_size(begin, rank), after(i), TAG_GATHER, &r[size + i]);
    wait_for_parts(r);
}

void comm_all_exchange(const void *send, const int64_t *send_begin, void *receive,
                       const int64_t *receive_begin)
{
    AUTO_FREE struct comm_request *r = xcalloc((size_t)size * 2, sizeof *r);
    int64_t own = part_size(send_begin, rank);

    assert(own == part_size(receive_begin, rank));
    receive_parts(receive, receive_begin, TAG_EXCHANGE, r);
    for (int i = 1; i < size; i++)
        start_send((const char *)send + send_begin[after(i)], part_size(send_begin, after(i)),
                   after(i), TAG_EXCHANGE, &r[size + i]);
    if (own)
        memcpy((char *)receive + receive_begin[rank], (const char *)send + send_begin[rank],
               (size_t)own);
    wait_for_parts(r);
}

/* ---- processors ---- */

struct place {
    struct host host;
    cpu_set_t processors;
};

int comm_all_processors(void)
{
    AUTO_FREE struct place *places = xcalloc((size_t)size, sizeof *places);
    AUTO_FREE int64_t *begin = xcalloc((size_t)size + 1, sizeof *begin);
    struct place *own = &places[rank];
    int n, sharers = 0;

    own->host = own_host();
    if (sched_getaffinity(0, sizeof own->processors, &own->processors) == 0)
        n = CPU_COUNT(&own->processors);
    else
        n = (int)sysconf(_SC_NPROCESSORS_ONLN); /* more than a set has room for */
    for (int r = 0; r <= size; r++)
        begin[r] = r * (int64_t)sizeof *places;
    comm_all_gather(places, begin);
    for (int r = 0; r < size; r++)
        sharers += !memcmp(&places[r], own, sizeof *own);
    return MAX(1, n / sharers);
}

/* ---- agreeing on errors ---- */

/* What a rank tells the others of its error. */
struct notice {
    struct err err;
    struct host host;
    bool alike; /* all ranks have this very error */
};

static bool is_alike(const struct err *a, const struct err *b)
{
    return a->kind == b->kind && !strcmp(a->msg, b->msg);
}

/* `err` becomes what rank `from` tells. */
static void take_notice(const struct notice *n, int from, struct err *err)
{
    *err = n->err;
    if (!n->alike)
        name_rank(err, from, n->host.name);
}

bool comm_all_agree(bool ok, struct err *err)
{
    int64_t first = ok ? size : rank, alike;
    struct notice n;

    if (size == 1)
        return ok;
    comm_all_fold(&first, 1, COMM_MIN);
    if (first == size)
        return true;
    n = (struct notice){.err = *err, .host = own_host()};
    comm_all_share(&n, sizeof n, (int)first);
    alike = !ok && is_alike(err, &n.err);
    comm_all_fold(&alike, 1, COMM_MIN);
    n.alike = alike;
    take_notice(&n, (int)first, err);
    err->agreed = true;
    return false;
}

/* Notices go to rank 0; where it has them all, its own goes back. Whoever gives up leaves messages
 * on their way, so these stay where they are. */
static struct {
    struct comm_request *requests; /* (size) */
    struct notice *notices;        /* (size) */
} farewell;

static bool all_done_by(double deadline)
{
    for (int turn = 0, r = 0; r < size; turn++) {
        while (r < size && comm_test(&farewell.requests[r]))
            r++;
        if (r < size && clock_seconds() > deadline)
            return false;
        give_way(turn);
    }
    return true;
}

static bool hear_all(double deadline)
{
    struct notice *n = farewell.notices;

    for (int r = 1; r < size; r++)
        start_receive(&n[r], sizeof n[r], r, TAG_FAILED, &farewell.requests[r]);
    if (!all_done_by(deadline))
        return false;
    n[0].alike = true;
    for (int r = 1; r < size; r++)
        n[0].alike = n[0].alike && is_alike(&n[0].err, &n[r].err);
    for (int r = 1; r < size; r++)
        start_send(&n[0], sizeof n[0], r, TAG_VERDICT, &farewell.requests[r]);
    return all_done_by(INFINITY);
}

static bool tell_first(double deadline)
{
    struct notice *n = farewell.notices;

    start_send(&n[rank], sizeof n[rank], 0, TAG_FAILED, &farewell.requests[rank]);
    start_receive(&n[0], sizeof n[0], 0, TAG_VERDICT, &farewell.requests[0]);
    return all_done_by(deadline);
}

bool comm_failed(struct err *err, double patience_s)
{
    double deadline = clock_seconds() + patience_s;
    bool all;

    if (err->agreed || size == 1)
        return true;
    farewell.requests = xcalloc((size_t)size, sizeof *farewell.requests);
    farewell.notices = xcalloc((size_t)size, sizeof *farewell.notices);
    farewell.notices[rank] = (struct notice){.err = *err, .host = own_host()};
    all = rank ? tell_first(deadline) : hear_all(deadline);
    take_notice(&farewell.notices[all ? 0 : rank], all ? 0 : rank, err);
    err->agreed = all;
    return all;
}

/* ---- what it cost; for tests ---- */

struct comm_cost comm_cost(void)
{
    return cost;
}

void comm_set_piece_max(int64_t bytes)
{
    *module->piece_max = bytes;
}
