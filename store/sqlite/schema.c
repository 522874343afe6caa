/* The tables. Keys come first and rows are narrow: what a commit costs is the number of pages it touches. */
#include "store/sqlite/internal.h"

/* Version 1.
 *
 * signals: the id leads the key, because ids made by time fall next to each other whatever their tenant. conflict is
 * empty for the body that came first under an identity, the hash for any other. line stands only in waiting and acting
 * rows, so the partial indexes stay small. outcomes: numbers as varints (pack.c), each the distance from the one
 * before. governors.numbers: what no statement asks for (governors.c). outcomes: one row for what a commit adds to a
 * shard (outcomes.c), id = shard << 48 | order of arrival: appended at the end, read and deleted from the front.
 * receipts.id = shard << 48 | index. receipt_ids: the first 4 bytes of the id of each receipt, 1000 receipts a row, id
 * = shard << 48 | index / 1000; receipt ids are random, an index over them would touch a page for each. chain_receipts:
 * receipts.id as 8 bytes, most significant first, of 100 receipts of a chain, block = (seq - 1) / 100. deadletters: the
 * open ones; number never occurs twice, so that it can be a cursor; cause and ended_at are the reason and changed_at of
 * the signal's row, here for the filters of lists. deadletter_counts: how many are open, because counting them would
 * cost as much as there are. attempts: signals that were begun and not finished, while the partition's owners crash. A
 * lease whose owner is NULL was given back; until when it is held is known only to the running process (lease.c). */
static const char version_1[] =
    "CREATE TABLE dataset(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE partitions("
    " partition INTEGER PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0, batch INTEGER NOT NULL DEFAULT 0, owner TEXT,"
    " crashes INTEGER NOT NULL DEFAULT 0, clock INTEGER NOT NULL DEFAULT 0, next_line INTEGER NOT NULL DEFAULT 1,"
    " taken INTEGER NOT NULL DEFAULT 0, requeued INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0,"
    " duplicates INTEGER NOT NULL DEFAULT 0, waiting INTEGER NOT NULL DEFAULT 0, acting INTEGER NOT NULL DEFAULT 0,"
    " governors INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE intake("
    " partition INTEGER NOT NULL, boot TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"
    " confirmed INTEGER NOT NULL, PRIMARY KEY(partition, boot, first)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE signals("
    " tenant TEXT NOT NULL, id TEXT NOT NULL, entitlement TEXT NOT NULL, redrive INTEGER NOT NULL,"
    " conflict BLOB NOT NULL, sha256 BLOB NOT NULL, status INTEGER NOT NULL, reason TEXT NOT NULL,"
    " accepted_at INTEGER NOT NULL, changed_at INTEGER NOT NULL, outcomes BLOB NOT NULL, partition INTEGER NOT NULL,"
    " line INTEGER, due INTEGER, envelope BLOB, bytes BLOB,"
    " PRIMARY KEY(id, tenant, entitlement, redrive, conflict)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX signals_line ON signals(partition, status, tenant, entitlement, line) WHERE line IS NOT NULL;"
    "CREATE INDEX signals_due ON signals(partition, due) WHERE due IS NOT NULL;"
    "CREATE TABLE governors("
    " tenant TEXT NOT NULL, entitlement TEXT NOT NULL, partition INTEGER NOT NULL, state INTEGER NOT NULL,"
    " next_due INTEGER, quota_due INTEGER, numbers BLOB NOT NULL, sku TEXT, pending TEXT, policy_state TEXT,"
    " PRIMARY KEY(tenant, entitlement)) STRICT;"
    "CREATE INDEX governors_due ON governors(partition, next_due) WHERE next_due IS NOT NULL;"
    "CREATE INDEX governors_quota_due ON governors(partition, quota_due) WHERE quota_due IS NOT NULL;"
    /* 1 is active: nearly all are, and those need no index to be found or counted */
    "CREATE INDEX governors_state ON governors(state, tenant, entitlement) WHERE state <> 1;"
    "CREATE TABLE tenants("
    " tenant TEXT NOT NULL, partition INTEGER NOT NULL, governors INTEGER NOT NULL,"
    " PRIMARY KEY(tenant, partition)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE outcome_numbers("
    " partition INTEGER NOT NULL, shard INTEGER NOT NULL, next INTEGER NOT NULL,"
    " PRIMARY KEY(partition, shard)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE outcomes("
    " id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,"
    " pack BLOB NOT NULL) STRICT;"
    "CREATE TABLE outcome_cursors("
    " shard INTEGER NOT NULL, partition INTEGER NOT NULL, receipted INTEGER NOT NULL,"
    " PRIMARY KEY(shard, partition)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE shards("
    " shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0, batch INTEGER NOT NULL DEFAULT 0, owner TEXT,"
    " crashes INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0,"
    " frontier BLOB NOT NULL DEFAULT x'') STRICT;"
    "CREATE TABLE chains("
    " chain TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL, added INTEGER NOT NULL) STRICT;"
    "CREATE TABLE receipts("
    " id INTEGER PRIMARY KEY, chain TEXT NOT NULL, seq INTEGER NOT NULL, receipt_id BLOB NOT NULL,"
    " partition INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, tenant TEXT,"
    " entitlement TEXT NOT NULL, signal TEXT NOT NULL, type TEXT NOT NULL, timestamp INTEGER NOT NULL,"
    " body TEXT NOT NULL) STRICT;"
    "CREATE TABLE receipt_ids(id INTEGER PRIMARY KEY, prefixes BLOB NOT NULL) STRICT;"
    "CREATE TABLE deadletters("
    " number INTEGER PRIMARY KEY AUTOINCREMENT, receipt BLOB NOT NULL UNIQUE, partition INTEGER NOT NULL,"
    " class INTEGER NOT NULL, state INTEGER, cause TEXT NOT NULL, ended_at INTEGER NOT NULL, tenant TEXT NOT NULL,"
    " id TEXT NOT NULL, entitlement TEXT NOT NULL, redrive INTEGER NOT NULL, conflict BLOB NOT NULL) STRICT;"
    "CREATE TABLE deadletter_counts("
    " partition INTEGER NOT NULL, class INTEGER NOT NULL, open INTEGER NOT NULL,"
    " PRIMARY KEY(partition, class)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE commands("
    " number INTEGER PRIMARY KEY AUTOINCREMENT, command TEXT NOT NULL UNIQUE, kind INTEGER NOT NULL,"
    " partition INTEGER NOT NULL, tenant TEXT NOT NULL, entitlement TEXT NOT NULL, deadletter BLOB,"
    " args TEXT NOT NULL, operator TEXT NOT NULL, created_at INTEGER NOT NULL, status INTEGER NOT NULL,"
    " reason TEXT NOT NULL, envelope BLOB, bytes BLOB) STRICT;"
    "CREATE INDEX commands_pending ON commands(partition, number) WHERE status = 0;"
    "CREATE INDEX commands_ended ON commands(created_at) WHERE status <> 0;"
    "CREATE TABLE attempts("
    " tenant TEXT NOT NULL, id TEXT NOT NULL, entitlement TEXT NOT NULL, redrive INTEGER NOT NULL,"
    " partition INTEGER NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY(id, tenant, entitlement, redrive)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE chain_receipts("
    " chain TEXT NOT NULL, block INTEGER NOT NULL, ids BLOB NOT NULL,"
    " PRIMARY KEY(chain, block)) STRICT, WITHOUT ROWID;";

