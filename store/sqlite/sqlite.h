/* The SQLite store: tables in the database file that one db thread owns (common/db.h). */
#ifndef TAI_STORE_SQLITE_SQLITE_H
#define TAI_STORE_SQLITE_SQLITE_H

#include "common/db.h"
#include "store/backend.h"

/* The schema scripts for db_options.schema. */
extern const char *const store_sqlite_schema[];

must_check int store_sqlite_new(struct db *db, struct store_backend **ret, struct error *err);

#endif
