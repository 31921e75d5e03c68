#include "base/interrupt.h"

#include <signal.h>

static volatile sig_atomic_t came;

static void on_signal(int sig)
{
    came = sig;
}

void interrupt_catch(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};

    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

int interrupt_signal(void)
{
    return came;
}

void interrupt_note(int signal)
{
    came = signal;
}

bool interrupt_check(struct err *err)
{
    if (!came)
        return true;
    return err_set(err, ERR_INTERRUPTED, "interrupted");
}
