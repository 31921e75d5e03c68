#include "cmd/cmd.h"

#include "base/interrupt.h"
#include "base/log.h"
#include "cmd/reload.h"
#include "cmd/source.h"
#include "serve/feedback.h"

#include <fcntl.h>
#include <unistd.h>

#define SERVE_OPTIONS(X, S)                                                                        \
    X(S, opt_text, model_path, "outputs/model.safetensors", 1, 0, "FILE",                          \
      "model that train wrote")                                                                    \
    X(S, opt_text, data_dir, "data/processed", 1, 0, "DIR", "dataset that it was trained on")      \
    X(S, opt_text, model_uri, NULL, 0, 0, "URI",                                                   \
      "models:/NAME@ALIAS or models:/NAME/VERSION: a model of MLflow's registry, with all that "   \
      "it needs; model-path and data-dir aren't read then")                                        \
    X(S, opt_text, tracking_uri, NULL, 0, 0, "URI",                                                \
      "of the registry: http://, https:// or sqlite:///FILE (default what MLFLOW_REGISTRY_URI, "   \
      "else MLFLOW_TRACKING_URI says, else ./mlflow.db)")                                          \
    X(S, opt_text, cache_dir, ".kindred/models", 1, 0, "DIR", "where models of the registry go")   \
    X(S, double, watch, 0, 0, 1e6, "SECONDS",                                                      \
      "look that often whether another model is there (a new file, or another version of the "     \
      "alias), and serve it; 0: only on SIGHUP")                                                   \
    X(S, opt_text, canary, NULL, 0, 0, "MODEL",                                                    \
      "a second model, a file of the same data-dir or models:/NAME@ALIAS, that some users are "    \
      "served by")                                                                                 \
    X(S, double, canary_percent, 5, 0, 100, "PERCENT",                                             \
      "how many users: those whose SHA-256, as a part of all that there may be, is below it")      \
    X(S, opt_text, keys, NULL, 0, 0, "FILE",                                                       \
      "who may ask: a line NAME SHA256 [REQUESTS-A-SECOND] [admin] for each key (default "         \
      "anybody)")                                                                                  \
    X(S, opt_text, tls_cert, NULL, 0, 0, "FILE",                                                   \
      "serve https: the certificate in PEM, with those up to the root behind it (default http)")   \
    X(S, opt_text, tls_key, NULL, 0, 0, "FILE", "its private key in PEM, without a password")      \
    X(S, opt_text, access_log, NULL, 0, 0, "FILE",                                                 \
      "add a line of JSON for each request; - is stdout (default none)")                           \
    X(S, opt_text, cors, NULL, 0, 0, "ORIGIN,...",                                                 \
      "whose pages' scripts may ask, such as https://shop.example; * is anybody's")                \
    X(S, opt_text, feedback, NULL, 0, 0, "FILE",                                                   \
      "keep what POST /feedback tells in this file, an input for preprocess, and count it at "     \
      "once (default no events are taken)")                                                        \
    X(S, double, drain, 0, 0, 3600, "SECONDS",                                                     \
      "on SIGTERM, go on for so long with /readyz answering 503, before no connection is taken")   \
    X(S, bool, check, false, 0, 0, NULL, "look whether model and data can be served, and end")     \
    X(S, opt_text, host, "127.0.0.1", 1, 0, "HOST",                                                \
      "address to listen on; 0.0.0.0 is all of this machine's")                                    \
    X(S, int, port, 8000, 0, 65535, "N", "port to listen on; 0 is any that is free")               \
    X(S, int, threads, 0, 0, HTTP_THREADS_MAX, "N", "event loops; 0 is one a core")                \
    X(S, int, max_body, 65536, 1, 1 << 30, "BYTES", "largest body of a request")                   \
    X(S, int, max_connections, 10000, 1, 1000000, "N", "connections at a time; more get 503")      \
    X(S, double, request_timeout, 10, 0.1, 3600, "SECONDS",                                        \
      "from a request's first byte to its last")

OPT_DEFINE(serve_opts, SERVE_OPTIONS);

enum { IDLE_MS = 30000, GRACE_MS = 10000 };

static int cores(void)
{
    return (int)MAX(1, MIN(sysconf(_SC_NPROCESSORS_ONLN), HTTP_THREADS_MAX));
}

/* ---- what is there ---- */

/* A server, and where it's from. */
struct server {
    const struct serve_opts *o;
    struct source sources[MODELS]; /* of MODEL_CANARY both NULL: there is none */
    struct http *http;
    struct reload *reloads[MODELS];
};

