/* Frames: exact bytes, round trips, and everything a reader must refuse. */
#include "common/mem.h"
#include "kanban/frame.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char body[] = "{\"id\":\"sig-1\",\"data\":{\"amount\":12},\"type\":\"usage\"}";

static struct signal sample(void)
{
    struct signal signal = {
        .tenant_id = SPAN("acme"),
        .entitlement_id = SPAN("ent-1"),
        .sku_id = SPAN("sku-1"),
        .id = SPAN("sig-1"),
        .type = SPAN("usage"),
        .source = SPAN("key-1"),
        .traceparent = SPAN("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        .bytes = SPAN(body),
        .data = {body + 21, 13},
        .time_ms = 1767225600000,
        .accepted_at_ms = 1767225600123,
        .redrive = 2,
        .severity = SEVERITY_CRITICAL,
        .may_event = true,
    };
    for (size_t i = 0; i < SHA256_SIZE; i++)
        signal.sha256[i] = (uint8_t)(i * 8 + 1);
    return signal;
}

static struct frame_header header(uint32_t count)
{
    return (struct frame_header){.boot = "0123456789abcdef",
                                 .partition = 3,
                                 .sequence = 42,
                                 .count = count,
                                 .accepted_at_ms = 1767225600124,
                                 .confirmed = 41,
                                 .voided = {7, 40},
                                 .void_count = 2};
}

static struct buf encode(const struct frame_header *head, const struct signal *signals)
{
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    frame_encode(head, signals, &out);
    return out;
}

static struct frame *decode(const char *data, size_t len, int expected, struct error *err)
{
    char *copy = xmalloc(len); /* exact, so that reading beyond is seen */
    if (len)
        memcpy(copy, data, len);
    struct frame *frame = NULL;
    int status = frame_decode(copy, len, &frame, err);
    cr_assert_eq(status, expected, "%d: %s", status, status ? err->text : "");
    return frame;
}

#define EXPECTED_HEADER                                                                                                \
    "{\"v\":1,\"boot\":\"0123456789abcdef\",\"partition\":3,\"sequence\":42,\"count\":1,\"accepted_at\":"              \
    "1767225600124,"                                                                                                   \
    "\"confirmed\":41,\"void\":[7,40]}\n"
#define EXPECTED_ENVELOPE                                                                                              \
    "{\"t\":\"acme\",\"e\":\"ent-1\",\"k\":\"sku-1\",\"i\":\"sig-1\",\"y\":\"usage\",\"s\":\"key-1\","                 \
    "\"m\":1767225600000,\"v\":2,\"p\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"d\":[21,13],"     \
    "\"h\":\"0109111921293139414951596169717981899199a1a9b1b9c1c9d1d9e1e9f1f9\",\"n\":50,\"r\":2,"                     \
    "\"a\":1767225600123,\"g\":1}\n"

Test(frame, is_written_byte_for_byte_as_drawn)
{
    struct signal signal = sample();
    struct frame_header head = header(1);
    struct buf out = encode(&head, &signal);
    cr_assert_str_eq(buf_cstr(&out), EXPECTED_HEADER EXPECTED_ENVELOPE
                     "{\"id\":\"sig-1\",\"data\":{\"amount\":12},\"type\":\"usage\"}\n");
    cr_assert_eq(out.len, strlen(EXPECTED_HEADER) + frame_signal_size(&signal));
    buf_done(&out);
}

static void same_span(struct span a, struct span b)
{
    cr_assert(span_eq(a, b), "%.*s is not %.*s", (int)a.len, a.ptr, (int)b.len, b.ptr);
}

static void same_signal(const struct signal *a, const struct signal *b)
{
    same_span(a->tenant_id, b->tenant_id);
    same_span(a->entitlement_id, b->entitlement_id);
    same_span(a->sku_id, b->sku_id);
    same_span(a->id, b->id);
    same_span(a->type, b->type);
    same_span(a->source, b->source);
    same_span(a->traceparent, b->traceparent);
    same_span(a->bytes, b->bytes);
    same_span(a->data, b->data);
    cr_assert_eq(a->time_ms, b->time_ms);
    cr_assert_eq(a->accepted_at_ms, b->accepted_at_ms);
    cr_assert_eq(a->redrive, b->redrive);
    cr_assert_eq(a->severity, b->severity);
    cr_assert_eq(a->may_event, b->may_event);
    cr_assert_arr_eq(a->sha256, b->sha256, SHA256_SIZE);
}

static void round_trip(const struct signal *signals, uint32_t count)
{
    struct frame_header head = header(count);
    cr_assert_eq(frame_check(signals, count), 0);
    struct buf out = encode(&head, signals);
    struct error err;
    struct frame *frame = decode(out.data, out.len, 0, &err);
    cr_assert_str_eq(frame->header.boot, head.boot);
    cr_assert_eq(frame->header.partition, 3);
    cr_assert_eq(frame->header.sequence, 42);
    cr_assert_eq(frame->header.count, count);
    cr_assert_eq(frame->header.accepted_at_ms, head.accepted_at_ms);
    cr_assert_eq(frame->header.confirmed, 41);
    cr_assert_eq(frame->header.void_count, 2);
    cr_assert_eq(frame->header.voided[1], 40);
    for (uint32_t i = 0; i < count; i++)
        same_signal(&frame->signals[i], &signals[i]);
    struct buf again = encode(&frame->header, frame->signals);
    cr_assert(span_eq(buf_span(&again), buf_span(&out)));
    buf_done(&again);
    buf_done(&out);
    frame_free(frame);
}

Test(frame, comes_back_as_it_was)
{
    struct signal signals[FRAME_SIGNALS_MAX];
    for (int i = 0; i < FRAME_SIGNALS_MAX; i++) {
        signals[i] = sample();
        signals[i].time_ms = i % 2 ? -(int64_t)i : i;
        signals[i].redrive = (uint32_t)i * 16777216;
        signals[i].severity = (enum severity)(i % 3);
        signals[i].may_event = i % 2;
    }
    round_trip(signals, FRAME_SIGNALS_MAX);
    round_trip(signals, 1);
    round_trip(signals, 0);
}

Test(frame, carries_absent_and_extreme_fields)
{
    struct signal signal = sample();
    signal.sku_id = signal.source = signal.traceparent = (struct span){NULL, 0};
    signal.data = SPAN("null");
    signal.time_ms = INT64_MIN;
    signal.accepted_at_ms = INT64_MAX;
    signal.redrive = UINT32_MAX;
    round_trip(&signal, 1);
    signal.data = signal.bytes;
    signal.source = SPAN("urn:\xc3\xa9t\xc3\xa9:\x7f");
    round_trip(&signal, 1);
}

Test(frame, one_signal_always_fits)
{
    size_t len = 2 * (size_t)FRAME_BYTES_MAX;
    char *big = xmalloc(len);
    memset(big, '\n', len);
    struct signal signals[2] = {sample(), sample()};
    signals[0].bytes = signals[0].data = (struct span){big, len};
    round_trip(signals, 1);
    cr_assert_eq(frame_check(signals, 2), -EMSGSIZE);
    struct frame_header head = header(2);
    struct buf out = encode(&head, signals);
    struct error err;
    decode(out.data, out.len, -EBADMSG, &err);
    buf_done(&out);
    free(big);
}

Test(frame, bytes_may_be_anything)
{
    char raw[600];
    for (size_t i = 0; i < sizeof(raw); i++)
        raw[i] = (char)i;
    struct signal signals[2] = {sample(), sample()};
    signals[0].bytes = (struct span){raw, sizeof(raw)};
    signals[0].data = (struct span){raw + 599, 1};
    signals[1].bytes = (struct span){raw, 0};
    signals[1].data = SPAN("null");
    round_trip(signals, 2);
}

Test(frame, a_string_that_needs_escapes_is_refused)
{
    static const struct span bad[] = {SPAN("a\"b"),      SPAN("a\\"),       SPAN("\n"),
                                      SPAN("1234567\t"), SPAN("\x1f"),      SPAN("12345678\x01z"),
                                      SPAN("\xff"),      SPAN("\xc0\x80"),  SPAN("12345678\xed\xa0\x80"),
                                      {"a\0b", 3},       SPAN("1234567\""), SPAN("01234567890123456789\\")};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct signal base = sample();
        struct span *fields[] = {&base.tenant_id, &base.entitlement_id, &base.sku_id,     &base.id,
                                 &base.type,      &base.source,         &base.traceparent};
        for (size_t k = 0; k < sizeof(fields) / sizeof(*fields); k++) {
            struct span old = *fields[k];
            *fields[k] = bad[i];
            cr_assert_eq(frame_check(&base, 1), -EINVAL, "bad string %zu in field %zu", i, k);
            *fields[k] = old;
        }
        cr_assert_eq(frame_check(&base, 1), 0);
    }
}

