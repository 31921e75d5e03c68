/* http.h - HTTP/1.1 over sockets. The owner of libuv (event loops) and llhttp (the parser).
 *
 * Several loops, a thread each, share a port; a connection lives on one loop. What is served is one
 * function from a request to a reply, which knows of no socket: a unit test calls it too.
 *
 * A request that can be read in two ways (both a length and chunks, two lengths, a bare CR or LF, a
 * folded line, no Host) gets 400 and its connection is closed, as are all whose end isn't certain.
 * Everything a client can make grow has a bound: the head, the body, the time that a request takes,
 * the idle time, the number of connections, and what waits to be sent. */
#ifndef KINDRED_HTTP_H
#define KINDRED_HTTP_H

#include "base/json.h"
#include "serve/tls.h"

/* Text isn't terminated; it lives until the handler returns. */
struct http_text {
    const char *at;
    size_t len;
};

struct http_request {
    const char *method;            /* "GET" */
    struct http_text path;         /* "/items/B7", as it was sent: still percent-encoded */
    struct http_text query;        /* after the '?' */
    struct http_text content_type; /* len 0: there was none, here and below */
    struct http_text authorization, request_id, traceparent, origin, accept_encoding, if_none_match;
    struct http_text body;
};

/* A handler gets it empty with status 200, and fills in. */
struct http_reply {
    int status;
    const char *content_type; /* application/json unless set */
    struct buf headers;       /* more of them: "Allow: GET\r\n" */
    struct json_out body;     /* other than JSON goes to body.buf */
    struct http_later *later; /* not NULL: the answer comes later, see below */
    struct conn *conn;        /* the server's own */
};

/* Called from all loops at once, with `worker` 0 .. threads - 1 for scratch memory of its own. Must
 * not wait for anything. */
typedef void http_handler(void *context, int worker, const struct http_request *q,
                          struct http_reply *r);

/* ---- answers that must be waited for ----
 *
 * A handler that would have to wait calls http_reply_later(), has another thread do the waiting,
 * and returns. That thread fills in http_later_reply() and calls http_later_send(), once. The
 * connection waits meanwhile: its requests are answered in order. A client that leaves, or the
 * server that stops, changes nothing for that thread; http_run() returns when all have been sent.
 */

/* What was put in the reply so far goes with it. NULL: the request came by no connection (a unit
 * test's). */
struct http_later *http_reply_later(struct http_reply *r);
struct http_reply *http_later_reply(struct http_later *l);
void http_later_send(struct http_later *l);

/* The same from the request's own loop, in http_config.turn_over. */
void http_later_send_here(struct http_later *l);

/* Before it's sent, or where nobody is there to take it, call `f` on the request's own loop. From
 * the handler. */
typedef void http_later_fn(void *context, struct http_reply *r);
void http_later_then(struct http_later *l, http_later_fn *f, void *context);

/* A reply {"detail": text}. */
void http_reply_detail(struct http_reply *r, int status, const char *text);
void http_reply_release(struct http_reply *r);

struct http_config {
    const char *host;
    int port; /* 0: any that is free */
    int threads;
    int max_connections; /* over all loops; more of them get 503 */
    int64_t max_body;    /* bytes; 413 */
    int64_t request_ms;  /* from its first byte to its last; 408 */
    int64_t idle_ms;     /* without a request; closed */
    int64_t drain_ms;    /* when it is to stop, it goes on for so long, for balancers to see it */
    int64_t grace_ms;    /* for what is in flight when the server stops */
    bool stop_on_signal; /* SIGTERM and SIGINT stop it; a second one ends the program */
    void (*hang_up)(void *context); /* with stop_on_signal: SIGHUP calls it; NULL: nothing does */
    void *hang_up_context;
    struct tls_identity *tls; /* taken over; NULL: without TLS */
    http_handler *handle;
    /* After a loop has handled all that was ready, where answers of its are to come: the place to
     * answer together what came together. Returns whether it's to be called again without waiting
     * for more. NULL: nobody wants to know. */
    bool (*turn_over)(void *context, int worker);
    /* Told of what is refused before there is a request to handle: 400, 408, 413, 431 and the
     * like, 0 for a handshake that came to nothing; NULL: nobody is. */
    void (*refused)(void *context, int worker, int status, const char *detail);
    void *context;
};

enum { HTTP_HEAD_MAX = 8 << 10, HTTP_THREADS_MAX = 256 };

struct http;

/* Listen. From here on the kernel takes connections in. NULL: ERR_IO. */
struct http *http_open(const struct http_config *config, struct err *err);
const char *http_address(const struct http *h); /* "127.0.0.1:8000" */
int http_port(const struct http *h);

/* How many connections are open; and whether it takes no more, and ends. From any thread. */
int http_connections(const struct http *h);
bool http_is_stopping(const struct http *h);

/* From here on connections begin with that identity, which is taken over; those that are there keep
 * theirs. For a server that began with one; from any thread. */
void http_set_tls(struct http *h, struct tls_identity *tls);

/* Serve until http_stop(), or a signal: then take no more connections, answer what is in flight,
 * and return. */
void http_run(struct http *h);

/* From any thread, at any time between open and close. */
void http_stop(struct http *h);

/* After http_run has returned, or instead of it. */
void http_close(struct http *h);

#endif
