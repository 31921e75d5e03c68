#include "base/memory.h"

#include "base/file.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

bool memory_reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return false;
    malloc_trim(0);
    ok = write(fd, "5", 1) == 1; /* proc(5): reset the peak */
    close(fd);
    return ok;
}

int64_t memory_peak(void)
{
    enum { STATUS_MAX = 1 << 16 };
    AUTO(buf) text = {0};
    struct err ignored;
    const char *line;
    long long kib;

    if (!file_read("/proc/self/status", STATUS_MAX, &text, &ignored))
        return 0;
    line = strstr(buf_str(&text), "\nVmHWM:");
    return line && sscanf(line, "\nVmHWM: %lld kB", &kib) == 1 ? kib * 1024 : 0;
}
