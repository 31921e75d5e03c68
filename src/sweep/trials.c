#include "sweep/trials.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void trial_release(struct trial *t)
{
    for (int i = 0; t->argv && t->argv[i]; i++)
        free(t->argv[i]);
    free(t->argv);
    free(t->dir);
    free(t->error);
    *t = (struct trial){0};
}

/* ---- what became of it ---- */

/* The program's own last words, else the log's last line: launchers have theirs behind. */
static char *last_line(const struct trial *t)
{
    static const char own[] = "\nkindred ";
    AUTO_FREE char *path = path_join(t->dir, "log");
    AUTO(buf) text = {0};
    struct err ignored;
    const char *line, *next;

    if (!file_read(path, 16 << 20, &text, &ignored) || !text.len)
        return xstrdup("it said nothing");
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = '\0';
    line = !strncmp(text.data, own + 1, sizeof own - 2) ? text.data - 1 : strstr(text.data, own);
    while (line && (next = strstr(line + 1, own)))
        line = next;
    if (!line)
        line = strrchr(text.data, '\n');
    line = line ? line + 1 : text.data;
    return xstrndup(line, strcspn(line, "\n"));
}

static void end(struct trial *t, int status, const struct trials_plan *plan)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        plan->look(plan->context, t);
    if (t->state != TRIAL_DONE) {
        t->state = TRIAL_FAILED;
        t->error = WIFSIGNALED(status) ? xasprintf("it was ended by signal %d", WTERMSIG(status))
                                       : last_line(t);
    }
    if (plan->ended)
        plan->ended(plan->context, t);
}

/* ---- processes ---- */

/* In the child. Where the sweep is killed its trials go with it. */
static _Noreturn void become(const struct trial *t, const struct trials_plan *plan, int log,
                             pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, plan->ranks > 1 ? SIGTERM : SIGKILL); /* a launcher ends its ranks */
    if (getppid() != parent)
        _exit(1);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (plan->ranks > 1)
        execvpe(t->argv[0], t->argv, plan->environment);
    else
        execve("/proc/self/exe", t->argv, plan->environment);
    dprintf(STDERR_FILENO, "cannot start %s: %s\n", t->argv[0], strerror(errno));
    _exit(127);
}

static bool start(struct trial *t, const struct trials_plan *plan, struct err *err)
{
    AUTO_FREE char *path = path_join(t->dir, "log");
    pid_t own = getpid();
    int log;

    if (!dir_create(t->dir, err))
        return false;
    log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (log < 0)
        return err_errno(err, "create", path);
    fflush(NULL);
    t->process = fork();
    if (t->process == 0)
        become(t, plan, log, own);
    close(log);
    if (t->process < 0)
        return err_errno(err, "start a process for", t->dir);
    t->state = TRIAL_RUNS;
    return true;
}

static void end_all(struct trial *trials, int n, int signum)
{
    for (int i = 0; i < n; i++)
        if (trials[i].state == TRIAL_RUNS)
            kill(trials[i].process, signum);
    for (int i = 0; i < n; i++)
        if (trials[i].state == TRIAL_RUNS) {
            waitpid(trials[i].process, NULL, 0);
            trials[i].state = TRIAL_WAITS;
        }
}

/* ---- memory ---- */

/* What one trial needs: the most that any has held so far. */
static int64_t need_of_one(struct trial *trials, int n)
{
    int64_t need = 0;

    for (int i = 0; i < n; i++) {
        if (trials[i].state == TRIAL_RUNS)
            trials[i].peak = MAX(trials[i].peak, memory_peak_of(trials[i].process));
        need = MAX(need, trials[i].peak);
    }
    return need;
}

/* Whether another one may begin beside those that run, which will all come to hold what one has.
 * The first one always may. */
static bool has_room(struct trial *trials, int n, int running, const struct trials_plan *plan)
{
    int64_t need = need_of_one(trials, n), available = memory_available();

    if (running == 0)
        return true;
    return (running + 1) * (double)need <= plan->memory && (!available || available > need);
}

/* Says when it begins to hold back, and when no longer. */
static void tell_of_room(bool room, bool *held_back, int running)
{
    if (room == !*held_back)
        return;
    *held_back = !room;
    log_info(room ? "sweep.resumed" : "sweep.waiting", "running=%d reason=memory", running);
}

/* Those that have ended since the last look; returns how many still run. */
static int reap(struct trial *trials, int n, const struct trials_plan *plan)
{
    struct rusage used;
    int running = 0, status;

    for (int i = 0; i < n; i++) {
        if (trials[i].state != TRIAL_RUNS)
            continue;
        if (wait4(trials[i].process, &status, WNOHANG, &used) != trials[i].process) {
            running++;
            continue;
        }
        trials[i].peak = MAX(trials[i].peak, plan->ranks * used.ru_maxrss * INT64_C(1024));
        end(&trials[i], status, plan);
    }
    return running;
}

/* The next that waits; NULL: none. */
static struct trial *next(struct trial *trials, int n)
{
    for (int i = 0; i < n; i++)
        if (trials[i].state == TRIAL_WAITS)
            return &trials[i];
    return NULL;
}

/* Between two starts: until it's seen what the one takes. */
static const double SETTLING_S = 0.02;

bool trials_run(struct trial *trials, int n, const struct trials_plan *plan, struct err *err)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    double begun_at = -(double)INFINITY;
    bool held_back = false;
    int running = 0;

    for (int i = 0; i < n; i++) {
        plan->look(plan->context, &trials[i]);
        if (trials[i].state == TRIAL_DONE && plan->ended)
            plan->ended(plan->context, &trials[i]);
    }
    for (;;) {
        struct trial *t = clock_seconds() < plan->deadline ? next(trials, n) : NULL;

        if (!interrupt_check(err)) {
            end_all(trials, n, SIGTERM);
            return false;
        }
        if (t && running < plan->jobs && clock_seconds() - begun_at > SETTLING_S) {
            bool room = has_room(trials, n, running, plan);

            tell_of_room(room, &held_back, running);
            if (room && !start(t, plan, err)) {
                end_all(trials, n, SIGTERM);
                return false;
            }
            running += room;
            begun_at = room ? clock_seconds() : begun_at;
        }
        running = reap(trials, n, plan);
        if (!running && !t)
            return true;
        nanosleep(&pause, NULL);
    }
}
