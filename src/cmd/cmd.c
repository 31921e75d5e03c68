#include "cmd/cmd.h"

#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "comm/comm.h"

#define COMMON_OPTIONS(X, S)                                                                       \
    X(S, opt_text, config, NULL, 0, 0, "FILE", "YAML file with options; the command line wins")    \
    X(S, bool, quiet, false, 0, 0, NULL, "no progress, and nothing below a warning")               \
    X(S, opt_text, log_level, "info", 0, 0, "error|warn|info|debug", "how much to tell on stderr") \
    X(S, opt_text, log, "text", 0, 0, "text|json", "lines on stderr as words or as JSON objects")  \
    X(S, bool, help, false, 0, 0, NULL, "show this help")

OPT_DEFINE(common_opts, COMMON_OPTIONS);

static void print_help(const struct cmd *c, const struct opt_set *opts)
{
    printf("kindred %s - %s\n\nusage: kindred %s %s\n\n%s\n", c->name, c->summary, c->name,
           c->usage ? c->usage : "[options]", c->about);
    opt_help(opts, stdout);
}

bool cmd_peek(const struct cmd *c, struct opt_set *opts, const char *const *argv, unsigned flags)
{
    struct common_opts peeked;
    struct err ignored = {0}; /* cmd_parse meets the same fault, and tells it */

    OPT_ADD(opts, "", common_opts, &peeked);
    (void)!opt_parse(opts, argv, c->name, command_names(), flags | OPT_LENIENT, &ignored);
    opts->n--; /* cmd_parse adds them for good */
    return peeked.help;
}

/* For a line that doesn't parse: what is wrong with it is told as it asks all the same. */
static bool asks_for_json(const char *const *argv)
{
    for (; *argv; argv++)
        if (!strcmp(*argv, "--log=json") ||
            (!strcmp(*argv, "--log") && argv[1] && !strcmp(argv[1], "json")))
            return true;
    return false;
}

static struct common_opts common; /* static: the set points to it for as long as it lives */

const char *cmd_config_path(void)
{
    return common.config;
}

enum cmd_next cmd_parse(const struct cmd *c, struct opt_set *opts, const char *const *argv,
                        unsigned flags, struct err *err)
{
    bool parsed;

    OPT_ADD(opts, "Common options", common_opts, &common);
    for (const char *const *a = argv; *a;
         a++) /* help is given however wrong the rest of the line is */
        if (!strcmp(*a, "--help") || !strcmp(*a, "-h")) {
            print_help(c, opts);
            return CMD_DONE;
        }
    parsed = opt_parse(opts, argv, c->name, command_names(), flags, err);
    log_set_json(parsed ? !strcmp(common.log, "json") : asks_for_json(argv));
    if (!parsed)
        return CMD_FAILED;
    log_set_level(common.quiet ? LOG_WARN : log_level_named(common.log_level));
    if (common.quiet)
        progress_quiet();
    return CMD_GO;
}

bool cmd_check_alone(struct err *err)
{
    if (comm_size() == 1)
        return true;
    return err_set(err, ERR_USAGE,
                   "%d ranks were started, which don't share this work yet: start it once, without "
                   "the launcher",
                   comm_size());
}

bool cmd_write_json(const struct json_out *json, const char *path, struct err *err)
{
    if (!path)
        return true;
    return file_write(path, json->buf.data, json->buf.len, err);
}
