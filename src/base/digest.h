/* digest.h - SHA-256, by libcrypto (owner: digest.c). */
#ifndef KINDRED_DIGEST_H
#define KINDRED_DIGEST_H

#include "base/err.h"

enum { DIGEST_HEX = 65 }; /* 64 hex digits and '\0' */

void digest_bytes(const void *bytes, size_t n, char hex[static DIGEST_HEX]);
NODISCARD bool digest_file(const char *path, char hex[static DIGEST_HEX], struct err *err);

#endif
