/* comm_ranks.c - every call of comm/comm.h, made by the ranks that a launcher starts.
 *
 * usage: comm_ranks WHAT [ARG]       the table at the end says what there is
 *
 * Started by tests/cli/test_ranks.py, on any number of ranks, also alone. What it expects it
 * asserts, so that a fault ends the job with a message. */
#include "base/file.h"
#include "base/log.h"
#include "comm/comm.h"
#include "comm/common.h"
#include "comm/module.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* Both sides of a piece, a unit of long messages, and of several. */
enum { PIECE = 1000, MOST = 50000 };
static const int64_t sizes[] = {0, 1, PIECE - 1, PIECE, PIECE + 1, 4095, 4096, 4097, 8192, MOST};

/* The byte at `i` of message k between two ranks. */
static char expected(int from, int to, int k, int64_t i)
{
    return (char)(31 * from + 17 * to + 7 * k + i + i / 251);
}

static void fill(char *data, int64_t n, int from, int to, int k)
{
    for (int64_t i = 0; i < n; i++)
        data[i] = expected(from, to, k, i);
}

static void check(const char *data, int64_t n, int from, int to, int k)
{
    for (int64_t i = 0; i < n; i++)
        assert(data[i] == expected(from, to, k, i));
}

static void wait_all(struct comm_request *r, int n)
{
    for (int i = 0; i < n; i++)
        comm_wait(&r[i]);
}

/* To and from every rank, itself too, messages of all sizes; two tags take turns, and each keeps
 * its order though the second's receives are posted first. */
static void messages(void)
{
    enum { N = ARRAY_LEN(sizes) };
    int size = comm_size(), rank = comm_rank();
    AUTO_FREE char *out = xcalloc((size_t)size * N, MOST), *in = xcalloc((size_t)size * N, MOST);
    AUTO_FREE struct comm_request *r = xcalloc((size_t)size * N * 2, sizeof *r);
    int n = 0;

    for (int tag = COMM_TAGS - 1; tag >= COMM_TAGS - 2; tag--)
        for (int from = 0; from < size; from++)
            for (int k = 0; k < N; k++)
                if (k % 2 == tag % 2)
                    comm_receive(in + (from * N + k) * MOST, sizes[k], from, tag, &r[n++]);
    for (int to = 0; to < size; to++)
        for (int k = 0; k < N; k++) {
            char *data = out + (to * N + k) * MOST;

            fill(data, sizes[k], rank, to, k);
            comm_send(data, sizes[k], to, COMM_TAGS - 2 + (k % 2 != COMM_TAGS % 2), &r[n++]);
        }
    assert(n == size * N * 2);
    wait_all(r, n);
    for (int from = 0; from < size; from++)
        for (int k = 0; k < N; k++)
            check(in + (from * N + k) * MOST, sizes[k], from, rank, k);
}

/* What isn't sent hasn't come. */
static void testing(void)
{
    int size = comm_size(), rank = comm_rank();
    struct comm_request in = {0}, out = {0};
    int got = -1;

    assert(comm_test(&in));
    comm_receive(&got, sizeof got, (rank + 1) % size, 0, &in);
    assert(!comm_test(&in) && !comm_test(&in));
    comm_all_wait();
    comm_send(&rank, sizeof rank, (rank + size - 1) % size, 0, &out);
    while (!comm_test(&in))
        ;
    comm_wait(&out);
    assert(got == (rank + 1) % size && comm_test(&in) && comm_test(&out));
}

static void sharing(void)
{
    AUTO_FREE char *data = xcalloc(1, MOST);

    for (int root = 0; root < comm_size(); root++)
        for (int k = 0; k < ARRAY_LEN(sizes); k++) {
            memset(data, 0x55, MOST);
            if (comm_rank() == root)
                fill(data, sizes[k], root, 0, k);
            comm_all_share(data, sizes[k], root);
            check(data, sizes[k], root, 0, k);
        }
}

