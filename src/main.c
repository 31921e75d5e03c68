/* main.c - the command table. */
#include "cmd/cmd.h"

#include "base/interrupt.h"
#include "base/progress.h"

const struct cmd *const commands[] = {
    &cmd_generate,  &cmd_preprocess, &cmd_train, &cmd_evaluate,
    &cmd_baselines, &cmd_recommend,  &cmd_serve, NULL,
};

const char *const *command_names(void)
{
    static const char *names[ARRAY_LEN(commands)];

    for (int i = 0; commands[i]; i++)
        names[i] = commands[i]->name;
    return names;
}

static void usage(FILE *out)
{
    fprintf(out, "kindred - recommendations from raw reviews to an answered request\n\n"
                 "usage: kindred COMMAND [options]\n"
                 "       kindred help COMMAND\n"
                 "       kindred --version\n\n"
                 "Commands, in the order of the data:\n");
    for (int i = 0; commands[i]; i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n'kindred help COMMAND' lists a command's options.\n");
}

static const struct cmd *find_command(const char *name)
{
    const char *near;

    for (int i = 0; commands[i]; i++)
        if (!strcmp(name, commands[i]->name))
            return commands[i];
    near = opt_suggest(name, command_names());
    if (near)
        fprintf(stderr, "kindred: no command '%s'; did you mean '%s'?\n", name, near);
    else
        fprintf(stderr, "kindred: no command '%s'; 'kindred help' lists them\n", name);
    return NULL;
}

static int run(const struct cmd *c, const char *const *argv)
{
    struct err err = {0};
    bool ok;

    interrupt_catch();
    ok = c->run(argv, &err);
    progress_clear();
    if (ok && fflush(stdout) == 0)
        return 0;
    if (ok)
        err_errno(&err, "write", "stdout");
    fprintf(stderr, "kindred %s: %s\n", c->name, err.msg);
    if (err.kind == ERR_INTERRUPTED)
        return 128 + interrupt_signal();
    return err.kind == ERR_USAGE ? 2 : 1;
}

static int help(const char *const *argv)
{
    static const char *const ask[] = {"--help", NULL};
    const struct cmd *c;

    if (!argv[0]) {
        usage(stdout);
        return 0;
    }
    c = find_command(argv[0]);
    return c ? run(c, ask) : 2;
}

int main(int argc, char **argv)
{
    const char *const *args = (const char *const *)argv + MIN(argc, 2);
    const struct cmd *c;

    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("kindred %s\n", KINDRED_VERSION);
        return 0;
    }
    if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help(args);
    c = find_command(argv[1]);
    return c ? run(c, args) : 2;
}
