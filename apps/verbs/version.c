/* `tai version`: of the program, and of the libraries it runs on, for reports of trouble. */
#include "apps/cli/cli.h"
#include "apps/cli/output.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <sqlite3.h>

enum { JSON };

static const struct cli_option options[] = {[JSON] = CLI_JSON, {0}};

static const struct cli_verb verb = {
    .name = "version",
    .arguments = "",
    .about = "Prints the version of this program, the revision it was built from, and the libraries it runs on.",
    .options = options,
};

static void print_json(void)
{
    struct buf out;
    buf_init(&out, 1 << 12);
    buf_add_char(&out, '{');
    json_add_member(&out, "version", SPAN(TAI_VERSION));
    json_add_member(&out, "revision", SPAN(TAI_REVISION));
    json_add_member(&out, "compiler", SPAN(__VERSION__));
    json_add_member(&out, "libevent", span_of(event_get_version()));
    json_add_member(&out, "openssl", span_of(OpenSSL_version(OPENSSL_VERSION_STRING)));
    json_add_member(&out, "sqlite", span_of(sqlite3_libversion()));
    json_add_member(&out, "libcurl", span_of(curl_version_info(CURLVERSION_NOW)->version));
    buf_add_char(&out, '}');
    out_line(buf_span(&out));
    buf_done(&out);
}

int verb_version(int argc, char **argv)
{
    struct cli cli;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    if (cli.values[JSON]) {
        print_json();
        return EXIT_OK;
    }
    printf("tai %s%s%s%s\n", TAI_VERSION, *TAI_REVISION ? " (" : "", TAI_REVISION, *TAI_REVISION ? ")" : "");
    printf("libevent %s, OpenSSL %s, SQLite %s, libcurl %s\n", event_get_version(),
           OpenSSL_version(OPENSSL_VERSION_STRING), sqlite3_libversion(), curl_version_info(CURLVERSION_NOW)->version);
    return EXIT_OK;
}
