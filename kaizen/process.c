/* The standard process_* metrics of this process and tai_build_info. Each value is read from /proc/self when asked for;
 * what cannot be read is left out of the exposition. */
#include "kaizen/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STAT_UTIME = 14, STAT_STIME = 15, STAT_START = 22, STAT_VSIZE = 23, STAT_RSS = 24, STAT_COUNT = 25 };

static bool read_small(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t n = 1;
    while (n > 0 && len < size - 1) {
        n = read(fd, ret + len, size - 1 - len);
        if (n > 0)
            len += (size_t)n;
    }
    close(fd);
    ret[len] = '\0';
    return len > 0;
}

/* The numbered fields of /proc/self/stat (proc(5)); the command in field 2 may hold anything, even `)`. */
static bool read_stat(double ret[STAT_COUNT])
{
    char text[2048];
    if (!read_small("/proc/self/stat", text, sizeof(text)))
        return false;
    char *at = strrchr(text, ')');
    if (!at || strlen(at) < 4)
        return false;
    at += 3; /* behind ") S" */
    for (int field = 4; field < STAT_COUNT; field++) {
        char *end;
        ret[field] = strtod(at, &end);
        if (end == at)
            return false;
        at = end;
    }
    return true;
}

static bool sample_cpu(void *ctx, double *ret_value)
{
    (void)ctx;
    double stat[STAT_COUNT];
    if (!read_stat(stat))
        return false;
    *ret_value = (stat[STAT_UTIME] + stat[STAT_STIME]) / (double)sysconf(_SC_CLK_TCK);
    return true;
}

static bool sample_resident(void *ctx, double *ret_value)
{
    (void)ctx;
    double stat[STAT_COUNT];
    if (!read_stat(stat))
        return false;
    *ret_value = stat[STAT_RSS] * (double)sysconf(_SC_PAGESIZE);
    return true;
}

static bool sample_virtual(void *ctx, double *ret_value)
{
    (void)ctx;
    double stat[STAT_COUNT];
    if (!read_stat(stat))
        return false;
    *ret_value = stat[STAT_VSIZE];
    return true;
}

static bool sample_open_fds(void *ctx, double *ret_value)
{
    (void)ctx;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return false;
    int count = -1; /* the one this takes */
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] != '.')
            count++;
    }
    closedir(dir);
    *ret_value = count;
    return true;
}

static bool sample_max_fds(void *ctx, double *ret_value)
{
    (void)ctx;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return false;
    *ret_value = (double)limit.rlim_cur;
    return true;
}

static bool read_boot_time(double *ret)
{
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return false;
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (!found && getline(&line, &size, file) > 0) {
        if (strncmp(line, "btime ", 6) == 0) {
            *ret = strtod(line + 6, NULL);
            found = true;
        }
    }
    free(line);
    fclose(file);
    return found;
}

static bool sample_start_time(void *ctx, double *ret_value)
{
    (void)ctx;
    double stat[STAT_COUNT];
    double boot;
    if (!read_stat(stat) || !read_boot_time(&boot))
        return false;
    *ret_value = boot + stat[STAT_START] / (double)sysconf(_SC_CLK_TCK);
    return true;
}

void metrics_add_process(struct metrics *metrics)
{
    static const struct {
        struct metric_desc desc;
        metric_sample_fn sample;
    } table[] = {
        {{"process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", METRIC_COUNTER}, sample_cpu},
        {{"process_resident_memory_bytes", "Resident memory size in bytes.", METRIC_GAUGE}, sample_resident},
        {{"process_virtual_memory_bytes", "Virtual memory size in bytes.", METRIC_GAUGE}, sample_virtual},
        {{"process_open_fds", "Number of open file descriptors.", METRIC_GAUGE}, sample_open_fds},
        {{"process_max_fds", "Maximum number of open file descriptors.", METRIC_GAUGE}, sample_max_fds},
        {{"process_start_time_seconds", "Start time of the process since the Unix epoch in seconds.", METRIC_GAUGE},
         sample_start_time},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        metric_sample(metrics_register(metrics, &table[i].desc), NULL, table[i].sample, NULL);
}

void metrics_add_build_info(struct metrics *metrics, const char *version, const char *revision)
{
    const struct metric_desc desc = {
        .name = "tai_build_info",
        .help = "The running program: always 1, the version and the revision are labels.",
        .type = METRIC_GAUGE,
        .labels = {{"version", NULL}, {"revision", NULL}},
    };
    const char *values[] = {version, revision};
    metric_set(metric_gauge(metrics_register(metrics, &desc), values), 1);
}
