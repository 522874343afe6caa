/* The table of endpoints. Constant data. */
#include "andon/api/routes.h"
#include "andon/api/internal.h"

#define NAMES(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

const struct api_route api_routes[] = {
    {"GET", "/", api_index, NAMES(), NULL, API_ANYBODY, API_SCOPE_NONE},
    {"GET", "/openapi.json", api_openapi, NAMES(), NULL, API_ANYBODY, API_SCOPE_NONE},

    {"GET", "/v1/signals/{id}", api_signal_get, NAMES("tenant_id", "entitlement_id"), NULL,
     API_VIEWER | API_OPERATOR | API_PUBLISHER, API_SCOPE_FILTER},

    {"GET", "/v1/receipts", api_receipt_list,
     NAMES("shard", "tenant_id", "entitlement_id", "signal_id", "type", "since", "before", "order", "limit", "after"),
     NULL, API_READERS, API_SCOPE_FILTER},
    {"GET", "/v1/receipts/{id}", api_receipt_get, NAMES(), NULL, API_READERS, API_SCOPE_FOUND},
    {"GET", "/v1/receipts/{id}/proof", api_receipt_proof, NAMES("size"), NULL, API_READERS, API_SCOPE_FOUND},
    {"GET", "/v1/receipts/{id}/tlog-proof", api_receipt_tlog_proof, NAMES(), NULL, API_READERS, API_SCOPE_FOUND},
    {"GET", "/v1/receipts/{id}/jws", api_receipt_jws, NAMES(), NULL, API_READERS, API_SCOPE_FOUND},

    {"GET", "/v1/governors", api_governor_list, NAMES("tenant_id", "state", "order", "limit", "after"), NULL,
     API_VIEWER | API_OPERATOR, API_SCOPE_FILTER},
    {"GET", "/v1/governors/{tenant}/{entitlement}", api_governor_get, NAMES(), NULL, API_VIEWER | API_OPERATOR,
     API_SCOPE_PATH},
    {"POST", "/v1/governors/{tenant}/{entitlement}/halt", api_governor_halt, NAMES(), NAMES("command_id", "reason"),
     API_OPERATOR, API_SCOPE_PATH},
    {"POST", "/v1/governors/{tenant}/{entitlement}/resume", api_governor_resume, NAMES(), NAMES("command_id", "reason"),
     API_OPERATOR, API_SCOPE_PATH},
    {"POST", "/v1/governors/{tenant}/{entitlement}/activate", api_governor_activate, NAMES(),
     NAMES("command_id", "reason", "quota_limit", "quota_period", "sku_id"), API_OPERATOR, API_SCOPE_PATH},
    {"POST", "/v1/governors/{tenant}/{entitlement}/reset-quota", api_governor_reset_quota, NAMES(),
     NAMES("command_id", "reason"), API_OPERATOR, API_SCOPE_PATH},

    {"GET", "/v1/deadletters", api_deadletter_list,
     NAMES("class", "reason", "tenant_id", "entitlement_id", "since", "before", "order", "limit", "after"), NULL,
     API_VIEWER | API_OPERATOR, API_SCOPE_FILTER},
    {"POST", "/v1/deadletters/bulk", api_deadletter_bulk, NAMES(),
     NAMES("action", "filter", "dry_run", "limit", "reason", "after"), API_OPERATOR, API_SCOPE_FILTER},
    {"GET", "/v1/deadletters/{id}", api_deadletter_get, NAMES(), NULL, API_VIEWER | API_OPERATOR, API_SCOPE_FOUND},
    {"POST", "/v1/deadletters/{id}/requeue", api_deadletter_requeue, NAMES(), NAMES("command_id", "reason", "signal"),
     API_OPERATOR, API_SCOPE_FOUND},
    {"POST", "/v1/deadletters/{id}/discard", api_deadletter_discard, NAMES(), NAMES("command_id", "reason"),
     API_OPERATOR, API_SCOPE_FOUND},

    {"GET", "/v1/commands", api_command_list,
     NAMES("command", "status", "tenant_id", "entitlement_id", "since", "before", "order", "limit", "after"), NULL,
     API_VIEWER | API_OPERATOR, API_SCOPE_FILTER},
    {"GET", "/v1/commands/{id}", api_command_get, NAMES(), NULL, API_VIEWER | API_OPERATOR, API_SCOPE_FOUND},

    {"GET", "/v1/partitions", api_partition_list, NAMES("order", "limit", "after"), NULL, API_VIEWER | API_OPERATOR,
     API_SCOPE_ALL},

    {"GET", "/v1/backup", api_backup_get, NAMES(), NULL, API_OPERATOR, API_SCOPE_ALL},
    {"POST", "/v1/backup", api_backup_start, NAMES(), NAMES("directory"), API_OPERATOR, API_SCOPE_ALL},
    {"GET", "/v1/status", api_status, NAMES(), NULL, API_VIEWER | API_OPERATOR, API_SCOPE_ALL},

    {"GET", "/checkpoint", api_checkpoint, NAMES("shard"), NULL, API_READERS, API_SCOPE_NONE},
    {"GET", "/v1/ledger/consistency", api_consistency, NAMES("shard", "old", "new"), NULL, API_READERS, API_SCOPE_NONE},
    {"GET", "/v1/ledger/vkey", api_vkey, NAMES(), NULL, API_ANYBODY, API_SCOPE_NONE},
    {"GET", "/.well-known/jwks.json", api_jwks, NAMES(), NULL, API_ANYBODY, API_SCOPE_NONE},

    {"GET", "/livez", api_livez, NAMES(), NULL, API_PROBE, API_SCOPE_NONE},
    {"GET", "/readyz", api_readyz, NAMES(), NULL, API_PROBE, API_SCOPE_NONE},
    {"GET", "/health", api_health, NAMES(), NULL, API_ANYBODY, API_SCOPE_NONE},
    {"GET", "/metrics", api_metrics, NAMES(), NULL, API_VIEWER | API_OPERATOR, API_SCOPE_ALL},
    {NULL},
};
