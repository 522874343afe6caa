/* The tables. Keys come first and rows are narrow: what a commit costs is the number of pages it touches. */
#include "store/sqlite/internal.h"

/* Version 1.
 *
 * signals.conflict is empty for the body that came first under an identity, the hash for any other. line stands only in
 * waiting and acting rows, so the partial indexes stay small. outcomes: unsigned LEB128 numbers, each the distance from
 * the one before. outcomes.id = shard << 48 | order of arrival: appended at the end, read and deleted from the front.
 * receipts.id = shard << 48 | index. receipt_ids finds receipts by the first 8 bytes of their id; its rows lie in
 * blocks of 4096 receipts, because ids are random: one index over all would touch a page for each receipt. A lease
 * whose owner is NULL was given back; who owns it until when is known only to the running process (lease.c). */
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
    " PRIMARY KEY(tenant, id, entitlement, redrive, conflict)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX signals_line ON signals(partition, status, tenant, entitlement, line) WHERE line IS NOT NULL;"
    "CREATE INDEX signals_due ON signals(partition, due) WHERE due IS NOT NULL;"
    "CREATE TABLE governors("
    " tenant TEXT NOT NULL, entitlement TEXT NOT NULL, partition INTEGER NOT NULL, state INTEGER NOT NULL,"
    " entitled INTEGER NOT NULL, opened_by INTEGER NOT NULL, refund_open INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " quota_limit INTEGER, quota_used INTEGER NOT NULL, quota_period INTEGER NOT NULL, period_start INTEGER NOT NULL,"
    " boot_due INTEGER NOT NULL, breaker_due INTEGER NOT NULL, entitlement_event_at INTEGER NOT NULL,"
    " refund_event_at INTEGER NOT NULL, halt_alert_at INTEGER NOT NULL, halt_alerts INTEGER NOT NULL,"
    " last_signal_at INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, next_due INTEGER,"
    " quota_due INTEGER, sku TEXT, pending TEXT, policy_state TEXT,"
    " PRIMARY KEY(tenant, entitlement)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX governors_due ON governors(partition, next_due) WHERE next_due IS NOT NULL;"
    "CREATE INDEX governors_quota_due ON governors(partition, quota_due) WHERE quota_due IS NOT NULL;"
    /* 1 is active: nearly all are, and those need no index to be found or counted */
    "CREATE INDEX governors_state ON governors(state) WHERE state <> 1;"
    "CREATE TABLE tenants("
    " tenant TEXT NOT NULL, partition INTEGER NOT NULL, governors INTEGER NOT NULL,"
    " PRIMARY KEY(tenant, partition)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE outcome_numbers("
    " partition INTEGER NOT NULL, shard INTEGER NOT NULL, next INTEGER NOT NULL,"
    " PRIMARY KEY(partition, shard)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE outcomes("
    " id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, number INTEGER NOT NULL, tenant TEXT NOT NULL,"
    " alert TEXT NOT NULL, text TEXT NOT NULL) STRICT;"
    "CREATE TABLE outcome_cursors("
    " shard INTEGER NOT NULL, partition INTEGER NOT NULL, receipted INTEGER NOT NULL,"
    " PRIMARY KEY(shard, partition)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE shards("
    " shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0, batch INTEGER NOT NULL DEFAULT 0, owner TEXT,"
    " crashes INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0,"
    " frontier BLOB NOT NULL DEFAULT x'') STRICT;"
    "CREATE TABLE chains("
    " chain TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE receipts("
    " id INTEGER PRIMARY KEY, chain TEXT NOT NULL, seq INTEGER NOT NULL, receipt_id BLOB NOT NULL,"
    " partition INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, tenant TEXT,"
    " entitlement TEXT NOT NULL, signal TEXT NOT NULL, type TEXT NOT NULL, timestamp INTEGER NOT NULL,"
    " body TEXT NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX receipts_chain ON receipts(chain, seq);"
    "CREATE TABLE receipt_ids("
    " block INTEGER NOT NULL, prefix INTEGER NOT NULL, receipt INTEGER NOT NULL,"
    " PRIMARY KEY(block, prefix, receipt)) STRICT, WITHOUT ROWID;";

const char *const store_sqlite_schema[] = {version_1, NULL};
