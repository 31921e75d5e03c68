#include "kern/kern.h"

#include <stddef.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__x86_64__)
extern const struct kern kern_v1, kern_v3, kern_v4, kern_v4n;

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

static bool runs_v4n(void)
{
    return runs_v4() && __builtin_cpu_supports("avx512vnni");
}
#else
extern const struct kern kern_v1;
#endif

static const struct kern *runnable[5];

__attribute__((constructor)) static void choose(void)
{
    int n = 0;

#if defined(__x86_64__)
    __builtin_cpu_init();
    if (runs_v4n())
        runnable[n++] = &kern_v4n;
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

#if defined(__x86_64__)
unsigned kern_flush_subnormals(void)
{
    enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };
    unsigned before = _mm_getcsr();

    _mm_setcsr(before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    return before;
}

void kern_restore_subnormals(unsigned before)
{
    _mm_setcsr(before);
}
#elif defined(__aarch64__)
unsigned kern_flush_subnormals(void)
{
    const uint64_t flush_to_zero = 1 << 24;
    uint64_t before;

    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | flush_to_zero));
    return (unsigned)before;
}

void kern_restore_subnormals(unsigned before)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)before));
}
#else
unsigned kern_flush_subnormals(void)
{
    return 0;
}

void kern_restore_subnormals(unsigned)
{
}
#endif
