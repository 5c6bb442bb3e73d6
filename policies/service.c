/* SPDX-License-Identifier: MIT */
/* See service.h. */
#include "policies/service.h"
#include "cache/base/fit.h"
#include "cache/base/thread.h"
#include <stdio.h>

void service_log_about(const struct service *service, struct log_limit *limit, enum log_level level,
                       const struct log_field *fields, const char *format, va_list arguments) {
    char message[SERVICE_MESSAGE_SIZE];
    if (!service->log)
        return;
    if (limit && !log_limit_admits(limit, LOG_LIMIT_BURST, monotonic_us())) {
        log_limit_leave_out(limit);
        return;
    }
    size_t length = fit_vprint(message, log_limit_room(limit, sizeof message), format, arguments);
    if (limit)
        log_limit_tell_left_out(limit, message, length, sizeof message);
    service->log(service->context, level, fields, message);
}

void service_log(const struct service *service, enum log_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    service_log_about(service, NULL, level, NULL, format, arguments);
    va_end(arguments);
}

void service_wake(const struct service *service, unsigned worker) {
    if (service->wake)
        service->wake(service->context, worker);
}

int service_start_thread(pthread_t *ret_thread, const char *role, const char *backend, void *(*run)(void *),
                         void *argument) {
    char name[THREAD_NAME_MAX + 1];
    snprintf(name, sizeof name, "%s %.8s", role, backend);
    return thread_start(ret_thread, name, run, argument);
}
