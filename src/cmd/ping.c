#include "cmd/cmd.h"

#include "track/client.h"

#define PING_OPTIONS(X, S)                                                                         \
    X(S, opt_text, host, "127.0.0.1", 1, 0, "HOST",                                                \
      "where it listens; 0.0.0.0 is asked as this machine")                                        \
    X(S, int, port, 8000, 1, 65535, "N", "its port")                                               \
    X(S, opt_text, tls_cert, NULL, 0, 0, "FILE",                                                   \
      "what serve was given: ask by https, whoever it is signed by; the file isn't read (default " \
      "http)")

OPT_DEFINE(ping_opts, PING_OPTIONS);

static char *url_of(const struct ping_opts *o)
{
    bool is_ipv6 = strchr(o->host, ':');

    return xasprintf("%s://%s%s%s:%d/readyz", o->tls_cert ? "https" : "http", is_ipv6 ? "[" : "",
                     o->host, is_ipv6 ? "]" : "", o->port);
}

static bool ask(struct client *client, const char *url, struct err *err)
{
    AUTO(client_answer) answer = {0};

    if (!client_call(client, "GET", url, NULL, false, &answer, err))
        return false;
    if (answer.status != 200)
        return err_set(err, ERR_IO, "%s: %ld %s", url, answer.status, buf_str(&answer.body));
    printf("ready\n");
    return true;
}

static bool ping(const struct ping_opts *o, struct err *err)
{
    const struct client_login nobody = {.insecure = true};
    AUTO_FREE char *url = url_of(o);
    struct client *client;
    bool ok;

    if (!client_open(&client, &nobody, err))
        return false;
    ok = ask(client, url, err);
    client_close(client);
    return ok;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct ping_opts o;
    enum cmd_next next;

    OPT_ADD(&opts, "Options", ping_opts, &o);
    next = cmd_parse(&cmd_ping, &opts, argv, OPT_ENV, err);
    return next == CMD_GO ? ping(&o, err) : next == CMD_DONE;
}

const struct cmd cmd_ping = {
    .name = "ping",
    .summary = "ask whether a server is ready",
    .about =
        "GET /readyz: 'ready' and exit code 0, or the reason and 1. For container engines and\n"
        "scripts on machines without curl. The environment variables of serve count here too\n"
        "(KINDRED_PORT=8001), so that both are told once.",
    .run = run,
};