/* Parts of all sizes, also empty ones. */
static int64_t part(int from, int to)
{
    return sizes[(3 * from + 5 * to + 1) % ARRAY_LEN(sizes)];
}

static void gathering(void)
{
    int size = comm_size(), rank = comm_rank();
    AUTO_FREE int64_t *begin = xcalloc((size_t)size + 1, sizeof *begin);
    AUTO_FREE char *data = NULL;

    for (int shift = 0; shift < ARRAY_LEN(sizes); shift++) {
        for (int r = 0; r < size; r++)
            begin[r + 1] = begin[r] + part(r, shift);
        free(data);
        data = xcalloc((size_t)begin[size] + 1, 1);
        fill(data + begin[rank], part(rank, shift), rank, shift, 0);
        comm_all_gather(data, begin);
        for (int r = 0; r < size; r++)
            check(data + begin[r], part(r, shift), r, shift, 0);
    }
}

static void exchanging(void)
{
    int size = comm_size(), rank = comm_rank();
    AUTO_FREE int64_t *to = xcalloc((size_t)size + 1, sizeof *to);
    AUTO_FREE int64_t *from = xcalloc((size_t)size + 1, sizeof *from);
    AUTO_FREE char *out = xcalloc((size_t)size + 1, MOST), *in = xcalloc((size_t)size + 1, MOST);

    for (int r = 0; r < size; r++) {
        to[r + 1] = to[r] + part(rank, r);
        from[r + 1] = from[r] + part(r, rank);
        fill(out + to[r], part(rank, r), rank, r, 1);
    }
    comm_all_exchange(out, to, in, from);
    for (int r = 0; r < size; r++)
        check(in + from[r], part(r, rank), r, rank, 1);
}

static void folding(void)
{
    enum { N = 1000 };
    int64_t x[N], size = comm_size(), all = size * (size - 1) / 2;

    for (enum comm_fold how = COMM_SUM; how <= COMM_MAX; how++) {
        for (int i = 0; i < N; i++)
            x[i] = comm_rank() * ((int64_t)1 << 40) + i;
        comm_all_fold(x, N, how);
        for (int i = 0; i < N; i++) {
            int64_t want[] = {[COMM_SUM] = (all << 40) + size * i,
                              [COMM_MIN] = i,
                              [COMM_MAX] = ((size - 1) << 40) + i};

            assert(x[i] == want[how]);
        }
    }
}

/* `failing` ranks, from the last one down, fail; each with a message of its own, or all with one.
 */
static void agree_on(int failing, bool alike)
{
    int size = comm_size(), first = size - failing;
    bool ok = comm_rank() < first;
    struct err err = {0};
    char want[64];

    if (!ok)
        err_set(&err, ERR_DATA, "cannot %d", alike ? 7 : comm_rank());
    assert(comm_all_agree(ok, &err) == (failing == 0));
    if (!failing)
        return;
    assert(err.kind == ERR_DATA && (size == 1 || err.agreed));
    snprintf(want, sizeof want, "rank %d (", first);
    assert(!strncmp(err.msg, want, strlen(want)) == (size > 1 && (failing < size || !alike)));
    snprintf(want, sizeof want, "cannot %d", alike ? 7 : first);
    assert(strlen(err.msg) >= strlen(want));
    assert(!strcmp(err.msg + strlen(err.msg) - strlen(want), want));
}

static void agreeing(void)
{
    struct err err = {.agreed = true};

    for (int failing = 0; failing <= comm_size(); failing++) {
        agree_on(failing, true);
        agree_on(failing, false);
    }
    err_set(&err, ERR_IO, "another");
    assert(!err.agreed);
}

/* What is counted as sent: 8 bytes to each rank but itself, 8 x (size - 1) of a root, 8 of a fold.
 */
