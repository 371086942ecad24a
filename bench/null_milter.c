/*
 * The least that a milter can do: hear what patchgate hears, answer where patchgate answers, decide nothing.
 * Build: gcc -O2 -o null_milter null_milter.c -lmilter -lpthread        Run: null_milter unix:/path/of/socket
 */
#include <libmilter/mfapi.h>
#include <stdlib.h>
#include <sys/stat.h>

static const unsigned long WANTED = SMFIP_NOBODY | SMFIP_NOUNKNOWN | SMFIP_NODATA | SMFIP_NR_CONN | SMFIP_NR_HELO
                                  | SMFIP_NR_MAIL | SMFIP_NR_RCPT | SMFIP_NR_HDR;

static sfsistat negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long r1, unsigned long r2,
                          unsigned long *own_actions, unsigned long *own_steps, unsigned long *o1, unsigned long *o2)
{
    *own_actions = 0;
    *own_steps = steps & WANTED;
    *o1 = *o2 = 0;
    return (steps & WANTED) == WANTED ? SMFIS_CONTINUE : SMFIS_REJECT; /* the handlers below count on all of it */
}

static sfsistat heard_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address) { return SMFIS_NOREPLY; }
static sfsistat heard_helo(SMFICTX *ctx, char *name) { return SMFIS_NOREPLY; }
static sfsistat heard_envelope(SMFICTX *ctx, char **arguments) { return SMFIS_NOREPLY; }
static sfsistat heard_header(SMFICTX *ctx, char *name, char *value) { return SMFIS_NOREPLY; }
static sfsistat answer(SMFICTX *ctx) { return SMFIS_ACCEPT; }

static struct smfiDesc milter = {
    .xxfi_name = "null",
    .xxfi_version = SMFI_VERSION,
    .xxfi_connect = heard_connect,
    .xxfi_helo = heard_helo,
    .xxfi_envfrom = heard_envelope,
    .xxfi_envrcpt = heard_envelope,
    .xxfi_header = heard_header,
    .xxfi_eoh = answer,
    .xxfi_negotiate = negotiate,
};

int main(int argc, char **argv)
{
    umask(0); /* the MTA is another user */
    if (argc != 2 || smfi_setconn(argv[1]) == MI_FAILURE || smfi_register(milter) == MI_FAILURE)
        return EXIT_FAILURE;
    return smfi_main() == MI_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
