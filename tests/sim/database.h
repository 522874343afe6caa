/* The database thread without its thread: the real turns of common/db/thread.c over an in-memory database, run when the
 * simulator says so over the jobs it chooses. The database survives what is killed around it; jobs and completions of
 * the killed do not.
 *
 * Linked with --wrap for what starts the thread, submits jobs and closes ports; there is one database in the program.
 */
#ifndef TAI_TESTS_SIM_DATABASE_H
#define TAI_TESTS_SIM_DATABASE_H

#include "common/db/db.h"
#include "sim/random.h"

#include <stddef.h>

struct database_faults {       /* per mille */
    unsigned commit_full;      /* a turn's COMMIT finds no room */
    unsigned statement_full;   /* a writing statement finds no room, the job fails */
    unsigned transaction_lost; /* it finds no room, and SQLite rolls everything back */
    unsigned read_error;       /* a reading statement fails with EIO */
};

struct database;
struct database *database_open(const char *const *schema); /* aborts if it cannot */
void database_close(struct database *database);
struct db *database_db(struct database *database);
/* Empties every table; nothing may be queued. random: what decides about faults and interleavings from now on. */
void database_reset(struct database *database, struct random *random);
void database_set_faults(struct database *database, struct database_faults faults);
void database_spare(struct database *database, bool spare); /* no faults while a process starts or is being looked at */
uint64_t database_faults_hit(const struct database *database);

/* Ports opened from now on belong to this owner (a process of the simulation). */
void database_own(struct database *database, unsigned owner);
size_t database_queued(const struct database *database); /* jobs */
/* Completions, or wakes, that an owner has not dispatched yet. */
bool database_signaled(const struct database *database, unsigned owner);
/* One turn over the oldest jobs of each port, how many is up to chance; at least one if there are any. */
void database_turn(struct database *database);
void database_turn_all(struct database *database);
/* Runs only what this port has queued. */
void database_turn_port(struct database *database, struct db_port *port);
/* From here to database_dead, what an owner submitted is lost, but for what a last turn (unless it has none) over
 * chance's choice of it still commits. Then its ports may be closed: their jobs are answered with -ESHUTDOWN or
 * dropped. */
void database_dying(struct database *database, unsigned owner, bool last_turn);
void database_dead(struct database *database);

/* Between turns, on the simulator's own account: what is committed. */
sqlite3 *database_handle(struct database *database);

#endif
