/* SQLite's page cache, but for one thing. When SQLite swaps two pages it parks one of them for a moment under the
 * number of the page at 1 GiB, which never holds data. Its cache takes that for the highest number it ever held, and at
 * the next COMMIT walks all its pages to drop those behind the end of the file: at each COMMIT, as pages are swapped
 * all the time. Here the parking place is 0, a number no page has. */
#include "common/db/internal.h"

enum { PARKED = 0x40000000 / DB_PAGE_SIZE + 1 };

struct cache {
    sqlite3_pcache_methods2 own; /* SQLite's; set before the first cache is made */
    atomic_bool other_sizes;     /* with pages of another size, PARKED is one of them */
};

/* SQLite hands no context to these methods. */
static struct cache *cache(void)
{
    static struct cache all;
    return &all;
}

static sqlite3_pcache *create(int page_size, int extra, int purgeable)
{
    if (page_size != DB_PAGE_SIZE)
        atomic_store(&cache()->other_sizes, true);
    return cache()->own.xCreate(page_size, extra, purgeable);
}

static void rekey(sqlite3_pcache *pages, sqlite3_pcache_page *page, unsigned old, unsigned new)
{
    bool park = !atomic_load_explicit(&cache()->other_sizes, memory_order_relaxed);
    cache()->own.xRekey(pages, page, park && old == PARKED ? 0 : old, park && new == PARKED ? 0 : new);
}

void db_cache_configure(void)
{
    if (sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &cache()->own) != SQLITE_OK)
        return; /* somebody uses SQLite already: it stays as it is */
    sqlite3_pcache_methods2 methods = cache()->own;
    methods.xCreate = create;
    methods.xRekey = rekey;
    (void)sqlite3_config(SQLITE_CONFIG_PCACHE2, &methods);
}
