/* Routes without a socket: each answer to the letter. The faults of bodies are what FastAPI with
 * pydantic 2.13 said to the same bodies. */
#include "serve/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- a catalog of 3 users and 4 items; score = item index, so D is the best ---- */

static bool serves(const struct model *, const struct query *q)
{
    return q->user != 2; /* as mf with a user without train rows */
}

static void score(const struct model *, const struct query *, int n_queries, const float *,
                  int32_t first, int32_t n, float *out)
{
    for (int32_t c = 0; c < n; c++)
        for (int r = 0; r < n_queries; r++)
            *out++ = (float)(first + c) + 0.1F;
}

static const struct model_ops ops = {.name = "fake", .serves = serves, .score = score};
static struct model model = {.ops = &ops, .n_users = 3, .n_items = 4};
static char user_bytes[] = "a\"b\0u1\0u2", item_bytes[] = "A\0B\"\0C\0D";
static int64_t user_offsets[] = {0, 4, 7, 10}, item_offsets[] = {0, 2, 5, 7, 9};
static int64_t seen_offsets[] = {0, 4, 6, 6};
static int32_t seen[] = {3, 1, 0, 2, 3, 0}; /* the first user has seen everything */
static char meta_bytes[] = "{\"title\":\"Ah\",\"price\":1.5,\"categories\":[\"x\",\"y\"]}\0"
                           "{\"title\":null,\"main_category\":\"y\"}\0\0";
static int64_t meta_offsets[] = {0, 50, 85, 86, 87};
static struct serving *serving;
static struct api *api;

static int start(void **)
{
    struct catalog c = {.model = &model,
                        .users = {3, user_offsets, user_bytes},
                        .items = {4, item_offsets, item_bytes},
                        .item_meta = {4, meta_offsets, meta_bytes},
                        .seen = {seen_offsets, seen, NULL, 6}};

    serving = serving_new(served_new(&c, NULL, "here", 1), 1);
    api = api_new(serving, 1);
    return 0;
}

/* What the catalog consists of is static. */
static int stop(void **)
{
    struct served *s = serving_hold(serving, 0);

    s->catalog = (struct catalog){0};
    serving_let_go(serving, 0);
    api_free(api);
    serving_free(serving);
    return 0;
}

/* ---- cases ---- */

static struct http_text text(const char *s)
{
    return (struct http_text){s, strlen(s)};
}

static void ask(const char *method, const char *path, const char *type, const char *body,
                struct http_reply *r)
{
    const char *mark = strchr(path, '?');
    const struct http_request q = {.method = method,
                                   .path = {path, mark ? (size_t)(mark - path) : strlen(path)},
                                   .query = text(mark ? mark + 1 : ""),
                                   .content_type = text(type),
                                   .body = text(body)};

    *r = (struct http_reply){.status = 200};
    api_handle(api, 0, &q, r);
}

static void expect(const char *method, const char *path, const char *type, const char *body,
                   int status, const char *want)
{
    struct http_reply r;

    ask(method, path, type, body, &r);
    if (r.status != status || strcmp(buf_str(&r.body.buf), want))
        fail_msg("%s %s %s\ngot  %d %s\nwant %d %s", method, path, body, r.status,
                 buf_str(&r.body.buf), status, want);
    assert_int_equal(r.body.depth, 0);
    http_reply_release(&r);
}

static void health_tells_what_is_served(void **)
{
    static const char want[] =
        "{\"status\":\"healthy\",\"model_loaded\":true,\"model\":\"fake\",\"users\":3,"
        "\"items\":4,\"version\":\"" KINDRED_VERSION "\"}";

    expect("GET", "/health", "", "", 200, want);
    expect("HEAD", "/health", "", "", 200, want); /* the server leaves the body out */
}

#define LIST(user, items, scores)                                                                  \
    "{\"user_id\":\"" user "\",\"recommendations\":[" items "],\"scores\":[" scores                \
    "],\"model\":\"fake\"}"

