/* A database at rest, read without changing a byte of it, its log or its directory: what the log holds is seen as
 * recovery would leave it. Nobody else may have the files open for writing; no file is locked. One thread. */
#ifndef TAI_COMMON_DB_READER_H
#define TAI_COMMON_DB_READER_H

#include "common/check.h"
#include "common/db/db.h"

struct db_reader;

/* -EUCLEAN: damaged or no database; -ENOENT. */
must_check int db_reader_open(const char *path, struct db_reader **ret, struct error *err);
void db_reader_close(struct db_reader *reader);
struct db_conn *db_reader_conn(struct db_reader *reader); /* for db_stmt, db_step */
/* What the statement that failed last with -EUCLEAN has met, in words; valid until the next call. */
const char *db_reader_damage(struct db_reader *reader);

/* Whether every table and index that the scripts (as in db_options) make is there as they make it. -ENOTSUP: of
 * another version; -EUCLEAN: changed. */
must_check int db_reader_schema(struct db_reader *reader, const char *const *scripts, struct error *err);
/* Whether there is a table of that name: 1, 0 or -errno. */
must_check int db_reader_has(struct db_reader *reader, const char *table);

/* SQLite's own check of the trees, their order, types and indices; problems by table. */
void db_reader_structure(struct db_reader *reader, struct check *check);
/* The checksum of every page that is read from the file, and whether none is missing. reader: of the same file, or NULL
 * if it cannot be opened. */
void db_check_pages(const char *path, struct db_reader *reader, struct check *check);
/* The log: damage in front of later commits, and what recovery will take or drop. */
void db_check_log(const char *path, struct check *check);

#endif
