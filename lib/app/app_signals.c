/* Signals ask for the end; the work itself stops at its next chunk boundary. */
#include "app/app_int.h"

#include "base/cancel.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static void on_signal(int n)
{
    /* Who presses ^C twice wants it to end now. */
    if (n == SIGINT && cancel_signal() != 0)
        _exit(128 + n);
    cancel_request(n);
}

void signals_install(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction old, sa = {.sa_handler = on_signal}; /* no SA_RESTART: waits end early */
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        /* nohup, and a shell's background jobs, have them ignored on purpose */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue;
        sigaction(signals[i], &sa, NULL);
    }
    sigaction(SIGPIPE, &ignore, NULL);
}
