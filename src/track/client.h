/* client.h - requests to a server, by libcurl (owner: client.c), which is loaded when a run is to
 * be sent and not before. One connection is kept open. */
#ifndef KINDRED_CLIENT_H
#define KINDRED_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

#include <stdio.h>

/* Who we are to the server; all may be NULL. */
struct client_login {
    const char *user, *password; /* both: Basic */
    const char *token;           /* else: Bearer */
    const char *ca_file;         /* certificates to trust, besides nothing; NULL: the system's */
    const char *client_file;     /* certificate and key of our own */
    bool insecure;               /* whoever the server is */
};

struct client;

/* ERR_IO: there is no libcurl. */
NODISCARD bool client_open(struct client **out, const struct client_login *login, struct err *err);
void client_close(struct client *h);

struct client_answer {
    long status;
    struct buf body;
    double retry_after_s; /* what the server asks for; 0: nothing */
};

void client_answer_release(struct client_answer *a);

/* One try: at most 3 s to connect, 30 s in all. json: NULL for none. once: by a connection of its
 * own, for libcurl sends anew by itself what went into an old one that was closed. ERR_IO: no
 * answer; a status of any kind is one. */
NODISCARD bool client_call(struct client *h, const char *method, const char *url,
                           const struct buf *json, bool once, struct client_answer *out,
                           struct err *err);

/* PUT a file, which may take as long as it moves. */
NODISCARD bool client_put(struct client *h, const char *url, const char *path,
                          struct client_answer *out, struct err *err);

/* GET into a file, likewise; what isn't 2xx is in out's body. */
NODISCARD bool client_get(struct client *h, const char *url, FILE *to, struct client_answer *out,
                          struct err *err);

/* Append `text`, escaped for a query or one part of a path. */
void client_escape(struct buf *out, const char *text);

#endif
