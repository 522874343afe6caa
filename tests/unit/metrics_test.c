/* The registry and both text formats, byte for byte; negotiation; what a misdeclared metric does. */
#include "kaizen/metrics.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const results[] = {"accepted", "refused", NULL};

static char *expose(struct metrics *metrics, enum metrics_format format)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_write(metrics, format, &out);
    cr_assert(!out.failed);
    (void)buf_cstr(&out);
    return buf_take(&out);
}

static void check(struct metrics *metrics, enum metrics_format format, const char *expected)
{
    char *text = expose(metrics, format);
    cr_expect_str_eq(text, expected, "%s", text);
    free(text);
}

static struct metric *register_results(struct metrics *metrics)
{
    const struct metric_desc desc = {
        "tai_signals_total", "Signals by \"result\".", METRIC_COUNTER, {{"result", results}}};
    return metrics_register(metrics, &desc);
}

Test(metrics, known_series_start_at_zero)
{
    struct metrics *m = metrics_new();
    check(m, METRICS_TEXT, "");
    check(m, METRICS_OPENMETRICS, "# EOF\n");
    struct metric *signals = register_results(m);
    (void)metrics_gauge(m, "tai_depth", "Back\\slash\nand line.");
    check(m, METRICS_TEXT,
          "# HELP tai_depth Back\\\\slash\\nand line.\n"
          "# TYPE tai_depth gauge\n"
          "tai_depth 0\n"
          "# HELP tai_signals_total Signals by \"result\".\n"
          "# TYPE tai_signals_total counter\n"
          "tai_signals_total{result=\"accepted\"} 0\n"
          "tai_signals_total{result=\"refused\"} 0\n");
    metric_inc(metric_counter(signals, (const char *[]){"refused"}));
    metric_add(metric_counter(signals, (const char *[]){"refused"}), 41);
    check(m, METRICS_OPENMETRICS,
          "# HELP tai_depth Back\\\\slash\\nand line.\n"
          "# TYPE tai_depth gauge\n"
          "tai_depth 0\n"
          "# HELP tai_signals Signals by \\\"result\\\".\n"
          "# TYPE tai_signals counter\n"
          "tai_signals_total{result=\"accepted\"} 0\n"
          "tai_signals_total{result=\"refused\"} 42\n"
          "# EOF\n");
    metrics_free(m);
}

Test(metrics, handles_are_stable)
{
    struct metrics *m = metrics_new();
    struct metric *signals = register_results(m);
    cr_assert_eq(register_results(m), signals);
    struct metric_counter *refused = metric_counter(signals, (const char *[]){"refused"});
    cr_assert_eq(metric_counter(signals, (const char *[]){"refused"}), refused);
    cr_assert_neq(metric_counter(signals, (const char *[]){"accepted"}), refused);
    struct metric_gauge *depth = metrics_gauge(m, "tai_depth", "Depth.");
    cr_assert_eq(metrics_gauge(m, "tai_depth", "Depth."), depth);
    metric_set(depth, 7);
    metric_move(depth, -9);
    char *text = expose(m, METRICS_TEXT);
    cr_assert(strstr(text, "\ntai_depth -2\n"));
    free(text);
    metrics_free(m);
}

Test(metrics, values_outside_a_closed_list_are_other)
{
    struct metrics *m = metrics_new();
    struct metric *signals = register_results(m);
    metric_inc(metric_counter(signals, (const char *[]){"x\"; drop"}));
    metric_inc(metric_counter(signals, (const char *[]){"y"}));
    char *text = expose(m, METRICS_TEXT);
    cr_assert(strstr(text, "tai_signals_total{result=\"other\"} 2\n"));
    cr_assert_null(strstr(text, "drop"));
    free(text);
    metrics_free(m);
}

