/* comm_mpi.c - the module of an MPI: this file is compiled against each (COMM_MPI, its name).
 * MPI 3.1 and nothing newer. Errors end the job, as MPI has it by default. */
#include "comm/module.h"

#include <limits.h>
#include <mpi.h>

enum { UNIT = 4096 }; /* bytes; what is longer than a count may say is counted in these */

static_assert(sizeof(MPI_Request) <= sizeof((struct comm_request){0}.handle), "a request fits");

static int64_t piece_max = INT_MAX;

static bool begin(int *rank, int *size)
{
    int level;

    MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, rank);
    MPI_Comm_size(MPI_COMM_WORLD, size);
    return level >= MPI_THREAD_SERIALIZED;
}

static void end(void)
{
    MPI_Finalize();
}

static void leave(int code)
{
    MPI_Abort(MPI_COMM_WORLD, code);
}

static void keep(MPI_Request request, struct comm_request *out)
{
    *out = (struct comm_request){.pending = true};
    memcpy(&out->handle, &request, sizeof request);
}

static bool test(struct comm_request *r)
{
    MPI_Request request;
    int done;

    memcpy(&request, &r->handle, sizeof request);
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    memcpy(&r->handle, &request, sizeof request);
    return done;
}

/* (size) bytes as one element: whole units, and the bytes behind them. */
static MPI_Datatype long_type(int64_t size)
{
    int counts[] = {(int)(size / UNIT), (int)(size % UNIT)};
    MPI_Aint at[] = {0, (MPI_Aint)(size - size % UNIT)};
    MPI_Datatype types[] = {MPI_BYTE, MPI_BYTE}, all;

    MPI_Type_contiguous(UNIT, MPI_BYTE, &types[0]);
    MPI_Type_create_struct(ARRAY_LEN(types), counts, at, types, &all);
    MPI_Type_commit(&all);
    MPI_Type_free(&types[0]);
    return all;
}

/* A message of that length: a count of bytes, or one long element. */
struct shape {
    int count;
    MPI_Datatype type;
};

static struct shape shape_of(int64_t size)
{
    if (size <= piece_max)
        return (struct shape){(int)size, MPI_BYTE};
    return (struct shape){1, long_type(size)};
}

/* The type goes once the message is through. */
static void keep_shaped(struct shape *s, MPI_Request request, struct comm_request *out)
{
    if (s->type != MPI_BYTE)
        MPI_Type_free(&s->type);
    keep(request, out);
}

static void send(const void *data, int64_t size, int to, int tag, struct comm_request *out)
{
    struct shape s = shape_of(size);
    MPI_Request request;

    MPI_Isend(data, s.count, s.type, to, tag, MPI_COMM_WORLD, &request);
    keep_shaped(&s, request, out);
}

static void receive(void *data, int64_t size, int from, int tag, struct comm_request *out)
{
    struct shape s = shape_of(size);
    MPI_Request request;

    MPI_Irecv(data, s.count, s.type, from, tag, MPI_COMM_WORLD, &request);
    keep_shaped(&s, request, out);
}

static void wait(struct comm_request *out)
{
    MPI_Request request;

    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    keep(request, out);
}

static void share(void *data, int size, int root, struct comm_request *out)
{
    MPI_Request request;

    MPI_Ibcast(data, size, MPI_BYTE, root, MPI_COMM_WORLD, &request);
    keep(request, out);
}

static void fold(int64_t *x, int n, enum comm_fold how, struct comm_request *out)
{
    const MPI_Op ops[] = {[COMM_SUM] = MPI_SUM, [COMM_MIN] = MPI_MIN, [COMM_MAX] = MPI_MAX};
    MPI_Request request;

    MPI_Iallreduce(MPI_IN_PLACE, x, n, MPI_INT64_T, ops[how], MPI_COMM_WORLD, &request);
    keep(request, out);
}

extern const struct comm_module kindred_comm_module;
const struct comm_module kindred_comm_module = {
    .version = COMM_MODULE_VERSION,
    .mpi = COMM_MPI,
    .begin = begin,
    .end = end,
    .abort = leave,
    .send = send,
    .receive = receive,
    .test = test,
    .wait = wait,
    .share = share,
    .fold = fold,
    .piece_max = &piece_max,
};
