/* SPDX-License-Identifier: MIT */
/*
 * A writer's calls to its backend. Each opens the connection if need be, and tells the breakers (the backend's, and
 * the namespace's), the statistics and, where a breaker opens or closes, the log how it ended. What the backend said
 * of a failure is in writer->session.error until the next one.
 *
 * The writer's thread alone, and before that starts, whoever made the writer.
 */
#ifndef FOREBAY_POLICIES_WRITE_CALL_H
#define FOREBAY_POLICIES_WRITE_CALL_H

#include "policies/space.h"

struct writer;

/* Begins the first connection, in the background. */
void call_begin_first(struct writer *writer);

/* Waits for it until then (monotonic us). A backend that cannot be reached, or has not answered yet, does not keep
 * the server from starting: the log says so, and the writer goes on trying. False with a sentence in error: it refuses,
 * and the server must not start. */
bool call_await_first(struct writer *writer, uint64_t until_us, char *error, size_t error_size);

/* Waits for its end, at most as long as a call takes. Before the session is used; costs nothing later. */
void call_end_first(struct writer *writer);

/* Opens the connection if the backend has not been reached since the start, or since its store was lost, and it is time
 * to try: versions are above what it holds as soon as it can be asked, also if nothing is to be written. */
void call_reach(struct writer *writer);

/* May the backend be asked now? If the breaker was open this is its probe. */
bool call_is_admitted(struct writer *writer);

/* The same for this namespace alone, which has a breaker of its own for what is its table's fault. */
bool call_is_admitted_for(struct writer *writer, struct space *space);

/* For what follows on a call and failed: nothing is to be called for this namespace for a while, as after a call
 * that failed by its table's fault. */
void call_put_off(struct space *space);

/* The calls that follow end by then (monotonic us), whatever the backend's timeout says; 0: that alone counts. */
void call_limit(struct writer *writer, uint64_t until_us);

/* The backend has taken changes of this namespace in a call for several. */
void call_succeeded_for(struct writer *writer, struct space *space);

/* space: the namespace of all the mutations; NULL: they are of several. Then BACKEND_TABLE_FAILED, which may be any
 * one's fault, is held against none of them. *ret_partial with BACKEND_TRANSIENT: a part of the store, or of one that
 * is copied to, is away; mutation.done says which were applied, and the store is not held to be away. */
enum backend_status call_apply_parts(struct writer *writer, struct space *space, struct mutation *mutations,
                                     size_t count, bool *ret_partial);

/* Of a table that another writer's namespace is copied to: the same, but what is newer there is nothing to be told.
 * writer->lacked_part says whether a part is away. */
enum backend_status call_apply_copied(struct writer *writer, struct mutation *mutations, size_t count);

/* The store that the namespace is copied to has failed, not by a part alone, and session.error says how: as after a
 * failure of its table. */
enum backend_status call_fail_copied(struct writer *writer, struct space *space);

/* Exchanges two mutations, and their hashes; NULL: there are none. */
void call_swap(struct mutation *mutations, uint64_t *hashes, size_t a, size_t b);

/* After BACKEND_PERMANENT: those that the store has marked as refused come first, the others follow in their order, and
 * the hashes (NULL: there are none) go along. Returns how many are marked. */
size_t call_part_refused(struct mutation *mutations, uint64_t *hashes, size_t count);

/* The rows of these keys, as they are now. As call_apply_parts: load_result.failed says of which it is not known. */
enum backend_status call_load_parts(struct writer *writer, struct space *space, const struct slice *keys,
                                    size_t count, struct load_result *results, bool *ret_partial);

/* The same of what was alive at the second `now`, as far as the store still has it. */
enum backend_status call_load_parts_at(struct writer *writer, struct space *space, const struct slice *keys,
                                       size_t count, uint32_t now, struct load_result *results,
                                       bool *ret_partial);

/* The same of a table that another writer's namespace is copied to; what is found is not looked at. A part that is away
 * is not held against the store. */
enum backend_status call_load_table(struct writer *writer, const struct backend_table *table,
                                    const struct slice *keys, size_t count, uint32_t now,
                                    struct load_result *results);

/* Shows keys of a table: that of the namespace, or, where that is NULL, one that another writer's is copied to. The
 * same of parts. */
enum backend_status call_scan(struct writer *writer, struct space *space, const struct backend_table *table,
                              struct backend_visitor *visitor);

/* Is the store still the one at its address? False: it is lost; it is opened anew as soon as there is one. What memory
 * holds is then written to it again, as it is where an older copy was restored (rewrite.h). */
bool call_look(struct writer *writer);

/* The same, but true only if the store has answered; opens the connection if need be. */
bool call_see(struct writer *writer);

/* Does a backend answer again of which the last that is known is a failure, and which nobody asks? For those who ask
 * whether it can be asked (health.h). The breakers stay as they are: an answer does not say that it takes writes. */
void call_probe(struct writer *writer);

/* Does a store that others are copied to, and that failed last, answer again? They do not ask before it has. */
void call_renew(struct writer *writer);

/* Whether that is to be tried, when its breaker lets it. */
bool call_wants_renewal(const struct writer *writer);

/* Makes the connection, if need be. So whoever has called it knows whether the store is one that went back
 * (rewrite.h). */
bool call_connect(struct writer *writer);

/* Once a second a look, and a step of the store's upkeep, unless the backend is away or the last step was a moment
 * ago. True: it has more to do at once. */
bool call_upkeep(struct writer *writer, uint64_t now_us);

#endif
