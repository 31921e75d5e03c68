#include "base/memory.h"

#include "base/file.h"

#include <fcntl.h>
#include <malloc.h>
#include <strings.h>
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

/* kB behind "\nNAME:" in a file of /proc, as bytes; 0: it isn't there. */
static int64_t bytes_behind(const char *path, const char *name)
{
    enum { STATUS_MAX = 1 << 16 };
    AUTO(buf) text = {0};
    struct err ignored;
    const char *line;
    long long kib;

    if (!file_read(path, STATUS_MAX, &text, &ignored))
        return 0;
    line = strstr(buf_str(&text), name);
    return line && sscanf(line + strlen(name), "%lld kB", &kib) == 1 ? kib * 1024 : 0;
}

int64_t memory_peak(void)
{
    return bytes_behind("/proc/self/status", "\nVmHWM:");
}

static int64_t peak_below(int process, int depth)
{
    enum { DEEPEST = 8 };
    char path[64];
    FILE *children;
    int64_t sum;
    int child;

    snprintf(path, sizeof path, "/proc/%d/status", process);
    sum = bytes_behind(path, "\nVmHWM:");
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", process, process);
    children = depth < DEEPEST ? fopen(path, "r") : NULL;
    while (children && fscanf(children, "%d", &child) == 1)
        sum += peak_below(child, depth + 1);
    if (children)
        fclose(children);
    return sum;
}

int64_t memory_peak_of(int process)
{
    return peak_below(process, 0);
}

int64_t memory_available(void)
{
    return bytes_behind("/proc/meminfo", "\nMemAvailable:");
}

bool memory_parse(const char *option, const char *text, double *bytes, struct err *err)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"B", 1},         {"KB", 1e3},      {"MB", 1e6},      {"GB", 1e9},    {"TB", 1e12},
                 {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 0x1p40}};
    char *end;
    double number = strtod(text, &end);

    end += strspn(end, " ");
    for (int i = 0; end != text && number > 0 && i < ARRAY_LEN(units); i++)
        if (!strcasecmp(end, units[i].name)) {
            *bytes = number * units[i].bytes;
            return true;
        }
    return err_set(err, ERR_USAGE, "%s '%s' is no size such as 4GB", option, text);
}

double memory_of_machine(void)
{
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    AUTO(buf) text = {0};
    struct err ignored;

    if (file_read("/sys/fs/cgroup/memory.max", 100, &text, &ignored) && atof(buf_str(&text)) > 0)
        bytes = MIN(bytes, atof(buf_str(&text))); /* "max": none */
    return bytes;
}
