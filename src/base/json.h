/* json.h - JSON out by a small writer, JSON in by jansson (owner: json.c). */
#ifndef KINDRED_JSON_H
#define KINDRED_JSON_H

#include "base/buf.h"
#include "base/err.h"

/* (Names keep clear of jansson's: the linker would take ours for its own.)
 *
 * ---- writing ----
 * Members take their key, elements of arrays NULL. What is open must be closed in turn. */
struct json_out {
    struct buf buf;
    bool pretty;     /* line breaks and two spaces a level */
    bool need_comma; /* something stands before the next value on this level */
    int depth;
};

void json_open(struct json_out *o, const char *key, char brace);       /* '{' or '[' */
void json_close(struct json_out *o, char brace);                       /* '}' or ']' */
void json_put_str(struct json_out *o, const char *key, const char *s); /* NULL becomes null */
void json_put_strn(struct json_out *o, const char *key, const char *s, size_t n);
void json_put_int(struct json_out *o, const char *key, int64_t n);
void json_put_real(struct json_out *o, const char *key,
                   double x); /* shortest that reads back; NaN: null */
/* Shortest that reads back as the same float: 0.1, where its double would be 0.10000000149011612.
 */
void json_put_float(struct json_out *o, const char *key, float x);
void json_put_bool(struct json_out *o, const char *key, bool b);
void json_put_null(struct json_out *o, const char *key);

/* The members of an object that is written already, "{...}" with nothing around it. */
void json_put_members(struct json_out *o, const char *object);
void json_out_release(struct json_out *o);

/* ---- reading ----
 * A value is borrowed from its document and lives as long. */
struct json_t; /* jansson's, opaque outside json.c */

struct json_doc {
    struct json_t *root;
    int error_at; /* byte at which parsing failed */
};

enum json_kind {
    JVAL_NONE, /* no value at all */
    JVAL_NULL,
    JVAL_BOOL,
    JVAL_INT,
    JVAL_REAL,
    JVAL_TEXT,
    JVAL_ARRAY,
    JVAL_OBJECT,
};

/* Any value at the top level. Strict: nothing may follow it; strings are UTF-8 without NUL; a
 * number beyond double is refused. Where a whole number is beyond int64, all of the document's are
 * reals. ERR_DATA. */
NODISCARD bool json_parse(struct json_doc *d, const char *text, size_t n, struct err *err);
void json_doc_release(struct json_doc *d);

enum json_kind json_kind(const struct json_t *v); /* JVAL_NONE for NULL */
const struct json_t *json_get(const struct json_t *object, const char *key); /* NULL: absent */
const struct json_t *json_at(const struct json_t *array, int i);
int json_size(const struct json_t *array_or_object);

/* The text of a string, else NULL. Its length in bytes, else 0. */
const char *json_text(const struct json_t *v);
size_t json_text_len(const struct json_t *v);

/* A number as such, else `otherwise`. */
int64_t json_int_or(const struct json_t *v, int64_t otherwise);
double json_real_or(const struct json_t *v, double otherwise);

/* True or false; false for what is neither. */
bool json_truth(const struct json_t *v);

/* Call f for each member, in the order of the text, until it returns false. Returns whether none
 * did. */
typedef bool json_member_fn(void *context, const char *key, const struct json_t *value,
                            struct err *err);
bool json_each(const struct json_t *object, json_member_fn *f, void *context, struct err *err);

/* Copy a value that was read into what is being written. */
void json_put_copy(struct json_out *o, const char *key, const struct json_t *v);

#endif
