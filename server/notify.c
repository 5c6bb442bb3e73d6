/* SPDX-License-Identifier: MIT */
#include "server/notify.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A path, or '@' and a name that is in no folder. */
static bool read_address(const char *text, struct notify *notify) {
    size_t length = strlen(text);
    if ((*text != '/' && *text != '@') || length < 2 || length >= sizeof notify->address.sun_path)
        return false;
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, text, length + 1);
    if (*text == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*text == '@' ? 0 : 1));
    return true;
}

static uint64_t read_number(const char *name) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

/* A watchdog of another process that left its variables here is none. */
static uint64_t read_watchdog(void) {
    uint64_t pid = read_number("WATCHDOG_PID");
    return pid == 0 || pid == (uint64_t)getpid() ? read_number("WATCHDOG_USEC") : 0;
}

bool notify_open(struct notify *ret_notify) {
    const char *address = getenv("NOTIFY_SOCKET");
    struct notify notify = {.fd = -1, .watchdog_us = read_watchdog()};
    if (address && read_address(address, &notify))
        notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    if (notify.fd < 0)
        return false;
    *ret_notify = notify;
    return true;
}

void notify_close(struct notify *notify) {
    close(notify->fd);
    notify->fd = -1;
}

bool notify_send(struct notify *notify, const char *lines) {
    ssize_t sent;
    do
        sent = sendto(notify->fd, lines, strlen(lines), MSG_DONTWAIT | MSG_NOSIGNAL,
                      (const struct sockaddr *)&notify->address, notify->address_size);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}
