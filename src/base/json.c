#include "base/json.h"

#include <jansson.h>
#include <math.h>

/* ---- writing ---- */

static void line_break(struct json_out *o)
{
    if (!o->pretty)
        return;
    buf_putc(&o->buf, '\n');
    for (int i = 0; i < o->depth; i++)
        buf_puts(&o->buf, "  ");
}

static void put_escape(struct buf *b, unsigned char c)
{
    if (c == '\n')
        buf_puts(b, "\\n");
    else
        buf_printf(b, c < 0x20 ? "\\u%04x" : "\\%c", c);
}

static void put_escaped(struct buf *b, const char *s, size_t n)
{
    size_t from = 0;

    buf_putc(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_put(b, s + from, i - from);
        put_escape(b, c);
        from = i + 1;
    }
    buf_put(b, s + from, n - from);
    buf_putc(b, '"');
}

static void before_value(struct json_out *o, const char *key)
{
    if (o->need_comma)
        buf_putc(&o->buf, ',');
    if (o->depth > 0)
        line_break(o);
    if (key) {
        put_escaped(&o->buf, key, strlen(key));
        buf_puts(&o->buf, o->pretty ? ": " : ":");
    }
    o->need_comma = true;
}

void json_open(struct json_out *o, const char *key, char brace)
{
    before_value(o, key);
    buf_putc(&o->buf, brace);
    o->depth++;
    o->need_comma = false;
}

void json_close(struct json_out *o, char brace)
{
    assert(o->depth > 0);
    o->depth--;
    if (o->need_comma)
        line_break(o);
    buf_putc(&o->buf, brace);
    o->need_comma = true;
    if (o->depth == 0 && o->pretty)
        buf_putc(&o->buf, '\n');
}

void json_put_strn(struct json_out *o, const char *key, const char *s, size_t n)
{
    before_value(o, key);
    put_escaped(&o->buf, s, n);
}

void json_put_members(struct json_out *o, const char *object)
{
    size_t n = strlen(object);

    assert(n >= 2 && object[0] == '{' && object[n - 1] == '}');
    if (n == 2)
        return;
    before_value(o, NULL);
    buf_put(&o->buf, object + 1, n - 2);
}

void json_put_str(struct json_out *o, const char *key, const char *s)
{
    if (s)
        json_put_strn(o, key, s, strlen(s));
    else
        json_put_null(o, key);
}

void json_put_int(struct json_out *o, const char *key, int64_t n)
{
    before_value(o, key);
    buf_printf(&o->buf, "%lld", (long long)n);
}

