/* openapi.c - GET /openapi.json: the routes and their fields as an OpenAPI 3.1 document. */
#include "serve/routes.h"

#include "base/embedded.h"

extern const struct embedded serve_schemas[];

static void put_object(const struct field *fields, int n, struct json_out *o);

static void put_list(const struct field *f, struct json_out *o)
{
    json_put_str(o, "type", "array");
    json_open(o, "items", '{');
    if (f->kind == FIELD_OBJECTS)
        put_object(f->members, f->n_members, o);
    else
        json_put_str(o, "type", "string");
    json_close(o, '}');
    json_put_int(o, "minItems", f->lo);
    json_put_int(o, "maxItems", f->hi);
}

static void put_type(const struct field *f, struct json_out *o)
{
    switch (f->kind) {
    case FIELD_TEXT:
        json_put_str(o, "type", "string");
        if (f->lo)
            json_put_int(o, "minLength", f->lo);
        break;
    case FIELD_INT:
        json_put_str(o, "type", "integer");
        json_put_int(o, "minimum", f->lo);
        json_put_int(o, "maximum", f->hi);
        break;
    case FIELD_BOOL:
        json_put_str(o, "type", "boolean");
        break;
    case FIELD_TEXTS:
    case FIELD_OBJECTS:
        put_list(f, o);
        break;
    case FIELD_CHOICE:
        json_put_str(o, "type", "string");
        json_open(o, "enum", '[');
        for (int i = 0; f->choices[i]; i++)
            json_put_str(o, NULL, f->choices[i]);
        json_close(o, ']');
        break;
    }
}

static void put_default(const struct field *f, struct json_out *o)
{
    AUTO(json_doc) doc = {0};
    struct err unused;

    if (f->by_default && json_parse(&doc, f->by_default, strlen(f->by_default), &unused))
        json_put_copy(o, "default", doc.root);
}

static void put_schema(const struct field *f, struct json_out *o)
{
    put_type(f, o);
    put_default(f, o);
    if (f->about)
        json_put_str(o, "description", f->about);
}

static void put_object(const struct field *fields, int n, struct json_out *o)
{
    json_put_str(o, "type", "object");
    json_open(o, "properties", '{');
    for (int i = 0; i < n; i++) {
        json_open(o, fields[i].name, '{');
        put_schema(&fields[i], o);
        json_close(o, '}');
    }
    json_close(o, '}');
    json_open(o, "required", '[');
    for (int i = 0; i < n; i++)
        if (fields[i].required)
            json_put_str(o, NULL, fields[i].name);
    json_close(o, ']');
}

static void put_body(const struct route *route, struct json_out *o)
{
    json_open(o, "requestBody", '{');
    json_put_bool(o, "required", true);
    json_open(o, "content", '{');
    json_open(o, "application/json", '{');
    json_open(o, "schema", '{');
    put_object(route->fields, route->n_fields, o);
    json_close(o, '}');
    json_close(o, '}');
    json_close(o, '}');
    json_close(o, '}');
}

static void put_parameter(const char *name, const char *in, const struct field *f,
                          struct json_out *o)
{
    json_open(o, NULL, '{');
    json_put_str(o, "name", name);
    json_put_str(o, "in", in);
    json_put_bool(o, "required", !f || f->required);
    json_open(o, "schema", '{');
    if (f)
        put_schema(f, o);
    else
        json_put_str(o, "type", "string");
    json_close(o, '}');
    json_close(o, '}');
}

static void put_parameters(const struct route *route, struct json_out *o)
{
    json_open(o, "parameters", '[');
    if (strstr(route->path, "{id}"))
        put_parameter("id", "path", NULL, o);
    for (int i = 0; i < route->n_fields && !strcmp(route->method, "GET"); i++)
        put_parameter(route->fields[i].name, "query", &route->fields[i], o);
    json_close(o, ']');
}

/* schema: its name; NULL: plain text. */
static void put_answer(const char *status, const char *about, const char *schema,
                       struct json_out *o)
{
    AUTO(buf) ref = {0};