/* Version 2.
 *
 * attempts: whose they are, so that only those of workers that died count (attempts.c). since: the partition clock of a
 * row's status and of a command's end: retention counts on it. deferrals: of a waiting row; 0 in all others. wall_*:
 * how far the wall clock was ahead of the partition clock (struct wall_trust). */
static const char version_2[] =
    "DROP TABLE attempts;"
    "CREATE TABLE attempts("
    " tenant TEXT NOT NULL, id TEXT NOT NULL, entitlement TEXT NOT NULL, redrive INTEGER NOT NULL,"
    " partition INTEGER NOT NULL, epoch INTEGER NOT NULL, worker TEXT NOT NULL,"
    " PRIMARY KEY(id, tenant, entitlement, redrive, epoch)) STRICT, WITHOUT ROWID;"
    "ALTER TABLE signals ADD COLUMN since INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE signals ADD COLUMN deferrals INTEGER NOT NULL DEFAULT 0;"
    "UPDATE signals SET since = coalesce((SELECT clock FROM partitions p WHERE p.partition = signals.partition), 0);"
    "CREATE INDEX signals_deferred ON signals(partition, tenant, entitlement, due) WHERE deferrals > 0;"
    "ALTER TABLE commands ADD COLUMN since INTEGER NOT NULL DEFAULT 0;"
    "UPDATE commands SET since = coalesce((SELECT clock FROM partitions p WHERE p.partition = commands.partition), 0);"
    "DROP INDEX commands_ended;"
    "CREATE INDEX commands_ended ON commands(partition, since) WHERE status <> 0;"
    "ALTER TABLE partitions ADD COLUMN wall_day INTEGER;"
    "ALTER TABLE partitions ADD COLUMN wall_low INTEGER;"
    "ALTER TABLE partitions ADD COLUMN wall_before INTEGER;";

/* Version 3.
 *
 * tiles: the Merkle tree of each shard's log in tiles of 256 hashes of 32 bytes (https://c2sp.org/tlog-tiles), id =
 * shard << 48 | level << 40 | number. shards.tiled: how many leaves they cover, a multiple of 256. Over those, tile n
 * of level 0 holds the leaf hashes of receipts 256 n to 256 n + 255; tile n of level l the roots of the subtrees of
 * 256^l receipts, of which there are tiled / 256^l in all, so its last tile is shorter. */
static const char version_3[] = "ALTER TABLE shards ADD COLUMN tiled INTEGER NOT NULL DEFAULT 0;"
                                "CREATE TABLE tiles(id INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT;";

const char *const store_sqlite_schema[] = {version_1, version_2, version_3, NULL};
