/* sim: the deterministic simulator.
 *
 *   sim [--first S] [--seeds N | --seconds T]   runs seeds S, S+1, …; fails at the first that breaks an invariant
 *   sim --seed S [--trace] [--bug NAME]         one seed again, with everything that happened
 *   sim --bug all|NAME [--seeds N] [--trials K] each planted bug until it is caught, in at most N seeds, K times
 *   sim --bug list
 *
 * A bug is looked for in a process of its own: it may make the layers stop themselves, which counts as caught. */
#include "sim/sim.h"

#include "common/mem.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIALS_MAX = 99, TRIAL_STRIDE = 100000, ALARM_S = 60 };

struct options {
    uint64_t first, seeds, seed;
    double seconds;
    bool one, trace;
    const char *bug;
    unsigned trials;
};

/* What a child that looks for a bug tells, even if it dies. */
struct hunt {
    uint64_t seed;
    bool caught;
    char invariant[32], verdict[512];
};

/* --- laboratory --------------------------------------------------------------------------------------------------- */

static void lab_open(struct laboratory *lab, bool trace)
{
    struct error err;
    char path[128];
    *lab = (struct laboratory){.trace = trace};
    snprintf(lab->state_dir, sizeof(lab->state_dir), "%s/tai-sim-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    lab->log_fd = trace ? STDOUT_FILENO : memfd_create("log", MFD_CLOEXEC);
    if (!mkdtemp(lab->state_dir) || lab->log_fd < 0) {
        perror("sim");
        exit(2);
    }
    snprintf(path, sizeof(path), "%s/key", lab->state_dir);
    if (note_key_create(path, "sim", &lab->key, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(2);
    }
    unlink(path);
    lab->database = database_open(store_sqlite_schema);
}

static void lab_close(struct laboratory *lab)
{
    char path[128];
    database_close(lab->database);
    note_key_free(lab->key);
    for (unsigned i = 0; i < SIM_SHARDS_MAX; i++) {
        snprintf(path, sizeof(path), "%s/sim.checkpoint-%u", lab->state_dir, i);
        unlink(path);
    }
    rmdir(lab->state_dir);
    if (!lab->trace)
        close(lab->log_fd);
}

static enum bug bug_of(const char *name)
{
    for (enum bug bug = BUG_NONE; bug < BUG_COUNT; bug++)
        if (strcmp(bug_names[bug], name) == 0)
            return bug;
    fprintf(stderr, "sim: no bug is called %s; --bug list names them\n", name);
    exit(2);
}

/* --- seeds -------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped_at_high, stopped_at_low; /* the seed, for whoever dies of it */

static void on_death(int number)
{
    char text[96];
    uint64_t seed = (uint64_t)(uint32_t)stopped_at_high << 32 | (uint32_t)stopped_at_low;
    int len = snprintf(text, sizeof(text), "sim: signal %d in seed %" PRIu64 "\n", number, seed);
    ssize_t n = write(STDERR_FILENO, text, (size_t)len);
    (void)n;
    signal(number, SIG_DFL);
    raise(number);
}

static bool run_seed(struct laboratory *lab, uint64_t seed, enum bug bug, struct hunt *hunt)
{
    stopped_at_high = (sig_atomic_t)(seed >> 32);
    stopped_at_low = (sig_atomic_t)seed;
    alarm(ALARM_S);
    struct world *world = world_new(lab, seed, bug);
    bool good = world_run(world);
    if (!good && hunt) {
        memcpy(hunt->invariant, world->invariant, sizeof(hunt->invariant));
        memcpy(hunt->verdict, world->verdict, sizeof(hunt->verdict));
    } else if (!good) {
        printf("seed %" PRIu64 ": %s: %s (%u violations)\n", seed, world->invariant, world->verdict, world->violations);
    }
    world_free(world);
    alarm(0);
    return good;
}

static int run_seeds(const struct options *options)
{
    struct laboratory lab;
    double begin = real_seconds();
    uint64_t ran = 0;
    bool good = true;
    lab_open(&lab, false);
    for (; good && (options->seconds > 0 ? real_seconds() - begin < options->seconds : ran < options->seeds); ran++)
        good = run_seed(&lab, options->first + ran, BUG_NONE, NULL);
    lab_close(&lab);
    double took = real_seconds() - begin;
    printf("%" PRIu64 " seeds from %" PRIu64 " in %.1f s, %.0f a minute: %s\n", ran, options->first, took,
           (double)ran / took * 60, good ? "every invariant holds" : "FAILED");
    return good ? 0 : 1;
}

static int run_one(const struct options *options)
{
    struct laboratory lab;
    lab_open(&lab, options->trace);
    bool good = run_seed(&lab, options->seed, options->bug ? bug_of(options->bug) : BUG_NONE, NULL);
    lab_close(&lab);
    if (good)
        printf("seed %" PRIu64 ": every invariant holds\n", options->seed);
    return good ? 0 : 1;
}

/* --- bugs --------------------------------------------------------------------------------------------------------- */

static void hunt_child(enum bug bug, uint64_t first, uint64_t seeds, struct hunt *hunt)
{
    struct laboratory lab;
    signal(SIGABRT, SIG_DFL);
    if (!freopen("/dev/null", "w", stderr))
        _exit(2);
    lab_open(&lab, false);
    for (hunt->seed = first; !hunt->caught && hunt->seed < first + seeds; hunt->seed++)
        hunt->caught = !run_seed(&lab, hunt->seed, bug, hunt);
    lab_close(&lab);
    _exit(0);
}

/* How many seeds it took; 0: not caught. */
static uint64_t hunt_bug(enum bug bug, uint64_t first, uint64_t seeds, struct hunt *hunt)
{
    int status = 0;
    *hunt = (struct hunt){0};
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        hunt_child(bug, first, seeds, hunt);
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("sim");
        exit(2);
    }
    if (hunt->caught)
        return hunt->seed - first;
    if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0) {
        snprintf(hunt->invariant, sizeof(hunt->invariant), "stopped itself");
        snprintf(hunt->verdict, sizeof(hunt->verdict), "signal %d, status %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
        return hunt->seed - first + 1;
    }
    return 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool hunt_trials(const struct options *options, enum bug bug, struct hunt *hunt)
{
    uint64_t took[TRIALS_MAX];
    unsigned caught = 0;
    for (unsigned trial = 0; trial < options->trials; trial++) {
        uint64_t seeds = hunt_bug(bug, options->first + (uint64_t)trial * TRIAL_STRIDE, options->seeds, hunt);
        if (seeds)
            took[caught++] = seeds;
    }
    qsort(took, caught, sizeof(took[0]), by_value);
    if (caught == options->trials)
        printf("%-20s caught, median of %u trials: %5" PRIu64 " seeds, most %5" PRIu64 ", last by %s: %.100s\n",
               bug_names[bug], options->trials, took[caught / 2], took[caught - 1], hunt->invariant, hunt->verdict);
    else
        printf("%-20s NOT CAUGHT in %" PRIu64 " seeds (%u of %u trials)\n", bug_names[bug], options->seeds,
               options->trials - caught, options->trials);
    return caught == options->trials;
}

static int run_bugs(const struct options *options)
{
    enum bug only = strcmp(options->bug, "all") == 0 ? BUG_NONE : bug_of(options->bug);
    struct hunt *hunt = mmap(NULL, sizeof(*hunt), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned missed = 0, planted = 0;
    if (hunt == MAP_FAILED)
        return 2;
    for (enum bug bug = BUG_NONE + 1; bug < BUG_COUNT; bug++) {
        if (only != BUG_NONE && bug != only)
            continue;
        planted++;
        missed += !hunt_trials(options, bug, hunt);
    }
    printf("%u of %u planted bugs caught\n", planted - missed, planted);
    munmap(hunt, sizeof(*hunt));
    return missed ? 1 : 0;
}

static int list_bugs(void)
{
    for (enum bug bug = BUG_NONE + 1; bug < BUG_COUNT; bug++)
        printf("%-20s %s\n", bug_names[bug], bug_texts[bug]);
    return 0;
}

/* --- options ------------------------------------------------------------------------------------------------------ */

static int usage(void)
{
    fputs("usage: sim [--first S] [--seeds N | --seconds T]\n"
          "       sim --seed S [--trace] [--bug NAME]\n"
          "       sim --bug all|list|NAME [--first S] [--seeds N] [--trials K]\n",
          stderr);
    return 2;
}

static bool parse(int argc, char **argv, struct options *ret)
{
    static const struct option names[] = {
        {"first", 1, NULL, 'f'}, {"seeds", 1, NULL, 'n'}, {"seconds", 1, NULL, 't'}, {"seed", 1, NULL, 's'},
        {"trace", 0, NULL, 'v'}, {"bug", 1, NULL, 'b'},   {"trials", 1, NULL, 'k'},  {0}};
    int option;
    *ret = (struct options){.first = 1, .seeds = 1000, .trials = 1};
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'f')
            ret->first = strtoull(optarg, NULL, 10);
        else if (option == 'n')
            ret->seeds = strtoull(optarg, NULL, 10);
        else if (option == 't')
            ret->seconds = strtod(optarg, NULL);
        else if (option == 's')
            ret->one = true, ret->seed = strtoull(optarg, NULL, 10);
        else if (option == 'v')
            ret->trace = true;
        else if (option == 'b')
            ret->bug = optarg;
        else if (option == 'k')
            ret->trials = (unsigned)strtoul(optarg, NULL, 10);
        else
            return false;
    }
    return optind == argc && ret->trials >= 1 && ret->trials <= TRIALS_MAX;
}

int main(int argc, char **argv)
{
    struct options options;
    if (!parse(argc, argv, &options))
        return usage();
    signal(SIGABRT, on_death);
    signal(SIGALRM, on_death);
    signal(SIGSEGV, on_death);
    if (options.one)
        return run_one(&options);
    if (options.bug && strcmp(options.bug, "list") == 0)
        return list_bugs();
    return options.bug ? run_bugs(&options) : run_seeds(&options);
}
