/* A ring of fixed-size entries, the oldest overwritten, found through chained buckets. Entries are numbered as they
 * come; a chain leads from the newest to older ones and ends where the ring has gone over it. Identities are kept as
 * seeded 64-bit hashes, so an entry has the same size whatever the ids; a duplicate must also agree in the signal's
 * SHA-256. now_ms is monotonic. The pages of the ring are touched only as it fills. */
#include "ingress/recent.h"

#include "common/mem.h"

#include <pthread.h>
#include <stdlib.h>

/* Four buckets for each entry: most are empty, and an entry that is not there costs no look at another. */
enum { BUCKETS = 4 * RECENT_ENTRIES, SHA_KEPT = 16 };

struct entry {
    uint64_t key;         /* of tenant and id */
    uint64_t entitlement; /* of tenant and entitlement */
    int64_t at_ms;
    uint8_t sha256[SHA_KEPT];
    uint32_t next; /* number of an older one in the same bucket */
};

struct recent {
    pthread_mutex_t lock;
    struct entry *ring;
    uint32_t *buckets; /* number of the newest entry */
    uint32_t last;     /* number of the newest of all; 0: none yet */
    uint64_t seed;
};

struct recent *recent_new(void)
{
    struct recent *recent = xcalloc(1, sizeof(*recent));
    pthread_mutex_init(&recent->lock, NULL);
    recent->ring = xcalloc(RECENT_ENTRIES, sizeof(*recent->ring));
    recent->buckets = xcalloc(BUCKETS, sizeof(*recent->buckets));
    random_bytes(&recent->seed, sizeof(recent->seed));
    return recent;
}

void recent_free(struct recent *recent)
{
    if (!recent)
        return;
    pthread_mutex_destroy(&recent->lock);
    free(recent->ring);
    free(recent->buckets);
    free(recent);
}

/* The tenant is hashed under the seed first, so that neither hash can be steered without knowing it. */
static void make_keys(const struct recent *recent, const struct identity *identity, uint64_t *ret_key,
                      uint64_t *ret_entitlement)
{
    uint64_t tenant = hash_quick(identity->tenant_id, recent->seed);
    *ret_key = hash_quick(identity->id, tenant);
    *ret_entitlement = hash_quick(identity->entitlement_id, tenant);
}

/* Whether the ring still holds the entry of that number. */
static bool is_kept(const struct recent *recent, uint32_t number)
{
    return number && recent->last - number < RECENT_ENTRIES;
}

/* sha256 NULL and entitlement NULL match any. The caller holds the lock. */
static bool find(const struct recent *recent, uint64_t key, const uint64_t *entitlement, const uint8_t *sha256,
                 int64_t now_ms)
{
    uint32_t number = recent->buckets[key % BUCKETS], younger = number + 1;
    while (is_kept(recent, number) && (int32_t)(number - younger) < 0) { /* numbers wrap */
        const struct entry *entry = &recent->ring[number % RECENT_ENTRIES];
        if (entry->key == key && (!entitlement || entry->entitlement == *entitlement) &&
            (!sha256 || memcmp(entry->sha256, sha256, SHA_KEPT) == 0) && now_ms - entry->at_ms < RECENT_AGE_MS)
            return true;
        younger = number;
        number = entry->next;
    }
    return false;
}

static void insert(struct recent *recent, const struct entry *entry)
{
    uint32_t number = ++recent->last;
    uint32_t *bucket = &recent->buckets[entry->key % BUCKETS];
    recent->ring[number % RECENT_ENTRIES] = *entry;
    recent->ring[number % RECENT_ENTRIES].next = *bucket;
    *bucket = number;
}

bool recent_add(struct recent *recent, const struct identity *identity, const uint8_t sha256[SHA256_SIZE],
                int64_t now_ms)
{
    struct entry entry = {.at_ms = now_ms};
    make_keys(recent, identity, &entry.key, &entry.entitlement);
    memcpy(entry.sha256, sha256, SHA_KEPT);
    pthread_mutex_lock(&recent->lock);
    bool duplicate = find(recent, entry.key, &entry.entitlement, sha256, now_ms);
    if (!duplicate)
        insert(recent, &entry);
    pthread_mutex_unlock(&recent->lock);
    return duplicate;
}

bool recent_has(struct recent *recent, const struct identity *identity, int64_t now_ms)
{
    uint64_t key;
    uint64_t entitlement;
    make_keys(recent, identity, &key, &entitlement);
    pthread_mutex_lock(&recent->lock);
    bool found = find(recent, key, identity->entitlement_id.len ? &entitlement : NULL, NULL, now_ms);
    pthread_mutex_unlock(&recent->lock);
    return found;
}