static void recommendations_leave_out_what_was_seen(void **)
{
    static const struct {
        const char *body, *want;
    } cases[] = {
        {"{\"user_id\":\"u1\"}", LIST("u1", "\"C\",\"B\\\"\"", "2.1,1.1")},
        {"{\"user_id\":\"u1\",\"top_k\":1}", LIST("u1", "\"C\"", "2.1")},
        {"{\"user_id\":\"u1\",\"top_k\":1,\"exclude_seen\":false}", LIST("u1", "\"D\"", "3.1")},
        {"{\"user_id\":\"u1\",\"more\":[1]}", LIST("u1", "\"C\",\"B\\\"\"", "2.1,1.1")},
        {"{\"user_id\":\"x\",\"user_id\":\"u1\"}", LIST("u1", "\"C\",\"B\\\"\"", "2.1,1.1")},
        {"{\"user_id\":\"a\\u0022b\"}", LIST("a\\\"b", "", "")},
    };

    for (int i = 0; i < ARRAY_LEN(cases); i++)
        expect("POST", "/recommend", "application/json", cases[i].body, 200, cases[i].want);
}

static void unknown_users_are_not_found(void **)
{
    static const struct {
        const char *body, *want;
    } cases[] = {
        {"{\"user_id\":\"A1\"}", "{\"detail\":\"User 'A1' not found\"}"},
        {"{\"user_id\":\"\"}", "{\"detail\":\"User '' not found\"}"},
        {"{\"user_id\":\"\\\"\\n\\u00e9%s\"}",
         "{\"detail\":\"User '\\\"\\n\xc3\xa9%s' not found\"}"},
        {"{\"user_id\":\"u2\"}", "{\"detail\":\"User 'u2' not found\"}"}, /* the model can't */
    };

    for (int i = 0; i < ARRAY_LEN(cases); i++)
        expect("POST", "/recommend", "application/json", cases[i].body, 404, cases[i].want);
}

/* ---- bodies at fault ---- */

#define FAULT(type, loc, msg, more)                                                                \
    "{\"type\":\"" type "\",\"loc\":[" loc "],\"msg\":\"" msg "\",\"input\":" more "}"
#define DETAIL(faults) "{\"detail\":[" faults "]}"
#define ONE_FAULT(...) DETAIL(FAULT(__VA_ARGS__))
#define IN(field)      "\"body\",\"" field "\""
#define NO_OBJECT      "Input should be a valid dictionary or object to extract fields from"
#define INT_PARSING    "Input should be a valid integer, unable to parse string as an integer"
#define BOOL_PARSING   "Input should be a valid boolean, unable to interpret input"
#define INT_SIZE       "Unable to parse input string as an integer, exceeded maximum size"
#define LESS(input)                                                                                \
    ONE_FAULT("less_than_equal", IN("top_k"), "Input should be less than or equal to 1000",        \
              input ",\"ctx\":{\"le\":1000}")
#define GREATER(input)                                                                             \
    ONE_FAULT("greater_than_equal", IN("top_k"), "Input should be greater than or equal to 1",     \
              input ",\"ctx\":{\"ge\":1}")

static void faults_are_told_as_pydantic_tells_them(void **)
{
    static const struct {
        const char *body, *want;
    } cases[] = {
        {"", ONE_FAULT("missing", "\"body\"", "Field required", "null")},
        {"null", ONE_FAULT("model_attributes_type", "\"body\"", NO_OBJECT, "null")},
        {"[1]", ONE_FAULT("model_attributes_type", "\"body\"", NO_OBJECT, "[1]")},
        {"\"a\"", ONE_FAULT("model_attributes_type", "\"body\"", NO_OBJECT, "\"a\"")},
        {"5", ONE_FAULT("model_attributes_type", "\"body\"", NO_OBJECT, "5")},
        {"{}", ONE_FAULT("missing", IN("user_id"), "Field required", "{}")},
        {"{\"top_k\":5}", ONE_FAULT("missing", IN("user_id"), "Field required", "{\"top_k\":5}")},
        {"{\"user_id\":5}",
         ONE_FAULT("string_type", IN("user_id"), "Input should be a valid string", "5")},
        {"{\"user_id\":null}",
         ONE_FAULT("string_type", IN("user_id"), "Input should be a valid string", "null")},
        {"{\"user_id\":[],\"top_k\":0,\"exclude_seen\":{}}",
         DETAIL(
             FAULT("string_type", IN("user_id"), "Input should be a valid string", "[]") "," FAULT(
                 "greater_than_equal", IN("top_k"), "Input should be greater than or equal to 1",
                 "0,\"ctx\":{\"ge\":1}") "," FAULT("bool_type", IN("exclude_seen"),
                                                   "Input should be a valid boolean", "{}"))},
    };

    for (int i = 0; i < ARRAY_LEN(cases); i++)
        expect("POST", "/recommend", "application/json", cases[i].body, 422, cases[i].want);
}

