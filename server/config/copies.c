/* SPDX-License-Identifier: MIT */
/*
 * copy_to: which backend a namespace is copied to, and whether that can be. Its rows there must meet nobody else's,
 * which overlap.c looks at.
 */
#include "server/config/internal.h"

static bool fail(struct config_loading *loading, const struct space_draft *draft, const char *why,
                 const char *remedy) {
    return config_fail(&loading->report, config_line(draft->section, "copy_to"), "copy_to = \"%s\": %s; %s",
                       draft->copy_to, why, remedy);
}

static bool find_target(struct config_loading *loading, struct space_draft *draft) {
    for (size_t i = 0; i < loading->backend_count; i++)
        if (strcmp(loading->backends[i].options.store.name, draft->copy_to) == 0)
            draft->options.copy_to = (unsigned)i + 1;
    if (!draft->options.copy_to)
        return fail(loading, draft, "there is no such backend", "define it, or remove this");
    if ((int)draft->options.copy_to == draft->options.backend + 1)
        return fail(loading, draft, "the namespace is over this backend already",
                    "name another one, or remove this");
    return true;
}

/* Of the same kind, its rows are kept there as they are here; else as that kind does by default. */
static bool check_table(struct config_loading *loading, struct space_draft *draft,
                        const struct backend_type *type) {
    struct backend_complaint complaint;
    struct backend_table *table = &draft->options.copy_table;
    *table = (struct backend_table){.name = draft->options.name,
                                    .key_prefix = draft->options.prefix,
                                    .specific = type == draft->type ? draft->options.table.specific : NULL,
                                    .written = true};
    return (draft->type->check_table(&draft->options.table, "copy_to", &complaint) &&
            type->check_table(table, "copy_to", &complaint)) ||
           config_fail(&loading->report, config_line(draft->section, complaint.setting), "%s",
                       complaint.message);
}

/* Its writer waits for another one, and so must not be waited for. */
static bool check_chain(struct config_loading *loading, const struct space_draft *draft) {
    char why[300];
    for (size_t i = 0; i < loading->space_count; i++) {
        const struct space_draft *other = &loading->spaces[i];
        if (!other->copy_to || other->options.backend + 1 != (int)draft->options.copy_to)
            continue;
        snprintf(why, sizeof why, "namespace \"%s\" is copied from this backend", other->options.name);
        return fail(loading, draft, why, "copy one after the other");
    }
    return true;
}

bool config_check_copies(struct config_loading *loading) {
    for (size_t i = 0; i < loading->space_count; i++) {
        struct space_draft *draft = &loading->spaces[i];
        if (draft->copy_to &&
            (!find_target(loading, draft) ||
             !check_table(loading, draft, loading->backends[draft->options.copy_to - 1].type)))
            return false;
    }
    for (size_t i = 0; i < loading->space_count; i++)
        if (loading->spaces[i].copy_to && !check_chain(loading, &loading->spaces[i]))
            return false;
    return true;
}

bool config_draft_of_copy(const struct config_loading *loading, const struct space_draft *draft,
                          struct space_draft *ret_copy) {
    if (!draft->options.copy_to)
        return false;
    *ret_copy = *draft;
    ret_copy->options.backend = (int)draft->options.copy_to - 1;
    ret_copy->options.table = draft->options.copy_table;
    ret_copy->type = loading->backends[ret_copy->options.backend].type;
    return true;
}
