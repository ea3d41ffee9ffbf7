/* The command line that runs a sibling tool with the same configuration. */
#include "app/app_int.h"

#include "base/buf.h"
#include "base/str.h"

#define COMMAND_MAX (16u << 20)

static enum rc add_word(struct buf *b, const char *word, struct error *err)
{
    CLEANUP_FREE char *quoted = str_shell_word(word);
    return buf_printf(b, err, "%s%s", b->len ? " " : "", quoted);
}

/* What came from the command line or the environment goes along; a secret never does. */
static enum rc add_settings(struct buf *b, const struct config *c, struct error *err)
{
    for (size_t i = 0; i < c->setting_count; i++) {
        const struct setting *s = &c->settings[i];
        if (s->origin < ORIGIN_ENVIRONMENT || setting_is_secret(s))
            continue;
        CLEANUP_FREE char *name = option_long_name(s->option, s->name);
        CLEANUP_FREE char *word = str_printf("--%s=%s", name, s->text);
        TRY(add_word(b, word, err));
    }
    return RC_OK;
}

static enum rc build(const struct app *a, const char *tool, struct buf *b, struct error *err)
{
    CLEANUP_FREE char *program = str_printf("%s/%s", a->self_dir, tool);

    TRY(add_word(b, program, err));
    if (a->config->path) {
        CLEANUP_FREE char *word = str_printf("--config=%s", a->config->path);
        TRY(add_word(b, word, err));
    }
    CLEANUP_FREE char *cluster = str_printf("--cluster=%s", a->config->cluster);
    TRY(add_word(b, cluster, err));
    return add_settings(b, a->config, err);
}

char *app_command_line(const struct app *a, const char *tool)
{
    CLEANUP_BUF struct buf b = BUF_INIT(COMMAND_MAX);
    struct error err = {0};
    const char *text;

    if (build(a, tool, &b, &err) != RC_OK || buf_cstr(&b, &text, &err) != RC_OK)
        BUG("could not put the command line of %s together: %s", tool, err.what);
    return str_dup(text);
}