/* want NULL: it is taken. */
struct value_case {
    const char *value, *want;
};

static void check_values(const char *field, const struct value_case *cases, int n)
{
    for (int i = 0; i < n; i++) {
        AUTO(buf) body = {0};

        buf_printf(&body, "{\"user_id\":\"nobody\",\"%s\":%s}", field, cases[i].value);
        if (cases[i].want)
            expect("POST", "/recommend", "application/json", body.data, 422, cases[i].want);
        else
            expect("POST", "/recommend", "application/json", body.data, 404,
                   "{\"detail\":\"User 'nobody' not found\"}");
    }
}

#define BAD_INT(type, msg, value)  ONE_FAULT(type, IN("top_k"), msg, value)
#define BAD_BOOL(type, msg, value) ONE_FAULT(type, IN("exclude_seen"), msg, value)

static void whole_numbers_are_coerced_as_pydantic_does(void **)
{
    static const struct value_case cases[] = {
        {"1", NULL},
        {"1000", NULL},
        {"\"5\"", NULL},
        {"\" +5\\t\"", NULL},
        {"\"5.0\"", NULL},
        {"\"1_000.0\"", NULL},
        {"\"0005\"", NULL},
        {"5.0", NULL},
        {"1e2", NULL},
        {"true", NULL},
        {"false", GREATER("false")},
        {"0", GREATER("0")},
        {"-0.0", GREATER("-0.0")},
        {"\"-5\"", GREATER("\"-5\"")},
        {"\"-0\"", GREATER("\"-0\"")},
        {"\"-99999999999999999999999\"", GREATER("\"-99999999999999999999999\"")},
        {"1001", LESS("1001")},
        {"\"1001.0\"", LESS("\"1001.0\"")},
        {"9223372036854775807", LESS("9223372036854775807")},
        {"\"9223372036854775808\"", LESS("\"9223372036854775808\"")},
        {"\"99999999999999999999999\"", LESS("\"99999999999999999999999\"")},
        {"5.5",
         BAD_INT("int_from_float",
                 "Input should be a valid integer, got a number with a fractional part", "5.5")},
        {"1e30", BAD_INT("int_parsing_size", INT_SIZE, "1e+30")},
        {"1000000000000000000000000000000", BAD_INT("int_parsing_size", INT_SIZE, "1e+30")},
        {"null", BAD_INT("int_type", "Input should be a valid integer", "null")},
        {"[5]", BAD_INT("int_type", "Input should be a valid integer", "[5]")},
        {"\"\"", BAD_INT("int_parsing", INT_PARSING, "\"\"")},
        {"\"5.5\"", BAD_INT("int_parsing", INT_PARSING, "\"5.5\"")},
        {"\"5.\"", BAD_INT("int_parsing", INT_PARSING, "\"5.\"")},
        {"\".5\"", BAD_INT("int_parsing", INT_PARSING, "\".5\"")},
        {"\"_5\"", BAD_INT("int_parsing", INT_PARSING, "\"_5\"")},
        {"\"5_\"", BAD_INT("int_parsing", INT_PARSING, "\"5_\"")},
        {"\"5__0\"", BAD_INT("int_parsing", INT_PARSING, "\"5__0\"")},
        {"\"5e1\"", BAD_INT("int_parsing", INT_PARSING, "\"5e1\"")},
        {"\"5 0\"", BAD_INT("int_parsing", INT_PARSING, "\"5 0\"")},
        {"\"+-5\"", BAD_INT("int_parsing", INT_PARSING, "\"+-5\"")},
    };

    check_values("top_k", cases, ARRAY_LEN(cases));
}

