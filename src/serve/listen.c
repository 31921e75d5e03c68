#include "serve/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

static bool set_flag(int fd, int option)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, option, &on, sizeof on) == 0;
}

/* A bound socket, or -1 with errno. SO_REUSEPORT lets sockets share the port that all have set it
 * by the time of the bind. Whoever binds without it is refused where another listens already: so
 * the first socket does, to learn that the port is taken, and opens itself to its own kind after.
 */
static int bind_one(const struct sockaddr *at, socklen_t len, bool first)
{
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), why;

    if (fd < 0)
        return -1;
    if (set_flag(fd, SO_REUSEADDR) && (first || set_flag(fd, SO_REUSEPORT)) &&
        bind(fd, at, len) == 0 && (!first || set_flag(fd, SO_REUSEPORT)))
        return fd;
    why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int port_of(const struct sockaddr_storage *at)
{
    if (at->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)at)->sin6_port);
    return ntohs(((const struct sockaddr_in *)at)->sin_port);
}

static bool resolve(const char *host, int port, struct sockaddr_storage *at, socklen_t *len,
                    struct err *err)
{
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    char service[16];
    int failed;

    snprintf(service, sizeof service, "%d", port);
    if (strspn(host, "0123456789.") == strlen(host) || strchr(host, ':'))
        want.ai_flags |= AI_NUMERICHOST; /* meant as an address: don't ask a name server */
    failed = getaddrinfo(host, service, &want, &found);
    if (failed)
        return err_set(err, ERR_IO, "cannot listen on host '%s': %s", host, gai_strerror(failed));
    memcpy(at, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static void write_address(const struct sockaddr_storage *at, socklen_t len, char *out)
{
    char host[64] = "?";

    (void)!getnameinfo((const struct sockaddr *)at, len, host, sizeof host, NULL, 0,
                       NI_NUMERICHOST);
    snprintf(out, LISTEN_ADDRESS_MAX, at->ss_family == AF_INET6 ? "[%s]:%d" : "%s:%d", host,
             port_of(at));
}

static bool refused(const char *host, int port, struct err *err)
{
    if (errno == EADDRINUSE)
        return err_set(err, ERR_IO,
                       "cannot listen on %s port %d: it is in use; choose another with --port, or "
                       "0 for any free one",
                       host, port);
    return err_set(err, ERR_IO, "cannot listen on %s port %d: %s", host, port, strerror(errno));
}

bool listen_open(const char *host, int port, int n, int *fds,
                 char address[static LISTEN_ADDRESS_MAX], int *bound_port, struct err *err)
{
    struct sockaddr_storage at;
    socklen_t len;

    assert(n >= 1);
    if (!resolve(host, port, &at, &len, err))
        return false;
    for (int i = 0; i < n; i++) {
        fds[i] = bind_one((const struct sockaddr *)&at, len, i == 0);
        if (fds[i] < 0 || getsockname(fds[i], (struct sockaddr *)&at, &len) < 0 ||
            listen(fds[i], BACKLOG) < 0) {
            (void)refused(host, port, err);
            for (int opened = 0; opened <= i; opened++)
                if (fds[opened] >= 0)
                    close(fds[opened]);
            return false;
        }
    }
    *bound_port = port_of(&at);
    write_address(&at, len, address);
    return true;
}
