/* A connection goes round: bytes come in (on_read), the parser is fed up to the end of a head or of
 * a request (parse), a whole request is answered into the loop's output (answer), and the output is
 * sent (flush). While some of it cannot be sent, nothing is read and nothing is parsed, so a client
 * that doesn't take its answers holds no more than one turn's worth of them. */
#include "serve/http.h"

#include "base/log.h"
#include "serve/listen.h"

#include <errno.h>
#include <llhttp.h>
#include <signal.h>
#include <stdatomic.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
    READ_MAX = 64 << 10,                  /* bytes a read */
    TEXT_MAX = READ_MAX + TLS_RECORD_MAX, /* what it may be the end of by TLS */
    OUT_MAX = 64 << 10,                   /* bytes of answers that gather before they are sent */
    TURN_MAX = 32,      /* requests of a connection answered before others have their turn */
    ACCEPT_MAX = 64,    /* connections taken in before those that are there have theirs */
    REFUSED_MAX = 256,  /* connections over the limit that are told so; more are just closed */
    KEEP_MAX = 4 << 10, /* memory that a connection keeps from one request to the next */
    TICK_MS = 100,
    ACCEPT_PAUSE_MS = 100, /* when there are no more descriptors */
    STALL_MS = 30000,      /* for a client to take a turn's worth of answers */
    WAIT_MS = 30000,       /* for an answer that comes later */
    LINGER_MS = 2000,      /* after the last answer, for the client to read it and close */
};

/* What a connection waits for. All in a phase are given the same time, so that the connections of
 * each phase are a queue in the order of their deadlines. */
enum phase { IDLE, REQUEST, WAITING, SENDING, LINGER, PHASES };

enum field {
    FIELD_HOST,
    FIELD_TYPE,
    FIELD_EXPECT,
    FIELD_CODING,
    FIELD_AUTHORIZATION,
    FIELD_REQUEST_ID,
    FIELD_TRACEPARENT,
    FIELD_ORIGIN,
    FIELD_ACCEPT_ENCODING,
    FIELD_IF_NONE_MATCH,
    FIELDS,
    FIELD_OTHER = FIELDS
};

static const char *const field_names[FIELDS] = {
    "host",         "content-type", "expect", "transfer-encoding", "authorization",
    "x-request-id", "traceparent",  "origin", "accept-encoding",   "if-none-match"};

enum { FIELD_NAME_MAX = 20 };

/* A stretch of conn.head. */
struct span {
    size_t at, len;
};

enum event { NOTHING, HEAD_END, REQUEST_END };

struct conn {
    uv_tcp_t tcp;
    uv_write_t write;
    llhttp_t parser;
    struct loop *loop;
    struct tls *tls;           /* NULL: none */
    struct conn *next, **link; /* in its phase's queue; *link is what points here */
    enum phase phase;
    uint64_t deadline;
    bool closing; /* nothing more is answered */

    /* ---- the request that is coming in ---- */
    bool begun, fresh; /* fresh: begun since the phase was entered */
    bool head_done;
    enum event event;  /* what the parser came to */
    int fault;         /* the status that a callback refuses it with, or 0 */
    size_t head_bytes; /* with trailers and chunk extensions */
    struct buf head;   /* the target and the values that count */
    struct span target, value[FIELDS];
    int count[FIELDS];
    char name[FIELD_NAME_MAX]; /* of the header field at hand, as far as it fits */
    size_t name_len;
    enum field field;
    struct buf body;

    struct http_later *later; /* the answer that it waits for */

    struct buf rest;    /* read, but not parsed as yet */
    struct buf sending; /* handed to the kernel, not taken as yet */
};

/* An answer that comes later. */
struct http_later {
    struct loop *loop;
    struct conn *conn; /* NULL: it's gone */
    struct http_reply reply;
    bool keep;  /* the connection, after it */
    bool ready; /* to be sent */
    http_later_fn *then;
    void *context;
    struct http_later *next; /* of those that are ready */
};

struct queue {
    struct conn *first, **end;
    uint64_t span_ms;
};

struct loop {
    struct http *http;
    int index, listener;
    uv_loop_t uv;
    uv_poll_t acceptable;
    uv_timer_t tick, accept_pause, drain;
    uv_async_t stop, ready;
    uv_check_t turn;
    uv_signal_t signals[3];
    uv_thread_t thread;
    struct queue queues[PHASES];
    int n_open;
    bool initialised;
    bool draining, starved; /* starved: of descriptors, and said so */
    uint64_t drain_deadline;
    int n_later;                    /* answers that are to come */
    uv_mutex_t lock;                /* of those that have */
    struct http_later *first_ready; /* the last one first */
    time_t date_at;
    char date[40];
    struct http_reply reply; /* scratch */
    struct buf out;          /* answers of the connection at hand */
    struct buf sealed;       /* the same by TLS */
    char in[READ_MAX], text[TEXT_MAX];
};

