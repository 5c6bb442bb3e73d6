/* SPDX-License-Identifier: MIT */
/*
 * The path of a setting from the file to the tier:
 *
 *     scan.c, document.c  the text becomes sections of names, texts and lines
 *     tables.c            which settings a section may have: ours, the tier's, those of each kind of backend
 *     value.c             a text becomes a value, as its setting says, and the other way
 *     config.c            reads all sections into drafts, has them checked, and hands them over
 *     check.c             what has to hold between settings
 *     copies.c            what a namespace is copied to
 *     users.c             who may do what
 *     overlap.c           that no two namespaces keep entries in one place
 *     print.c             from values back to a file
 */
#ifndef FOREBAY_SERVER_CONFIG_INTERNAL_H
#define FOREBAY_SERVER_CONFIG_INTERNAL_H

#include "backends/arena.h"
#include "server/buffer.h"
#include "server/config/config.h"
#include "server/config/document.h"

/* A backend while it is read. */
struct backend_draft {
    struct tier_backend_options options; /* first: what settings say goes into either; timeout 0: not given */
    const struct config_section *section;
    const struct backend_type *type; /* its kind; NULL: the uri is missing or of no kind */
};

/* A namespace while it is read: what the file says beside struct space_options. */
struct space_draft {
    struct space_options options; /* first, as above */
    const struct config_section *section;
    const char *policy, *backend;    /* names, or NULL */
    const char *copy_to;             /* the same */
    uint32_t backend_timeout;        /* ms, 0: not given */
    const struct backend_type *type; /* the kind of its backend; NULL: none, or not known */
};

struct config_loading {
    struct settings *settings;
    const struct config_document *document;
    struct space_draft *spaces;
    size_t space_count;
    struct backend_draft *backends;
    size_t backend_count;
    struct arena *memory;    /* what lives as long as the configuration */
    struct buffer *warnings; /* lines, as long as that */
    struct config_report report;
};

/* ---- config.c ---- */

/* As it was read: which settings are given, and in which lines. */
const struct config_document *config_document_of(const struct config *config);

/* ---- tables.c ---- */

/* The names of all settings that sections of a kind may have, each once, ended by NULL. */
void config_list_names(enum section_kind kind, const char *ret_names[CONFIG_NAMES_MAX]);

/* The setting of this name that all sections of the kind have, or NULL. It goes into struct settings,
 * backend_draft or space_draft. */
const struct setting *config_common_setting(enum section_kind kind, const char *name);

/* The settings that all sections of a kind have, one after another; NULL: there are no more. */
const struct setting *config_common_at(enum section_kind kind, size_t index);

/* What may be given for it, as config_show_range, also where the value is looked up elsewhere (policy). */
void config_list_values(const struct setting *setting, char *ret_text, size_t size);

/* The settings that a kind of backend adds to sections of a kind. */
const struct setting_table *config_table_of(const struct backend_type *type, enum section_kind kind);

/* The first kind of backend that adds a setting of this name to sections of a kind. There is one. */
const struct backend_type *config_owner(enum section_kind kind, const char *name);

/* ---- value.c ---- */

/* Reads a text into the member of target that the setting is for. */
bool config_read_value(struct config_report *report, const struct setting *setting,
                       const struct config_value *value, void *target);

/* The other way: the text of a value, as it would be read, in `text` or constant. NULL: it is one that nobody can give,
 * as it means that there is none. Of a LIST: its default. */
const char *config_show_value(const struct setting *setting, const void *target, char *text, size_t size);

/* The same for the default. */
const char *config_show_standard(const struct setting *setting, char *text, size_t size);

/* Which values there are: "1 to 64", "`lru`, `s3-fifo`"; "": any text. */
void config_show_range(const struct setting *setting, char *ret_text, size_t size);

/* ---- check.c ---- */

bool config_check_listen(struct config_loading *loading);
bool config_check_admin(struct config_loading *loading);
bool config_check_backends(struct config_loading *loading);

/* Warns of backends that no namespace uses. */
void config_tell_idle_backends(struct config_loading *loading);

/* Whether a namespace, once its policy and backend are known, has what a setting needs in order to mean something. */
bool config_has_need(const struct space_options *options, enum space_need need);

/* Finds each namespace's policy and backend, checks it, and fills in what depends on other settings. */
bool config_check_spaces(struct config_loading *loading);

/* ---- users.c ---- */

/* Reads the sections of users. Once the namespaces are good. */
bool config_read_users(struct config_loading *loading);

/* ---- copies.c ---- */

/* Finds the backends that namespaces are copied to, and checks whether they can be. Once each namespace is good. */
bool config_check_copies(struct config_loading *loading);

/* A namespace as it would be over the backend that it is copied to; false: it is copied nowhere. */
bool config_draft_of_copy(const struct config_loading *loading, const struct space_draft *draft,
                          struct space_draft *ret_copy);

/* ---- overlap.c ---- */

/* Refuses two namespaces that keep entries in one place, and warns where that cannot be known. Once each of them is
 * good. */
bool config_check_overlaps(struct config_loading *loading);

#endif
