#include "track/machine.h"

#include <inttypes.h>
#include <math.h>
#include <sys/statvfs.h>

static const double MB = 1e6;

const char *const machine_names[MACHINE_VALUES] = {
    "cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage",
    "disk_usage_percentage",      "disk_usage_megabytes",          "disk_available_megabytes",
    "network_receive_megabytes",  "network_transmit_megabytes",
};

/* ---- what the kernel tells; what it doesn't stays 0 ---- */

static void read_processors(struct machine_counts *c)
{
    FILE *f = fopen("/proc/stat", "r");
    int64_t t[8] = {0};

    if (!f)
        return;
    if (fscanf(f,
               "cpu %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
               " %" SCNd64 " %" SCNd64,
               &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) == ARRAY_LEN(t))
        for (int i = 0; i < ARRAY_LEN(t); i++) {
            c->all += t[i];
            c->busy += i == 3 || i == 4 ? 0 : t[i]; /* idle, and waiting for disks */
        }
    fclose(f);
}

static void read_memory(struct machine_counts *c)
{
    FILE *f = fopen("/proc/meminfo", "r");
    char line[128];
    int64_t kb;

    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemTotal: %" SCNd64, &kb) == 1)
            c->memory = kb * 1024;
        if (sscanf(line, "MemAvailable: %" SCNd64, &kb) == 1)
            c->available = kb * 1024;
    }
    if (f)
        fclose(f);
}

static void read_network(struct machine_counts *c)
{
    FILE *f = fopen("/proc/net/dev", "r");
    char line[512];

    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        int64_t in, out;

        if (colon && !strstr(line, "lo:") &&
            sscanf(colon + 1, "%" SCNd64 " %*d %*d %*d %*d %*d %*d %*d %" SCNd64, &in, &out) == 2) {
            c->received += in;
            c->sent += out;
        }
    }
    if (f)
        fclose(f);
}

static void read_disk(struct machine_counts *c)
{
    struct statvfs s;

    if (statvfs(".", &s))
        return;
    c->disk_used = (int64_t)((s.f_blocks - s.f_bfree) * s.f_frsize);
    c->disk_free = (int64_t)(s.f_bavail * s.f_frsize);
}

static struct machine_counts count(void)
{
    struct machine_counts c = {0};

    read_processors(&c);
    read_memory(&c);
    read_network(&c);
    read_disk(&c);
    return c;
}

void machine_begin(struct machine *m)
{
    m->first = m->last = count();
}

static double percent(int64_t part, int64_t all)
{
    return all > 0 ? 100.0 * (double)part / (double)all : (double)NAN;
}

void machine_read(struct machine *m, double out[static MACHINE_VALUES])
{
    struct machine_counts c = count();
    int64_t used = c.memory - c.available;
    double values[] = {percent(c.busy - m->last.busy, c.all - m->last.all),
                       c.memory ? (double)used / MB : (double)NAN,
                       percent(used, c.memory),
                       percent(c.disk_used, c.disk_used + c.disk_free),
                       (double)c.disk_used / MB,
                       (double)c.disk_free / MB,
                       (double)(c.received - m->first.received) / MB,
                       (double)(c.sent - m->first.sent) / MB};

    memcpy(out, values, sizeof values);
    m->last = c;
}