Test(frame, checks_the_other_fields)
{
    struct signal signal = sample();
    signal.id = (struct span){NULL, 0};
    cr_assert_eq(frame_check(&signal, 1), -EINVAL);
    signal = sample();
    signal.severity = (enum severity)3;
    cr_assert_eq(frame_check(&signal, 1), -EINVAL);
    signal = sample();
    signal.data = SPAN("elsewhere");
    cr_assert_eq(frame_check(&signal, 1), -EINVAL);
    signal = sample();
    signal.data.len = 30; /* one beyond the end */
    cr_assert_eq(frame_check(&signal, 1), -EINVAL);
    char text[FRAME_TEXT_MAX + 1];
    memset(text, 'x', sizeof(text));
    signal = sample();
    signal.source = (struct span){text, FRAME_TEXT_MAX};
    cr_assert_eq(frame_check(&signal, 1), 0);
    signal.source.len++;
    cr_assert_eq(frame_check(&signal, 1), -EINVAL);
    static struct signal many[FRAME_SIGNALS_MAX + 1];
    for (int i = 0; i <= FRAME_SIGNALS_MAX; i++)
        many[i] = sample();
    cr_assert_eq(frame_check(many, FRAME_SIGNALS_MAX), 0);
    cr_assert_eq(frame_check(many, FRAME_SIGNALS_MAX + 1), -EMSGSIZE);
}