static void booleans_are_coerced_as_pydantic_does(void **)
{
    static const struct value_case cases[] = {
        {"true", NULL},
        {"0", NULL},
        {"1.0", NULL},
        {"\"TRUE\"", NULL},
        {"\"n\"", NULL},
        {"\"oFf\"", NULL},
        {"2", BAD_BOOL("bool_parsing", BOOL_PARSING, "2")},
        {"\"\"", BAD_BOOL("bool_parsing", BOOL_PARSING, "\"\"")},
        {"\" true\"", BAD_BOOL("bool_parsing", BOOL_PARSING, "\" true\"")},
        {"0.5", BAD_BOOL("bool_type", "Input should be a valid boolean", "0.5")},
        {"null", BAD_BOOL("bool_type", "Input should be a valid boolean", "null")},
    };

    check_values("exclude_seen", cases, ARRAY_LEN(cases));
}

static void a_coerced_value_counts_as_what_it_means(void **)
{
    expect("POST", "/recommend", "application/json",
           "{\"user_id\":\"u1\",\"top_k\":\" 1_0.0\",\"exclude_seen\":\"off\"}", 200,
           LIST("u1", "\"D\",\"C\",\"B\\\"\",\"A\"", "3.1,2.1,1.1,0.1"));
    expect("POST", "/recommend", "application/json",
           "{\"user_id\":\"u1\",\"top_k\":true,\"exclude_seen\":0}", 200,
           LIST("u1", "\"D\"", "3.1"));
}

static void what_is_not_json_is_told_with_its_place(void **)
{
    static const char *const bodies[] = {"{",
                                         "hello",
                                         "{\"user_id\":\"a\",}",
                                         "{\"user_id\":\"a\"} x",
                                         "{\"user_id\":\"a\n\"}",
                                         "{\"user_id\":\"\\ud800\"}",
                                         " ",
                                         "NaN",
                                         "{\"top_k\":1e400}"};
    static const char before[] = "{\"detail\":[{\"type\":\"json_invalid\",\"loc\":[\"body\",";
    static const char after[] =
        "],\"msg\":\"JSON decode error\",\"input\":{},\"ctx\":{\"error\":\"";

    for (int i = 0; i < ARRAY_LEN(bodies); i++) {
        struct http_reply r;

        ask("POST", "/recommend", "application/json", bodies[i], &r);
        if (r.status != 422 || strncmp(r.body.buf.data, before, strlen(before)) != 0 ||
            !strstr(r.body.buf.data, after))
            fail_msg("%s: %d %s", bodies[i], r.status, r.body.buf.data);
        http_reply_release(&r);
    }
    expect("POST", "/recommend", "application/json", "{\"user_id\":\"\xff\"}", 400,
           "{\"detail\":\"There was an error parsing the body\"}");
}

static void the_content_type_says_whether_it_is_json(void **)
{
    static const char *const json[] = {"", "application/json", "Application/JSON; charset=utf-8",
                                       "application/vnd.api+json"},
                             *const other[] = {"text/plain", "application/x-www-form-urlencoded",
                                               "application/jsonx", "text/json",
                                               "application/+jso"};

    for (int i = 0; i < ARRAY_LEN(json); i++)
        expect("POST", "/recommend", json[i], "{\"user_id\":\"u1\",\"top_k\":1}", 200,
               LIST("u1", "\"C\"", "2.1"));
    for (int i = 0; i < ARRAY_LEN(other); i++) {
        expect(
            "POST", "/recommend", other[i], "{\"user_id\":1}", 422,
            ONE_FAULT("model_attributes_type", "\"body\"", NO_OBJECT, "\"{\\\"user_id\\\":1}\""));
        expect("POST", "/recommend", other[i], "\xff", 422, /* can't be shown */
               ONE_FAULT("model_attributes_type", "\"body\"", NO_OBJECT, "null"));
    }
}

/* ---- routes ---- */

static void unknown_paths_are_not_found(void **)
{
    static const char *const paths[] = {"//",       "",       "/nonesuch",
                                        "/health/", "/healt", "/recommend/x"};

    for (int i = 0; i < ARRAY_LEN(paths); i++)
        expect("GET", paths[i], "", "", 404, "{\"detail\":\"Not Found\"}");
}