static void counting(void)
{
    int64_t size = comm_size(), x = 0, before = comm_cost().sent;
    AUTO_FREE int64_t *begin = xcalloc((size_t)size + 1, sizeof *begin);
    AUTO_FREE int64_t *out = xcalloc((size_t)size, 8), *in = xcalloc((size_t)size, 8);

    for (int r = 0; r < size; r++)
        begin[r + 1] = begin[r] + 8;
    comm_all_gather(out, begin);
    assert(comm_cost().sent - before == 8 * (size - 1));
    comm_all_exchange(out, begin, in, begin);
    assert(comm_cost().sent - before == 16 * (size - 1));
    comm_all_share(&x, sizeof x, 0);
    assert(comm_cost().sent - before == (comm_rank() ? 16 : 24) * (size - 1));
    before = comm_cost().sent;
    comm_all_fold(&x, 1, COMM_SUM);
    assert(comm_cost().sent - before == (size > 1 ? 8 : 0));
    assert(comm_cost().waiting_s >= 0);
}

/* The last rank comes 0.1 s late: all others wait so long. */
static void lateness(void)
{
    double before = comm_cost().waiting_s;

    comm_all_wait();
    if (comm_rank() == comm_size() - 1)
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    comm_all_wait();
    if (comm_rank() < comm_size() - 1)
        assert(comm_cost().waiting_s - before > 0.05);
}

/* Each rank writes its row of two arrays, and reads all. */
static void mapping(void)
{
    int size = comm_size(), rank = comm_rank();
    size_t n = (size_t)size * MOST;

    for (int turn = 0; turn < 3; turn++) {
        AUTO(comm_memory) m = {0};
        char *x[2];

        comm_all_map(&m, 2 * comm_memory_room(n, 1));
        assert(m.data);
        for (int k = 0; k < 2; k++) {
            x[k] = comm_memory_take(&m, n, 1);
            assert((uintptr_t)x[k] % 64 == 0);
            for (int i = 0; i < MOST; i++)
                assert(x[k][rank * MOST + i] == 0);
            fill(x[k] + rank * MOST, MOST, rank, k, turn);
        }
        comm_all_wait();
        for (int r = 0; r < size; r++)
            for (int k = 0; k < 2; k++)
                check(x[k] + r * MOST, MOST, r, k, turn);
        comm_all_wait();
    }
}

static void (*const cases[])(void) = {messages, testing,  sharing,  gathering, exchanging,
                                      folding,  agreeing, counting, lateness,  mapping};

static void *run_cases(void *)
{
    for (int i = 0; i < ARRAY_LEN(cases); i++)
        cases[i]();
    return NULL;
}

/* All cases, at full length and in short pieces, from this thread and from another. */
static int calls(const char *)
{
    static const int64_t pieces[] = {INT_MAX, PIECE};
    pthread_t thread;

    for (int i = 0; i < ARRAY_LEN(pieces); i++) {
        comm_set_piece_max(pieces[i]);
        run_cases(NULL);
        pthread_create(&thread, NULL, run_cases, NULL);
        pthread_join(thread, NULL);
    }
    printf("rank %d of %d: all calls\n", comm_rank(), comm_size());
    return 0;
}

/* So many bytes at once, round the ranks and from one to all. */
static int bulk(const char *size)
{
    int64_t n = atoll(size);
    AUTO_FREE char *out = xmalloc((size_t)n, 1), *in = xcalloc((size_t)n, 1);
    int before = (comm_rank() + comm_size() - 1) % comm_size();
    struct comm_request r[2];

    fill(out, n, comm_rank(), 0, 0);
    comm_receive(in, n, before, 0, &r[0]);
    comm_send(out, n, (comm_rank() + 1) % comm_size(), 0, &r[1]);
    wait_all(r, ARRAY_LEN(r));
    check(in, n, before, 0, 0);
    comm_all_share(in, n, comm_size() - 1);
    check(in, n, comm_size() == 1 ? 0 : comm_size() - 2, 0, 0);
    return 0;
}

/* What each rank tells in its log. */
static int speak(const char *)
{
    if (comm_size() > 1)
        log_set_rank(comm_rank());
    log_info("news", "n=1");
    log_warn("trouble", "n=2");
    log_set_level(LOG_ERROR);
    log_warn("silence", "n=3");
    return 0;
}

