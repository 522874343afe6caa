/* The SQLite store: tables in the database file that one db thread owns (common/db/db.h). */
#ifndef TAI_STORE_SQLITE_SQLITE_H
#define TAI_STORE_SQLITE_SQLITE_H

#include "common/db/db.h"
#include "common/db/reader.h"
#include "store/backend.h"
#include "store/check.h"

/* The schema scripts for db_options.schema. */
extern const char *const store_sqlite_schema[];

must_check int store_sqlite_new(struct db *db, struct store_backend **ret, struct error *err);

/* Checks every row of the store in a database at rest, whose schema must be store_sqlite_schema's. */
void store_sqlite_check(struct db_reader *reader, struct store_check *options);

#endif
