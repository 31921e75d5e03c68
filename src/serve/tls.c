#include <openssl/err.h> /* first: base.h bans a name that these use */
#include <openssl/ssl.h>

#include "serve/tls.h"

#include <unistd.h>

struct tls_identity {
    SSL_CTX *context;
};

struct tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    bool plain_http;
};

/* ---- identities ---- */

/* What OpenSSL says last, in words; its queue is empty then. */
static const char *reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *words = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return words ? words : "unknown reason";
}

static bool readable(const char *path, struct err *err)
{
    return access(path, R_OK) == 0 || err_errno(err, "open", path);
}

static bool load(SSL_CTX *c, const char *cert, const char *key, struct err *err)
{
    if (!readable(cert, err) || !readable(key, err))
        return false;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(c, cert) != 1)
        return err_set(err, ERR_DATA, "'%s' is no certificate in PEM (%s)", cert, reason());
    if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1 &&
        ERR_GET_LIB(ERR_peek_last_error()) != ERR_LIB_X509)
        return err_set(err, ERR_DATA, "'%s' is no private key in PEM without a password (%s)", key,
                       reason());
    if (SSL_CTX_check_private_key(c) != 1)
        return err_set(err, ERR_DATA, "'%s' is the key of another certificate than '%s' (%s)", key,
                       cert, reason());
    return true;
}

/* Nobody is there to be asked. */
static int no_password(char *, int, int, void *)
{
    return 0;
}

/* Of what a client offers, HTTP/1.1; one that offers other things alone may have meant it. */
static int choose_protocol(SSL *, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned n, void *)
{
    static const unsigned char ours[] = "\x08http/1.1";

    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof ours - 1,
                                 offered, n) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool tls_identity_load(struct tls_identity **out, const char *cert, const char *key,
                       struct err *err)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());

    if (!c)
        return err_set(err, ERR_IO, "cannot begin with TLS (%s)", reason());
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* clients keep tickets instead */
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
    SSL_CTX_set_default_passwd_cb(c, no_password);
    if (!load(c, cert, key, err)) {
        SSL_CTX_free(c);
        return false;
    }
    *out = xcalloc(1, sizeof **out);
    (*out)->context = c;
    return true;
}

void tls_identity_free(struct tls_identity *id)
{
    if (!id)
        return;
    SSL_CTX_free(id->context);
    free(id);
}

/* ---- connections ---- */

struct tls *tls_new(struct tls_identity *id)
{
    struct tls *t = xcalloc(1, sizeof *t);

    t->ssl = SSL_new(id->context);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        SSL_free(t->ssl);
        free(t);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

void tls_put(struct tls *t, const char *bytes, size_t n)
{
    BIO_write(t->in, bytes, (int)n);
}

int tls_read(struct tls *t, char *text, size_t n)
{
    int got, why;

    ERR_clear_error();
    got = SSL_read(t->ssl, text, (int)n);
    if (got > 0)
        return got;
    why = SSL_get_error(t->ssl, got);
    t->plain_http = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool tls_is_up(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

bool tls_met_plain_http(const struct tls *t)
{
    return t->plain_http;
}

void tls_seal(struct tls *t, const char *text, size_t n, bool last, struct buf *out)
{
    char *sealed;
    long size;

    ERR_clear_error();
    if (n)
        SSL_write(t->ssl, text, (int)n);
    if (last && tls_is_up(t))
        SSL_shutdown(t->ssl);
    ERR_clear_error();
    size = BIO_get_mem_data(t->out, &sealed);
    if (size > 0)
        buf_put(out, sealed, (size_t)size);
    (void)BIO_reset(t->out);
}