static bool has(const struct server *server, enum model_role role)
{
    return server->sources[role].path || server->sources[role].uri;
}

/* The model's, and those of the other files behind it. */
static char *with_files(const struct serve_opts *o, char *model)
{
    const char *const files[] = {o->keys, o->tls_cert, o->tls_key};

    for (int i = 0; i < ARRAY_LEN(files) && model; i++) {
        AUTO_FREE char *before = model, *file = files[i] ? source_mark(files[i]) : NULL;

        model = xasprintf("%s#%s", before, file ? file : "");
    }
    return model;
}

static char *look_main(void *context)
{
    const struct server *server = context;

    return with_files(server->o, source_look(&server->sources[MODEL_MAIN]));
}

static char *look_canary(void *context)
{
    return source_look(&((const struct server *)context)->sources[MODEL_CANARY]);
}

static bool open_main(void *context, struct opened *out, struct err *err)
{
    const struct server *server = context;
    const struct serve_opts *o = server->o;

    if ((o->keys && !keys_load(&out->keys, o->keys, err)) ||
        (o->tls_cert && !tls_identity_load(&out->tls, o->tls_cert, o->tls_key, err)) ||
        !source_open(&server->sources[MODEL_MAIN], out->before, &out->catalog, &out->what, err))
        return false;
    out->what = with_files(o, out->what);
    return true;
}

static bool open_canary(void *context, struct opened *out, struct err *err)
{
    const struct server *server = context;

    return source_open(&server->sources[MODEL_CANARY], out->before, &out->catalog, &out->what, err);
}

static void place(void *context, struct opened *out)
{
    if (!out->tls)
        return;
    http_set_tls(((struct server *)context)->http, out->tls);
    out->tls = NULL;
}

/* How each model is looked for and opened. */
static const struct {
    bool (*open)(void *context, struct opened *out, struct err *err);
    char *(*look)(void *context);
} ways[MODELS] = {
    [MODEL_MAIN] = {open_main, look_main}, [MODEL_CANARY] = {open_canary, look_canary}};

/* ---- the server ---- */

static void ask_reload(void *context)
{
    const struct server *server = context;

    for (int m = 0; m < MODELS; m++)
        reload_ask(server->reloads[m]);
}

static struct http *open_http(struct server *server, int threads, struct api *api,
                              struct tls_identity *tls, struct err *err)
{
    const struct serve_opts *o = server->o;
    const struct http_config config = {
        .host = o->host,
        .port = o->port,
        .threads = threads,
        .max_connections = o->max_connections,
        .max_body = o->max_body,
        .request_ms = (int64_t)(o->request_timeout * 1000),
        .idle_ms = IDLE_MS,
        .drain_ms = (int64_t)(o->drain * 1000),
        .grace_ms = GRACE_MS,
        .stop_on_signal = true,
        .hang_up = ask_reload,
        .hang_up_context = server,
        .tls = tls,
        .handle = api_handle,
        .turn_over = api_turn_over,
        .refused = api_refused,
        .context = api,
    };

    return http_open(&config, err);
}

static void run_http(struct server *server, struct api *api)
{
    struct http *http = server->http;

    api_set_http(api, http);
    api_set_reload(api, server->reloads[MODEL_MAIN] ? ask_reload : NULL, server);
    fprintf(stderr, "serving on %s://%s\n", server->o->tls_cert ? "https" : "http",
            http_address(http));
    if (interrupt_signal()) /* it came while the model was read */
        http_stop(http);
    http_run(http);
    api_set_reload(api, NULL, NULL);
}

static void run_server(struct server *server, int threads, struct serving *const *serving,
                       struct api *api, const struct opened *opened)
{
    for (int m = 0; m < MODELS; m++)
        if (has(server, m))
            server->reloads[m] = reload_start(&(struct reload_plan){.serving = serving[m],
                                                                    .api = api,
                                                                    .role = m,
                                                                    .n_workers = threads,
                                                                    .watch_s = server->o->watch,
                                                                    .open = ways[m].open,
                                                                    .place = place,
                                                                    .look = ways[m].look,
                                                                    .context = server,
                                                                    .now = opened[m].what});
    run_http(server, api);
    for (int m = 0; m < MODELS; m++)
        reload_stop(server->reloads[m]);
    http_close(server->http);
}

/* What a server writes. */
struct outputs {
    int log; /* -1: none */
    struct feedback *feedback;
};

static void outputs_release(struct outputs *out)
{
    if (out->log > STDOUT_FILENO)
        close(out->log);
    feedback_close(out->feedback);
}

