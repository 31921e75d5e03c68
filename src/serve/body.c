#include "serve/body.h"

#include <math.h>
#include <strings.h>

/* A fault as pydantic names it. */
struct fault {
    const char *type, *msg;
    const char *bound_name; /* "ge" or "le": the bound is told after the message; or NULL */
    int64_t bound;
};

/* ---- telling ---- */

static void put_fault(struct json_out *o, const char *field, const struct fault *f,
                      const struct json_t *input)
{
    char msg[160];

    snprintf(msg, sizeof msg, f->bound_name ? "%s %lld" : "%s", f->msg, (long long)f->bound);
    json_open(o, NULL, '{');
    json_put_str(o, "type", f->type);
    json_open(o, "loc", '[');
    json_put_str(o, NULL, "body");
    if (field)
        json_put_str(o, NULL, field);
    json_close(o, ']');
    json_put_str(o, "msg", msg);
    json_put_copy(o, "input", input);
    if (f->bound_name) {
        json_open(o, "ctx", '{');
        json_put_int(o, f->bound_name, f->bound);
        json_close(o, '}');
    }
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

static void tell(struct http_reply *r, const char *field, const struct fault *f,
                 const struct json_t *input)
{
    first_fault(r);
    put_fault(&r->body, field, f, input);
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

#define FAULT(name, t, m) static const struct fault name = {.type = t, .msg = m}

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
        return at_fault(&(struct fault){"greater_than_equal",
                                        "Input should be greater than or equal to", "ge",
                                        field->lo},
                        f);
    if (n > field->hi)
        return at_fault(&(struct fault){"less_than_equal", "Input should be less than or equal to",
                                        "le", field->hi},
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

static bool read_text(const struct json_t *v, struct body_text *out, struct fault *f)
{
    *out = (struct body_text){json_text(v), json_text_len(v)};
    return out->at || at_fault(&text_type, f);
}

static bool read_field(const struct json_t *v, const struct field *field, void *to, struct fault *f)
{
    switch (field->kind) {
    case FIELD_TEXT:
        return read_text(v, to, f);
    case FIELD_INT:
        return read_int(v, field, to, f);
    case FIELD_BOOL:
        return read_bool(v, to, f);
    }
    return false;
}

static void read_fields(const struct json_t *object, const struct field *fields, int n,
                        void *values, struct http_reply *r)
{
    for (int i = 0; i < n; i++) {
        const struct json_t *v = json_get(object, fields[i].name);
        struct fault f;

        if (!v && fields[i].required)
            tell(r, fields[i].name, &missing, object);
        else if (v && !read_field(v, &fields[i], (char *)values + fields[i].offset, &f))
            tell(r, fields[i].name, &f, v);
    }
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

bool body_read(const struct http_request *q, const struct field *fields, int n,
               struct json_doc *doc, void *values, struct http_reply *r)
{
    struct err err;

    if (q->body.len == 0)
        tell(r, NULL, &missing, NULL);
    else if (!means_json(q->content_type)) {
        quote(q->body, doc);
        tell(r, NULL, &no_object, doc->root);
    } else if (!json_parse(doc, q->body.at, q->body.len, &err))
        tell_not_json(r, doc->error_at, err.msg);
    else if (json_kind(doc->root) != JVAL_OBJECT)
        tell(r, NULL, &no_object, doc->root);
    else
        read_fields(doc->root, fields, n, values, r);
    return last_fault(r);
}
