#include "cmd/cmd.h"

#include "track/track.h"

#define TRACK_OPTIONS(X, S)                                                                        \
    X(S, opt_text, track_dir, ".kindred/runs", 0, 0, "DIR", "where runs wait")

OPT_DEFINE(track_opts, TRACK_OPTIONS);

/* The one thing that can be done, so far, has a name all the same: it reads as what it does. */
static const char *const *take_verb(const char *const *argv, struct err *err)
{
    if (argv[0] && !strcmp(argv[0], "sync"))
        return argv + 1;
    if (argv[0] && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h")))
        return argv;
    err_set(err, ERR_USAGE, "%s%s%s: 'kindred track sync' sends what waits",
            argv[0] ? "no '" : "say what to do", argv[0] ? argv[0] : "", argv[0] ? "'" : "");
    return NULL;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct track_opts o;
    const char *const *rest = take_verb(argv, err);
    enum cmd_next next;
    int n_sent, n_left;
    bool ok;

    if (!rest)
        return false;
    OPT_ADD(&opts, "Options", track_opts, &o);
    next = cmd_parse(&cmd_track, &opts, rest, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    ok = track_sync(o.track_dir, &n_sent, &n_left, err);
    printf("%d runs sent, %d left\n", n_sent, n_left);
    return ok;
}

const struct cmd cmd_track = {
    .name = "track",
    .summary = "'track sync': send runs to MLflow that wait here",
    .usage = "sync [options]",
    .about =
        "Runs are written down below --track-dir before they're sent to MLflow. What a server\n"
        "did not take in time, or what a process left that was killed, is sent by this, each\n"
        "line once and with the time that it had. Runs that still live are left alone.",
    .run = run,
};