void json_put_real(struct json_out *o, const char *key, double x)
{
    char text[32];

    if (!isfinite(x)) {
        json_put_null(o, key);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    before_value(o, key);
    buf_puts(&o->buf, text);
    if (!strpbrk(text, ".e"))
        buf_puts(&o->buf, ".0");
}

/* Whole (m) with so many decimals, without zeros at its end: "2.5", "3.0". */
static void put_decimal(struct json_out *o, const char *key, bool negative, int64_t m, int decimals)
{
    char text[32], *at = text + sizeof text;

    while (decimals > 1 && m % 10 == 0) {
        m /= 10;
        decimals--;
    }
    for (int k = 0; k < decimals; k++, m /= 10)
        *--at = (char)('0' + m % 10);
    *--at = '.';
    do
        *--at = (char)('0' + m % 10);
    while (m /= 10);
    if (negative)
        *--at = '-';
    before_value(o, key);
    buf_put(&o->buf, at, (size_t)(text + sizeof text - at));
}

/* The shortest of 6 to 9 digits, as json_put_float has it, by doubles alone: for what is neither
 * large nor small, and no case near a boundary. False: it's one of these. */
static bool put_usual_float(struct json_out *o, const char *key, float x)
{
    static const double power[] = {1e0, 1e1, 1e2, 1e3,  1e4,  1e5, 1e6,
                                   1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    static const double first[] = {1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4};
    const double near = 1e-6;
    double a = fabs((double)x), half;
    int exponent, before = -3; /* digits before the point, or less zeros behind it */

    if (!(a >= 1e-4 && a < 1e5) || frexp(a, &exponent) == 0.5)
        return false;
    half = ldexp(0.5, exponent - 24);
    while (before < 5 && a >= first[before + 3])
        before++;
    for (int digits = 6; digits <= 9; digits++) {
        int decimals = digits - before;
        double scaled = a * power[decimals], rest = scaled - floor(scaled), off;
        int64_t m = (int64_t)(scaled + 0.5);

        if (fabs(rest - 0.5) < near)
            return false;
        off = fabs((double)m / power[decimals] - a);
        if (fabs(off - half) < near * half)
            return false;
        if (off < half) {
            put_decimal(o, key, x < 0, m, decimals);
            return true;
        }
    }
    return false;
}

void json_put_float(struct json_out *o, const char *key, float x)
{
    char text[32];

    if (put_usual_float(o, key, x))
        return;

    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    json_put_real(o, key, strtod(text, NULL));
}

void json_put_bool(struct json_out *o, const char *key, bool b)
{
    before_value(o, key);
    buf_puts(&o->buf, b ? "true" : "false");
}

void json_put_null(struct json_out *o, const char *key)
{
    before_value(o, key);
    buf_puts(&o->buf, "null");
}

void json_out_release(struct json_out *o)
{
    buf_release(&o->buf);
    *o = (struct json_out){0};
}

/* ---- reading ---- */

bool json_parse(struct json_doc *d, const char *text, size_t n, struct err *err)
{
    json_error_t why;

    d->root = json_loadb(text, n, JSON_DECODE_ANY, &why);
    if (!d->root && json_error_code(&why) == json_error_numeric_overflow)
        d->root = json_loadb(text, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &why);
    if (d->root)
        return true;
    d->error_at = why.position;
    return err_set(err, ERR_DATA, "not JSON: %s (line %d, column %d)", why.text, why.line,
                   why.column);
}

void json_doc_release(struct json_doc *d)
{
    json_decref(d->root);
    *d = (struct json_doc){0};
}

enum json_kind json_kind(const struct json_t *v)
{
    if (!v)
        return JVAL_NONE;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return JVAL_OBJECT;
    case JSON_ARRAY:
        return JVAL_ARRAY;
    case JSON_STRING:
        return JVAL_TEXT;
    case JSON_INTEGER:
        return JVAL_INT;
    case JSON_REAL:
        return JVAL_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return JVAL_BOOL;
    case JSON_NULL:
        return JVAL_NULL;
    }
    return JVAL_NONE;
}

const struct json_t *json_get(const struct json_t *object, const char *key)
{
    return json_object_get(object, key);
}

const struct json_t *json_at(const struct json_t *array, int i)
{
    return i < 0 ? NULL : json_array_get(array, (size_t)i);
}

int json_size(const struct json_t *v)
{
    return (int)(json_is_array(v) ? json_array_size(v) : json_object_size(v));
}

const char *json_text(const struct json_t *v)
{
    return json_string_value(v);
}

size_t json_text_len(const struct json_t *v)
{
    return json_string_length(v);
}

int64_t json_int_or(const struct json_t *v, int64_t otherwise)
{
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

double json_real_or(const struct json_t *v, double otherwise)
{
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

bool json_truth(const struct json_t *v)
{
    return json_is_true(v);
}

bool json_each(const struct json_t *object, json_member_fn *f, void *context, struct err *err)
{
    struct json_t *o = (struct json_t *)object; /* jansson's iterators aren't const */

    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it))
        if (!f(context, json_object_iter_key(it), json_object_iter_value(it), err))
            return false;
    return true;
}

static bool copy_member(void *context, const char *key, const struct json_t *value, struct err *err)
{
    (void)err;
    json_put_copy(context, key, value);
    return true;
}

void json_put_copy(struct json_out *o, const char *key, const struct json_t *v)
{
    struct err unused;

    switch (json_kind(v)) {
    case JVAL_NONE:
    case JVAL_NULL:
        json_put_null(o, key);
        break;
    case JVAL_BOOL:
        json_put_bool(o, key, json_truth(v));
        break;
    case JVAL_INT:
        json_put_int(o, key, json_int_or(v, 0));
        break;
    case JVAL_REAL:
        json_put_real(o, key, json_real_or(v, 0));
        break;
    case JVAL_TEXT:
        json_put_strn(o, key, json_text(v), json_text_len(v));
        break;
    case JVAL_ARRAY:
        json_open(o, key, '[');
        for (int i = 0; i < json_size(v); i++)
            json_put_copy(o, NULL, json_at(v, i));
        json_close(o, ']');
        break;
    case JVAL_OBJECT:
        json_open(o, key, '{');
        (void)json_each(v, copy_member, o, &unused);
        json_close(o, '}');
        break;
    }
}