Test(metrics, open_labels_are_capped)
{
    struct metrics *m = metrics_new();
    const struct metric_desc desc = {
        "tai_taken_total", "Taken.", METRIC_COUNTER, {{"partition", NULL}, {"result", results}}};
    struct metric *taken = metrics_register(m, &desc);
    check(m, METRICS_TEXT, "");
    char value[32];
    for (int i = 0; i < METRIC_SERIES_MAX + 50; i++) {
        snprintf(value, sizeof(value), "%d", i);
        metric_inc(metric_counter(taken, (const char *[]){value, "refused"}));
    }
    metric_inc(metric_counter(taken, (const char *[]){"3", "refused"}));
    char *text = expose(m, METRICS_TEXT);
    size_t lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    cr_assert_eq(lines, METRIC_SERIES_MAX + 3);
    cr_assert(strstr(text, "tai_taken_total{partition=\"3\",result=\"refused\"} 2\n"));
    cr_assert(strstr(text, "tai_taken_total{partition=\"other\",result=\"refused\"} 50\n"));
    free(text);
    metrics_free(m);
}

Test(metrics, label_values_are_escaped)
{
    struct metrics *m = metrics_new();
    const struct metric_desc desc = {"tai_x", "X.", METRIC_GAUGE, {{"a", NULL}}};
    metric_set(metric_gauge(metrics_register(m, &desc), (const char *[]){"q\" b\\ n\n"}), 1);
    check(m, METRICS_TEXT, "# HELP tai_x X.\n# TYPE tai_x gauge\ntai_x{a=\"q\\\" b\\\\ n\\n\"} 1\n");
    metrics_free(m);
}

Test(metrics, histograms)
{
    static const double bounds[] = {0.005, 1, 10, 1e9};
    struct metrics *m = metrics_new();
    struct metric_histogram *h = metrics_histogram(m, "tai_wait_seconds", "Wait.", bounds, 4);
    metric_observe(h, 0.005); /* a bound belongs to its bucket */
    metric_observe(h, 0.25);
    metric_observe_n(h, 2, 3);
    metric_observe(h, 1e10);
    metric_observe(h, NAN);
    check(m, METRICS_TEXT,
          "# HELP tai_wait_seconds Wait.\n"
          "# TYPE tai_wait_seconds histogram\n"
          "tai_wait_seconds_bucket{le=\"0.005\"} 1\n"
          "tai_wait_seconds_bucket{le=\"1\"} 2\n"
          "tai_wait_seconds_bucket{le=\"10\"} 5\n"
          "tai_wait_seconds_bucket{le=\"1000000000\"} 5\n"
          "tai_wait_seconds_bucket{le=\"+Inf\"} 6\n"
          "tai_wait_seconds_sum 10000000006.255\n"
          "tai_wait_seconds_count 6\n");
    char *text = expose(m, METRICS_OPENMETRICS);
    cr_assert(strstr(text, "{le=\"0.005\"} 1\n"));
    cr_assert(strstr(text, "{le=\"1.0\"} 2\n"));
    cr_assert(strstr(text, "{le=\"10.0\"} 5\n"));
    free(text);
    metrics_free(m);
}

Test(metrics, labelled_histograms)
{
    static const double bounds[] = {1};
    struct metrics *m = metrics_new();
    const struct metric_desc desc = {"tai_h", "H.", METRIC_HISTOGRAM, {{"result", results}}, bounds, 1};
    metric_observe(metric_histogram(metrics_register(m, &desc), (const char *[]){"refused"}), 5);
    check(m, METRICS_TEXT,
          "# HELP tai_h H.\n"
          "# TYPE tai_h histogram\n"
          "tai_h_bucket{result=\"accepted\",le=\"1\"} 0\n"
          "tai_h_bucket{result=\"accepted\",le=\"+Inf\"} 0\n"
          "tai_h_sum{result=\"accepted\"} 0\n"
          "tai_h_count{result=\"accepted\"} 0\n"
          "tai_h_bucket{result=\"refused\",le=\"1\"} 0\n"
          "tai_h_bucket{result=\"refused\",le=\"+Inf\"} 1\n"
          "tai_h_sum{result=\"refused\"} 5\n"
          "tai_h_count{result=\"refused\"} 1\n");
    metrics_free(m);
}

