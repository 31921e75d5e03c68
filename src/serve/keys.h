/* keys.h - who may ask: bearer keys, of which a file holds the digests.
 *
 *     # name   SHA-256 of the key, in hex    requests a second   what for
 *     shop     2bb80d537b1da3e38bd30361aa8...  500
 *     ops      9f86d081884c7d659a2feaa0c55...  -                 admin
 *
 * The last two may be left out: no limit, and no more than to ask. */
#ifndef KINDRED_KEYS_H
#define KINDRED_KEYS_H

#include "base/err.h"

struct keys;

/* ERR_IO; ERR_DATA names the line. */
NODISCARD bool keys_load(struct keys **out, const char *path, struct err *err);
void keys_free(struct keys *k);

enum key_answer {
    KEY_UNKNOWN,
    KEY_TOO_OFTEN, /* more requests a second than the key has; of a second's worth at most it saves
                    */
    KEY_ASKS,
    KEY_ADMIN,
};

/* Whose the token is, in a time that doesn't depend on which one is. From any thread. */
enum key_answer keys_ask(struct keys *k, const char *token, size_t n);

#endif
