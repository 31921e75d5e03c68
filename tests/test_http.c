/* HTTP as it goes over the wire, with a handler that says what it was given. */
#include "serve/http.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { MAX_BODY = 1000, REQUEST_MS = 400, IDLE_MS = 1500, MAX_CONNECTIONS = 20, BIG = 100000 };

/* ---- the server: "METHOD PATH?QUERY [BODY]" comes back; /big is a large answer, /later one that
 * takes a while ---- */

static atomic_int n_answered_later;

static void note_answer(void *context, struct http_reply *r)
{
    assert_ptr_equal(context, &n_answered_later);
    buf_puts(&r->headers, "X-Noted: 1\r\n");
    n_answered_later++;
}

static void *answer_later(void *later)
{
    struct timespec pause = {.tv_nsec = 50000000};
    struct http_reply *r = http_later_reply(later);

    nanosleep(&pause, NULL);
    r->status = 202;
    r->content_type = "text/plain";
    buf_puts(&r->body.buf, "at last");
    http_later_send(later);
    return NULL;
}

static void answer_in_a_while(struct http_reply *r)
{
    struct http_later *later = http_reply_later(r);
    pthread_t thread;

    http_later_then(later, note_answer, &n_answered_later);
    assert_int_equal(pthread_create(&thread, NULL, answer_later, later), 0);
    pthread_detach(thread);
}

static void echo(void *context, int worker, const struct http_request *q, struct http_reply *r)
{
    struct buf *out = &r->body.buf;

    (void)context;
    assert(worker == 0 || worker == 1);
    if (q->path.len == 6 && !memcmp(q->path.at, "/later", 6)) {
        buf_puts(&r->headers, "X-Early: 1\r\n");
        answer_in_a_while(r);
        return;
    }
    r->content_type = "text/plain";
    buf_puts(out, q->method);
    buf_putc(out, ' ');
    buf_put(out, q->path.at, q->path.len);
    if (q->query.len) {
        buf_putc(out, '?');
        buf_put(out, q->query.at, q->query.len);
    }
    buf_puts(out, " [");
    buf_put(out, q->body.at, q->body.len);
    buf_putc(out, ']');
    if (q->path.len == 4 && !memcmp(q->path.at, "/big", 4))
        for (int i = 0; i < BIG / 10; i++)
            buf_puts(out, "0123456789");
}

struct server {
    struct http *http;
    pthread_t thread;
};

static void *serve(void *http)
{
    http_run(http);
    return NULL;
}

static void server_start(struct server *s, int threads)
{
    const struct http_config config = {.host = "127.0.0.1",
                                       .threads = threads,
                                       .max_connections = MAX_CONNECTIONS,
                                       .max_body = MAX_BODY,
                                       .request_ms = REQUEST_MS,
                                       .idle_ms = IDLE_MS,
                                       .grace_ms = 1000,
                                       .handle = echo};
    struct err err;

    s->http = http_open(&config, &err);
    if (!s->http)
        fail_msg("%s", err.msg);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s->http), 0);
}

static void server_stop(struct server *s)
{
    http_stop(s->http);
    pthread_join(s->thread, NULL);
    http_close(s->http);
}

static struct server server;

static int start(void **)
{
    server_start(&server, 2);
    return 0;
}

static int stop(void **)
{
    server_stop(&server);
    return 0;
}

/* ---- the client ---- */

static int dial(const struct server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)http_port(s->http))};
    struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

#define STRING(text) text, sizeof(text) - 1

static void put(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent < 0)
            return; /* refused and closed: what it said is there to be read */
        bytes += sent;
        n -= (size_t)sent;
    }
}

/* All that comes until the server closes; fails when it doesn't. */
static void get_all(int fd, struct buf *out)
{
    char bytes[4096];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        buf_put(out, bytes, (size_t)n);
    if (n < 0)
        fail_msg("not closed by the server; got: %s", buf_str(out));
    close(fd);
}

/* Read until `text` has come. */
static void get_until(int fd, struct buf *out, const char *text)
{
    char bytes[4096];
    ssize_t n;

    while (!strstr(buf_str(out), text)) {
        n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            fail_msg("'%s' didn't come; got: %s", text, buf_str(out));
        buf_put(out, bytes, (size_t)n);
    }
}

/* The statuses of the answers in order: "200 404". */
static void statuses(const struct buf *answers, char out[static 100])
{
    size_t len = 0;

    out[0] = '\0';
    for (const char *at = buf_str(answers); (at = strstr(at, "HTTP/1.1 ")) && len < 90; at += 9)
        len += (size_t)snprintf(out + len, 100 - len, "%s%.3s", len ? " " : "", at + 9);
}

