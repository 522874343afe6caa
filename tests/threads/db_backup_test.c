/* The online copy: whole and consistent though it is written to meanwhile, and when the disk is full, its place is gone
 * or the caller gives up, an error is said and the database goes on. */
#include "../support/check.h"
#include "../support/db_fixture.h"
#include "../support/fault_vfs.h"
#include "common/db/backup.h"

#include <errno.h>
#include <sys/stat.h>

enum { ROWS = 600, BODY = 4000 };

struct site {
    struct fixture f;
    char copy[96];
    int written;    /* rows by step */
    int give_up;    /* after so many slices; 0: never */
    bool vanish;    /* the copy is unlinked while it is made */
    int64_t cpu_us; /* the most a slice took */
};

static void site_open(struct site *site)
{
    *site = (struct site){0};
    fixture_dir(&site->f);
    fixture_open(&site->f, NULL);
    snprintf(site->copy, sizeof(site->copy), "%s/copy", site->f.dir);
    for (int i = 0; i < ROWS; i++) {
        struct step write = step_write(i);
        write.body = BODY;
        CHECK_INT(step_do(site->f.port, &write), 0);
    }
}

static void site_close(struct site *site)
{
    fixture_close(&site->f);
    unlink(site->copy);
    fixture_remove(&site->f);
}

/* Another row with every slice: what was copied already changes behind it. */
static int on_slice(void *ctx, const struct db_backup_progress *progress, struct error *err)
{
    struct site *site = ctx;
    struct step write = step_write(1000);
    write.body = BODY;
    CHECK_INT(step_do(site->f.port, &write), 0);
    site->written++;
    site->cpu_us = progress->cpu_us_max;
    if (site->vanish)
        unlink(site->copy);
    if (site->give_up && site->written >= site->give_up)
        return error_set(err, -ECANCELED, "given up");
    return 0;
}

static int copy(struct site *site, const char *vfs, struct error *err)
{
    const struct db_backup_options options = {.path = site->copy, .vfs = vfs, .step = on_slice, .ctx = site};
    return db_backup(site->f.db, &options, err);
}

/* The database goes on, and has what it had. */
static void unharmed(struct site *site)
{
    struct step write = step_write(1);
    CHECK_INT(step_do(site->f.port, &write), 0);
    site->written++;
    CHECK_INT(fixture_rows(&site->f), ROWS + site->written);
}

static void whole_copy(void)
{
    struct site site;
    struct error err = {0};
    struct stat info;
    site_open(&site);
    CHECK_INT(copy(&site, NULL, &err), 0);
    CHECK(site.written > 1);
    CHECK_INT(stat(site.copy, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0600);
    struct fixture opened = {0};
    memcpy(opened.path, site.copy, sizeof(site.copy));
    fixture_open(&opened, NULL); /* every page's checksum is verified when it is read */
    int64_t rows = fixture_rows(&opened);
    CHECK(rows >= ROWS + site.written - 1 && rows <= ROWS + site.written);
    fixture_close(&opened);
    printf("  %d slices, at most %lld us of CPU time each\n", site.written, (long long)site.cpu_us);
    unharmed(&site);
    char name[160];
    snprintf(name, sizeof(name), "%s-wal", site.copy);
    unlink(name);
    site_close(&site);
}

static void full_disk(void)
{
    /* from the first write of the copy on, and in the middle of it */
    for (int after = 0; after <= 20; after += 20) {
        struct site site;
        struct error err = {0};
        site_open(&site);
        fault_arm(&fault_write, after, true);
        CHECK_INT(copy(&site, "fault", &err), -ENOSPC);
        fault_arm(&fault_write, -1, false);
        CHECK(err.text[0]);
        unharmed(&site);
        site_close(&site);
    }
}

static void given_up(void)
{
    struct site site;
    struct error err = {0};
    site_open(&site);
    site.give_up = 2;
    CHECK_INT(copy(&site, NULL, &err), -ECANCELED);
    CHECK(strcmp(err.text, "given up") == 0);
    unharmed(&site);
    unlink(site.copy);
    site.give_up = 0;
    CHECK_INT(copy(&site, NULL, &err), 0); /* nothing of the first stands in the way */
    site_close(&site);
}

static void no_place(void)
{
    struct site site;
    struct error err = {0};
    site_open(&site);
    snprintf(site.copy, sizeof(site.copy), "%s/gone/copy", site.f.dir);
    CHECK_INT(copy(&site, NULL, &err), -ENOENT);
    CHECK(strstr(err.text, "cannot create"));
    snprintf(site.copy, sizeof(site.copy), "%s", site.f.path);
    CHECK_INT(copy(&site, NULL, &err), -EEXIST); /* onto itself */
    unharmed(&site);
    snprintf(site.copy, sizeof(site.copy), "%s/copy", site.f.dir);
    site.vanish = true;
    int status = copy(&site, NULL, &err); /* a file without a name: whoever wants it there looks for it */
    CHECK(status == 0 || err.text[0]);
    CHECK(access(site.copy, F_OK) < 0);
    unharmed(&site);
    site_close(&site);
}

int main(void)
{
    fault_vfs_register();
    return check_main((const struct check_case[]){
        {"whole_copy", whole_copy},
        {"full_disk", full_disk},
        {"given_up", given_up},
        {"no_place", no_place},
        {NULL, NULL},
    });
}
