/* kanban.c over a backend that does what the test says: refusals, late and disordered answers, foreign codes. */
#include "common/mem.h"
#include "kanban/backend.h"
#include "kanban/kanban.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

enum { SENT_MAX = 16 };

struct fake {
    struct kanban_backend base;
    struct kanban_sink sink;
    int refuse; /* what publish answers at once */
    int64_t deadline;
    uint64_t requests[SENT_MAX];
    struct frame *frames[SENT_MAX]; /* as sent */
    size_t sent;
};

/* The backend is its only link. */
static struct fake *fake_of(const struct kanban_link *link)
{
    return (struct fake *)link;
}

static int fake_open(struct kanban_backend *backend, const struct kanban_sink *sink, uint32_t prefetch,
                     struct kanban_link **ret, struct error *err)
{
    (void)prefetch;
    struct fake *fake = (struct fake *)backend;
    if (fake->refuse == -ECONNREFUSED)
        return error_set(err, fake->refuse, "nobody there");
    fake->sink = *sink;
    *ret = (struct kanban_link *)fake;
    return 0;
}

static int fake_publish(struct kanban_link *link, uint32_t partition, uint64_t request, struct span bytes,
                        uint32_t count)
{
    (void)partition;
    struct fake *fake = fake_of(link);
    if (fake->refuse)
        return fake->refuse;
    char *copy = xmalloc(bytes.len);
    memcpy(copy, bytes.ptr, bytes.len);
    struct error err;
    cr_assert_eq(frame_decode(copy, bytes.len, &fake->frames[fake->sent], &err), 0, "%s", err.text);
    cr_assert_eq(fake->frames[fake->sent]->header.count, count);
    fake->requests[fake->sent++] = request;
    return 0;
}

static uint64_t fake_depth(const struct kanban_backend *backend)
{
    (void)backend;
    return 0;
}

static int64_t fake_deadline(const struct kanban_link *link)
{
    return fake_of(link)->deadline;
}

static void fake_nothing(struct kanban_link *link)
{
    (void)link;
}

static const struct kanban_backend_ops fake_ops = {
    .name = "fake",
    .link_open = fake_open,
    .publish = fake_publish,
    .depth = fake_depth,
    .deadline_us = fake_deadline,
    .dispatch = fake_nothing,
    .link_close = fake_nothing,
};

static struct fake fake;
static struct kanban *queue;
static struct clock_manual manual;
static int statuses[SENT_MAX];
static void *tokens[SENT_MAX];
static size_t answers;

static void on_published(void *ctx, void *token, int status)
{
    (void)ctx;
    tokens[answers] = token;
    statuses[answers++] = status;
}

static void set_up(void)
{
    fake = (struct fake){.base.ops = &fake_ops, .deadline = INT64_MAX};
    answers = 0;
    clock_manual_init(&manual, 1767225600000);
    const struct kanban_options options = {.backend = &fake.base,
                                           .events.published = on_published,
                                           .partitions = 2,
                                           .prefetch = 1,
                                           .max_depth = 100,
                                           .clock = &manual.clock};
    cr_assert_eq(kanban_open(&options, &queue, NULL), 0);
}

static void tear_down(void)
{
    kanban_close(queue);
    for (size_t i = 0; i < fake.sent; i++)
        frame_free(fake.frames[i]);
}

TestSuite(kanban, .init = set_up, .fini = tear_down);

static int publish(intptr_t token)
{
    const struct signal signal = {.tenant_id = SPAN("acme"),
                                  .entitlement_id = SPAN("ent-1"),
                                  .id = SPAN("sig-1"),
                                  .type = SPAN("usage"),
                                  .data = SPAN("null"),
                                  .bytes = SPAN("{}")};
    return kanban_publish(queue, 1, &signal, 1, (void *)token);
}

static void answer(size_t i, int status)
{
    fake.sink.published(fake.sink.ctx, fake.requests[i], status);
}

static const struct frame_header *sent(size_t i)
{
    return &fake.frames[i]->header;
}