/* ---- framing ---- */

#define HOST "Host: h\r\n"
#define END  "GET /end HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
#define POST "POST /p HTTP/1.1\r\n" HOST

/* What follows a refused request must not be answered: `END` would show as another 200. */
static const struct {
    const char *what, *send, *statuses, *holds;
} cases[] = {
    {"a plain request", END, "200", "GET /end []"},
    {"a query", "GET /a?b=c HTTP/1.1\r\n" HOST "\r\n" END, "200 200", "GET /a?b=c []"},
    {"an absolute target", "GET http://h/a?b HTTP/1.1\r\n" HOST "\r\n" END, "200 200",
     "GET /a?b []"},
    {"an absolute target without a path", "GET http://h HTTP/1.1\r\n" HOST "\r\n" END, "200 200",
     "GET / []"},
    {"a body with a length", POST "Content-Length: 3\r\n\r\nabc" END, "200 200", "POST /p [abc]"},
    {"a body in chunks",
     POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nT: 1\r\n\r\n" END,
     "200 200", "POST /p [abc]"},
    {"a body with GET", "GET /p HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na" END, "200 200",
     "GET /p [a]"},
    {"an empty line before the request", "\r\n" END, "200", "GET /end []"},
    {"HEAD has the length, and no body", "HEAD /x HTTP/1.1\r\n" HOST "\r\n" END, "200 200",
     "Content-Length: 10\r\n\r\nHTTP/1.1"},
    {"HTTP/1.0 is closed", "GET /a HTTP/1.0\r\n\r\n", "200", "Connection: close\r\n"},
    {"HTTP/1.0 may ask to stay", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" END, "200 200",
     "Connection: keep-alive\r\n"},
    {"an upgrade is passed over",
     "GET /a HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" END, "200 200", NULL},
    {"an expectation is met", POST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", "100 408",
     "100 Continue\r\n\r\n"},
    {"a body that came already needs no go-ahead",
     POST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" END, "200 200", "POST /p [abc]"},
    {"another expectation", POST "Expect: tea\r\nContent-Length: 3\r\n\r\nabc" END, "417", NULL},
    {"after a last request", END END, "200", NULL},

    {"length and chunks",
     POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" END, "400", NULL},
    {"chunks and length",
     POST "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n" END, "400", NULL},
    {"two lengths", POST "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc" END, "400", NULL},
    {"one length twice", POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab" END, "400", NULL},
    {"a list of lengths", POST "Content-Length: 2, 2\r\n\r\nab" END, "400", NULL},
    {"a length with a sign", POST "Content-Length: +2\r\n\r\nab" END, "400", NULL},
    {"a negative length", POST "Content-Length: -2\r\n\r\nab" END, "400", NULL},
    {"a length in hexadecimal", POST "Content-Length: 0x2\r\n\r\nab" END, "400", NULL},
    {"an empty length", POST "Content-Length: \r\n\r\n" END, "400", NULL},
    {"a length beyond 64 bits", POST "Content-Length: 18446744073709551618\r\n\r\nab" END, "400",
     NULL},
    {"a space before the colon", POST "Content-Length : 2\r\n\r\nab" END, "400", NULL},
    {"a folded line", POST "X: a\r\n b\r\nContent-Length: 2\r\n\r\nab" END, "400", NULL},
    {"a folded first line", "GET /p HTTP/1.1\r\n" HOST " Content-Length: 2\r\n\r\n" END, "400",
     NULL},
    {"a bare line feed", "GET /p HTTP/1.1\n" HOST "\r\n" END, "400", NULL},
    {"a bare line feed after a field", "GET /p HTTP/1.1\r\nHost: h\n\r\n" END, "400", NULL},
    {"a bare carriage return", "GET /p HTTP/1.1\r\nHost: h\rX: y\r\n\r\n" END, "400", NULL},
    {"a bare line feed at the end", "GET /p HTTP/1.1\r\n" HOST "\n" END, "400", NULL},
    {"a field without a colon", "GET /p HTTP/1.1\r\n" HOST "abc\r\n\r\n" END, "400", NULL},
    {"a field without a name", "GET /p HTTP/1.1\r\n" HOST ": x\r\n\r\n" END, "400", NULL},
    {"a control character in a value", "GET /p HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n" END, "400",
     NULL},
    {"a name with a bracket", "GET /p HTTP/1.1\r\n" HOST "X[]: 1\r\n\r\n" END, "400", NULL},
    {"no host", "GET /p HTTP/1.1\r\n\r\n" END, "400", NULL},
    {"two hosts", "GET /p HTTP/1.1\r\n" HOST "Host: i\r\n\r\n" END, "400", NULL},
    {"a host with a space", "GET /p HTTP/1.1\r\nHost: a b\r\n\r\n" END, "400", NULL},
    {"a host with a path", "GET /p HTTP/1.1\r\nHost: a/b\r\n\r\n" END, "400", NULL},
    {"chunks in HTTP/1.0", "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" END,
     "400", NULL},
    {"another coding", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" END, "501", NULL},
    {"another coding last", POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" END, "400",
     NULL},
    {"chunked twice",
     POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" END, "400",
     NULL},
    {"a disguised coding", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" END, "501", NULL},
    {"a coding with a tab",
     POST "Transfer-Encoding:\x0b"
          "chunked\r\n\r\n0\r\n\r\n" END,
     "400", NULL},
    {"a chunk without a size", POST "Transfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n" END, "400",
     NULL},
    {"a chunk size that is none",
     POST "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n" END, "400", NULL},
    {"a chunk size with a space", POST "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n" END,
     "400", NULL},
    {"a chunk size beyond 64 bits",
     POST "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n" END, "400", NULL},
    {"a chunk longer than its size",
     POST "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n" END, "400", NULL},
    {"a chunk ended by a bare line feed",
     POST "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n" END, "400", NULL},
    {"not HTTP", "hello\r\n\r\n" END, "400", NULL},
    {"a method in lower case", "get / HTTP/1.1\r\n" HOST "\r\n" END, "400", NULL},
    {"a space in the target", "GET /a b HTTP/1.1\r\n" HOST "\r\n" END, "400", NULL},
    {"a version to come", "GET / HTTP/2.0\r\n" HOST "\r\n" END, "505", NULL},
    {"a version that never was", "GET / HTTP/9.9\r\n" HOST "\r\n" END, "505", NULL},
    {"HTTP/2 as such", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", NULL},
    {"a body too large", POST "Content-Length: 1001\r\n\r\n", "413", NULL},
    {"a chunk too large", POST "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", "413", NULL},
    {"a request that doesn't end", POST "Content-Length: 5\r\n\r\nab", "408", NULL},
    {"a head that doesn't end", "GET / HTTP/1.1\r\nHo", "408", NULL},
};

static void check_case(int i, bool piecemeal)
{
    AUTO(buf) got = {0};
    char have[100];
    int fd = dial(&server);

    for (const char *at = cases[i].send; piecemeal && *at; at++)
        put(fd, at, 1);
    if (!piecemeal)
        put(fd, cases[i].send, strlen(cases[i].send));
    get_all(fd, &got);
    statuses(&got, have);
    if (strcmp(have, cases[i].statuses))
        fail_msg("%s: got %s, want %s: %s", cases[i].what, have, cases[i].statuses, buf_str(&got));
    if (cases[i].holds && !strstr(buf_str(&got), cases[i].holds))
        fail_msg("%s: no '%s' in: %s", cases[i].what, cases[i].holds, buf_str(&got));
}

static void what_is_plain_is_answered_and_what_is_ambiguous_refused(void **)
{
    for (int i = 0; i < ARRAY_LEN(cases); i++)
        check_case(i, false);
}

/* Where it is cut must not matter, but for the body that came with its expectation. */
static void it_is_the_same_byte_by_byte(void **)
{
    for (int i = 0; i < ARRAY_LEN(cases); i++)
        if (!strstr(cases[i].what, "go-ahead"))
            check_case(i, true);
}

/* ---- bounds ---- */

static void send_padded(const char *before, size_t n, char pad, const char *after, const char *want)
{
    AUTO(buf) request = {0}, got = {0};
    char have[100];
    int fd = dial(&server);

    buf_puts(&request, before);
    for (size_t i = 0; i < n; i++)
        buf_putc(&request, pad);
    buf_puts(&request, after);
    put(fd, request.data, request.len);
    get_all(fd, &got);
    statuses(&got, have);
    if (strcmp(have, want))
        fail_msg("%.20s...: got %s, want %s", before, have, want);
}

static void heads_have_a_bound(void **)
{
    static const char first[] = "GET /p HTTP/1.1\r\nHost: h\r\nX: ";
    static const char chunks[] = POST "Transfer-Encoding: chunked\r\n\r\n1;";
    size_t room = HTTP_HEAD_MAX - strlen(first) - 4;

    send_padded(first, room, 'x', "\r\n\r\n" END, "200 200");
    send_padded(first, room + 1, 'x', "\r\n\r\n" END, "431");
    send_padded(first, room + 1, ' ', "\r\n\r\n" END, "431");
    send_padded(first, 300000, 'x', "\r\n\r\n" END, "431");
    send_padded("GET /", 300000, 'x', " HTTP/1.1\r\n" HOST "\r\n", "431");
    send_padded(chunks, HTTP_HEAD_MAX, 'x', "\r\na\r\n0\r\n\r\n" END, "431");
    send_padded(POST "Content-Length: 1000\r\n\r\n", 1000, 'x', END, "200 200");
}

static void a_silent_connection_is_closed(void **)
{
    AUTO(buf) got = {0};
    double since = clock_seconds(), seconds;
    int fd = dial(&server);

    get_all(fd, &got);
    seconds = clock_seconds() - since;
    assert_int_equal(got.len, 0);
    assert_true(seconds > IDLE_MS / 1000.0 - 0.2 && seconds < IDLE_MS / 1000.0 + 1);
}

static void a_trickle_of_bytes_does_not_win_time(void **)
{
    AUTO(buf) got = {0};
    int fd = dial(&server);

    for (int i = 0; i < 10; i++) { /* each well within the time for a request, all together not */
        put(fd, &(POST)[i], 1);
        usleep(100000);
    }
    get_all(fd, &got);
    assert_true(!strncmp(got.data, "HTTP/1.1 408 ", 13));
}

static void more_connections_than_allowed_are_told_so(void **)
{
    struct server few;
    int fds[MAX_CONNECTIONS];
    AUTO(buf) got = {0};

    server_start(&few, 1);
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        fds[i] = dial(&few);
    get_all(dial(&few), &got);
    assert_true(!strncmp(got.data, "HTTP/1.1 503 ", 13));
    assert_non_null(strstr(got.data, "Retry-After: "));
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        close(fds[i]);
    buf_clear(&got);
    for (int tries = 0; tries < 50 && !strstr(buf_str(&got), " 200 "); tries++) { /* room again */
        int fd = dial(&few);

        buf_clear(&got);
        put(fd, END, strlen(END));
        get_all(fd, &got);
        usleep(20000);
    }
    assert_non_null(strstr(got.data, " 200 OK"));
    server_stop(&few);
}

/* ---- order, pressure, end ---- */

static void pipelined_requests_are_answered_in_order(void **)
{
    AUTO(buf) requests = {0}, got = {0};
    int fd = dial(&server);
    const char *at;

    for (int i = 0; i < 500; i++)
        buf_printf(&requests, "GET /n%d. HTTP/1.1\r\n" HOST "\r\n", i);
    buf_puts(&requests, END);
    put(fd, requests.data, requests.len);
    get_all(fd, &got);
    at = got.data;
    for (int i = 0; i < 500; i++) {
        char want[32];

        snprintf(want, sizeof want, "GET /n%d. []", i);
        at = strstr(at, want);
        if (!at)
            fail_msg("no answer to %d in its place", i);
    }
    assert_non_null(strstr(at, "GET /end []"));
}

/* 1,000 answers of 100,000 bytes to a client that doesn't read: 100 MB would be waiting. */
static void who_does_not_read_is_not_read_from(void **)
{
    static const char one[] = "GET /big HTTP/1.1\r\n" HOST "\r\n";
    AUTO(buf) requests = {0}, got = {0};
    char bytes[65536];
    int fd = dial(&server), other;
    int64_t total = 0;
    ssize_t n;

    for (int i = 0; i < 999; i++)
        buf_puts(&requests, one);
    buf_puts(&requests, "GET /big HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    put(fd, requests.data, requests.len);
    usleep(100000);
    other = dial(&server); /* others are served meanwhile */
    put(other, END, strlen(END));
    get_all(other, &got);
    assert_non_null(strstr(got.data, " 200 OK"));
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0) /* and in the end it all comes */
        total += n;
    assert_true(n == 0 && total > 1000 * (int64_t)BIG && total < 1000 * (int64_t)(BIG + 300));
    close(fd);
}

static void a_half_closed_client_gets_its_answers(void **)
{
    AUTO(buf) got = {0};
    char have[100];
    int fd = dial(&server);
    static const char two[] = "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n";

    put(fd, two, strlen(two));
    shutdown(fd, SHUT_WR);
    get_all(fd, &got);
    statuses(&got, have);
    assert_string_equal(have, "200 200");
}

static void an_answer_that_is_waited_for_keeps_its_turn(void **)
{
    int fd = dial(&server);
    AUTO(buf) got = {0};
    char all[100];

    n_answered_later = 0;
    put(fd, STRING("GET /a HTTP/1.1\r\n" HOST "\r\nHEAD /later HTTP/1.1\r\n" HOST
                   "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n"));
    put(fd, STRING(END));
    get_all(fd, &got);
    statuses(&got, all);
    assert_string_equal(all, "200 202 202 200");
    assert_non_null(
        strstr(buf_str(&got), "Content-Length: 7\r\nX-Early: 1\r\nX-Noted: 1\r\n\r\nHTTP/1.1 202"));
    assert_non_null(strstr(buf_str(&got), "X-Noted: 1\r\n\r\nat lastHTTP/1.1 200"));
    assert_int_equal(n_answered_later, 2);
}

static void who_leaves_before_the_answer_harms_nobody(void **)
{
    AUTO(buf) got = {0};
    int fd;

    n_answered_later = 0;
    for (int i = 0; i < 5; i++) {
        fd = dial(&server);
        put(fd, STRING("GET /later HTTP/1.1\r\n" HOST "\r\nGET /a HTTP/1.1\r\n" HOST "\r\n"));
        close(fd);
    }
    fd = dial(&server);
    put(fd, STRING("GET /later HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
    get_all(fd, &got);
    assert_non_null(strstr(buf_str(&got), "at last"));
    for (int tries = 0; n_answered_later < 6 && tries < 500; tries++)
        usleep(10000);
    assert_int_equal(n_answered_later, 6);
}

static void a_server_that_stops_waits_for_answers(void **)
{
    struct server own;
    AUTO(buf) got = {0};
    int fd, gone;

    n_answered_later = 0;
    server_start(&own, 1);
    fd = dial(&own);
    gone = dial(&own);
    put(gone, STRING("GET /later HTTP/1.1\r\n" HOST "\r\n"));
    put(fd, STRING("GET /a HTTP/1.1\r\n" HOST "\r\n"));
    get_until(fd, &got, "GET /a []");
    put(fd, STRING("GET /later HTTP/1.1\r\n" HOST "\r\n"));
    close(gone);
    server_stop(&own);
    get_all(fd, &got);
    assert_non_null(strstr(buf_str(&got), "at last"));
    assert_int_equal(n_answered_later, 2);
}

static void a_server_that_stops_answers_what_has_begun(void **)
{
    static const char begun[] = POST "Content-Length: 5\r\n\r\nab";
    struct server own;
    AUTO(buf) idle_got = {0}, got = {0};
    int idle, busy;

    server_start(&own, 1);
    idle = dial(&own);
    busy = dial(&own);
    put(idle, "GET /1 HTTP/1.1\r\n" HOST "\r\n", 28);
    get_until(idle, &idle_got, "GET /1 []");
    put(busy, begun, strlen(begun));
    usleep(50000);
    http_stop(own.http);
    get_all(idle, &idle_got); /* closed at once */
    put(busy, "cde", 3);
    get_all(busy, &got);
    assert_non_null(strstr(got.data, "POST /p [abcde]"));
    assert_non_null(strstr(got.data, "Connection: close"));
    pthread_join(own.thread, NULL);
    http_close(own.http);
}

static void a_port_in_use_is_refused(void **)
{
    const struct http_config again = {.host = "127.0.0.1",
                                      .port = http_port(server.http),
                                      .threads = 2,
                                      .max_connections = 1,
                                      .handle = echo};
    struct err err;

    assert_null(http_open(&again, &err));
    assert_non_null(strstr(err.msg, "in use"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_plain_is_answered_and_what_is_ambiguous_refused),
        cmocka_unit_test(it_is_the_same_byte_by_byte),
        cmocka_unit_test(heads_have_a_bound),
        cmocka_unit_test(a_silent_connection_is_closed),
        cmocka_unit_test(a_trickle_of_bytes_does_not_win_time),
        cmocka_unit_test(more_connections_than_allowed_are_told_so),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(who_does_not_read_is_not_read_from),
        cmocka_unit_test(a_half_closed_client_gets_its_answers),
        cmocka_unit_test(an_answer_that_is_waited_for_keeps_its_turn),
        cmocka_unit_test(who_leaves_before_the_answer_harms_nobody),
        cmocka_unit_test(a_server_that_stops_waits_for_answers),
        cmocka_unit_test(a_server_that_stops_answers_what_has_begun),
        cmocka_unit_test(a_port_in_use_is_refused),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
