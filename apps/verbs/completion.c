/* `tai completion`: a script for bash. It holds the verbs; options are asked of each verb's --help when they are
 * needed, so that they are always those of the program that is there. */
#include "apps/cli/cli.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {{0}};

static const char *const shells[] = {"bash", NULL};
static const struct cli_form form_shell = {.noun = "shell", .choices = shells};

static const struct cli_verb verb = {
    .name = "completion",
    .arguments = "bash",
    .about = "Prints a script that completes verbs and options in bash.",
    .notes = "Now: source <(tai completion bash). For good: tai completion bash > /etc/bash_completion.d/tai",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .forms = {&form_shell},
};

static const char script[] =
    "'\n"
    "_tai() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} verb= first=${COMP_WORDS[1]} second=${COMP_WORDS[2]-}\n"
    "    grep -qx -- \"$first $second\" <<<\"$_tai_verbs\" && verb=\"$first $second\"\n"
    "    [ -z \"$verb\" ] && grep -qx -- \"$first\" <<<\"$_tai_verbs\" && verb=$first\n"
    "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
    "        COMPREPLY=($(compgen -W \"help $(cut -d' ' -f1 <<<\"$_tai_verbs\" | sort -u)\" -- \"$word\"))\n"
    "    elif [ \"$COMP_CWORD\" = 2 ] && [ \"$verb\" != \"$first\" ]; then\n"
    "        COMPREPLY=($(compgen -W \"$(sed -n \"s/^$first //p\" <<<\"$_tai_verbs\")\" -- \"$word\"))\n"
    "    elif [[ $word == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" $verb --help 2>/dev/null | grep -oE -- '^ +(-., "
    ")?--[a-z-]+' "
    "| grep -oE -- '--[a-z-]+')\" -- \"$word\"))\n"
    "    else\n"
    "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
    "    fi\n"
    "}\n"
    "complete -o filenames -F _tai tai ./tai\n";

int verb_completion(int argc, char **argv)
{
    struct cli cli;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    fputs("_tai_verbs='", stdout);
    for (size_t i = 0; verb_name(i); i++)
        printf("%s%s", i ? "\n" : "", verb_name(i));
    fputs(script, stdout);
    return EXIT_OK;
}
