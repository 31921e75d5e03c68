#include "serve/body.h"

#include <math.h>
#include <strings.h>

/* A fault as pydantic names it. */
struct fault {
    const char *type, *msg;
    const char *bound_name; /* "ge" or "le": the bound is told after the message; or NULL */
    int64_t bound;
    const char *expected; /* of a choice: told after the message; or NULL */
    const char *units;    /* "item": the message tells of lengths; or NULL */
    int64_t length;
    int at; /* in a list: which one; -1: the field itself */
};

/* ---- telling ---- */

/* "'none', 'popular' or 'history'" */
static void put_choices(struct buf *b, const char *const *choices)
{
    for (int i = 0; choices[i]; i++)
        buf_printf(b, "%s'%s'", !i ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
}

static void put_message(struct buf *b, const struct fault *f)
{
    buf_puts(b, f->msg);
    if (f->expected)
        buf_printf(b, " %s", f->expected);
    else if (f->units)
        buf_printf(b, " %lld %s%s %s, not %lld", (long long)f->bound, f->units,
                   f->bound == 1 ? "" : "s", "after validation", (long long)f->length);
    else if (f->bound_name)
        buf_printf(b, " %lld", (long long)f->bound);
}

static void put_context(struct json_out *o, const struct fault *f)
{
    if (!f->bound_name && !f->expected)
        return;
    json_open(o, "ctx", '{');
    if (f->expected)
        json_put_str(o, "expected", f->expected);
    if (f->units)
        json_put_str(o, "field_type", "List");
    if (f->bound_name)
        json_put_int(o, f->bound_name, f->bound);
    if (f->units)
        json_put_int(o, "actual_length", f->length);
    json_close(o, '}');
}

/* Whose field it is: that of the body or query, or of an object in a list of it. */
struct place {
    const char *where; /* "body" */
    const char *list;  /* NULL: no list */
    int at;
};

static void put_fault(struct json_out *o, const struct place *place, const char *field,
                      const struct fault *f, const struct json_t *input)
{
    AUTO(buf) msg = {0};

    put_message(&msg, f);
    json_open(o, NULL, '{');
    json_put_str(o, "type", f->type);
    json_open(o, "loc", '[');
    json_put_str(o, NULL, place->where);
    if (place->list) {
        json_put_str(o, NULL, place->list);
        json_put_int(o, NULL, place->at);
    }
    if (field)
        json_put_str(o, NULL, field);
    if (field && f->at >= 0)
        json_put_int(o, NULL, f->at);
    json_close(o, ']');
    json_put_str(o, "msg", buf_str(&msg));
    json_put_copy(o, "input", input);
    put_context(o, f);
    json_close(o, '}');
}

/* The first fault opens the answer, {"detail": [; the last, if there was one, closes it. */
static void first_fault(struct http_reply *r)
{
    if (r->status == 422)
        return;
    r->status = 422;
    json_open(&r->body, NULL, '{');
    json_open(&r->body, "detail", '[');
}

static bool last_fault(struct http_reply *r)
{
    if (r->status != 422)
        return true;
    json_close(&r->body, ']');
    json_close(&r->body, '}');
    return false;
}

static void tell(struct http_reply *r, const struct place *place, const char *field,
                 const struct fault *f, const struct json_t *input)
{
    first_fault(r);
    put_fault(&r->body, place, field, f, input);
}

static void tell_not_json(struct http_reply *r, int at, const char *why)
{
    struct json_out *o = &r->body;

    first_fault(r);
    json_open(o, NULL, '{');
    json_put_str(o, "type", "json_invalid");
    json_open(o, "loc", '[');
    json_put_str(o, NULL, "body");
    json_put_int(o, NULL, at);
    json_close(o, ']');
    json_put_str(o, "msg", "JSON decode error");
    json_open(o, "input", '{');
    json_close(o, '}');
    json_open(o, "ctx", '{');
    json_put_str(o, "error", why);
    json_close(o, '}');
    json_close(o, '}');
}

/* ---- reading values: true, or the fault ---- */

#define FAULT(name, t, m) static const struct fault name = {.type = t, .msg = m, .at = -1}

FAULT(missing, "missing", "Field required");
FAULT(no_object, "model_attributes_type",
      "Input should be a valid dictionary or object to extract fields from");
FAULT(text_type, "string_type", "Input should be a valid string");
FAULT(int_type, "int_type", "Input should be a valid integer");
FAULT(int_fraction, "int_from_float",
      "Input should be a valid integer, got a number with a fractional part");
FAULT(int_parsing, "int_parsing",
      "Input should be a valid integer, unable to parse string as an integer");
FAULT(int_size, "int_parsing_size",
      "Unable to parse input string as an integer, exceeded maximum size");
FAULT(bool_type, "bool_type", "Input should be a valid boolean");
FAULT(list_type, "list_type", "Input should be a valid list");
FAULT(bool_parsing, "bool_parsing", "Input should be a valid boolean, unable to interpret input");

static bool at_fault(const struct fault *which, struct fault *f)
{
    *f = *which;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* "5", " +5 ", "1_000", "5.00": digits with single '_' between them, and a fraction of zeros.
 * Beyond int64 it is the nearest that there is. */
static bool int_from_text(const char *s, int64_t *out, struct fault *f)
{
    bool negative, digit = false, huge = false;
    int64_t n = 0; /* downwards, where there is room for one more */

    while (is_space(*s))
        s++;
    negative = *s == '-';
    s += *s == '-' || *s == '+';
    for (; (*s >= '0' && *s <= '9') || (*s == '_' && digit); s++) {
        digit = *s != '_';
        if (digit)
            huge |= __builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, *s - '0', &n);
    }
    if (!digit)
        return at_fault(&int_parsing, f);
    if (*s == '.' && s[1] == '0')
        for (s++; *s == '0';)
            s++;
    while (is_space(*s))
        s++;
    if (*s)
        return at_fault(&int_parsing, f);
    if (huge)
        n = INT64_MIN;
    *out = negative ? n : n == INT64_MIN ? INT64_MAX : -n;
    return true;
}

static bool int_from_real(double x, int64_t *out, struct fault *f)
{
    if (!(fabs(x) < 0x1p63))
        return at_fault(&int_size, f);
    *out = (int64_t)x;
    return (double)*out == x || at_fault(&int_fraction, f);
}

static bool read_int(const struct json_t *v, const struct field *field, int64_t *out,
                     struct fault *f)
{
    bool ok = true;
    int64_t n = 0;

    switch (json_kind(v)) {
    case JVAL_INT:
        n = json_int_or(v, 0);
        break;
    case JVAL_BOOL:
        n = json_truth(v);
        break;
    case JVAL_REAL:
        ok = int_from_real(json_real_or(v, 0), &n, f);
        break;
    case JVAL_TEXT:
        ok = int_from_text(json_text(v), &n, f);
        break;
    default:
        ok = at_fault(&int_type, f);
    }
    if (!ok)
        return false;
    *out = n;
    if (n < field->lo)
        return at_fault(&(struct fault){.type = "greater_than_equal",
                                        .msg = "Input should be greater than or equal to",
                                        .bound_name = "ge",
                                        .bound = field->lo,
                                        .at = -1},
                        f);
    if (n > field->hi)
        return at_fault(&(struct fault){.type = "less_than_equal",
                                        .msg = "Input should be less than or equal to",
                                        .bound_name = "le",
                                        .bound = field->hi,
                                        .at = -1},
                        f);
    return true;
}

static bool bool_from_text(const char *s, bool *out)
{
    static const char *const words[][6] = {{"0", "off", "f", "false", "n", "no"},
                                           {"1", "on", "t", "true", "y", "yes"}};

    for (int truth = 0; truth < 2; truth++)
        for (int i = 0; i < ARRAY_LEN(words[truth]); i++)
            if (!strcasecmp(s, words[truth][i])) {
                *out = truth;
                return true;
            }
    return false;
}

static bool read_bool(const struct json_t *v, bool *out, struct fault *f)
{
    double x;

    switch (json_kind(v)) {
    case JVAL_BOOL:
        *out = json_truth(v);
        return true;
    case JVAL_TEXT:
        return bool_from_text(json_text(v), out) || at_fault(&bool_parsing, f);
    case JVAL_INT:
    case JVAL_REAL:
        x = json_real_or(v, 0);
        *out = x == 1;
        if (x == 0 || x == 1)
            return true;
        return at_fault(json_kind(v) == JVAL_INT ? &bool_parsing : &bool_type, f);
    default:
        return at_fault(&bool_type, f);
    }
}

static bool read_text(const struct json_t *v, const struct field *field, struct body_text *out,
                      struct fault *f)
{
    static const struct fault too_short = {.type = "string_too_short",
                                           .msg = "String should have at least 1 character",
                                           .bound_name = "min_length",
                                           .bound = 1,
                                           .at = -1};

    *out = (struct body_text){json_text(v), json_text_len(v)};
    if (!out->at)
        return at_fault(&text_type, f);
    return out->len || !field->lo || at_fault(&too_short, f);
}

struct body_text body_texts_at(const struct body_texts *t, int i)
{
    const struct json_t *v = json_at(t->list, i);

    return (struct body_text){json_text(v), json_text_len(v)};
}

static bool check_length(const struct field *field, int64_t n, struct fault *f)
{
    struct fault wrong = {.units = "item", .length = n, .at = -1};

    if (n >= field->lo && n <= field->hi)
        return true;
    wrong.type = n < field->lo ? "too_short" : "too_long";
    wrong.msg = n < field->lo ? "List should have at least" : "List should have at most";
    wrong.bound_name = n < field->lo ? "min_length" : "max_length";
    wrong.bound = n < field->lo ? field->lo : field->hi;
    return at_fault(&wrong, f);
}

/* What it is a list of is looked at apart. */
static bool read_list(const struct json_t *v, const struct field *field, void *out, struct fault *f)
{
    int n = json_size(v);

    if (json_kind(v) != JVAL_ARRAY)
        return at_fault(&list_type, f);
    if (field->kind == FIELD_TEXTS)
        *(struct body_texts *)out = (struct body_texts){v, n};
    else
        *(struct body_objects *)out = (struct body_objects){v, n};
    return check_length(field, n, f);
}

static bool read_choice(const struct json_t *v, const struct field *field, int *out,
                        struct buf *expected, struct fault *f)
{
    const char *text = json_text(v);

    for (int i = 0; text && field->choices[i]; i++)
        if (!strcmp(text, field->choices[i])) {
            *out = i;
            return true;
        }
    put_choices(expected, field->choices);
    return at_fault(&(struct fault){.type = "literal_error",
                                    .msg = "Input should be",
                                    .expected = buf_str(expected),
                                    .at = -1},
                    f);
}

static bool read_field(const struct json_t *v, const struct field *field, void *to,
                       struct buf *expected, struct fault *f)
{
    switch (field->kind) {
    case FIELD_TEXTS:
    case FIELD_OBJECTS:
        return read_list(v, field, to, f);
    case FIELD_CHOICE:
        return read_choice(v, field, to, expected, f);
    case FIELD_TEXT:
        return read_text(v, field, to, f);
    case FIELD_INT:
        return read_int(v, field, to, f);
    case FIELD_BOOL:
        return read_bool(v, to, f);
    }
    return false;
}

/* What of a list is no text, each told apart. */
static void check_texts(const struct json_t *list, const struct place *place, const char *field,
                        struct http_reply *r)
{
    for (int i = 0; i < json_size(list); i++) {
        struct fault f = text_type;

        f.at = i;
        if (!json_text(json_at(list, i)))
            tell(r, place, field, &f, json_at(list, i));
    }
}

static void read_fields(const struct json_t *object, const struct place *place,
                        const struct field *fields, int n, void *values, struct http_reply *r);

static void check_objects(const struct json_t *list, const char *where, const struct field *field,
                          struct http_reply *r)
{
    AUTO_FREE void *values = xcalloc(1, field->members_size);

    for (int i = 0; i < json_size(list); i++) {
        const struct place place = {where, field->name, i};

        if (json_kind(json_at(list, i)) == JVAL_OBJECT)
            read_fields(json_at(list, i), &place, field->members, field->n_members, values, r);
        else
            tell(r, &place, NULL, &no_object, json_at(list, i));
    }
}

static void read_fields(const struct json_t *object, const struct place *place,
                        const struct field *fields, int n, void *values, struct http_reply *r)
{
    for (int i = 0; i < n; i++) {
        const struct field *field = &fields[i];
        const struct json_t *v = json_get(object, field->name);
        AUTO(buf) expected = {0};
        struct fault f;

        if (!v && field->required)
            tell(r, place, field->name, &missing, object);
        else if (v && !read_field(v, field, (char *)values + field->offset, &expected, &f))
            tell(r, place, field->name, &f, v);
        else if (v && field->kind == FIELD_TEXTS)
            check_texts(v, place, field->name, r);
        else if (v && field->kind == FIELD_OBJECTS)
            check_objects(v, place->where, field, r);
    }
}

void body_objects_at(const struct field *field, const struct body_objects *o, int i, void *values)
{
    struct http_reply unused = {0};

    read_fields(json_at(o->list, i), &(struct place){.where = "body"}, field->members,
                field->n_members, values, &unused);
}

/* ---- the body ---- */

/* application/json, application/ANYTHING+json, or nothing said; parameters don't matter. */
static bool means_json(struct http_text type)
{
    static const char prefix[] = "application/";
    size_t skip = strlen(prefix), len = 0;

    while (len < type.len && type.at[len] != ';' && type.at[len] != ' ' && type.at[len] != '\t')
        len++;
    if (len == 0)
        return true;
    if (len <= skip || strncasecmp(type.at, prefix, skip) != 0)
        return false;
    if (len == skip + 4 && strncasecmp(type.at + skip, "json", 4) == 0)
        return true;
    return len > skip + 5 && strncasecmp(type.at + len - 5, "+json", 5) == 0;
}

/* The body as a JSON string: what FastAPI takes one for that isn't said to be JSON. What isn't
 * UTF-8 can't be shown, and becomes null. */
static void quote(struct http_text text, struct json_doc *doc)
{
    AUTO(json_out) quoted = {0};
    struct err unused;

    json_put_strn(&quoted, NULL, text.at, text.len);
    (void)!json_parse(doc, quoted.buf.data, quoted.buf.len, &unused);
}

/* What isn't even text, FastAPI doesn't look at. */
static void tell_unreadable(struct http_text body, int at, const char *why, struct http_reply *r)
{
    AUTO(json_doc) quoted = {0};

    quote(body, &quoted);
    if (quoted.root)
        tell_not_json(r, at, why);
    else
        http_reply_detail(r, 400, "There was an error parsing the body");
}

bool body_read(const struct http_request *q, const struct field *fields, int n,
               struct json_doc *doc, void *values, struct http_reply *r)
{
    static const struct place body = {.where = "body"};
    struct err err;

    if (q->body.len == 0)
        tell(r, &body, NULL, &missing, NULL);
    else if (!means_json(q->content_type)) {
        quote(q->body, doc);
        tell(r, &body, NULL, &no_object, doc->root);
    } else if (!json_parse(doc, q->body.at, q->body.len, &err))
        tell_unreadable(q->body, doc->error_at, err.msg, r);
    else if (json_kind(doc->root) != JVAL_OBJECT)
        tell(r, &body, NULL, &no_object, doc->root);
    else
        read_fields(doc->root, &body, fields, n, values, r);
    return r->status != 400 && last_fault(r);
}

/* ---- the query ---- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool percent_decode(struct http_text text, bool in_query, struct buf *out)
{
    AUTO(json_out) quoted = {0};
    AUTO(json_doc) doc = {0};
    struct err unused;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];

        if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.at[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.at[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(16 * high + low);
            i += 2;
        }
        buf_putc(out, c == '+' && in_query && text.at[i] == '+' ? ' ' : c);
    }
    json_put_strn(&quoted, NULL, out->data, out->len); /* as JSON's, which is strict about UTF-8 */
    return json_parse(&doc, quoted.buf.data, quoted.buf.len, &unused);
}

/* {"name":"value"} of "name=value&..."; what isn't UTF-8 is passed over. */
static void query_to_json(struct http_text query, struct json_out *out)
{
    const char *at = query.at, *end = query.at + query.len;

    json_open(out, NULL, '{');
    while (at && at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        const char *equals;
        AUTO(buf) name = {0}, value = {0};

        stop = stop ? stop : end;
        equals = memchr(at, '=', (size_t)(stop - at));
        if (equals && percent_decode((struct http_text){at, (size_t)(equals - at)}, true, &name) &&
            percent_decode((struct http_text){equals + 1, (size_t)(stop - equals - 1)}, true,
                           &value))
            json_put_str(out, buf_str(&name), buf_str(&value));
        at = stop + 1;
    }
    json_close(out, '}');
}

bool query_read(const struct http_request *q, const struct field *fields, int n,
                struct json_doc *doc, void *values, struct http_reply *r)
{
    AUTO(json_out) json = {0};
    struct err unused;

    query_to_json(q->query, &json);
    if (json_parse(doc, json.buf.data, json.buf.len, &unused))
        read_fields(doc->root, &(struct place){.where = "query"}, fields, n, values, r);
    return last_fault(r);
}