static void other_methods_are_told_which_are_allowed(void **)
{
    static const struct {
        const char *method, *path, *allow;
    } cases[] = {
        {"POST", "/health", "Allow: GET, HEAD\r\n"},
        {"DELETE", "/health", "Allow: GET, HEAD\r\n"},
        {"GET", "/recommend", "Allow: POST\r\n"},
        {"HEAD", "/recommend", "Allow: POST\r\n"},
    };

    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_reply r;

        ask(cases[i].method, cases[i].path, "", "", &r);
        assert_int_equal(r.status, 405);
        assert_string_equal(r.body.buf.data, "{\"detail\":\"Method Not Allowed\"}");
        assert_int_equal(strncmp(r.headers.data, cases[i].allow, strlen(cases[i].allow)), 0);
        http_reply_release(&r);
    }
}

/* ---- the other routes ---- */

#define NOTHING                                                                                    \
    "\"title\":null,\"price\":null,\"main_category\":null,\"categories\":null,\"store\":null,"     \
    "\"image\":null"

static void lists_are_as_the_request_wants_them(void **)
{
    static const struct {
        const char *body, *want;
    } cases[] = {
        {"{\"user_id\":\"u1\",\"exclude\":[\"C\",\"nix\"]}", LIST("u1", "\"B\\\"\"", "1.1")},
        {"{\"user_id\":\"u1\",\"categories\":[\"y\"]}", LIST("u1", "\"B\\\"\"", "1.1")},
        {"{\"user_id\":\"u1\",\"categories\":[\"x\",\"nix\"],\"exclude_seen\":false}",
         LIST("u1", "\"A\"", "0.1")},
        {"{\"user_id\":\"u1\",\"categories\":[\"nix\"]}", LIST("u1", "", "")},
        {"{\"user_id\":\"u1\",\"top_k\":1,\"with_items\":true}",
         "{\"user_id\":\"u1\",\"recommendations\":[\"C\"],\"scores\":[2.1],\"model\":\"fake\","
         "\"items\":[{\"item_id\":\"C\",\"score\":2.1," NOTHING "}]}"},
        /* u2 is not served; A was taken twice, so was D, the others once */
        {"{\"user_id\":\"u2\",\"fallback\":\"popular\",\"top_k\":3}",
         "{\"user_id\":\"u2\",\"recommendations\":[\"A\",\"D\",\"B\\\"\"],\"scores\":[2.0,2.0,1.0],"
         "\"model\":\"fake\",\"fallback\":\"popular\"}"},
        {"{\"user_id\":\"x\",\"fallback\":\"history\",\"history\":[\"D\",\"nix\"],\"top_k\":1}",
         "{\"user_id\":\"x\",\"recommendations\":[\"C\"],\"scores\":[2.1],\"model\":\"fake\","
         "\"fallback\":\"history\"}"},
        {"{\"user_id\":\"x\",\"fallback\":\"history\",\"top_k\":1,\"exclude\":[\"A\"]}",
         "{\"user_id\":\"x\",\"recommendations\":[\"D\"],\"scores\":[2.0],\"model\":\"fake\","
         "\"fallback\":\"popular\"}"},
    };

    for (int i = 0; i < ARRAY_LEN(cases); i++)
        expect("POST", "/recommend", "application/json", cases[i].body, 200, cases[i].want);
}

static void many_users_are_answered_at_once(void **)
{
    expect("POST", "/recommend/batch", "", "{\"user_ids\":[\"u1\",\"nix\"],\"top_k\":1}", 200,
           "{\"results\":[{\"user_id\":\"u1\",\"known\":true,\"recommendations\":[\"C\"],"
           "\"scores\":[2.1]},{\"user_id\":\"nix\",\"known\":false,\"recommendations\":[],"
           "\"scores\":[]}],\"model\":\"fake\"}");
    expect("POST", "/recommend/batch", "", "{\"user_ids\":[]}", 422,
           "{\"detail\":[{\"type\":\"too_short\",\"loc\":[\"body\",\"user_ids\"],\"msg\":\"List "
           "should have at least 1 item after validation, not 0\",\"input\":[],\"ctx\":{"
           "\"field_type\":\"List\",\"min_length\":1,\"actual_length\":0}}]}");
}

