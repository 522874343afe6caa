/* Verifying the frames of a queue at rest, decoded as their consumer decodes them. */
#ifndef TAI_KANBAN_CHECK_H
#define TAI_KANBAN_CHECK_H

#include "common/db/reader.h"

/* Of the SQLite queue in a database at rest; one that never had a queue is fine. partitions: of the data set. */
void kanban_sqlite_check(struct db_reader *reader, uint32_t partitions, struct check *check);

#endif