struct http {
    struct http_config config;
    char address[LISTEN_ADDRESS_MAX];
    int port;
    atomic_int n_connections;
    atomic_bool stopping;
    uv_mutex_t lock; /* of config.tls */
    struct loop *loops;
};

/* ---- replies ---- */

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {202, "Accepted"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status)
{
    for (int i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

void http_reply_detail(struct http_reply *r, int status, const char *text)
{
    r->status = status;
    json_open(&r->body, NULL, '{');
    json_put_str(&r->body, "detail", text);
    json_close(&r->body, '}');
}

void http_reply_release(struct http_reply *r)
{
    buf_release(&r->headers);
    json_out_release(&r->body);
    *r = (struct http_reply){0};
}

/* Empty, its memory kept. */
static void reply_reset(struct http_reply *r)
{
    struct buf headers = r->headers, body = r->body.buf;

    buf_clear(&headers);
    buf_clear(&body);
    *r = (struct http_reply){
        .status = 200, .content_type = "application/json", .headers = headers, .body.buf = body};
}

static const char *date_now(struct loop *l)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now != l->date_at) {
        l->date_at = now;
        strftime(l->date, sizeof l->date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    }
    return l->date;
}

static void put_number(struct buf *b, size_t n)
{
    char digits[24], *at = digits + sizeof digits;

    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    buf_put(b, at, (size_t)(digits + sizeof digits - at));
}

/* Append a reply to the loop's output. */
static void put_reply(struct conn *c, const struct http_reply *r, bool keep)
{
    struct buf *out = &c->loop->out;

    buf_puts(out, "HTTP/1.1 ");
    put_number(out, (size_t)r->status);
    buf_putc(out, ' ');
    buf_puts(out, reason_of(r->status));
    buf_puts(out, "\r\nDate: ");
    buf_puts(out, date_now(c->loop));
    if (r->status != 304) {
        buf_puts(out, "\r\nContent-Type: ");
        buf_puts(out, r->content_type);
        buf_puts(out, "\r\nContent-Length: ");
        put_number(out, r->body.buf.len);
    }
    buf_puts(out, "\r\n");
    buf_put(out, buf_str(&r->headers), r->headers.len);
    if (!keep)
        buf_puts(out, "Connection: close\r\n");
    else if (c->parser.http_minor == 0)
        buf_puts(out, "Connection: keep-alive\r\n");
    buf_puts(out, "\r\n");
    if (c->parser.method != HTTP_HEAD)
        buf_put(out, buf_str(&r->body.buf), r->body.buf.len);
    if (!keep)
        c->closing = true;
}

static void tell_refusal(const struct loop *l, int status, const char *detail)
{
    const struct http_config *config = &l->http->config;

    if (config->refused)
        config->refused(config->context, l->index, status, detail);
}

/* Answer what isn't a request that a handler could take, and be done with the connection. */
static void refuse(struct conn *c, int status, const char *detail)
{
    struct http_reply *r = &c->loop->reply;

    reply_reset(r);
    http_reply_detail(r, status, detail);
    if (status == 503)
        buf_puts(&r->headers, "Retry-After: 1\r\n");
    put_reply(c, r, false);
    tell_refusal(c->loop, status, detail);
}

/* ---- phases ---- */

static void leave(struct conn *c)
{
    struct queue *q = &c->loop->queues[c->phase];

    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    else
        q->end = c->link;
}

static void join(struct conn *c, enum phase phase)
{
    struct queue *q = &c->loop->queues[phase];

    c->phase = phase;
    c->deadline = uv_now(&c->loop->uv) + q->span_ms;
    c->next = NULL;
    c->link = q->end;
    *q->end = c;
    q->end = &c->next;
}

static void enter(struct conn *c, enum phase phase)
{
    leave(c);
    join(c, phase);
    c->fresh = false;
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;

    buf_release(&c->head);
    buf_release(&c->body);
    buf_release(&c->rest);
    buf_release(&c->sending);
    tls_free(c->tls);
    free(c);
}

static void later_free(struct http_later *later)
{
    http_reply_release(&later->reply);
    free(later);
}

/* Whatever is to come, it's not for this connection. */
static void leave_answer(struct conn *c)
{
    if (c->later)
        c->later->conn = NULL;
    c->later = NULL;
}

static void conn_close(struct conn *c)
{
    struct loop *l = c->loop;

    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    leave(c);
    leave_answer(c);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    atomic_fetch_sub(&l->http->n_connections, 1);
    if (--l->n_open == 0)
        uv_timer_stop(&l->tick);
}

static int conn_fd(const struct conn *c)
{
    uv_os_fd_t fd;

    return uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0 ? fd : -1;
}

/* Whether bytes have come that nobody has read. */
static bool has_unread(const struct conn *c)
{
    int n = 0;

    return ioctl(conn_fd(c), FIONREAD, &n) == 0 && n > 0;
}

/* ---- parsing: callbacks note what they see, and hold at the end of a head and of a request ----
 */

static int refuse_in_callback(struct conn *c, int status)
{
    c->fault = status;
    return HPE_USER;
}

/* Count what isn't part of a head proper, but might as well grow. */
static int count_extra(llhttp_t *p, const char *at, size_t n)
{
    struct conn *c = p->data;

    (void)at;
    c->head_bytes += c->head_done ? n : 0;
    return c->head_bytes > HTTP_HEAD_MAX && c->head_done ? refuse_in_callback(c, 431) : 0;
}

static int on_begin(llhttp_t *p)
{
    struct conn *c = p->data;

    c->begun = c->fresh = true;
    return 0;
}

static void append(struct conn *c, struct span *to, const char *at, size_t n)
{
    buf_put(&c->head, at, n);
    to->len += n;
}

static int on_target(llhttp_t *p, const char *at, size_t n)
{
    struct conn *c = p->data;

    append(c, &c->target, at, n);
    return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct conn *c = p->data;

    if (c->name_len + n <= FIELD_NAME_MAX)
        memcpy(c->name + c->name_len, at, n);
    c->name_len += n;
    return count_extra(p, at, n);
}

static int on_field_end(llhttp_t *p)
{
    struct conn *c = p->data;
    int f = 0;

    while (f < FIELDS && (strlen(field_names[f]) != c->name_len ||
                          strncasecmp(field_names[f], c->name, c->name_len) != 0))
        f++;
    c->name_len = 0;
    c->field = c->head_done ? FIELD_OTHER : (enum field)f; /* a trailer says nothing to us */
    if (c->field != FIELD_OTHER) {
        c->count[f]++;
        c->value[f] = (struct span){c->head.len, 0};
    }
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct conn *c = p->data;

    if (c->field != FIELD_OTHER)
        append(c, &c->value[c->field], at, n);
    return count_extra(p, at, n);
}

static int on_head_end(llhttp_t *p)
{
    struct conn *c = p->data;

    p->upgrade = 0; /* we speak nothing else, so an Upgrade is passed over (RFC 9110, 7.8) */
    c->event = HEAD_END;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct conn *c = p->data;

    if (n > (size_t)c->loop->http->config.max_body - c->body.len)
        return refuse_in_callback(c, 413);
    buf_put(&c->body, at, n);
    return 0;
}

static int on_chunk(llhttp_t *p)
{
    struct conn *c = p->data;

    if (p->content_length > (size_t)c->loop->http->config.max_body - c->body.len)
        return refuse_in_callback(c, 413);
    return 0;
}

static int on_request_end(llhttp_t *p)
{
    struct conn *c = p->data;

    c->event = REQUEST_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_end,
    .on_header_value = on_value,
    .on_headers_complete = on_head_end,
    .on_body = on_body,
    .on_chunk_header = on_chunk,
    .on_chunk_extension_name = count_extra,
    .on_chunk_extension_value = count_extra,
    .on_message_complete = on_request_end,
};

static void refuse_parse(struct conn *c, enum llhttp_errno e)
{
    const char *reason = llhttp_get_error_reason(&c->parser);
    char detail[160];

    if (c->fault == 413)
        refuse(c, 413, "Request body too large");
    else if (c->fault == 431)
        refuse(c, 431, "Request head too large");
    else if (e == HPE_INVALID_VERSION && !strcmp(reason, "Invalid HTTP version"))
        refuse(c, 505, "HTTP version not supported");
    else {
        snprintf(detail, sizeof detail, "Invalid HTTP request: %s", reason);
        refuse(c, 400, detail);
    }
}

/* Feed the parser up to the end of a head, of a request, or of the bytes; c->event says which.
 * Returns where it got to. What it refuses is answered, and c->closing set. */
static const char *parse(struct conn *c, const char *at, const char *end)
{
    bool in_head = !c->head_done;
    enum llhttp_errno e;
    const char *to = end;

    c->event = NOTHING;
    e = llhttp_execute(&c->parser, at, (size_t)(end - at));
    if (e != HPE_OK)
        to = llhttp_get_error_pos(&c->parser);
    if (in_head && (e == HPE_OK || e == HPE_PAUSED)) {
        c->head_bytes += (size_t)(to - at);
        if (c->head_bytes > HTTP_HEAD_MAX) {
            refuse(c, 431, "Request head too large");
            return end;
        }
    }
    if (e == HPE_PAUSED)
        llhttp_resume(&c->parser);
    else if (e != HPE_OK)
        refuse_parse(c, e);
    return to;
}

/* ---- what a head must hold ---- */

static struct http_text text_of(const struct conn *c, struct span s)
{
    return (struct http_text){buf_str(&c->head) + s.at, s.len};
}

static bool text_is(struct http_text t, const char *word)
{
    return t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

/* A host and a port as far as their letters go (RFC 3986, 3.2.2). */
static bool is_host(struct http_text t)
{
    for (size_t i = 0; i < t.len; i++)
        if ((unsigned char)t.at[i] <= ' ' || (unsigned char)t.at[i] >= 0x7f ||
            strchr("\"#/<>?@\\^`{|}", t.at[i]))
            return false;
    return true;
}

static void check_framing(struct conn *c)
{
    const llhttp_t *p = &c->parser;

    if (p->http_major != 1)
        refuse(c, 505, "HTTP version not supported");
    else if (c->count[FIELD_HOST] > 1 || (c->count[FIELD_HOST] == 0 && p->http_minor > 0) ||
             !is_host(text_of(c, c->value[FIELD_HOST])))
        refuse(c, 400, "Invalid HTTP request: one Host must be given");
    else if (c->count[FIELD_CODING] > 1 || (c->count[FIELD_CODING] == 1 && p->http_minor == 0))
        refuse(c, 400, "Invalid HTTP request: ambiguous Transfer-Encoding");
    else if (c->count[FIELD_CODING] == 1 && !text_is(text_of(c, c->value[FIELD_CODING]), "chunked"))
        refuse(c, 501, "Transfer-Encoding other than chunked is not supported");
    else if ((p->flags & F_CONTENT_LENGTH) &&
             p->content_length > (uint64_t)c->loop->http->config.max_body)
        refuse(c, 413, "Request body too large");
}

/* The client waits to hear that the body is welcome, unless it sent some of it already. */
static void check_expectation(struct conn *c, bool more_in_hand)
{
    const llhttp_t *p = &c->parser;
    bool has_body = (p->flags & F_CHUNKED) || p->content_length > 0;

    if (c->closing || c->count[FIELD_EXPECT] == 0 || p->http_minor == 0)
        return;
    if (!text_is(text_of(c, c->value[FIELD_EXPECT]), "100-continue"))
        refuse(c, 417, "Expectation other than 100-continue");
    else if (has_body && !more_in_hand)
        buf_puts(&c->loop->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* ---- answering ---- */

static void forget(struct buf *b)
{
    if (b->cap > KEEP_MAX)
        buf_release(b);
    else
        buf_clear(b);
}

static void forget_request(struct conn *c)
{
    c->begun = c->fresh = c->head_done = false;
    c->head_bytes = 0;
    c->target = (struct span){0};
    memset(c->value, 0, sizeof c->value);
    memset(c->count, 0, sizeof c->count);
    forget(&c->head);
    forget(&c->body);
}

/* What stands there once; twice is as good as not. */
static struct http_text only(const struct conn *c, enum field f)
{
    return c->count[f] == 1 ? text_of(c, c->value[f]) : (struct http_text){0};
}

/* Set path and query from the target: "/path?query", or "http://host/path?query". */
static void split_target(struct http_text target, struct http_request *q)
{
    const char *scheme = memmem(target.at, target.len, "://", 3), *end = target.at + target.len,
               *at;

    if (target.len && target.at[0] != '/' && scheme) {
        at = memchr(scheme + 3, '/', (size_t)(end - scheme - 3));
        target = at ? (struct http_text){at, (size_t)(end - at)} : (struct http_text){"/", 1};
        end = target.at + target.len;
    }
    q->path = target;
    at = memchr(target.at, '?', target.len);
    if (at) {
        q->path.len = (size_t)(at - target.at);
        q->query = (struct http_text){at + 1, (size_t)(end - at - 1)};
    }
}

static void answer(struct conn *c, bool more_in_hand)
{
    struct loop *l = c->loop;
    struct http_request q = {.method = llhttp_method_name((llhttp_method_t)c->parser.method),
                             .content_type = text_of(c, c->value[FIELD_TYPE]),
                             .authorization = only(c, FIELD_AUTHORIZATION),
                             .request_id = only(c, FIELD_REQUEST_ID),
                             .traceparent = only(c, FIELD_TRACEPARENT),
                             .origin = only(c, FIELD_ORIGIN),
                             .accept_encoding = only(c, FIELD_ACCEPT_ENCODING),
                             .if_none_match = only(c, FIELD_IF_NONE_MATCH),
                             .body = {buf_str(&c->body), c->body.len}};
    bool keep = llhttp_should_keep_alive(&c->parser) && c->parser.method != HTTP_CONNECT;

    if (l->draining && !more_in_hand && !has_unread(c))
        keep = false;
    split_target(text_of(c, c->target), &q);
    reply_reset(&l->reply);
    l->reply.conn = c;
    l->http->config.handle(l->http->config.context, l->index, &q, &l->reply);
    if (c->later) {
        c->later->keep = keep;
        return;
    }
    put_reply(c, &l->reply, keep);
    forget_request(c);
}

/* ---- answers that come later ---- */

struct http_later *http_reply_later(struct http_reply *r)
{
    struct http_later *later;

    if (!r->conn)
        return NULL;
    later = xcalloc(1, sizeof *later);
    later->conn = r->conn;
    later->conn->later = later;
    later->loop = r->conn->loop;
    later->loop->n_later++;
    later->reply = *r;
    *r = (struct http_reply){.later = later};
    return later;
}

struct http_reply *http_later_reply(struct http_later *later)
{
    return &later->reply;
}

void http_later_then(struct http_later *later, http_later_fn *f, void *context)
{
    later->then = f;
    later->context = context;
}

void http_later_send(struct http_later *later)
{
    struct loop *l = later->loop;

    uv_mutex_lock(&l->lock);
    later->next = l->first_ready;
    l->first_ready = later;
    uv_async_send(&l->ready);
    uv_mutex_unlock(&l->lock);
}

/* ---- sending ---- */

static void consume(struct conn *c, const char *at, const char *end);
static void flush(struct conn *c, bool yield);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = handle->data;

    (void)suggested;
    *buf = uv_buf_init(c->loop->in, READ_MAX);
}

/* The last answer is out: say so, and wait for the client to close. A close at once, with bytes of
 * the client unread, would make the kernel send a reset that can take the answer with it. */
static void linger(struct conn *c)
{
    shutdown(conn_fd(c), SHUT_WR);
    buf_release(&c->rest);
    enter(c, LINGER);
    uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
}

/* The answer that was waited for. */
static void deliver(struct conn *c)
{
    struct http_later *later = c->later;

    leave_answer(c);
    put_reply(c, &later->reply, later->keep);
    later_free(later);
    forget_request(c);
    flush(c, false);
}

/* All answers are out. */
static void settle(struct conn *c)
{
    if (c->later && c->later->ready) {
        deliver(c);
        return;
    }
    if (c->later) {
        uv_read_stop((uv_stream_t *)&c->tcp);
        if (c->phase != WAITING)
            enter(c, WAITING);
        return;
    }
    if (c->closing) {
        linger(c);
        return;
    }
    if (c->rest.len) {
        consume(c, c->rest.data, c->rest.data + c->rest.len);
        return;
    }
    if (c->loop->draining && !c->begun && !has_unread(c)) {
        conn_close(c);
        return;
    }
    if (!c->begun)
        enter(c, IDLE);
    else if (c->phase != REQUEST || c->fresh)
        enter(c, REQUEST);
    uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
}

static void on_sent(uv_write_t *write, int status)
{
    struct conn *c = write->data;

    buf_release(&c->sending);
    if (status < 0)
        conn_close(c);
    else
        settle(c);
}

/* The output as TLS has it, with what TLS has to say itself. */
static void seal(struct conn *c)
{
    struct loop *l = c->loop;
    struct buf plain = l->out;

    tls_seal(c->tls, plain.data, plain.len, c->closing, &l->sealed);
    l->out = l->sealed;
    l->sealed = plain;
    buf_clear(&l->sealed);
}

/* Send the loop's output. `yield`: let other connections have their turn before this goes on. */
static void flush(struct conn *c, bool yield)
{
    struct loop *l = c->loop;
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    uv_buf_t all, left;
    int sent = 0;

    if (c->tls)
        seal(c);
    all = uv_buf_init(l->out.data, (unsigned)l->out.len);
    if (!yield && l->out.len > 0)
        sent = uv_try_write(stream, &all, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        buf_clear(&l->out);
        conn_close(c);
        return;
    }
    sent = MAX(sent, 0);
    if ((size_t)sent == l->out.len) {
        buf_clear(&l->out);
        settle(c);
        return;
    }
    buf_release(&c->sending);
    c->sending = l->out;
    l->out = (struct buf){0};
    left = uv_buf_init(c->sending.data + sent, (unsigned)(c->sending.len - (size_t)sent));
    uv_read_stop(stream);
    enter(c, SENDING);
    if (uv_write(&c->write, stream, &left, 1, on_sent) < 0)
        conn_close(c);
}

/* Keep what isn't parsed as yet; it may lie within c->rest already. */
static void keep_rest(struct conn *c, const char *at, size_t n)
{
    if (n && c->rest.data && at >= c->rest.data && at <= c->rest.data + c->rest.len) {
        memmove(c->rest.data, at, n);
        c->rest.len = n;
        return;
    }
    if (n == 0) {
        buf_release(&c->rest);
        return;
    }
    buf_clear(&c->rest);
    buf_put(&c->rest, at, n);
}

/* Answer the requests that end within these bytes, as many as one turn allows. */
static void consume(struct conn *c, const char *at, const char *end)
{
    struct loop *l = c->loop;
    int answered = 0;

    while (at < end && !c->closing && !c->later && answered < TURN_MAX && l->out.len < OUT_MAX) {
        at = parse(c, at, end);
        if (c->closing)
            break;
        if (c->event == HEAD_END) {
            c->head_done = true;
            check_framing(c);
            check_expectation(c, at < end);
            if (!c->closing &&
                at == end) /* a request without a body ends only with the next call */
                at = parse(c, at, end);
        }
        if (c->event == REQUEST_END) {
            answer(c, at < end);
            answered++;
        }
    }
    keep_rest(c, at, c->closing ? 0 : (size_t)(end - at));
    flush(c, c->rest.len > 0 && !c->later);
}

/* The other side has broken it, ended it, or doesn't speak it. */
static void end_tls(struct conn *c)
{
    if (!tls_is_up(c->tls) && !tls_met_plain_http(c->tls))
        tell_refusal(c->loop, 0, "TLS handshake failed");
    if (tls_met_plain_http(c->tls)) {
        tls_free(c->tls);
        c->tls = NULL;
        refuse(c, 400, "This port speaks TLS: https://, not http://");
    }
    c->closing = true;
    flush(c, false);
}

/* All that can be read now: what came, and a record that had begun before. */
static void consume_sealed(struct conn *c, const char *bytes, size_t n)
{
    struct loop *l = c->loop;
    bool was_up = tls_is_up(c->tls);
    size_t len = 0;
    int got;

    tls_put(c->tls, bytes, n);
    while ((got = tls_read(c->tls, l->text + len, sizeof l->text - len)) > 0)
        len += (size_t)got;
    if (!was_up && tls_is_up(c->tls))
        c->begun = false; /* its time was the handshake's */
    if (len == 0 && got < 0)
        end_tls(c);
    else if (len == 0)
        flush(c, false);
    else
        consume(c, l->text, l->text + len);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;

    if (n < 0)
        conn_close(c);
    else if (n > 0 && c->phase != LINGER && c->tls)
        consume_sealed(c, buf->base, (size_t)n);
    else if (n > 0 && c->phase != LINGER)
        consume(c, buf->base, buf->base + n);
}

/* The loop ends when the last handle is closed, but not before the last answer is there. */
static void end_if_idle(struct loop *l)
{
    if (!l->draining || l->n_later || uv_is_closing((uv_handle_t *)&l->ready))
        return;
    uv_close((uv_handle_t *)&l->ready, NULL);
    uv_check_stop(&l->turn);
}

void http_later_send_here(struct http_later *later)
{
    later->loop->n_later--;
    later->ready = true;
    if (later->then)
        later->then(later->context, &later->reply);
    if (!later->conn)
        later_free(later);
    else if (later->conn->phase == WAITING)
        deliver(later->conn);
}

static void on_ready(uv_async_t *async)
{
    struct loop *l = async->data;
    struct http_later *later, *next;

    uv_mutex_lock(&l->lock);
    later = l->first_ready;
    l->first_ready = NULL;
    uv_mutex_unlock(&l->lock);
    for (; later; later = next) {
        next = later->next;
        http_later_send_here(later);
    }
    end_if_idle(l);
}

static void on_turn(uv_check_t *turn)
{
    struct loop *l = turn->data;
    const struct http_config *config = &l->http->config;

    if (l->n_later == 0)
        return;
    if (config->turn_over(config->context, l->index))
        uv_async_send(&l->ready);
    end_if_idle(l);
}

/* ---- time ---- */

static void time_out(struct conn *c)
{
    if (c->phase == WAITING) {
        leave_answer(c);
        refuse(c, 503, "The answer took too long");
        flush(c, false);
        return;
    }
    if (c->tls && !tls_is_up(c->tls))
        tell_refusal(c->loop, 0, "TLS handshake took too long");
    if (c->phase != REQUEST || (c->tls && !tls_is_up(c->tls))) {
        conn_close(c);
        return;
    }
    refuse(c, 408, "Request took too long");
    flush(c, false);
}

static void on_tick(uv_timer_t *timer)
{
    struct loop *l = timer->data;
    uint64_t now = uv_now(&l->uv);

    for (int p = 0; p < PHASES; p++)
        while (l->queues[p].first && l->queues[p].first->deadline <= now)
            time_out(l->queues[p].first);
    if (l->draining && now >= l->drain_deadline)
        for (int p = 0; p < PHASES; p++)
            while (l->queues[p].first)
                conn_close(l->queues[p].first);
}

/* ---- accepting ---- */

/* A handshake has the time of a request. */
static bool begin_tls(struct conn *c)
{
    struct http *h = c->loop->http;

    uv_mutex_lock(&h->lock);
    c->tls = tls_new(h->config.tls);
    uv_mutex_unlock(&h->lock);
    if (!c->tls)
        return false;
    c->begun = true;
    enter(c, REQUEST);
    return true;
}

static void conn_open(struct loop *l, int fd)
{
    const struct http_config *config = &l->http->config;
    int n = atomic_fetch_add(&l->http->n_connections, 1) + 1;
    struct conn *c;

    if (n > config->max_connections + REFUSED_MAX) {
        atomic_fetch_sub(&l->http->n_connections, 1);
        close(fd);
        return;
    }
    c = xcalloc(1, sizeof *c);
    c->loop = l;
    c->tcp.data = c->write.data = c;
    uv_tcp_init(&l->uv, &c->tcp);
    llhttp_init(&c->parser, HTTP_REQUEST, &callbacks);
    c->parser.data = c;
    join(c, IDLE);
    if (l->n_open++ == 0)
        uv_timer_start(&l->tick, on_tick, TICK_MS, TICK_MS);
    if (uv_tcp_open(&c->tcp, fd) < 0) {
        close(fd);
        conn_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    if (config->tls && (n > config->max_connections || !begin_tls(c))) {
        conn_close(c);
        return;
    }
    if (n > config->max_connections) {
        refuse(c, 503, "Too many connections");
        flush(c, false);
        return;
    }
    uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void on_accept_pause_over(uv_timer_t *timer)
{
    struct loop *l = timer->data;

    uv_poll_start(&l->acceptable, UV_READABLE, on_acceptable);
}

/* There is no descriptor, or no memory, for one more: it would be reported as acceptable for ever,
 * so look away for a while. */
static void starve(struct loop *l)
{
    if (!l->starved)
        log_warn("serve.accept", "error=\"%s\"; connections wait", strerror(errno));
    l->starved = true;
    uv_poll_stop(&l->acceptable);
    uv_timer_start(&l->accept_pause, on_accept_pause_over, ACCEPT_PAUSE_MS, 0);
}

static void accept_some(struct loop *l, int most)
{
    while (most-- > 0) {
        int fd = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            l->starved = false;
            conn_open(l, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            starve(l);
            return;
        } /* else it was this one connection: it is gone already, or the network is */
    }
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct loop *l = poll->data;

    (void)events;
    if (status < 0)
        starve(l);
    else
        accept_some(l, ACCEPT_MAX);
}

/* ---- start and stop ---- */

static void on_signal(uv_signal_t *handle, int signal)
{
    struct loop *l = handle->data;

    if (signal == SIGHUP)
        l->http->config.hang_up(l->http->config.hang_up_context);
    else
        http_stop(l->http);
}

static void stop(struct loop *l)
{
    struct conn *c, *next;

    accept_some(l, 1 << 16); /* the kernel has told these clients that they are connected */
    l->draining = true;
    l->drain_deadline = uv_now(&l->uv) + (uint64_t)l->http->config.grace_ms;
    uv_close((uv_handle_t *)&l->acceptable, NULL);
    uv_close((uv_handle_t *)&l->accept_pause, NULL);
    uv_close((uv_handle_t *)&l->drain, NULL);
    uv_close((uv_handle_t *)&l->stop, NULL);
    close(l->listener);
    l->listener = -1;
    for (int i = 0; i < ARRAY_LEN(l->signals); i++) /* a second signal does what it always does */
        if (l->signals[i].data)
            uv_close((uv_handle_t *)&l->signals[i], NULL);
    for (c = l->queues[IDLE].first; c; c = next) {
        next = c->next;
        if (!has_unread(c))
            conn_close(c);
    }
    end_if_idle(l);
}

static void on_drained(uv_timer_t *timer)
{
    stop(timer->data);
}

static void on_stop(uv_async_t *async)
{
    struct loop *l = async->data;

    if (!l->http->config.drain_ms)
        stop(l);
    else if (!uv_is_active((uv_handle_t *)&l->drain))
        uv_timer_start(&l->drain, on_drained, (uint64_t)l->http->config.drain_ms, 0);
}

static void loop_init(struct loop *l, struct http *h, int index, int listener)
{
    const struct http_config *config = &h->config;
    const uint64_t spans[PHASES] = {[IDLE] = (uint64_t)config->idle_ms,
                                    [REQUEST] = (uint64_t)config->request_ms,
                                    [WAITING] = WAIT_MS,
                                    [SENDING] = STALL_MS,
                                    [LINGER] = LINGER_MS};

    l->http = h;
    l->index = index;
    l->listener = listener;
    uv_mutex_init(&l->lock);
    for (int p = 0; p < PHASES; p++)
        l->queues[p] = (struct queue){.end = &l->queues[p].first, .span_ms = spans[p]};
    l->acceptable.data = l->tick.data = l->accept_pause.data = l->drain.data = l->stop.data = l;
    l->ready.data = l->turn.data = l;
}

/* The handles of a loop. Fails where the process may have no more descriptors. */
static bool loop_open(struct loop *l, struct err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int failed = uv_loop_init(&l->uv);

    if (failed)
        return err_set(err, ERR_IO, "cannot start an event loop: %s", uv_strerror(failed));
    l->initialised = true;
    uv_timer_init(&l->uv, &l->tick);
    uv_timer_init(&l->uv, &l->accept_pause);
    uv_timer_init(&l->uv, &l->drain);
    uv_check_init(&l->uv, &l->turn);
    if (l->http->config.turn_over)
        uv_check_start(&l->turn, on_turn);
    failed = uv_async_init(&l->uv, &l->stop, on_stop);
    if (!failed)
        failed = uv_async_init(&l->uv, &l->ready, on_ready);
    if (!failed)
        failed = uv_poll_init(&l->uv, &l->acceptable, l->listener);
    if (!failed)
        failed = uv_poll_start(&l->acceptable, UV_READABLE, on_acceptable);
    for (int i = 0; i < ARRAY_LEN(signals) && l->index == 0 && l->http->config.stop_on_signal;
         i++) {
        if (signals[i] == SIGHUP && !l->http->config.hang_up)
            continue;
        if (!failed)
            failed = uv_signal_init(&l->uv, &l->signals[i]);
        if (!failed) {
            l->signals[i].data = l;
            failed = uv_signal_start(&l->signals[i], on_signal, signals[i]);
        }
    }
    return !failed || err_set(err, ERR_IO, "cannot start an event loop: %s", uv_strerror(failed));
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void loop_close(struct loop *l)
{
    if (l->initialised) {
        uv_walk(&l->uv, close_handle, NULL); /* connections have closed themselves by now */
        uv_run(&l->uv, UV_RUN_DEFAULT);
        uv_loop_close(&l->uv);
    }
    if (l->listener >= 0)
        close(l->listener);
    http_reply_release(&l->reply);
    buf_release(&l->out);
    buf_release(&l->sealed);
    uv_mutex_destroy(&l->lock);
}

/* A descriptor for each connection and some for the rest, as far as the system lets us. */
static void claim_descriptors(struct http_config *config)
{
    const rlim_t spare = REFUSED_MAX + 64 + 16 * (rlim_t)config->threads;
    rlim_t want = (rlim_t)config->max_connections + spare;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
        return;
    limit.rlim_cur = MIN(want, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < want) {
        config->max_connections =
            limit.rlim_cur > 2 * spare ? (int)(limit.rlim_cur - spare) : (int)(limit.rlim_cur / 2);
        log_warn("serve.limit",
                 "max_connections=%d; the system allows no more open files (ulimit -n)",
                 config->max_connections);
    }
}

struct http *http_open(const struct http_config *config, struct err *err)
{
    struct http *h = xcalloc(1, sizeof *h);
    int listeners[HTTP_THREADS_MAX];

    assert(config->threads >= 1 && config->threads <= HTTP_THREADS_MAX);
    h->config = *config;
    if (!listen_open(config->host, config->port, config->threads, listeners, h->address, &h->port,
                     err)) {
        tls_identity_free(config->tls);
        free(h);
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN); /* a write to a client that left is an error like any other */
    claim_descriptors(&h->config);
    uv_mutex_init(&h->lock);
    h->loops = xcalloc((size_t)config->threads, sizeof *h->loops);
    for (int i = 0; i < config->threads; i++)
        loop_init(&h->loops[i], h, i, listeners[i]);
    for (int i = 0; i < config->threads; i++)
        if (!loop_open(&h->loops[i], err)) {
            http_close(h);
            return NULL;
        }
    return h;
}

const char *http_address(const struct http *h)
{
    return h->address;
}

int http_port(const struct http *h)
{
    return h->port;
}

int http_connections(const struct http *h)
{
    return atomic_load(&h->n_connections);
}

void http_set_tls(struct http *h, struct tls_identity *tls)
{
    struct tls_identity *before;

    uv_mutex_lock(&h->lock);
    before = h->config.tls;
    h->config.tls = tls;
    uv_mutex_unlock(&h->lock);
    tls_identity_free(before);
}

bool http_is_stopping(const struct http *h)
{
    return atomic_load(&h->stopping);
}

static void run_loop(void *loop)
{
    struct loop *l = loop;

    uv_run(&l->uv, UV_RUN_DEFAULT); /* until the last handle is closed: see on_stop */
}

void http_run(struct http *h)
{
    int n = h->config.threads, started = 1;

    while (started < n &&
           uv_thread_create(&h->loops[started].thread, run_loop, &h->loops[started]) == 0)
        started++;
    if (started < n) { /* sockets that nobody serves would take connections all the same */
        log_warn("serve.threads", "error=\"cannot start thread %d of %d\"", started + 1, n);
        for (int i = started; i < n; i++) {
            close(h->loops[i].listener);
            h->loops[i].listener = -1;
        }
    }
    run_loop(&h->loops[0]);
    for (int i = 1; i < started; i++)
        uv_thread_join(&h->loops[i].thread);
}

void http_stop(struct http *h)
{
    if (!atomic_exchange(&h->stopping, true))
        for (int i = 0; i < h->config.threads; i++)
            uv_async_send(&h->loops[i].stop);
}

void http_close(struct http *h)
{
    if (!h)
        return;
    for (int i = 0; i < h->config.threads; i++)
        loop_close(&h->loops[i]);
    tls_identity_free(h->config.tls);
    uv_mutex_destroy(&h->lock);
    free(h->loops);
    free(h);
}
