/* Reads the secret of a signing key and checks its name. Only the caller's array holds the secret. */
#include "apps/cli/signing_key.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* As a server reads it: the file without one line feed at its end. */
static int read_secret(const struct cli *cli, char ret[SIGNING_SECRET_MAX + 1], size_t *ret_len)
{
    const char *path = cli->values[cli_row(cli, "key-file")];
    *ret_len = 0;
    if (!path)
        return 0;
    FILE *file = fopen(path, "re");
    struct stat st;
    if (!file || fstat(fileno(file), &st) < 0 || S_ISDIR(st.st_mode)) {
        int code = file ? EISDIR : errno;
        if (file)
            (void)fclose(file);
        return cli_fail(cli, EXIT_USAGE, "cannot read the key file %s: %s", path, strerror(code));
    }
    setvbuf(file, NULL, _IONBF, 0); /* no copy of the secret stays behind */
    size_t len = fread(ret, 1, SIGNING_SECRET_MAX + 1, file);
    (void)fclose(file);
    if (len > SIGNING_SECRET_MAX)
        return cli_fail(cli, EXIT_USAGE, "the key file %s is longer than %d bytes", path, SIGNING_SECRET_MAX);
    if (len && ret[len - 1] == '\n')
        len--;
    if (len && ret[len - 1] == '\r')
        len--;
    if (!len)
        return cli_fail(cli, EXIT_USAGE, "the key file %s is empty", path);
    *ret_len = len;
    return 0;
}

static int check_key_id(const struct cli *cli)
{
    const char *id = cli->values[cli_row(cli, "key-id")];
    if (!id)
        return 0;
    if (!cli->values[cli_row(cli, "key-file")])
        return cli_wrong(cli, "--key-id names a key: give its secret with --key-file");
    for (const char *c = id; *c; c++)
        if (*c <= ' ' || *c > '~')
            return cli_wrong(cli, "--key-id must be printable ASCII without spaces");
    return strlen(id) <= 128 && *id ? 0 : cli_wrong(cli, "--key-id must have 1 to 128 characters");
}

int signing_key_read(const struct cli *cli, char ret[SIGNING_SECRET_MAX + 1], size_t *ret_len)
{
    int code = check_key_id(cli);
    return code ? code : read_secret(cli, ret, ret_len);
}
