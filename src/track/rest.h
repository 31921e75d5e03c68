/* rest.h - what the files of the REST sink share: one call, and files that go through the server.
 */
#ifndef KINDRED_REST_H
#define KINDRED_REST_H

#include "track/client.h"
#include "track/sink.h"

#define REST_CLIENT_ID "client.run_id" /* a tag: what was made for which journal */

enum { REST_CODE_MAX = 64, REST_ID_MAX = 64 };

struct rest {
    struct sink sink;
    struct client *http;
    char *server; /* without a slash at its end */
    char experiment[REST_ID_MAX];
    char *artifacts; /* the run's artifact_uri */
    double wait_s;
    long status;              /* of the last answer; 0: none */
    char code[REST_CODE_MAX]; /* its error_code; "": none */
};

static inline struct rest *rest_of(struct sink *s)
{
    return (struct rest *)s;
}

/* One call of the interface. json: closed, or NULL. answer: NULL forgets it. once: it must not be
 * made twice. */
NODISCARD bool rest_call(struct rest *r, const char *method, const char *path, bool once,
                         const struct json_out *json, struct json_doc *answer, struct err *err);

/* Copy a text of an answer; ERR_IO where it isn't there. */
NODISCARD bool rest_text(const struct rest *r, const struct json_t *v, const char *what, char *out,
                         size_t room, struct err *err);

/* The first that the filter finds in the experiment at hand: a list of at most one. */
NODISCARD bool rest_search(struct rest *r, const char *path, const char *filter,
                           struct json_doc *answer, struct err *err);

/* {"key":...,"value":...} */
void rest_put_pair(struct json_out *json, const char *key, const char *value);

/* The metric's members into the object that is open. */
void rest_put_metric(struct json_out *json, const struct entry *m);

/* Send a file below `root`, an artifact_uri, and fetch one from there. Through the server, or where
 * that is a folder of this machine, to it, as MLflow's client does; a store of its own ("s3://...")
 * takes another client: ERR_DATA. */
NODISCARD bool rest_put_file(struct rest *r, const char *root, const char *path, const char *as,
                             struct err *err);
NODISCARD bool rest_get_file(struct rest *r, const char *root, const char *as, const char *to,
                             struct err *err);

/* struct sink_ops has what these do. */
bool rest_model(struct sink *s, const struct run_model *m, struct err *err);
bool rest_find(struct sink *s, const char *name, const char *alias,
               char version[static SINK_VERSION_MAX], struct err *err);
bool rest_fetch(struct sink *s, const char *name, const char *version, const char *as,
                const char *to, struct err *err);
bool rest_set_alias(struct sink *s, const char *name, const char *alias, const char *version,
                    struct err *err);
bool rest_tag_version(struct sink *s, const char *name, const char *version, const char *key,
                      const char *value, struct err *err);

#endif
