/* err.h - what the world refuses: a kind for the exit code, a line for the user.
 *
 * A function that can fail returns false and has filled *err, once, where the fault was seen; on
 * the way up err_wrap puts context in front. The message is one line, lower case, no full stop; it
 * names the file, option or row, what is wrong, and what would be right. */
#ifndef KINDRED_ERR_H
#define KINDRED_ERR_H

#include "base/base.h"

enum err_kind {
    ERR_NONE,
    ERR_USAGE,       /* the command line or a config file: exit 2 */
    ERR_IO,          /* a file or the network */
    ERR_DATA,        /* what stands in a file */
    ERR_INTERRUPTED, /* SIGINT or SIGTERM: exit 128 + the signal */
};

struct err {
    enum err_kind kind;
    bool agreed;    /* all ranks of the run have it (comm/comm.h) */
    char msg[1024]; /* cut when longer, line breaks become spaces */
};

/* Fill *err; returns false, so that `return err_set(...)` reads well. */
bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF(3, 4);

/* "cannot WHAT 'PATH': strerror(errno)", as ERR_IO. Returns false. */
bool err_errno(struct err *err, const char *what, const char *path);

/* Put "context: " in front of the message. Returns false. */
bool err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

#endif