Test(kanban, a_frame_refused_at_once_takes_no_sequence)
{
    cr_assert_eq(publish(1), 0);
    fake.refuse = -EAGAIN;
    cr_assert_eq(publish(2), -EAGAIN);
    fake.refuse = 0;
    cr_assert_eq(kanban_unanswered(queue), 1);
    cr_assert_eq(publish(3), 0);
    cr_assert_eq(sent(0)->sequence, 1);
    cr_assert_eq(sent(1)->sequence, 2);
    answer(0, 0);
    answer(1, 0);
    cr_assert_eq(answers, 2, "the refused one has no answer");
    cr_assert_eq(publish(4), 0);
    cr_assert_eq(sent(2)->confirmed, 2);
    cr_assert_eq(sent(2)->void_count, 0);
}

Test(kanban, answers_find_their_tokens_in_any_order)
{
    for (intptr_t i = 0; i < 6; i++)
        cr_assert_eq(publish(i + 1), 0);
    static const size_t order[] = {3, 0, 5, 1, 4, 2};
    for (size_t i = 0; i < 6; i++) {
        answer(order[i], 0);
        cr_assert_eq((intptr_t)tokens[i], (intptr_t)order[i] + 1);
    }
    cr_assert_eq(kanban_unanswered(queue), 0);
}

Test(kanban, foreign_codes_are_told_as_failed)
{
    static const int codes[][2] = {{0, 0},       {-EAGAIN, -EAGAIN}, {-ENOSPC, -ENOSPC}, {-ESHUTDOWN, -ESHUTDOWN},
                                   {-EIO, -EIO}, {-EUCLEAN, -EIO},   {-EBUSY, -EIO},     {-EEXIST, -EIO}};
    for (size_t i = 0; i < 8; i++) {
        cr_assert_eq(publish(1), 0);
        answer(i, codes[i][0]);
        cr_assert_eq(statuses[i], codes[i][1]);
    }
    cr_assert_eq(publish(1), 0);
    cr_assert_eq(sent(8)->confirmed, 8);
    cr_assert_eq(sent(8)->void_count, 7, "all that failed are void");
}

Test(kanban, an_announcement_that_fails_is_made_again)
{
    cr_assert_eq(publish(1), 0);
    answer(0, 0);
    cr_assert_eq(kanban_deadline_us(queue), manual.mono_us + 5000000);
    fake.refuse = -EAGAIN;
    clock_manual_advance(&manual, 5000);
    kanban_dispatch(queue);
    cr_assert_eq(fake.sent, 1);
    cr_assert_eq(kanban_deadline_us(queue), manual.mono_us + 5000000);
    fake.refuse = 0;
    clock_manual_advance(&manual, 5000);
    kanban_dispatch(queue);
    cr_assert_eq(fake.sent, 2);
    cr_assert_eq(sent(1)->count, 0);
    cr_assert_eq(sent(1)->confirmed, 1);
    answer(1, -EIO);
    cr_assert_eq(kanban_deadline_us(queue), manual.mono_us + 5000000);
    clock_manual_advance(&manual, 5000);
    kanban_dispatch(queue);
    cr_assert_eq(fake.sent, 3);
    answer(2, 0);
    cr_assert_eq(kanban_deadline_us(queue), INT64_MAX);
    cr_assert_eq(answers, 1, "announcements are answered to nobody");
}

Test(kanban, a_frame_in_time_makes_the_announcement_needless)
{
    cr_assert_eq(publish(1), 0);
    answer(0, 0);
    clock_manual_advance(&manual, 4000);
    cr_assert_eq(publish(2), 0);
    clock_manual_advance(&manual, 1000);
    kanban_dispatch(queue);
    cr_assert_eq(fake.sent, 2);
}

Test(kanban, the_earlier_deadline_counts)
{
    fake.deadline = 77;
    cr_assert_eq(kanban_deadline_us(queue), 77);
    fake.deadline = INT64_MAX;
    cr_assert_eq(kanban_deadline_us(queue), INT64_MAX);
}

Test(kanban, opening_needs_a_backend_that_opens)
{
    struct kanban *other = NULL;
    struct error err;
    struct kanban_options options = {.backend = &fake.base, .partitions = 0, .clock = &manual.clock};
    cr_assert_eq(kanban_open(&options, &other, &err), -EINVAL);
    options.partitions = 1;
    struct kanban_sink sink = fake.sink;
    fake.refuse = -ECONNREFUSED;
    cr_assert_eq(kanban_open(&options, &other, &err), -ECONNREFUSED);
    cr_assert_str_eq(err.text, "nobody there");
    fake.sink = sink;
    cr_assert_null(other);
}
