/* Log lines, read back from a pipe. */
#include "common/json/json.h"
#include "common/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192 };

static struct clock_manual now;
static struct log sink;
static int in;
static char line[65536];

static void setup(void)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0); /* one datagram a write(2) */
    in = fds[0];
    clock_manual_init(&now, 1795186560123);
    sink = (struct log){.fd = fds[1], .level = LOG_INFO, .clock = &now.clock, .component = "ingress"};
}

static void teardown(void)
{
    close(in);
    close(sink.fd);
}

TestSuite(log, .init = setup, .fini = teardown);

/* The next line, or "" if none was written. */
static const char *next(void)
{
    ssize_t n = read(in, line, sizeof(line) - 1);
    line[n > 0 ? n : 0] = '\0';
    return line;
}

Test(log, writes_one_object_a_line)
{
    log_event(&sink, LOG_WARN, "lease_lost", LOG_I("partition", -3), LOG_S("who", "a\"b\n"), LOG_B("raw", SPAN("x")));
    cr_assert_str_eq(next(), "{\"ts\":\"2026-11-20T14:56:00.123Z\",\"level\":\"warn\",\"event\":\"lease_lost\","
                             "\"component\":\"ingress\",\"partition\":-3,\"who\":\"a\\\"b\\n\",\"raw\":\"x\"}\n");
    cr_assert_str_eq(next(), "", "a single write");
    sink.component = NULL;
    log_event(&sink, LOG_ERROR, "e");
    cr_assert_str_eq(next(), "{\"ts\":\"2026-11-20T14:56:00.123Z\",\"level\":\"error\",\"event\":\"e\"}\n");
    log_write(&sink, LOG_INFO, "none", NULL);
    cr_assert(strstr(next(), "\"info\",\"event\":\"none\"}"));
}

Test(log, below_the_level_nothing_is_written)
{
    log_event(&sink, LOG_DEBUG, "quiet");
    cr_assert_str_eq(next(), "");
    sink.level = LOG_DEBUG;
    log_event(&sink, LOG_DEBUG, "loud");
    cr_assert(strstr(next(), "\"debug\""));
    sink.level = LOG_ERROR;
    log_event(&sink, LOG_WARN, "quiet");
    cr_assert_str_eq(next(), "");
}

Test(log, repairs_invalid_utf8)
{
    log_event(&sink, LOG_INFO, "e", LOG_B("a", SPAN("x\xff\xc3(\xc3\xa9\xed\xa0\x80")), LOG_S("b", "\xe2\x82"));
    const char *text = next();
    cr_assert(strstr(text, "\"a\":\"x\xef\xbf\xbd\xef\xbf\xbd(\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""), "%s",
              text);
    cr_assert(strstr(text, "\"b\":\"\xef\xbf\xbd\xef\xbf\xbd\"}"), "%s", text);
}

Test(log, null_values)
{
    log_event(&sink, LOG_INFO, "e", LOG_S("a", NULL), LOG_B("b", ((struct span){NULL, 0})), LOG_B("c", SPAN("")));
    cr_assert(strstr(next(), "\"a\":null,\"b\":null,\"c\":\"\"}"));
}

static void expect_cut_line(void)
{
    const char *text = next();
    size_t len = strlen(text);
    struct json_doc doc;
    json_init(&doc);
    cr_assert_leq(len, LINE_MAX_BYTES);
    cr_assert_gt(len, LINE_MAX_BYTES / 3, "most of the room is used: %zu", len);
    cr_assert_eq(json_parse(&doc, (struct span){text, len}, NULL), 0);
    const struct json_node *cut = json_get(&doc, doc.nodes, "truncated");
    cr_assert(cut && cut->type == JSON_TRUE);
    cr_assert_eq(strcspn(text, "\n"), len - 1);
    json_done(&doc);
}

Test(log, cuts_long_lines)
{
    static char text[40000];
    static const char *const fills[] = {"x", "\n", "\x01", "\xf0\x9f\x98\x80", "\xff", "\""};
    for (size_t f = 0; f < sizeof(fills) / sizeof(fills[0]); f++) {
        size_t n = strlen(fills[f]);
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = fills[f][i % n];
        log_event(&sink, LOG_INFO, "e", LOG_B("v", ((struct span){text, sizeof(text)})), LOG_I("after", 1));
        expect_cut_line();
    }
    memset(text, 'x', sizeof(text));
    for (size_t len = 8000; len < 8200; len++) {
        log_event(&sink, LOG_INFO, "e", LOG_B("v", ((struct span){text, len})));
        size_t got = strlen(next());
        cr_assert_leq(got, LINE_MAX_BYTES);
        cr_assert_eq(line[got - 1], '\n');
    }
}

Test(log, cuts_many_fields)
{
    struct log_field fields[2001];
    for (int i = 0; i < 2000; i++)
        fields[i] = LOG_I("n", 1000000 + i);
    fields[2000] = (struct log_field){LOG_END};
    log_write(&sink, LOG_INFO, "e", fields);
    const char *text = next();
    cr_assert_leq(strlen(text), LINE_MAX_BYTES);
    cr_assert(strstr(text, ",\"truncated\":true}\n"));
}

Test(log, a_dead_descriptor_does_no_harm)
{
    sink.fd = -1;
    errno = EDOM;
    log_event(&sink, LOG_ERROR, "lost");
    cr_assert_eq(errno, EDOM);
    sink.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
}