static bool outputs_open(struct outputs *out, const struct serve_opts *o, struct err *err)
{
    if (o->access_log && !strcmp(o->access_log, "-"))
        out->log = STDOUT_FILENO;
    else if (o->access_log)
        out->log = open(o->access_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (o->access_log && out->log < 0)
        return err_errno(err, "open", o->access_log);
    return !o->feedback || feedback_open(&out->feedback, o->feedback, err);
}

static bool check_options(const struct serve_opts *o, struct err *err)
{
    if (!o->tls_cert == !o->tls_key)
        return true;
    return err_set(err, ERR_USAGE, "--%s needs --%s too: a certificate and its key",
                   o->tls_cert ? "tls-cert" : "tls-key", o->tls_cert ? "tls-key" : "tls-cert");
}

static struct serving *put_first(struct opened *opened, int threads)
{
    struct served *first = served_new(&opened->catalog, opened->keys, opened->what, threads);

    opened->keys = NULL;
    return serving_new(first, threads);
}

static bool serve_opened(struct server *server, struct opened *opened, struct err *err)
{
    const struct serve_opts *o = server->o;
    AUTO(outputs) out = {.log = -1};
    int threads = o->threads ? o->threads : cores();
    struct serving *serving[MODELS] = {0};
    struct api *api;

    if (!outputs_open(&out, o, err))
        return false;
    for (int m = 0; m < MODELS; m++)
        serving[m] = has(server, m) ? put_first(&opened[m], threads) : NULL;
    api = api_new(serving[MODEL_MAIN], threads);
    api_set_canary(api, serving[MODEL_CANARY], o->canary_percent / 100);
    api_set_log(api, out.log);
    api_set_origins(api, o->cors);
    api_set_feedback(api, out.feedback);
    server->http = open_http(server, threads, api, opened[MODEL_MAIN].tls, err);
    opened[MODEL_MAIN].tls = NULL;
    if (server->http)
        run_server(server, threads, serving, api, opened);
    api_free(api);
    for (int m = 0; m < MODELS; m++)
        serving_free(serving[m]);
    return server->http;
}

static void tell(const struct opened *opened)
{
    printf("%.*s: %s of %d users and %d items\n", (int)strcspn(opened->what, "#"), opened->what,
           opened->catalog.model->ops->name, opened->catalog.users.n, opened->catalog.items.n);
}

static void find_sources(struct server *server)
{
    const struct serve_opts *o = server->o;
    bool of_registry = o->canary && !strncmp(o->canary, "models:", 7);
    const struct source base = {
        .data_dir = o->data_dir, .tracking_uri = o->tracking_uri, .cache_dir = o->cache_dir};

    for (int m = 0; m < MODELS; m++)
        server->sources[m] = base;
    server->sources[MODEL_MAIN].path = o->model_path;
    server->sources[MODEL_MAIN].uri = o->model_uri;
    server->sources[MODEL_CANARY].path = of_registry ? NULL : o->canary;
    server->sources[MODEL_CANARY].uri = of_registry ? o->canary : NULL;
}

static bool serve(const struct serve_opts *o, struct err *err)
{
    struct server server = {.o = o};
    struct opened opened[MODELS] = {0};
    bool ok = check_options(o, err);

    find_sources(&server);
    for (int m = 0; m < MODELS && ok; m++)
        ok = !has(&server, m) || ways[m].open(&server, &opened[m], err);
    if (ok && !o->check)
        ok = serve_opened(&server, opened, err);
    for (int m = 0; m < MODELS; m++) {
        if (ok && o->check && has(&server, m))
            tell(&opened[m]);
        opened_release(&opened[m]);
    }
    return ok;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct serve_opts o;

    OPT_ADD(&opts, "Options", serve_opts, &o);
    switch (cmd_parse(&cmd_serve, &opts, argv, OPT_ENV, err)) {
    case CMD_GO:
        return serve(&o, err);
    case CMD_DONE:
        return true;
    case CMD_FAILED:
        break;
    }
    return false;
}

const struct cmd cmd_serve = {
    .name = "serve",
    .summary = "answer recommendation requests over HTTP",
    .about = "GET /health tells what is served. POST /recommend {\"user_id\": \"A1\", \"top_k\": "
             "5} gives\n"
             "the items that the user should like best, without those in train and val unless\n"
             "\"exclude_seen\" is false; GET /openapi.json has all that can be asked. SIGHUP looks "
             "for\n"
             "another model and serves it without a pause. SIGTERM and SIGINT end it after the "
             "requests in flight.\n"
             "Each option is an environment variable too: KINDRED_PORT=8001.",
    .run = run,
};
