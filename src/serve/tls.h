/* tls.h - TLS 1.2 and 1.3 between bytes of a socket and bytes of HTTP, without a socket. The owner
 * of OpenSSL's libssl.
 *
 * What comes in is put, then read as text until nothing is left; what goes out is sealed. Either
 * may leave something to send: a handshake has words of its own. */
#ifndef KINDRED_TLS_H
#define KINDRED_TLS_H

#include "base/buf.h"
#include "base/err.h"

/* A certificate and its key. */
struct tls_identity;

/* PEM files; cert: the server's, then those up to the root. ERR_IO, ERR_DATA: one can't be read, is
 * no certificate or key, or they don't belong together. */
NODISCARD bool tls_identity_load(struct tls_identity **out, const char *cert, const char *key,
                                 struct err *err);
void tls_identity_free(struct tls_identity *id);

/* One connection's; it keeps what it needs of the identity. NULL: no memory. */
struct tls;

struct tls *tls_new(struct tls_identity *id);
void tls_free(struct tls *t);

enum { TLS_RECORD_MAX = 17 << 10 }; /* bytes of one, at most: what waits for its end */

void tls_put(struct tls *t, const char *bytes, size_t n);

/* Up to n bytes of text, of all that was put. 0: there are no more; < 0: nor will there be, as the
 * other side has ended it, or broken it. */
int tls_read(struct tls *t, char *text, size_t n);

bool tls_is_up(const struct tls *t); /* the handshake is done */

/* Whether tls_read failed because the other side speaks HTTP without TLS. */
bool tls_met_plain_http(const struct tls *t);

/* Append to `out` what is to be sent: all that TLS has to say, and the text. last: it's the end. */
void tls_seal(struct tls *t, const char *text, size_t n, bool last, struct buf *out);

#endif