static bool sample_value(void *ctx, double *ret_value)
{
    *ret_value = *(const double *)ctx;
    return !isnan(*ret_value);
}

Test(metrics, sampled)
{
    struct metrics *m = metrics_new();
    double depth = 1.5;
    double lag = INFINITY;
    const struct metric_desc depth_desc = {"tai_depth_ratio", "Depth.", METRIC_GAUGE};
    const struct metric_desc lag_desc = {"tai_lag_seconds", "Lag.", METRIC_GAUGE};
    metric_sample(metrics_register(m, &depth_desc), NULL, sample_value, &depth);
    metric_sample(metrics_register(m, &lag_desc), NULL, sample_value, &lag);
    check(m, METRICS_TEXT,
          "# HELP tai_depth_ratio Depth.\n# TYPE tai_depth_ratio gauge\ntai_depth_ratio 1.5\n"
          "# HELP tai_lag_seconds Lag.\n# TYPE tai_lag_seconds gauge\ntai_lag_seconds +Inf\n");
    depth = NAN;
    metrics_unsample(m, &lag);
    char *text = expose(m, METRICS_TEXT);
    cr_assert_null(strstr(text, "\ntai_depth_ratio"), "%s", text);
    cr_assert_null(strstr(text, "\ntai_lag_seconds"), "%s", text);
    free(text);
    depth = -3;
    text = expose(m, METRICS_TEXT);
    cr_assert(strstr(text, "\ntai_depth_ratio -3\n"));
    free(text);
    metrics_free(m);
}

static double value_of(const char *text, const char *name)
{
    char key[128];
    snprintf(key, sizeof(key), "\n%s ", name);
    const char *at = strstr(text, key);
    cr_assert(at, "%s", name);
    return strtod(at + strlen(key), NULL);
}

Test(metrics, process_and_build)
{
    struct metrics *m = metrics_new();
    metrics_add_process(m);
    metrics_add_build_info(m, "1.2.3", "abc");
    char *text = expose(m, METRICS_TEXT);
    cr_assert(strstr(text, "\ntai_build_info{version=\"1.2.3\",revision=\"abc\"} 1\n"));
    cr_assert_geq(value_of(text, "process_cpu_seconds_total"), 0);
    cr_assert_gt(value_of(text, "process_resident_memory_bytes"), 1e6);
    cr_assert_gt(value_of(text, "process_virtual_memory_bytes"), value_of(text, "process_resident_memory_bytes"));
    cr_assert_geq(value_of(text, "process_open_fds"), 2);
    cr_assert_geq(value_of(text, "process_max_fds"), value_of(text, "process_open_fds"));
    double start = value_of(text, "process_start_time_seconds");
    cr_assert_leq(start, (double)time(NULL) + 1);
    cr_assert_geq(start, (double)time(NULL) - 600);
    free(text);

    double before = 0;
    FILE *file = fopen("/dev/null", "r");
    text = expose(m, METRICS_TEXT);
    before = value_of(text, "process_open_fds");
    fclose(file);
    free(text);
    text = expose(m, METRICS_TEXT);
    cr_assert_eq(value_of(text, "process_open_fds"), before - 1);
    free(text);

    text = expose(m, METRICS_OPENMETRICS);
    cr_assert(strstr(text, "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total "));
    free(text);
    metrics_free(m);
}

Test(metrics, a_small_buffer_fails)
{
    struct metrics *m = metrics_new();
    struct buf out;
    metrics_add_process(m);
    buf_init(&out, 100);
    metrics_write(m, METRICS_OPENMETRICS, &out);
    cr_assert(out.failed);
    buf_done(&out);
    metrics_free(m);
}

