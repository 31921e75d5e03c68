/* body.h - what a route expects of a JSON body, and how a wrong one is told: in the words of
 * pydantic 2, which FastAPI's clients know, all faults of a body in one answer.
 *
 * Values are taken as its lax mode takes them: for a whole number "5", " 5 ", "5.0", 5.0 and true
 * too; for a boolean 1, 0, "yes", "off" and their like; text is only ever text. Names that no field
 * has are passed over. */
#ifndef KINDRED_BODY_H
#define KINDRED_BODY_H

#include "serve/http.h"

enum field_kind {
    FIELD_TEXT,    /* struct body_text, of lo characters or more */
    FIELD_INT,     /* int64_t, lo..hi */
    FIELD_BOOL,    /* bool */
    FIELD_TEXTS,   /* struct body_texts, lo..hi of them */
    FIELD_CHOICE,  /* int: which of the choices */
    FIELD_OBJECTS, /* struct body_objects, lo..hi of them, which have members */
};

/* Lives as long as the document. */
struct body_text {
    const char *at; /* ends in '\0', which isn't in it elsewhere; UTF-8 */
    size_t len;
};

/* A list of texts; body_texts_at gives each. */
struct body_texts {
    const struct json_t *list;
    int n;
};

struct body_text body_texts_at(const struct body_texts *t, int i);

/* A list of objects; body_objects_at gives each. */
struct body_objects {
    const struct json_t *list;
    int n;
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset; /* in the struct of values */
    bool required;
    int64_t lo, hi;
    const char *const *choices;  /* NULL at the end */
    const struct field *members; /* (n_members) of each object, in a struct of members_size */
    int n_members;
    size_t members_size;
    const char *about; /* for the API's document: what it is, and its default as JSON */
    const char *by_default;
};

/* Read object i of a list that body_read found right into `values`, which hold their defaults. */
void body_objects_at(const struct field *field, const struct body_objects *o, int i, void *values);

/* Read the body into `values`, whose fields hold their defaults.
 *
 * fields  (n)
 * doc     zeroed; to be released when the values aren't needed any more
 *
 * Returns false when the body isn't right: the reply is then the whole answer, with status 422. */
NODISCARD bool body_read(const struct http_request *q, const struct field *fields, int n,
                         struct json_doc *doc, void *values, struct http_reply *r);

/* The same of what follows the target's '?'. */
NODISCARD bool query_read(const struct http_request *q, const struct field *fields, int n,
                          struct json_doc *doc, void *values, struct http_reply *r);

/* Append the text with "%41" and, in a query, "+" as what they stand for; false: half a "%", or a
 * byte that is none of UTF-8's. */
NODISCARD bool percent_decode(struct http_text text, bool in_query, struct buf *out);

#endif
