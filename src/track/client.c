#include "track/client.h"

#include "base/library.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <ctype.h>

enum { CONNECT_S = 3, CALL_S = 30, STALL_S = 30, BODY_MAX = 16 << 20 };

static struct {
    CURLcode (*global_init)(long flags);
    CURL *(*init)(void);
    void (*reset)(CURL *);
    CURLcode (*setopt)(CURL *, CURLoption, ...);
    CURLcode (*perform)(CURL *);
    CURLcode (*getinfo)(CURL *, CURLINFO, ...);
    const char *(*strerror)(CURLcode);
    void (*cleanup)(CURL *);
    struct curl_slist *(*append)(struct curl_slist *, const char *);
    void (*free_all)(struct curl_slist *);
} curl;

struct client {
    CURL *easy;
    struct client_login login; /* texts of its own */
    char *bearer;              /* the header's line; NULL: none */
};

static bool load(struct err *err)
{
    static const struct library_call calls[] = {{"curl_global_init", &curl.global_init},
                                                {"curl_easy_init", &curl.init},
                                                {"curl_easy_reset", &curl.reset},
                                                {"curl_easy_setopt", &curl.setopt},
                                                {"curl_easy_perform", &curl.perform},
                                                {"curl_easy_getinfo", &curl.getinfo},
                                                {"curl_easy_strerror", &curl.strerror},
                                                {"curl_easy_cleanup", &curl.cleanup},
                                                {"curl_slist_append", &curl.append},
                                                {"curl_slist_free_all", &curl.free_all},
                                                {0}};

    return curl.free_all || library_load("libcurl.so.4", calls,
                                         "a tracking server needs libcurl: install libcurl4", err);
}

static char *copy(const char *text)
{
    return text && *text ? xstrdup(text) : NULL;
}

bool client_open(struct client **out, const struct client_login *login, struct err *err)
{
    struct client *h;

    if (!load(err))
        return false;
    curl.global_init(CURL_GLOBAL_DEFAULT);
    h = *out = xcalloc(1, sizeof *h);
    h->login = (struct client_login){.user = copy(login->user),
                                     .password = copy(login->password),
                                     .ca_file = copy(login->ca_file),
                                     .client_file = copy(login->client_file),
                                     .insecure = login->insecure};
    if (login->token && *login->token && !(h->login.user && h->login.password))
        h->bearer = xasprintf("Authorization: Bearer %s", login->token);
    h->easy = curl.init();
    assert(h->easy);
    return true;
}

static void free_text(const char *text)
{
    free((char *)(uintptr_t)text);
}

void client_close(struct client *h)
{
    if (!h)
        return;
    curl.cleanup(h->easy);
    free_text(h->login.user);
    free_text(h->login.password);
    free_text(h->login.ca_file);
    free_text(h->login.client_file);
    free(h->bearer);
    free(h);
}

void client_answer_release(struct client_answer *a)
{
    buf_release(&a->body);
    *a = (struct client_answer){0};
}

/* ---- one try ---- */

static size_t take_body(char *bytes, size_t, size_t n, void *context)
{
    struct buf *body = context;

    if (body->len + n > BODY_MAX)
        return 0;
    buf_put(body, bytes, n);
    return n;
}

static size_t take_header(char *bytes, size_t, size_t n, void *context)
{
    static const char name[] = "retry-after:";
    struct client_answer *a = context;
    char line[64] = {0};

    if (n > sizeof name && n < sizeof line && !strncasecmp(bytes, name, sizeof name - 1)) {
        memcpy(line, bytes + sizeof name - 1, n - (sizeof name - 1));
        a->retry_after_s = MAX(0, strtod(line, NULL)); /* a date reads as 0 or a small number */
    }
    return n;
}

