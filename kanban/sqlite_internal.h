/* What the files of the SQLite queue share. */
#ifndef TAI_KANBAN_SQLITE_INTERNAL_H
#define TAI_KANBAN_SQLITE_INTERNAL_H

#include "common/db/db.h"
#include "kanban/lanes.h"

/* Makes the table if it is not there, and puts what it holds into the lanes, bytes left out. Waits for the answer. */
must_check int sqlite_restore(struct db *db, struct lanes *lanes, uint64_t *ret_last_no, struct error *err);

/* The row "no, partition, count, length(body)" without its bytes, heap-owned; NULL if it cannot be true. */
struct lane_frame *sqlite_frame_row(sqlite3_stmt *stmt);

/* Waits until the port has something and dispatches it. */
void sqlite_wait(struct db_port *port);

#endif