    buf_printf(&ref, "#/components/schemas/%s", schema ? schema : "");
    json_open(o, status, '{');
    json_put_str(o, "description", about);
    json_open(o, "content", '{');
    json_open(o, schema ? "application/json" : "text/plain", '{');
    json_open(o, "schema", '{');
    if (schema)
        json_put_str(o, "$ref", buf_str(&ref));
    else
        json_put_str(o, "type", "string");
    json_close(o, '}');
    json_close(o, '}');
    json_close(o, '}');
    json_close(o, '}');
}

static bool needs_key(const struct route *route, bool keys)
{
    return keys && route->needs != NEEDS_NOTHING;
}

static void put_answers(const struct route *route, bool keys, struct json_out *o)
{
    json_open(o, "responses", '{');
    put_answer(route->gives & GIVES_202 ? "202" : "200", "Successful Response", route->answer, o);
    if (!strcmp(route->method, "POST")) {
        put_answer("400", "Malformed request", "Error", o);
        put_answer("413", "Body too large", "Error", o);
    }
    if (needs_key(route, keys))
        put_answer("401", "No such key", "Error", o);
    if (route->needs == NEEDS_ADMIN)
        put_answer("403", "This takes an admin's key", "Error", o);
    if (needs_key(route, keys))
        put_answer("429", "Too many requests with this key", "Error", o);
    if (route->gives & GIVES_404)
        put_answer("404", "Not Found", "Error", o);
    if (route->n_fields)
        put_answer("422", "Validation Error", "HTTPValidationError", o);
    if (route->gives & GIVES_503)
        put_answer("503", "Not now", route->needs == NEEDS_NOTHING ? "Status" : "Error", o);
    json_close(o, '}');
}

/* "recommend_batch" of "/recommend/batch" */
static void put_operation_id(const struct route *route, struct json_out *o)
{
    AUTO(buf) id = {0};

    buf_puts(&id, !strcmp(route->method, "GET") ? "get" : "post");
    for (const char *c = route->path; *c; c++)
        if (*c != '{' && *c != '}')
            buf_putc(&id, *c == '/' || *c == '.' ? '_' : *c);
    json_put_str(o, "operationId", buf_str(&id));
}

static void put_security(struct json_out *o)
{
    json_open(o, "security", '[');
    json_open(o, NULL, '{');
    json_open(o, "key", '[');
    json_close(o, ']');
    json_close(o, '}');
    json_close(o, ']');
}

static void put_operation(const struct route *route, bool keys, struct json_out *o)
{
    bool posts = !strcmp(route->method, "POST");

    json_open(o, posts ? "post" : "get", '{');
    json_put_str(o, "summary", route->summary);
    put_operation_id(route, o);
    put_parameters(route, o);
    if (posts && route->n_fields)
        put_body(route, o);
    put_answers(route, keys, o);
    if (needs_key(route, keys))
        put_security(o);
    json_close(o, '}');
}

static void put_components(struct json_out *o)
{
    AUTO(json_doc) doc = {0};
    struct err err;
    bool read = json_parse(&doc, serve_schemas[0].text, strlen(serve_schemas[0].text), &err);

    assert(read);
    json_open(o, "components", '{');
    json_put_copy(o, "schemas", doc.root);
    json_open(o, "securitySchemes", '{');
    json_open(o, "key", '{');
    json_put_str(o, "type", "http");
    json_put_str(o, "scheme", "bearer");
    json_close(o, '}');
    json_close(o, '}');
    json_close(o, '}');
}

void route_openapi(const struct call *call, struct http_reply *r)
{
    struct json_out *o = &r->body;

    json_open(o, NULL, '{');
    json_put_str(o, "openapi", "3.1.0");
    json_open(o, "info", '{');
    json_put_str(o, "title", "Kindred");
    json_put_str(o, "version", KINDRED_VERSION);
    json_close(o, '}');
    json_open(o, "paths", '{');
    for (int i = 0; i < n_routes; i++) {
        if (!route_table[i].summary)
            continue;
        json_open(o, route_table[i].path, '{');
        put_operation(&route_table[i], call->served->keys, o);
        json_close(o, '}');
    }
    json_close(o, '}');
    put_components(o);
    json_close(o, '}');
}
