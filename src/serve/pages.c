/* pages.c - what browsers are shown: files that are in the program, packed by gzip. */
#include "serve/routes.h"

#include "base/embedded.h"
#include "data/packed.h"

#include <strings.h>

extern const struct embedded_file serve_pages[];

static const struct embedded_file *find_page(const char *name)
{
    const struct embedded_file *p = serve_pages;

    while (p->name && strcmp(p->name, name) != 0)
        p++;
    return p->name ? p : NULL;
}

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"}};
    const char *end = strrchr(name, '.');

    for (int i = 0; end && i < ARRAY_LEN(types); i++)
        if (!strcmp(types[i][0], end))
            return types[i][1];
    return "text/plain; charset=utf-8";
}

static bool starts_with(const char *at, const char *end, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(end - at) >= n && !strncasecmp(at, word, n);
}

/* Whether the list "gzip;q=0.5, br" has that coding, and not with q=0. */
static bool accepts(struct http_text list, const char *coding)
{
    const char *at = list.at, *end = list.at + list.len;

    while (at < end) {
        const char *stop = memchr(at, ',', (size_t)(end - at));
        const char *q;

        stop = stop ? stop : end;
        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        q = memmem(at, (size_t)(stop - at), "q=", 2);
        if (starts_with(at, stop, coding))
            return !q || strspn(q + 2, "0.") < strcspn(q + 2, ", \t");
        at = stop + 1;
    }
    return false;
}

/* Whether the client has it already: its list of tags names this one. */
static bool has(struct http_text tags, const char *digest)
{
    return tags.len && (memmem(tags.at, tags.len, digest, strlen(digest)) ||
                        (tags.len == 1 && *tags.at == '*'));
}

/* `may`: what the page may do beside showing itself. */
static void put_page(const struct call *call, const struct embedded_file *page, const char *may,
                     struct http_reply *r)
{
    const struct http_request *q = call->request;

    r->content_type = type_of(page->name);
    buf_printf(&r->headers,
               "ETag: W/\"%s\"\r\nVary: Accept-Encoding\r\nCache-Control: no-cache\r\n"
               "X-Content-Type-Options: nosniff\r\n"
               "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; %s\r\n",
               page->digest, may);
    if (has(q->if_none_match, page->digest)) {
        r->status = 304;
    } else if (accepts(q->accept_encoding, "gzip")) {
        buf_puts(&r->headers, "Content-Encoding: gzip\r\n");
        buf_put(&r->body.buf, page->bytes, page->size);
    } else {
        gzip_unpack(page->bytes, page->size, &r->body.buf);
    }
}

void route_index(const struct call *call, struct http_reply *r)
{
    put_page(call, find_page("index.html"),
             "style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'", r);
}

#define DOCS_MAY                                                                                   \
    "style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:; connect-src "      \
    "'self'"

void route_docs(const struct call *call, struct http_reply *r)
{
    put_page(call, find_page("docs.html"), DOCS_MAY, r);
}

void route_docs_file(const struct call *call, struct http_reply *r)
{
    const struct embedded_file *page = find_page(call->id);

    if (page && !strstr(page->name, ".html"))
        put_page(call, page, DOCS_MAY, r);
    else
        http_reply_detail(r, 404, "Not Found");
}
