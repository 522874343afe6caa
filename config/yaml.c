/* From bytes to one YAML document: UTF-8, one document, no anchors, aliases or tags (they are gone once the document is
 * composed, so a first pass looks at the events). libyaml's document keeps the line of every node. */
#include "config/loader.h"

#include <stdlib.h>
#include <yaml.h>

enum { DEPTH_MAX = 8 };

static size_t line_at(struct span text, size_t offset)
{
    size_t line = 1;
    for (size_t i = 0; i < offset && i < text.len; i++)
        line += text.ptr[i] == '\n';
    return line;
}

static void add_problem(struct loader *loader, size_t line, const char *text)
{
    struct origin origin = {ORIGIN_FILE, line, loader->config->detail->file};
    problems_add(loader->problems, &origin, "%s", text);
}

static void add_parser_problem(struct loader *loader, const yaml_parser_t *parser, struct span text)
{
    struct origin origin = {ORIGIN_FILE, parser->problem_mark.line + 1, loader->config->detail->file};
    const char *problem = parser->problem ? parser->problem : "out of memory";
    if (parser->error == YAML_READER_ERROR)
        origin.line = line_at(text, parser->problem_offset);
    if (parser->context)
        problems_add(loader->problems, &origin, "not YAML: %s, %s", parser->context, problem);
    else
        problems_add(loader->problems, &origin, "not YAML: %s", problem);
}

static void open_parser(yaml_parser_t *parser, struct span text)
{
    if (!yaml_parser_initialize(parser))
        abort(); /* out of memory */
    yaml_parser_set_input_string(parser, (const unsigned char *)text.ptr, text.len);
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
}

/* What is refused in an event, or NULL. */
static const char *refuse(const yaml_event_t *event)
{
    static const char anchors[] = "anchors and aliases are not read: write the value out";
    static const char tags[] = "tags are not read: leave it out";
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return anchors;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor ? anchors : event->data.scalar.tag ? tags : NULL;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor ? anchors : event->data.sequence_start.tag ? tags : NULL;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor ? anchors : event->data.mapping_start.tag ? tags : NULL;
    default:
        return NULL;
    }
}

static int nesting(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return 1;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return -1;
    default:
        return 0;
    }
}

/* True if the text is one plain document. */
static bool scan(struct loader *loader, struct span text)
{
    yaml_parser_t parser;
    open_parser(&parser, text);
    bool good = true;
    int depth = 0;
    int documents = 0;
    for (bool more = true; more && good;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            add_parser_problem(loader, &parser, text);
            good = false;
            break;
        }
        const char *refused = refuse(&event);
        depth += nesting(&event);
        documents += event.type == YAML_DOCUMENT_START_EVENT;
        if (documents > 1)
            refused = "a second document begins: the configuration is one document";
        else if (depth > DEPTH_MAX)
            refused = "nested too deeply";
        if (refused)
            add_problem(loader, event.start_mark.line + 1, refused);
        good = !refused;
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return good;
}

void loader_apply_yaml(struct loader *loader, struct span text)
{
    if (text.len > CONFIG_FILE_MAX) {
        add_problem(loader, 0, "larger than 1 MiB");
        return;
    }
    if (!scan(loader, text))
        return;
    yaml_parser_t parser;
    yaml_document_t document;
    open_parser(&parser, text);
    if (yaml_parser_load(&parser, &document)) {
        loader_apply_tree(loader, &document);
        yaml_document_delete(&document);
    } else {
        add_parser_problem(loader, &parser, text);
    }
    yaml_parser_delete(&parser);
}