Test(frame, cut_anywhere_it_is_refused)
{
    struct signal signals[2] = {sample(), sample()};
    struct frame_header head = header(2);
    struct buf out = encode(&head, signals);
    struct error err;
    for (size_t len = 0; len < out.len; len++) {
        decode(out.data, len, -EBADMSG, &err);
        cr_assert_neq(err.text[0], '\0');
    }
    buf_add_char(&out, '\n');
    decode(out.data, out.len, -EBADMSG, &err);
    buf_done(&out);
}

/* Whatever one byte is changed to, the frame is refused or says exactly what it says. */
Test(frame, no_changed_byte_is_overlooked)
{
    struct signal signals[2] = {sample(), sample()};
    struct frame_header head = header(2);
    struct buf out = encode(&head, signals);
    struct error err;
    for (size_t at = 0; at < out.len; at++) {
        for (int to = 0; to < 256; to += 1 + to % 3) {
            char *copy = xmalloc(out.len);
            memcpy(copy, out.data, out.len);
            copy[at] = (char)to;
            struct buf before;
            buf_init(&before, out.len);
            buf_add(&before, copy, out.len);
            struct frame *frame = NULL;
            if (frame_decode(copy, out.len, &frame, &err) == 0) {
                struct buf again = encode(&frame->header, frame->signals);
                cr_assert(span_eq(buf_span(&again), buf_span(&before)), "byte %zu set to %d", at, to);
                buf_done(&again);
                frame_free(frame);
            }
            buf_done(&before);
        }
    }
    buf_done(&out);
}

