#include "serve/keys.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"

#include <pthread.h>

struct key {
    char digest[DIGEST_HEX];
    double rate; /* a second; 0: no limit */
    bool is_admin;
    double left, at; /* requests it may make now, as of when */
};

struct keys {
    struct key *list; /* (n) */
    int n;
    pthread_mutex_t lock; /* of left and at */
};

static bool read_line(struct key *k, char *line)
{
    char *rest = NULL, *end = NULL;
    const char *name = strtok_r(line, " \t", &rest), *digest = strtok_r(NULL, " \t", &rest);
    const char *rate = strtok_r(NULL, " \t", &rest), *role = strtok_r(NULL, " \t", &rest);

    if (!name || !digest || strlen(digest) != DIGEST_HEX - 1 ||
        digest[strspn(digest, "0123456789abcdef")] || strtok_r(NULL, " \t", &rest))
        return false;
    memcpy(k->digest, digest, DIGEST_HEX);
    if (rate && strcmp(rate, "-") != 0) {
        k->rate = strtod(rate, &end);
        if (*end || !(k->rate > 0))
            return false;
    }
    k->left = k->rate;
    k->is_admin = role && !strcmp(role, "admin");
    return !role || k->is_admin;
}

static bool read_all(struct keys *k, char *text, const char *path, struct err *err)
{
    int number = 0;

    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        line[strcspn(line, "#\r")] = '\0';
        if (!line[strspn(line, " \t")])
            continue;
        k->list = xrealloc(k->list, (size_t)k->n + 1, sizeof *k->list);
        k->list[k->n] = (struct key){.at = clock_seconds()};
        if (!read_line(&k->list[k->n++], line))
            return err_set(err, ERR_DATA,
                           "%s:%d: a key is NAME SHA256 [REQUESTS-A-SECOND or -] [admin]", path,
                           number);
    }
    return k->n > 0 || err_set(err, ERR_DATA, "%s: no key", path);
}

bool keys_load(struct keys **out, const char *path, struct err *err)
{
    struct keys *k;
    AUTO(buf) text = {0};

    if (!file_read(path, 16 << 20, &text, err))
        return false;
    buf_putc(&text, '\0');
    k = xcalloc(1, sizeof *k);
    pthread_mutex_init(&k->lock, NULL);
    if (read_all(k, text.data, path, err)) {
        *out = k;
        return true;
    }
    keys_free(k);
    return false;
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    pthread_mutex_destroy(&k->lock);
    free(k->list);
    free(k);
}

static bool is_same(const char *a, const char *b)
{
    unsigned char differs = 0;

    for (int i = 0; i < DIGEST_HEX - 1; i++)
        differs |= (unsigned char)(a[i] ^ b[i]);
    return !differs;
}

/* A bucket of a second's worth of tokens. */
static bool may_go(struct keys *k, struct key *key)
{
    double now = clock_seconds();
    bool may;

    if (key->rate <= 0)
        return true;
    pthread_mutex_lock(&k->lock);
    key->left = MIN(MAX(key->rate, 1), key->left + (now - key->at) * key->rate);
    key->at = now;
    may = key->left >= 1;
    key->left -= may;
    pthread_mutex_unlock(&k->lock);
    return may;
}

enum key_answer keys_ask(struct keys *k, const char *token, size_t n)
{
    char digest[DIGEST_HEX];
    int found = -1;

    digest_bytes(token, n, digest);
    for (int i = 0; i < k->n; i++)
        if (is_same(digest, k->list[i].digest))
            found = i;
    if (found < 0)
        return KEY_UNKNOWN;
    if (!may_go(k, &k->list[found]))
        return KEY_TOO_OFTEN;
    return k->list[found].is_admin ? KEY_ADMIN : KEY_ASKS;
}