Test(metrics, negotiation)
{
    static const struct {
        const char *accept;
        enum metrics_format format;
    } table[] = {
        {"", METRICS_TEXT},
        {"*/*", METRICS_TEXT},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", METRICS_TEXT},
        {"text/plain", METRICS_TEXT},
        {"application/openmetrics-text", METRICS_OPENMETRICS},
        {"Application/OpenMetrics-Text; Version=\"1.0.0\"", METRICS_OPENMETRICS},
        {"application/openmetrics-text; version=0.0.1", METRICS_TEXT},
        {"application/openmetrics-text;version=1.0.0;q=0", METRICS_TEXT},
        {"application/openmetrics-text;version=1.0.0;q=0.0,*/*", METRICS_TEXT},
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,"
         "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.9,*/*;q=0.2",
         METRICS_OPENMETRICS},
        {"application/openmetrics-text;q=0.5,text/plain;q=0.500", METRICS_OPENMETRICS},
        {"text/plain;q=0.5,application/openmetrics-text;q=0.5", METRICS_TEXT},
        {"application/openmetrics-text;q=0.4,text/plain;q=0.5", METRICS_TEXT},
        {"text/*;q=0.9,application/openmetrics-text;q=0.95", METRICS_OPENMETRICS},
        {"application/*;q=0.9,text/plain;q=0.1", METRICS_OPENMETRICS},
        {"*/*;q=1,application/openmetrics-text;q=0.1", METRICS_TEXT},
        {"application/openmetrics-text;q=2,text/plain", METRICS_TEXT},
        {"application/openmetrics-text;q=x", METRICS_TEXT},
        {"application/openmetrics-text;q=1.001", METRICS_TEXT},
        {"application/openmetrics-text;q", METRICS_OPENMETRICS},
        {",;=,;,q=1;;application/openmetrics-text", METRICS_TEXT},
        {" \t application/openmetrics-text \t ; q = 0.5 , text/plain ; q=0.4", METRICS_OPENMETRICS},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        cr_expect_eq(metrics_negotiate(span_of(table[i].accept)), table[i].format, "%s", table[i].accept);
    cr_expect_eq(metrics_negotiate((struct span){NULL, 0}), METRICS_TEXT);
    cr_expect_str_eq(metrics_content_type(METRICS_TEXT), "text/plain; version=0.0.4; charset=utf-8");
    cr_expect_str_eq(metrics_content_type(METRICS_OPENMETRICS),
                     "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

static void declare(const struct metric_desc *desc)
{
    struct metrics *m = metrics_new();
    (void)metrics_register(m, desc);
    metrics_free(m);
}

static const double descending[] = {2, 1};

Test(misdeclared, name, .signal = SIGABRT)
{
    declare(&(struct metric_desc){"tai-x", "X.", METRIC_GAUGE});
}
Test(misdeclared, counter_without_total, .signal = SIGABRT)
{
    declare(&(struct metric_desc){"tai_x", "X.", METRIC_COUNTER});
}
Test(misdeclared, gauge_with_total, .signal = SIGABRT)
{
    declare(&(struct metric_desc){"tai_x_total", "X.", METRIC_GAUGE});
}
Test(misdeclared, no_help, .signal = SIGABRT)
{
    declare(&(struct metric_desc){"tai_x", "", METRIC_GAUGE});
}
Test(misdeclared, label, .signal = SIGABRT)
{
    declare(&(struct metric_desc){"tai_x", "X.", METRIC_GAUGE, {{"le", NULL}}});
}
Test(misdeclared, bounds, .signal = SIGABRT)
{
    declare(&(struct metric_desc){"tai_x", "X.", METRIC_HISTOGRAM, .bounds = descending, .bounds_count = 2});
}
Test(misdeclared, no_bounds, .signal = SIGABRT)
{
    declare(&(struct metric_desc){"tai_x", "X.", METRIC_HISTOGRAM});
}
Test(misdeclared, otherwise_before, .signal = SIGABRT)
{
    struct metrics *m = metrics_new();
    (void)register_results(m);
    (void)metrics_counter(m, "tai_signals_total", "Signals.");
}
Test(misdeclared, wrong_handle, .signal = SIGABRT)
{
    struct metrics *m = metrics_new();
    (void)metric_gauge(register_results(m), (const char *[]){"refused"});
}