struct change {
    const char *from, *to;
};

static const struct change changes[] = {
    {"\"v\":1", "\"v\":2"},
    {"\"v\":1,", "\"v\":1, "},
    {"0123456789abcdef", "0123456789abcdeg"},
    {"0123456789abcdef", "0123456789ABCDEF"},
    {"0123456789abcdef", "0123456789abcde"},
    {"\"partition\":3", "\"partition\":4294967296"},
    {"\"partition\":3", "\"partition\":-1"},
    {"\"partition\":3", "\"partition\":03"},
    {"\"partition\":3", "\"partition\":3.0"},
    {"\"sequence\":42", "\"sequence\":0"},
    {"\"sequence\":42", "\"sequence\":18446744073709551616"},
    {"\"sequence\":42", "\"sequence\":41"},
    {"\"count\":1", "\"count\":0"},
    {"\"count\":1", "\"count\":2"},
    {"\"count\":1", "\"count\":257"},
    {"\"count\":1", "\"count\":4294967297"},
    {"\"confirmed\":41", "\"confirmed\":42"},
    {"[7,40]", "[40,7]"},
    {"[7,40]", "[7,7]"},
    {"[7,40]", "[7,42]"},
    {"[7,40]", "[0,40]"},
    {"[7,40]", "[7,40,]"},
    {"[7,40]", "[,7]"},
    {"[7,40]", "[7 ,40]"},
    {"[7,40]", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,"
               "38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63,64,65]"},
    {"\"t\":\"acme\"", "\"t\":\"\""},
    {"\"t\":\"acme\"", "\"t\":\"ac\\u006de\""},
    {"\"t\":\"acme\"", "\"t\":\"ac\nme\""},
    {"\"t\":\"acme\"", "\"t\":\"ac\xffme\""},
    {"\"t\":\"acme\"", "\"t\":null"},
    {"\"e\":\"ent-1\"", "\"e\":\"\""},
    {"\"i\":\"sig-1\"", "\"i\":\"\""},
    {"\"y\":\"usage\"", "\"y\":\"\""},
    {"\"v\":2,\"p\"", "\"v\":3,\"p\""},
    {"\"m\":1767225600000", "\"m\":9223372036854775808"},
    {"\"m\":1767225600000", "\"m\":-9223372036854775809"},
    {"\"m\":1767225600000", "\"m\":-0"},
    {"\"m\":1767225600000", "\"m\":1e3"},
    {"\"d\":[21,13]", "\"d\":[21,30]"},
    {"\"d\":[21,13]", "\"d\":[51,0]"},
    {"\"d\":[21,13]", "\"d\":[1,0]"},
    {"\"d\":[21,13]", "\"d\":[4294967295,2]"},
    {"\"d\":[21,13]", "\"d\":[21,4294967295]"},
    {"\"d\":[21,13]", "\"d\":[4294967296,1]"},
    {"\"h\":\"01", "\"h\":\"0"},
    {"\"h\":\"01", "\"h\":\"0A"},
    {"\"h\":\"01", "\"h\":\"0g"},
    {"\"n\":50", "\"n\":49"},
    {"\"n\":50", "\"n\":51"},
    {"\"n\":50", "\"n\":4294967295"},
    {"\"n\":50", "\"n\":18446744073709551615"},
    {"\"r\":2", "\"r\":4294967296"},
    {"\"g\":1", "\"g\":2"},
    {"\"g\":1", "\"g\":true"},
};

