/* SPDX-License-Identifier: MIT */
/* What config.c (the meaning of each option) and config_check.c (what has to hold between them) share. */
#ifndef FOREBAY_SERVER_CONFIG_INTERNAL_H
#define FOREBAY_SERVER_CONFIG_INTERNAL_H

#include "server/config/config.h"
#include "server/config/document.h"

/* What an option of a namespace needs in order to mean something. */
enum field_need { NEED_NONE, NEED_BACKEND, NEED_WRITE_BEHIND, NEED_SQLITE, NEED_REDIS };

/* A namespace while it is read: what the file says beside struct space_options. */
struct space_draft {
    struct space_options options; /* first: offsets of fields hold for both */
    const struct config_section *section;
    const char *policy, *backend; /* names, or NULL */
    uint32_t backend_timeout;     /* ms, 0: not given */
};

struct backend_draft {
    struct tier_backend_options options;
    const struct config_section *section;
    uint32_t timeout; /* ms, 0: not given */
};

struct config_loading {
    struct settings *settings;
    const struct config_document *document;
    struct space_draft *spaces;
    size_t space_count;
    struct backend_draft *backends;
    size_t backend_count;
    char *error;
    size_t error_size;
};

/* Writes "FILE:LINE: ..." and returns false. */
bool config_fail(struct config_loading *loading, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The line of an option if it is there, else the one where its section opens. */
int config_line(const struct config_section *section, const char *name);

/* What the option of a namespace with this name needs. */
enum field_need config_need(const char *name);

bool config_check_listen(struct config_loading *loading);
bool config_check_backends(struct config_loading *loading);

/* Finds each namespace's policy and backend, checks it, and fills in the defaults that depend on others. */
bool config_check_spaces(struct config_loading *loading);

#endif