/* Whether an MPI is loaded, and what the environment has for it. */
static int loaded(const char *)
{
    AUTO(buf) maps = {0};
    struct err err = {0};
    const char *pml = getenv("OMPI_MCA_pml");
    bool ok = file_read("/proc/self/maps", 1 << 24, &maps, &err);

    assert(ok);
    printf("rank %d of %d: %s, pml %s\n", comm_rank(), comm_size(),
           strstr(maps.data, "libmpi") ? "MPI is loaded" : "no MPI is loaded", pml ? pml : "unset");
    return 0;
}

/* Whether ranks have so many bytes in common. */
static int memory(const char *size)
{
    AUTO(comm_memory) m = {0};

    comm_all_map(&m, (size_t)atoll(size));
    assert(m.data || !comm_memory_take(&m, 1, 1));
    printf("%s\n", m.data ? "common" : "none");
    return 0;
}

static int processors(const char *)
{
    printf("%d\n", comm_all_processors());
    return 0;
}

/* ---- ends ---- */

/* At work, for longer than any test waits. */
static _Noreturn void go_on(void)
{
    sleep(600);
    _exit(0);
}

/* As main.c does it: which ranks fail, and whether with one message. */
static int end_by(bool fails, const char *message, int late_rank)
{
    struct err err = {0};

    if (!fails)
        go_on();
    err_set(&err, ERR_DATA, "%s", message);
    if (comm_rank() == late_rank)
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    if (!comm_failed(&err, 0.5)) {
        fprintf(stderr, "alone: %s\n", err.msg);
        comm_abort(3);
    }
    if (comm_rank() == 0)
        fprintf(stderr, "all: %s\n", err.msg);
    return 4;
}

static int failed(const char *how)
{
    char own[32];

    snprintf(own, sizeof own, "cannot %d", comm_rank());
    if (!strcmp(how, "alike"))
        return end_by(true, "cannot", 1);
    if (!strcmp(how, "differently"))
        return end_by(true, own, 0);
    return end_by(comm_rank() == atoi(how), own, -1); /* one rank */
}

/* All fail, with messages on their way: their memory stays, as MPI may look at it until its end. */
static int pending(const char *)
{
    enum { LONG = 1 << 22 };
    static char data[2 * LONG];
    int next = (comm_rank() + 1) % comm_size();
    struct comm_request r[3];

    comm_send(data, LONG, next, 1, &r[0]);
    comm_send(data, 8, next, 2, &r[1]);
    comm_receive(data + LONG, LONG, next, 3, &r[2]);
    return end_by(true, "cannot", -1);
}

/* The last rank goes, the others wait for it. */
static int lose(const char *how)
{
    comm_all_wait();
    if (comm_rank() == comm_size() - 1) {
        if (!strcmp(how, "killed"))
            raise(SIGKILL);
        if (!strcmp(how, "wants too much"))
            free(xmalloc(SIZE_MAX, 2));
        if (!strcmp(how, "exits"))
            _exit(5);
        abort();
    }
    comm_all_wait();
    go_on();
}

static const struct {
    const char *name;
    int (*run)(const char *arg); /* returns the exit code */
} table[] = {
    {"calls", calls},   {"bulk", bulk},       {"speak", speak}, {"loaded", loaded},
    {"failed", failed}, {"pending", pending}, {"lose", lose},   {"processors", processors},
    {"memory", memory},
};

int main(int argc, char **argv)
{
    struct err err = {0};
    int code;

    assert(argc > 1);
    if (!comm_begin(&err)) {
        fprintf(stderr, "%s\n", err.msg);
        return err.kind == ERR_USAGE ? 2 : 1;
    }
    for (int i = 0; i < ARRAY_LEN(table); i++)
        if (!strcmp(argv[1], table[i].name)) {
            code = table[i].run(argc > 2 ? argv[2] : "");
            comm_all_end();
            return code;
        }
    assert(!"a name of the table");
}
