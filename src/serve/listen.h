/* listen.h - the sockets that a server listens on: several on one port, so that each loop accepts
 * for itself and the kernel spreads the connections. */
#ifndef KINDRED_LISTEN_H
#define KINDRED_LISTEN_H

#include "base/err.h"

enum { LISTEN_ADDRESS_MAX = 96 };

/* Open n sockets, non-blocking and listening, on host (a name or an address) and port (0: any that
 * is free, the same for all).
 *
 * address  "127.0.0.1:8000", "[::1]:8000": what was bound, in numbers
 * port     what was bound
 *
 * ERR_IO   no such host, or the port is taken: by another process of the same program too, though
 *          it would be willing to share */
NODISCARD bool listen_open(const char *host, int port, int n, int *fds,
                           char address[static LISTEN_ADDRESS_MAX], int *bound_port,
                           struct err *err);

#endif
