/* A buffer over a descriptor, cut into lines; an array is read whole. Owns the descriptor unless it is standard input.
 */
#include "apps/cli/signal_input.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/json/json.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, WHOLE_WAIT_MS = 1000, ADDED_MAX = 1024 };

enum mode { MODE_START, MODE_LINES, MODE_ARRAY, MODE_END };

struct signal_input {
    struct signal_input_options options;
    const char *name;
    int fd;
    uint64_t size;
    enum mode mode;
    char *data; /* [start, end) is unread */
    size_t start, end, cap;
    size_t searched; /* no line feed before it */
    bool at_eof;
    bool skipping; /* the rest of a line that is too long */
    bool begun;    /* an item was handed out */
    uint64_t line; /* of data[start], from 1 */
    uint64_t item_line;
    uint64_t done;
    struct json_doc doc;          /* of the line, or of the whole array */
    const struct json_node *node; /* the array's next item */
    struct buf made;              /* the item with what was added to it */
    struct error bad;
};

int signal_input_open(const struct signal_input_options *options, struct signal_input **ret, struct error *err)
{
    bool is_stdin = !options->path || strcmp(options->path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(options->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", options->path, strerror(errno));
    struct signal_input *input = xcalloc(1, sizeof(*input));
    input->options = *options;
    input->name = is_stdin ? "standard input" : options->path;
    input->fd = fd;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        input->size = (uint64_t)st.st_size;
    input->line = 1;
    json_init(&input->doc);
    buf_init(&input->made, SIGNAL_INPUT_LINE_MAX + ADDED_MAX);
    *ret = input;
    return 0;
}

void signal_input_close(struct signal_input *input)
{
    if (!input)
        return;
    if (input->fd != STDIN_FILENO)
        close(input->fd);
    json_done(&input->doc);
    buf_done(&input->made);
    free(input->data);
    free(input);
}

uint64_t signal_input_size(const struct signal_input *input)
{
    return input->size;
}

uint64_t signal_input_done(const struct signal_input *input)
{
    return input->done;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* More bytes into the buffer: 1, 0 at the end, -EAGAIN, -errno. */
static int fill(struct signal_input *input, int wait_ms, struct error *err)
{
    struct pollfd poll_in = {.fd = input->fd, .events = POLLIN};
    if (input->at_eof)
        return 0;
    int rc = poll(&poll_in, 1, wait_ms);
    if (rc == 0 || (rc < 0 && errno == EINTR))
        return -EAGAIN;
    if (input->start) {
        memmove(input->data, input->data + input->start, input->end - input->start);
        input->end -= input->start;
        input->searched -= input->start;
        input->start = 0;
    }
    mem_grow(&input->data, &input->cap, input->end + CHUNK, 1);
    ssize_t n = read(input->fd, input->data + input->end, CHUNK);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN
                   ? -EAGAIN
                   : error_set(err, -errno, "cannot read %s: %s", input->name, strerror(errno));
    input->end += (size_t)n;
    input->at_eof = n == 0;
    return n > 0;
}

/* Moves behind len bytes. */
static void consume(struct signal_input *input, size_t len)
{
    for (size_t i = 0; i < len; i++)
        input->line += input->data[input->start + i] == '\n';
    input->start += len;
    input->done += len;
    if (input->searched < input->start)
        input->searched = input->start;
}

static struct span unread(const struct signal_input *input)
{
    return (struct span){input->data + input->start, input->end - input->start};
}

/* Reads until the end or max bytes. 1: all of it is in the buffer. */
static int fill_whole(struct signal_input *input, size_t max, int wait_ms, struct error *err)
{
    int rc;
    while (input->end - input->start <= max)
        if ((rc = fill(input, wait_ms, err)) <= 0)
            return rc == 0 ? 1 : rc;
    return 0;
}

/* --- items ------------------------------------------------------------------------------------------------------- */

static size_t count_blank(struct span text)
{
    size_t blank = 0;
    while (blank < text.len &&
           (text.ptr[blank] == ' ' || text.ptr[blank] == '\t' || text.ptr[blank] == '\r' || text.ptr[blank] == '\n'))
        blank++;
    return blank;
}

/* The object's bytes, with the members it lacks put in front of its own. */
static struct span complete(struct signal_input *input, const struct json_node *object, size_t *ret_added)
{
    const struct signal_input_options *o = &input->options;
    struct span raw = json_raw(&input->doc, object);
    bool tenant = o->tenant && !json_get(&input->doc, object, "tenant_id");
    bool id = o->make_ids && !json_get(&input->doc, object, "id");
    struct buf *made = &input->made;
    *ret_added = 0;
    if (!tenant && !id)
        return raw;
    buf_clear(made);
    buf_add_char(made, '{');
    if (id) {
        uint8_t random[10];
        char text[UUID_TEXT + 1];
        random_bytes(random, sizeof(random));
        uuid7(clock_wall_ms(&clock_system), random, text);
        json_add_member(made, "id", span_of(text));
    }
    if (tenant)
        json_add_member(made, "tenant_id", span_of(o->tenant));
    if (object->count)
        buf_add_char(made, ',');
    *ret_added = made->len - 1;
    buf_add(made, raw.ptr + 1, raw.len - 1);
    return buf_span(made);
}

static void item_of(struct signal_input *input, const struct json_node *node, uint64_t line, struct signal_item *ret)
{
    *ret = (struct signal_item){.line = line};
    if (node->type != JSON_OBJECT)
        ret->bad = "a signal is a JSON object";
    else if (node->len > SIGNAL_INPUT_LINE_MAX)
        ret->bad = "the signal is longer than 1 MiB";
    else
        ret->bytes = complete(input, node, &ret->added);
}

/* The buffer's whole rest as one object, when its first line alone is not finished. 1: it is one. */
static int next_object(struct signal_input *input, struct signal_item *ret, struct error *err)
{
    int rc = fill_whole(input, SIGNAL_INPUT_LINE_MAX, WHOLE_WAIT_MS, err);
    if (rc <= 0)
        return rc == -EAGAIN ? 0 : rc;
    uint64_t line = input->line;
    struct span text = unread(input);
    if (json_parse(&input->doc, text, NULL) || input->doc.nodes[0].type != JSON_OBJECT)
        return 0;
    item_of(input, &input->doc.nodes[0], line, ret);
    consume(input, text.len);
    return 1;
}

/* The next line without its line feed: 1, 0 at the end, -EMSGSIZE too long (it is passed over), -EAGAIN, -errno. */
static int next_line(struct signal_input *input, int wait_ms, struct span *ret, struct error *err)
{
    for (;;) {
        char *feed = input->end > input->searched
                         ? memchr(input->data + input->searched, '\n', input->end - input->searched)
                         : NULL;
        if (feed || (input->at_eof && input->end > input->start)) {
            struct span line = unread(input);
            input->item_line = input->skipping ? input->item_line : input->line;
            line.len = feed ? (size_t)(feed - line.ptr) : line.len;
            bool was_skipping = input->skipping;
            input->skipping = false;
            if (!was_skipping && line.len <= SIGNAL_INPUT_LINE_MAX) {
                *ret = line;
                return 1;
            }
            consume(input, line.len + (feed != NULL));
            if (!was_skipping)
                return -EMSGSIZE;
            continue;
        }
        if (input->at_eof)
            return 0;
        input->searched = input->end;
        if (input->end - input->start > SIGNAL_INPUT_LINE_MAX) {
            bool first = !input->skipping;
            input->item_line = input->line;
            input->skipping = true;
            consume(input, input->end - input->start);
            if (first)
                return -EMSGSIZE;
        }
        int rc = fill(input, wait_ms, err);
        if (rc < 0)
            return rc;
    }
}

/* A line that is not blank: an item in either case. */
static int judge_line(struct signal_input *input, struct span line, struct signal_item *ret, struct error *err)
{
    uint64_t number = input->item_line;
    size_t whole = line.len + (input->start + line.len < input->end);
    bool good = json_parse(&input->doc, line, &input->bad) == 0;
    if (!good && !input->begun && input->doc.error_offset == line.len) {
        int rc = next_object(input, ret, err); /* may move the buffer, and `line` with it */
        if (rc)
            return rc;
    }
    if (good)
        item_of(input, &input->doc.nodes[0], number, ret);
    else
        *ret = (struct signal_item){.line = number, .bad = input->bad.text};
    consume(input, whole);
    return 1;
}

static int next_of_lines(struct signal_input *input, int wait_ms, struct signal_item *ret, struct error *err)
{
    struct span line;
    for (;;) {
        int rc = next_line(input, wait_ms, &line, err);
        if (rc == 1 && count_blank(line) == line.len) {
            consume(input, line.len + (input->start + line.len < input->end));
            continue;
        }
        if (rc == 1)
            rc = judge_line(input, line, ret, err);
        if (rc == -EMSGSIZE) {
            *ret = (struct signal_item){.line = input->item_line, .bad = "the line is longer than 1 MiB"};
            rc = 1;
        }
        input->begun |= rc == 1;
        return rc;
    }
}

/* --- one array --------------------------------------------------------------------------------------------------- */

static uint64_t line_at(const struct signal_input *input, size_t offset)
{
    uint64_t line = input->line;
    for (size_t i = 0; i < offset; i++)
        line += input->data[input->start + i] == '\n';
    return line;
}

static int open_array(struct signal_input *input, struct error *err)
{
    int rc = fill_whole(input, SIGNAL_INPUT_ARRAY_MAX, -1, err);
    if (rc == 0)
        return error_set(err, -EFBIG, "%s is one array of more than %d MiB: write one signal a line, without brackets",
                         input->name, SIGNAL_INPUT_ARRAY_MAX >> 20);
    if (rc < 0)
        return rc;
    rc = json_parse(&input->doc, unread(input), err);
    if (rc)
        return error_prefix(err, rc, "%s is no JSON array, nothing was sent: line %llu", input->name,
                            (unsigned long long)line_at(input, input->doc.error_offset));
    input->node = json_first(&input->doc, &input->doc.nodes[0]);
    input->mode = MODE_ARRAY;
    return 0;
}

static int next_of_array(struct signal_input *input, struct signal_item *ret)
{
    const struct json_node *node = input->node;
    if (!node) {
        input->mode = MODE_END;
        return 0;
    }
    /* The buffer stays as it is, so the document's offsets do; only the count of lines moves on. */
    size_t at = (size_t)(input->doc.text.ptr - input->data) + node->start;
    consume(input, at - input->start);
    item_of(input, node, input->line, ret);
    input->node = json_next(&input->doc, &input->doc.nodes[0], node);
    if (!input->node)
        consume(input, input->end - input->start);
    return 1;
}

/* --- start ------------------------------------------------------------------------------------------------------- */

/* Passes over blank bytes and looks at the first other one. */
static int start(struct signal_input *input, int wait_ms, struct error *err)
{
    for (;;) {
        struct span text = unread(input);
        size_t blank = count_blank(text);
        consume(input, blank);
        if (blank < text.len)
            break;
        int rc = fill(input, wait_ms, err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            input->mode = MODE_END;
            return 0;
        }
    }
    if (*unread(input).ptr == '[')
        return open_array(input, err);
    input->mode = MODE_LINES;
    return 0;
}

int signal_input_next(struct signal_input *input, int wait_ms, struct signal_item *ret, struct error *err)
{
    int rc = input->mode == MODE_START ? start(input, wait_ms, err) : 0;
    if (rc < 0 || input->mode == MODE_END)
        return rc;
    return input->mode == MODE_ARRAY ? next_of_array(input, ret) : next_of_lines(input, wait_ms, ret, err);
}
