/* common.c - rank 0 makes a file that has no name, and the others open it through rank 0's process.
 *
 * Why no MPI_Win_allocate_shared: both MPIs put windows below /dev/shm, of which a container has
 * 64 MB unless told otherwise, and where a write beyond that is the end of the process. */
#include "comm/common.h"

#include "comm/comm.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum { LINE = 64, HEAD = 4096 }; /* bytes; the token is in front of the data */

/* Where rank 0 has the file. */
struct offer {
    char host[64];
    int process, file; /* -1: there is none */
    uint64_t token;    /* what the file begins with: elsewhere the number may be another's */
};

static bool is_wanted(void)
{
    const char *said = getenv("KINDRED_SHARED_MEMORY");

    return !said || strcmp(said, "0") != 0;
}

/* What a kernel would begin to hand out until nothing is left. */
static bool is_more_than_all(size_t size)
{
    return size / (size_t)sysconf(_SC_PAGESIZE) >= (size_t)sysconf(_SC_PHYS_PAGES);
}

static char *map(int file, size_t size)
{
    void *got = mmap(NULL, HEAD + size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

    return got == MAP_FAILED ? NULL : got;
}

/* All of it is asked for at once: later there is nobody to tell that there is no room. */
static char *make(size_t size, struct offer *out)
{
    int file = is_more_than_all(size) ? -1 : memfd_create("kindred", MFD_CLOEXEC);
    char *all = NULL;

    if (file >= 0 && !ftruncate(file, (off_t)(HEAD + size)) &&
        !posix_fallocate(file, 0, (off_t)(HEAD + size)))
        all = map(file, size);
    if (all && getrandom(&out->token, sizeof out->token, 0) == sizeof out->token)
        memcpy(all, &out->token, sizeof out->token);
    out->process = getpid();
    out->file = file;
    return all;
}

static char *open_offered(size_t size, const struct offer *offer)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/fd/%d", offer->process, offer->file);
    int file = open(path, O_RDWR | O_CLOEXEC);
    off_t length = file < 0 ? 0 : lseek(file, 0, SEEK_END);
    char *all = length == (off_t)(HEAD + size) ? map(file, size) : NULL;

    if (file >= 0)
        close(file);
    if (all && memcmp(all, &offer->token, sizeof offer->token) != 0) {
        munmap(all, HEAD + size);
        return NULL;
    }
    return all;
}

void comm_all_map(struct comm_memory *m, size_t size)
{
    struct offer offer = {.file = -1};
    char host[sizeof offer.host] = {0}, *all = NULL;
    int64_t ok;

    gethostname(host, sizeof host - 1);
    memcpy(offer.host, host, sizeof host);
    if (comm_rank() == 0 && is_wanted())
        all = make(size, &offer);
    comm_all_share(&offer, sizeof offer, 0);
    if (comm_rank() > 0 && is_wanted() && !memcmp(offer.host, host, sizeof host))
        all = open_offered(size, &offer);
    ok = all != NULL;
    comm_all_fold(&ok, 1, COMM_MIN);
    if (comm_rank() == 0 && offer.file >= 0)
        close(offer.file);
    *m = (struct comm_memory){all ? all + HEAD : NULL, size, 0};
    if (ok)
        madvise(all, HEAD + size, MADV_HUGEPAGE); /* without, it's but slower */
    else
        comm_memory_release(m);
}

void comm_memory_release(struct comm_memory *m)
{
    if (m->data)
        munmap(m->data - HEAD, HEAD + m->size);
    *m = (struct comm_memory){0};
}

size_t comm_memory_room(size_t n, size_t size)
{
    return (n * size + LINE - 1) / LINE * LINE;
}

void *comm_memory_take(struct comm_memory *m, size_t n, size_t size)
{
    char *got;

    if (!m->data)
        return NULL;
    got = m->data + m->used;
    m->used += comm_memory_room(n, size);
    assert(m->used <= m->size);
    return got;
}
