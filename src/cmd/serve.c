#include "cmd/cmd.h"

#include "cmd/package.h"
#include "cmd/tracking.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "serve/api.h"

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

static bool fetch_catalog(struct catalog *c, const struct serve_opts *o, struct err *err)
{
    AUTO_FREE char *uri = tracking_registry_uri(o->tracking_uri), *dir = NULL;
    AUTO(registry_ref) ref = {0};
    struct registry *r = NULL;
    bool ok;

    if (!registry_ref_parse(&ref, o->model_uri, err) || !registry_open(&r, uri, err))
        return false;
    ok = registry_resolve(r, &ref, err) &&
         package_fetch(r, uri, ref.name, ref.version, o->cache_dir, &dir, err) &&
         package_open(c, dir, err);
    registry_close(r);
    return ok;
}

static bool open_catalog(struct catalog *c, const struct serve_opts *o, struct err *err)
{
    return o->model_uri ? fetch_catalog(c, o, err)
                        : catalog_open(c, o->model_path, o->data_dir, err);
}

static bool serve(const struct serve_opts *o, struct err *err)
{
    AUTO(catalog) catalog = {0};
    struct api api = {&catalog};
    const struct http_config config = {
        .host = o->host,
        .port = o->port,
        .threads = o->threads ? o->threads : cores(),
        .max_connections = o->max_connections,
        .max_body = o->max_body,
        .request_ms = (int64_t)(o->request_timeout * 1000),
        .idle_ms = IDLE_MS,
        .grace_ms = GRACE_MS,
        .stop_on_signal = true,
        .handle = api_handle,
        .context = &api,
    };
    struct http *http;

    if (!open_catalog(&catalog, o, err))
        return false;
    http = http_open(&config, err);
    if (!http)
        return false;
    fprintf(stderr, "serving on http://%s\n", http_address(http));
    if (interrupt_signal()) /* it came while the model was read */
        http_stop(http);
    http_run(http);
    http_close(http);
    return true;
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
             "\"exclude_seen\" is false. SIGTERM and SIGINT end it after the requests in flight.\n"
             "Each option is an environment variable too: KINDRED_PORT=8001.",
    .run = run,
};
