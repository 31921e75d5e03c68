/* main.c - the command table. */
#include "cmd/cmd.h"

#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "comm/comm.h"
#include "comm/launcher.h"

#include <omp.h>
#include <unistd.h>

const struct cmd *const commands[] = {
    &cmd_generate, &cmd_preprocess, &cmd_train, &cmd_evaluate, &cmd_baselines, &cmd_sweep,
    &cmd_promote,  &cmd_recommend,  &cmd_serve, &cmd_ping,     &cmd_track,     NULL,
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

static int exit_code(const struct err *err)
{
    if (err->kind == ERR_INTERRUPTED)
        return 128 + interrupt_signal();
    return err->kind == ERR_USAGE ? 2 : 1;
}

/* ---- under a launcher ---- */

/* Load what the ranks talk by; else this process is alone. */
static bool begin(const struct cmd *c, const struct launcher *l, struct err *err)
{
    if (c->ranks)
        return comm_begin(err);
    return l->size == 1 ||
           err_set(err, ERR_USAGE,
                   "started by a launcher, but 'kindred %s' runs alone: start it without one",
                   c->name);
}

/* The ranks of a host fail alike: its first tells, and is given the time, as a launcher kills all
 * when one ends. */
static int failed_to_begin(const struct cmd *c, const struct launcher *l, const struct err *err)
{
    if (l->local_rank == 0)
        log_failure(c->name, err->msg);
    else
        sleep(1);
    return exit_code(err);
}

/* Rank 0 tells for all. Threads, unless asked for, are as many as the host's ranks leave room for.
 */
static bool be_a_rank(struct err *err)
{
    int processors;

    if (comm_size() == 1)
        return true;
    processors = comm_all_processors();
    if (!getenv("OMP_NUM_THREADS"))
        omp_set_num_threads(processors);
    log_set_rank(comm_rank());
    if (comm_rank() == 0)
        return true;
    progress_quiet();
    return freopen("/dev/null", "w", stdout) || err_errno(err, "open", "/dev/null");
}

/* A failure that all ranks have is told once. One that others don't have ends them. */
static int fail(const struct cmd *c, struct err *err)
{
    static const double patience_s = 0.3;
    int64_t code;

    if (!comm_failed(err, patience_s)) {
        log_failure(c->name, err->msg);
        comm_abort(exit_code(err));
    }
    if (comm_rank() == 0)
        log_failure(c->name, err->msg);
    code = exit_code(err);
    comm_all_fold(&code, 1, COMM_MAX); /* a signal may not have come to all */
    comm_all_end();
    return (int)code;
}

static int run(const struct cmd *c, const char *const *argv)
{
    struct launcher l = launcher_find();
    struct err err = {0};

    interrupt_catch(); /* before MPI starts: a rank that dies while it does leaves others waiting */
    if (!begin(c, &l, &err))
        return failed_to_begin(c, &l, &err);
    if (!be_a_rank(&err) || !c->run(argv, &err))
        return fail(c, &err);
    if (fflush(stdout)) {
        err_errno(&err, "write", "stdout");
        return fail(c, &err);
    }
    comm_all_end();
    return 0;
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