static void a_session_is_answered_by_its_items(void **)
{
    expect("POST", "/recommend/session", "", "{\"items\":[\"D\",\"nix\"],\"top_k\":1}", 200,
           "{\"known_items\":1,\"recommendations\":[\"C\"],\"scores\":[2.1],\"model\":\"fake\"}");
    expect("POST", "/recommend/session", "", "{\"items\":[\"nix\"]}", 404,
           "{\"detail\":\"None of the items is known\"}");
}

static void items_and_users_are_shown(void **)
{
    expect("GET", "/items/A", "", "", 200,
           "{\"item_id\":\"A\",\"title\":\"Ah\",\"price\":1.5,\"categories\":[\"x\",\"y\"]}");
    expect("GET", "/items/B%22", "", "", 200,
           "{\"item_id\":\"B\\\"\",\"title\":null,\"main_category\":\"y\"}");
    expect("GET", "/items/nix", "", "", 404, "{\"detail\":\"Item 'nix' not found\"}");
    expect("GET", "/items/%zz", "", "", 404, "{\"detail\":\"Not Found\"}");
    expect("GET", "/items/", "", "", 404, "{\"detail\":\"Not Found\"}");
    expect("GET", "/items/A/similar?top_k=1", "", "", 200,
           "{\"item_id\":\"A\",\"similar\":[\"D\"],\"scores\":[3.1],\"items\":[{\"item_id\":\"D\","
           "\"score\":3.1," NOTHING "}]}");
    expect("GET", "/items/A/similar?top_k=x", "", "", 422,
           "{\"detail\":[{\"type\":\"int_parsing\",\"loc\":[\"query\",\"top_k\"],\"msg\":\"Input "
           "should be a valid integer, unable to parse string as an integer\",\"input\":\"x\"}]}");
    expect(
        "GET", "/users/u1", "", "", 200,
        "{\"user_id\":\"u1\",\"known\":true,\"seen\":2,\"last_items\":[{\"item_id\":\"A\","
        "\"title\":\"Ah\",\"price\":1.5,\"categories\":[\"x\",\"y\"]},{\"item_id\":\"D\"," NOTHING
        "}]}");
    expect("GET", "/users/nix", "", "", 200,
           "{\"user_id\":\"nix\",\"known\":false,\"seen\":0,\"last_items\":[]}");
    expect("POST", "/items/A", "", "", 405, "{\"detail\":\"Method Not Allowed\"}");
}

static void what_is_answered_is_counted(void **)
{
    struct http_reply r;

    expect("GET", "/items/nix", "", "", 404, "{\"detail\":\"Item 'nix' not found\"}");
    ask("GET", "/metrics", "", "", &r);
    assert_non_null(strstr(buf_str(&r.body.buf),
                           "kindred_requests_total{method=\"GET\",route=\"/items/{id}\",status="
                           "\"404\"} "));
    assert_non_null(strstr(buf_str(&r.body.buf),
                           "kindred_model_info{served_by=\"main\",model=\"fake\",dataset=\"\","
                           "source=\"here\"} 1\n"));
    http_reply_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_tells_what_is_served),
        cmocka_unit_test(recommendations_leave_out_what_was_seen),
        cmocka_unit_test(unknown_users_are_not_found),
        cmocka_unit_test(faults_are_told_as_pydantic_tells_them),
        cmocka_unit_test(whole_numbers_are_coerced_as_pydantic_does),
        cmocka_unit_test(booleans_are_coerced_as_pydantic_does),
        cmocka_unit_test(a_coerced_value_counts_as_what_it_means),
        cmocka_unit_test(what_is_not_json_is_told_with_its_place),
        cmocka_unit_test(the_content_type_says_whether_it_is_json),
        cmocka_unit_test(unknown_paths_are_not_found),
        cmocka_unit_test(other_methods_are_told_which_are_allowed),
        cmocka_unit_test(lists_are_as_the_request_wants_them),
        cmocka_unit_test(many_users_are_answered_at_once),
        cmocka_unit_test(a_session_is_answered_by_its_items),
        cmocka_unit_test(items_and_users_are_shown),
        cmocka_unit_test(what_is_answered_is_counted),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
