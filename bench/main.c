/* The load generator by itself, for bench/run and the tests: IPv4 addresses only, prints one JSON object. `tai bench`
 * is the same for users. */
#include "bench/load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static void usage(FILE *to)
{
    fputs("Usage: load --port PORT [options]\n"
          "  --host ADDRESS        IPv4 address (127.0.0.1)\n"
          "  --path PATH           (/v1/signals)\n"
          "  --connections N       (64)\n"
          "  --rate R              requests a second, latency from the scheduled time; 0: as fast as answered (0)\n"
          "  --duration S          seconds (5)\n"
          "  --requests N          stop after so many\n"
          "  --first N             number of the first signal: tenant and entitlement go by it (0)\n"
          "  --warmup S            latencies of the first S seconds are not counted (0)\n"
          "  --batch B             signals in one POST (1)\n"
          "  --size BYTES          of one signal (300)\n"
          "  --tenants K           (10)\n"
          "  --entitlements E      of each tenant (10)\n"
          "  --key ID:SECRET       sign with HMAC-SHA256\n"
          "  --probe PORT:N        follow the first signal of every Nth request to its receipt on andon's port\n",
          to);
}

static struct address address_of(const char *host, const char *port, char **end)
{
    struct address address = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *to = (struct sockaddr_in *)&address.to;
    long number = strtol(port, end, 10);
    to->sin_family = AF_INET;
    to->sin_port = htons((uint16_t)number);
    if (number >= 1 && number <= UINT16_MAX && inet_pton(AF_INET, host, &to->sin_addr) == 1)
        return address;
    fprintf(stderr, "load: '%s' is no port, or '%s' no IPv4 address\n", port, host);
    exit(2);
}

/* Splits ID:SECRET in place. */
static void split_key(struct load_options *load, char *text)
{
    char *colon = strchr(text, ':');
    if (!colon) {
        fputs("load: --key wants ID:SECRET\n", stderr);
        exit(2);
    }
    *colon = '\0';
    load->key_id = text;
    load->secret = span_of(colon + 1);
}

/* port, probe: as given, because --host may stand behind them. */
static void parse(struct load_options *load, int argc, char **argv, const char **ret_port, const char **ret_probe)
{
    static const struct option options[] = {{"host", 1, NULL, 'h'},
                                            {"port", 1, NULL, 'p'},
                                            {"path", 1, NULL, 'P'},
                                            {"rate", 1, NULL, 'r'},
                                            {"duration", 1, NULL, 'd'},
                                            {"connections", 1, NULL, 'c'},
                                            {"requests", 1, NULL, 'n'},
                                            {"warmup", 1, NULL, 'w'},
                                            {"batch", 1, NULL, 'b'},
                                            {"size", 1, NULL, 's'},
                                            {"tenants", 1, NULL, 't'},
                                            {"entitlements", 1, NULL, 'e'},
                                            {"key", 1, NULL, 'k'},
                                            {"probe", 1, NULL, 'q'},
                                            {"first", 1, NULL, 'f'},
                                            {"help", 0, NULL, 'H'},
                                            {0}};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            load->host = optarg;
            break;
        case 'p':
            *ret_port = optarg;
            break;
        case 'P':
            load->path = optarg;
            break;
        case 'r':
            load->rate = strtod(optarg, NULL);
            break;
        case 'd':
            load->duration_s = strtod(optarg, NULL);
            break;
        case 'c':
            load->connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            load->requests = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            load->warmup_s = strtod(optarg, NULL);
            break;
        case 'b':
            load->batch = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            load->size = strtoul(optarg, NULL, 10);
            break;
        case 't':
            load->tenants = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'e':
            load->entitlements = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            split_key(load, optarg);
            break;
        case 'q':
            *ret_probe = optarg;
            break;
        case 'f':
            load->first = strtoull(optarg, NULL, 10);
            break;
        default:
            usage(c == 'H' ? stdout : stderr);
            exit(c == 'H' ? 0 : 2);
        }
    }
}

static void find_servers(struct load_options *load, const char *port, const char *probe)
{
    char *end;
    bool good = port && load->connections && load->batch && load->tenants && load->entitlements && load->duration_s > 0;
    if (!good) {
        usage(stderr);
        exit(2);
    }
    load->ingress = address_of(load->host, port, &end);
    load->andon_host = load->host;
    if (!probe)
        return;
    load->andon = address_of(load->host, probe, &end);
    load->follow = *end == ':' ? (unsigned)strtoul(end + 1, NULL, 10) : 1;
}

int main(int argc, char **argv)
{
    struct load_options load = {.host = "127.0.0.1",
                                .path = "/v1/signals",
                                .tenant = "tenant",
                                .tenants = 10,
                                .entitlements = 10,
                                .batch = 1,
                                .size = 300,
                                .connections = 64,
                                .duration_s = 5};
    struct load_report report;
    struct buf out;
    struct error err;
    const char *port = NULL, *probe = NULL;
    parse(&load, argc, argv, &port, &probe);
    find_servers(&load, port, probe);
    if (load_measure(&load, &report, &err) < 0) {
        fprintf(stderr, "load: %s\n", err.text);
        return 1;
    }
    buf_init(&out, 1 << 16);
    load_write(&load, &report, &out);
    puts(buf_cstr(&out));
    buf_done(&out);
    return 0;
}
