/* Which Host headers name this machine; what a listener without credentials answers is tested at andon and ingress. */
#include "common/http/guard.h"

#include <criterion/criterion.h>

Test(http_guard, hosts)
{
    static const char *const good[] = {"localhost",       "LocalHost:8080", "127.0.0.1",  "127.0.0.1:1",
                                       "127.9.9.9:65535", "[::1]",          "[::1]:8080", "localhost."};
    static const char *const bad[] = {"",
                                      "evil.example",
                                      "127.0.0.1.evil.example",
                                      "localhost.evil.example",
                                      "10.0.0.1",
                                      "127.1",
                                      "[::1",
                                      "[::1]x",
                                      "[::2]",
                                      "localhost:80x",
                                      "localhost:123456",
                                      "0.0.0.0",
                                      "localhost:80:80",
                                      "::1",
                                      "[127.0.0.1]",
                                      "[",
                                      "[]",
                                      ":",
                                      ":80"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(http_host_loopback(span_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(http_host_loopback(span_of(bad[i])), "%s", bad[i]);
}