Test(frame, wrong_fields_are_refused)
{
    struct signal signal = sample();
    struct frame_header head = header(1);
    struct buf good = encode(&head, &signal);
    const char *text = buf_cstr(&good);
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        const char *at = strstr(text, changes[i].from);
        cr_assert_not_null(at, "%s", changes[i].from);
        struct buf bad;
        buf_init(&bad, good.len + 1000);
        buf_add(&bad, text, (size_t)(at - text));
        buf_add_str(&bad, changes[i].to);
        buf_add_str(&bad, at + strlen(changes[i].from));
        struct frame *frame = NULL;
        struct error err = {.text = ""};
        int status = frame_parse(bad.data, bad.len, &frame, &err);
        cr_assert_eq(status, -EBADMSG, "%s was accepted", changes[i].to);
        cr_assert(strstr(err.text, "byte "), "%s", err.text);
        cr_assert_null(strchr(err.text, '\n'));
        buf_done(&bad);
    }
    buf_done(&good);
}

Test(frame, an_envelope_stands_by_itself)
{
    struct signal signals[2] = {sample(), sample()};
    signals[1].bytes = (struct span){NULL, 0};
    signals[1].data = SPAN("null");
    for (size_t i = 0; i < 2; i++) {
        struct buf line;
        buf_init(&line, 10000);
        frame_encode_envelope(&signals[i], &line);
        cr_assert_eq(line.data[line.len - 1], '\n');
        struct signal back;
        struct error err;
        cr_assert_eq(frame_decode_envelope(buf_span(&line), signals[i].bytes, &back, &err), 0);
        same_signal(&back, &signals[i]);
        for (size_t len = 0; len < line.len; len++)
            cr_assert_eq(frame_decode_envelope((struct span){line.data, len}, signals[i].bytes, &back, &err), -EBADMSG);
        struct span longer = {body, signals[i].bytes.len + 1};
        cr_assert_eq(frame_decode_envelope(buf_span(&line), longer, &back, &err), -EBADMSG, "bytes beyond n");
        if (signals[i].bytes.len) {
            struct span shorter = {body, signals[i].bytes.len - 1};
            cr_assert_eq(frame_decode_envelope(buf_span(&line), shorter, &back, &err), -EBADMSG, "fewer than n");
        }
        buf_add_char(&line, ' ');
        cr_assert_eq(frame_decode_envelope(buf_span(&line), signals[i].bytes, &back, &err), -EBADMSG);
        buf_done(&line);
    }
}

Test(frame, each_id_has_its_limit)
{
    char text[FRAME_TEXT_MAX + 1];
    memset(text, 'x', sizeof(text));
    for (size_t field = 0; field < 7; field++) {
        struct signal signal = sample();
        struct span *fields[] = {&signal.tenant_id, &signal.entitlement_id, &signal.sku_id,     &signal.id,
                                 &signal.type,      &signal.source,         &signal.traceparent};
        static const size_t limits[] = {64, 128, 128, 128, 128, 256, 256};
        *fields[field] = (struct span){text, limits[field]};
        round_trip(&signal, 1);
        fields[field]->len++;
        cr_assert_eq(frame_check(&signal, 1), -EINVAL, "field %zu", field);
        struct frame_header head = header(1);
        struct buf out = encode(&head, &signal);
        struct error err;
        decode(out.data, out.len, -EBADMSG, &err);
        buf_done(&out);
    }
}

Test(frame, partition_depends_on_both_ids)
{
    uint32_t seen[16] = {0};
    char id[24];
    for (int i = 0; i < 16000; i++) {
        snprintf(id, sizeof(id), "ent-%d", i);
        uint32_t p = hash_bucket(SPAN("acme"), span_of(id), 16);
        cr_assert_lt(p, 16);
        cr_assert_eq(p, hash_bucket(SPAN("acme"), span_of(id), 16));
        seen[p]++;
    }
    for (int p = 0; p < 16; p++)
        cr_assert(seen[p] > 800 && seen[p] < 1200, "partition %d got %u", p, seen[p]);
    int moved = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "tenant-%d", i);
        moved += hash_bucket(span_of(id), SPAN("ent-1"), 16) != hash_bucket(SPAN("acme"), SPAN("ent-1"), 16);
    }
    cr_assert_gt(moved, 80);
}
