#include "kern/kern.h"

#include <stddef.h>

#if defined(__x86_64__)
extern const struct kern kern_v1, kern_v3, kern_v4;

/* clang 14 doesn't know the levels by their names, so: their features. */
static bool runs_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
}

static bool runs_v4(void)
{
    return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512cd");
}
#else
extern const struct kern kern_v1;
#endif

static const struct kern *runnable[4];

__attribute__((constructor)) static void choose(void)
{
    int n = 0;

#if defined(__x86_64__)
    __builtin_cpu_init();
    if (runs_v4())
        runnable[n++] = &kern_v4;
    if (runs_v3())
        runnable[n++] = &kern_v3;
#endif
    runnable[n] = &kern_v1;
}

const struct kern *kern_best(void)
{
    return runnable[0];
}

const struct kern *const *kern_all(void)
{
    return runnable;
}