static void prepare(struct client *h, const char *method, const char *url,
                    struct client_answer *out)
{
    curl.reset(h->easy); /* the connection stays */
    curl.setopt(h->easy, CURLOPT_URL, url);
    curl.setopt(h->easy, CURLOPT_CUSTOMREQUEST, method);
    curl.setopt(h->easy, CURLOPT_NOSIGNAL, 1L);
    curl.setopt(h->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl.setopt(h->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl.setopt(h->easy, CURLOPT_WRITEFUNCTION, take_body);
    curl.setopt(h->easy, CURLOPT_WRITEDATA, &out->body);
    curl.setopt(h->easy, CURLOPT_HEADERFUNCTION, take_header);
    curl.setopt(h->easy, CURLOPT_HEADERDATA, out);
    if (h->login.user && h->login.password) {
        curl.setopt(h->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl.setopt(h->easy, CURLOPT_USERNAME, h->login.user);
        curl.setopt(h->easy, CURLOPT_PASSWORD, h->login.password);
    }
    if (h->login.insecure) {
        curl.setopt(h->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl.setopt(h->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (h->login.ca_file)
        curl.setopt(h->easy, CURLOPT_CAINFO, h->login.ca_file);
    if (h->login.client_file)
        curl.setopt(h->easy, CURLOPT_SSLCERT, h->login.client_file);
}

/* A file moves, however slowly; what doesn't move for STALL_S is over. */
static void allow_to_be_long(struct client *h)
{
    curl.setopt(h->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl.setopt(h->easy, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
}

static bool perform(struct client *h, const char *url, const char *type, struct client_answer *out,
                    struct err *err)
{
    struct curl_slist *headers = curl.append(NULL, type);
    CURLcode code;

    headers = curl.append(headers, "Expect:");
    if (h->bearer)
        headers = curl.append(headers, h->bearer);
    curl.setopt(h->easy, CURLOPT_HTTPHEADER, headers);
    code = curl.perform(h->easy);
    curl.free_all(headers);
    if (code != CURLE_OK)
        return err_set(err, ERR_IO, "no answer from '%s': %s", url, curl.strerror(code));
    curl.getinfo(h->easy, CURLINFO_RESPONSE_CODE, &out->status);
    return true;
}

bool client_call(struct client *h, const char *method, const char *url, const struct buf *json,
                 bool once, struct client_answer *out, struct err *err)
{
    *out = (struct client_answer){0};
    prepare(h, method, url, out);
    curl.setopt(h->easy, CURLOPT_TIMEOUT, (long)CALL_S);
    curl.setopt(h->easy, CURLOPT_FRESH_CONNECT, (long)once);
    if (json) {
        curl.setopt(h->easy, CURLOPT_POSTFIELDS, buf_str(json));
        curl.setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)json->len);
    }
    return perform(h, url, "Content-Type: application/json", out, err);
}

bool client_put(struct client *h, const char *url, const char *path, struct client_answer *out,
                struct err *err)
{
    FILE *file = fopen(path, "rb");
    bool ok;

    *out = (struct client_answer){0};
    if (!file)
        return err_errno(err, "open", path);
    fseeko(file, 0, SEEK_END);
    prepare(h, "PUT", url, out);
    allow_to_be_long(h);
    curl.setopt(h->easy, CURLOPT_UPLOAD, 1L);
    curl.setopt(h->easy, CURLOPT_READFUNCTION, NULL);
    curl.setopt(h->easy, CURLOPT_READDATA, file);
    curl.setopt(h->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)ftello(file));
    rewind(file);
    ok = perform(h, url, "Content-Type: application/octet-stream", out, err);
    fclose(file);
    return ok;
}

/* Where the body goes. */
struct get {
    struct client *h;
    FILE *to;
    struct client_answer *out;
};

static size_t take_file(char *bytes, size_t, size_t n, void *context)
{
    struct get *g = context;

    curl.getinfo(g->h->easy, CURLINFO_RESPONSE_CODE, &g->out->status);
    if (g->out->status >= 200 && g->out->status <= 299)
        return fwrite(bytes, 1, n, g->to);
    return take_body(bytes, 1, n, &g->out->body);
}

bool client_get(struct client *h, const char *url, FILE *to, struct client_answer *out,
                struct err *err)
{
    struct get get = {h, to, out};

    *out = (struct client_answer){0};
    prepare(h, "GET", url, out);
    allow_to_be_long(h);
    curl.setopt(h->easy, CURLOPT_WRITEFUNCTION, take_file);
    curl.setopt(h->easy, CURLOPT_WRITEDATA, &get);
    return perform(h, url, "Accept: */*", out, err);
}

void client_escape(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("-._~", c))
            buf_putc(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}
