/* SPDX-License-Identifier: MIT */
/* What a reload would change: the settings that were read last, against those that are read now. Pure. */
#ifndef FOREBAY_SERVER_CONFIG_CHANGE_H
#define FOREBAY_SERVER_CONFIG_CHANGE_H

#include "server/config/settings.h"

enum config_change_kind {
    CONFIG_SETTING_LIVE,      /* a setting that changes while the server runs */
    CONFIG_SETTING_FIXED,     /* one that needs a restart, or a backend that is new or gone */
    CONFIG_NAMESPACE_ADDED,   /* a namespace that is new */
    CONFIG_NAMESPACE_REMOVED, /* one that is gone */
};

struct config_change {
    enum config_change_kind kind;
    const char *name; /* of the setting, the backend or the namespace; as long as the settings */
    char text[400];   /* what it is, for people: with both values where it can change */
};

struct config_changes {
    struct config_change *list;
    size_t count;
};

/* Sections go by their names: their order in the file is no change. False: no memory. To be freed in either case. */
bool config_find_changes(const struct settings *running, const struct settings *wanted,
                         struct config_changes *ret_changes);
void config_changes_free(struct config_changes *changes);

size_t config_count_changes(const struct config_changes *changes, enum config_change_kind kind);

/* Gives `running`, which others read meanwhile, the values of `wanted` of all settings at the top that may change.
 * Texts stay those of wanted. */
void config_take_live(struct settings *running, const struct settings *wanted);

#endif
