/* SPDX-License-Identifier: MIT */
/*
 * Before a client has authenticated, only a set is looked at, and its data block taken for "user password". A binary
 * client says it by SASL (sasl.c).
 *
 * Who guesses passwords is slowed down: a credential is checked at once where neither its connection nor, of late, its
 * address has failed (gate.h). Any other waits, on a connection that has to be kept open meanwhile: who hangs up is not
 * told whether it was right. So guesses are bounded by connections, and nobody who is right is kept out.
 *
 *     a set --trusted--> checked
 *       \--distrusted--> awaits its check --login_admit_waiting, after AUTH_WAIT--> comes again (has_waited), checked
 *
 * Of auth_file a credential is checked there and then. The password of a user of the configuration is proven by another
 * thread (prover.h), and the connection waits as well:
 *
 *     checked --prover_submit--> awaits its check --login_collect_proofs--> comes again, with its proof, and is answered
 *       \--the queue is full--> awaits its check --login_admit_waiting, after AUTH_WAIT--> comes again
 */
#include "server/worker/auth/login.h"
#include "server/config/settings.h"
#include "server/log.h"
#include "server/worker/answer.h"
#include "server/worker/auth/auth.h"
#include "server/worker/auth/prover.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/turn_execute.h"
#include "server/worker/worker.h"

enum {
    AUTH_FAILURES = 3, /* credentials that are refused before a connection is closed */
    AUTH_WAIT = 1,     /* seconds, at least, that a credential waits which is not checked at once */
};

static void note_failure(struct worker *worker, const struct peer *peer) {
    char address[PEER_TEXT];
    const char *path = worker->server->settings->auth_file;
    count(&worker->auth_errors);
    gate_note_failure(&worker->gate, peer, monotonic_us());
    peer_name(peer, address);
    server_log_about(worker->server, LOG_KIND_CREDENTIAL, LOG_LEVEL_WARNING,
                     LOG_FIELDS(log_text("address", address)),
                     "client %s failed to authenticate: no user of %s has the password that it gave", address,
                     path ? path : "the configuration");
}

static void count_refusal(struct connection *connection) {
    if (++connection->auth_failures == AUTH_FAILURES)
        connection_set_state(connection, CONNECTION_CLOSING);
}

static void refuse(struct worker *worker, struct connection *connection) {
    note_failure(worker, &connection->peer);
    count_refusal(connection);
}

static bool is_trusted(const struct worker *worker, const struct connection *connection) {
    return connection->auth_failures == 0 && gate_trusts(&worker->gate, &connection->peer, monotonic_us());
}

static bool has_to_wait(const struct worker *worker, const struct connection *connection) {
    return !connection->has_waited && !is_trusted(worker, connection);
}

static void let_wait(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    if (!turn_hold_from(worker, i))
        return;
    connection->check_us = monotonic_us() + (uint64_t)AUTH_WAIT * US_PER_SECOND;
    connection_set_awaits_check(connection, true);
}

static enum login_verdict pass(struct worker *worker, struct connection *connection) {
    worker->strangers -= !connection->authenticated;
    connection->authenticated = true;
    connection->guarded = connection->identity.user != NULL;
    connection->parser.item_max = worker->server->settings->item_max;
    connection->parser.short_lines = false;
    return LOGIN_PASSED;
}

/* ---- Passwords that are proven by the prover ---- */

/* By the prover's thread. */
static void note_proven(struct proof *proof) {
    struct worker *worker = proof->owner;
    pthread_mutex_lock(&worker->hand_lock);
    proof->next = worker->proven;
    worker->proven = proof;
    pthread_mutex_unlock(&worker->hand_lock);
    worker_wake(worker);
}

/* Counts what was found, and frees it. Also where its client has left by now: who hangs up has guessed all the same,
 * and would else be trusted for ever, and keep all others out of the queue. */
static void conclude(struct worker *worker, struct proof *proof) {
    count(&worker->auth_commands);
    if (!proof->identity.user)
        note_failure(worker, &proof->peer);
    proof_free(proof);
}

void login_drop_proof(struct connection *connection) {
    struct proof *proof = connection->proof;
    connection->proof = NULL;
    if (proof && proof->is_done)
        conclude(connection->worker, proof);
    else if (proof)
        proof->about = NULL;
}

/* NULL: not now. A password that is longer than any is nobody's, and has to take as long as the others. */
static struct proof *submit(struct worker *worker, struct connection *connection, struct slice user,
                            struct slice password) {
    const struct users *users = atomic_load_explicit(&worker->server->users, memory_order_acquire);
    bool fits = password.size <= PROOF_PASSWORD_MAX && !memchr(password.data, '\0', password.size);
    struct proof *proof = proof_create(fits ? password : SLICE(""));
    if (!proof)
        return NULL;
    proof->done = note_proven;
    proof->owner = worker;
    proof->about = connection;
    proof->peer = connection->peer;
    proof->is_trusted = is_trusted(worker, connection);
    proof->identity = (struct identity){users, fits ? users_find(users, user) : NULL, NULL};
    if (prover_submit(worker->server->prover, proof))
        return proof;
    proof_free(proof);
    return NULL;
}

static void begin_proof(struct worker *worker, size_t i, struct slice user, struct slice password) {
    struct connection *connection = worker->slots[i].connection;
    connection->proof = submit(worker, connection, user, password);
    connection->awaits_prover = !connection->proof;
    if (!connection->proof) {
        let_wait(worker, i);
        return;
    }
    connection->has_waited = false;
    connection->check_us = UINT64_MAX;
    if (turn_hold_from(worker, i))
        connection_set_awaits_check(connection, true);
}

static enum login_verdict end_proof(struct worker *worker, struct connection *connection) {
    struct proof *proof = connection->proof;
    bool passes = proof->identity.user != NULL;
    if (passes)
        connection->identity = proof->identity;
    connection->proof = NULL;
    conclude(worker, proof);
    if (passes)
        return pass(worker, connection);
    count_refusal(connection);
    return LOGIN_REFUSED;
}

/* ---- All passwords ---- */

bool login_is_asked_for(const struct server *server) {
    return atomic_load_explicit(&server->auth, memory_order_acquire) ||
           atomic_load_explicit(&server->users, memory_order_acquire);
}

static enum login_verdict check_line(struct worker *worker, struct connection *connection, struct slice user,
                                     struct slice password) {
    const struct auth *auth = atomic_load_explicit(&worker->server->auth, memory_order_acquire);
    connection->has_waited = false;
    count(&worker->auth_commands);
    if (!auth || auth_check(auth, user, password))
        return pass(worker, connection);
    refuse(worker, connection);
    return LOGIN_REFUSED;
}

enum login_verdict login_check(struct worker *worker, size_t i, struct slice user, struct slice password) {
    struct connection *connection = worker->slots[i].connection;
    if (connection->proof)
        return end_proof(worker, connection);
    if (has_to_wait(worker, connection)) {
        let_wait(worker, i);
        return LOGIN_WAITS;
    }
    if (!atomic_load_explicit(&worker->server->users, memory_order_acquire))
        return check_line(worker, connection, user, password);
    begin_proof(worker, i, user, password);
    return LOGIN_WAITS;
}

/* ---- In the text protocol ---- */

/* "user password" */
static void check_credential(struct worker *worker, size_t i) {
    struct slice user, password = worker->slots[i].request.value;
    slice_cut(&password, ' ', &user);
    switch (login_check(worker, i, user, password)) {
    case LOGIN_PASSED:
        answer_line(worker, worker->slots[i].connection, "STORED");
        return;
    case LOGIN_REFUSED:
        answer_line(worker, worker->slots[i].connection, "CLIENT_ERROR authentication failure");
        return;
    case LOGIN_WAITS:
        return;
    }
}

/* ---- Others ---- */

bool login_lets(const struct slot *slot) {
    enum command command = slot->request.command;
    return connection_is_binary(slot->connection) && (command == COMMAND_SASL || command == COMMAND_VERSION ||
                                                      (command == COMMAND_BAD && slot->head.closes));
}

/* As memcached, which counts here none but those who said who they are. */
static void refuse_binary(struct worker *worker, const struct slot *slot) {
    answer_status(worker, slot, BINARY_AUTH_ERROR);
    connection_set_state(slot->connection, CONNECTION_CLOSING);
}

void login_execute(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    const struct request *request = &worker->slots[i].request;
    if (connection_is_binary(connection)) {
        refuse_binary(worker, &worker->slots[i]);
    } else if (connection->run_failed) { /* a line has one answer, however many keys it has */
        connection->run_failed = !request->ends_run;
    } else if (request->command == COMMAND_QUIT) {
        connection->closed_by = CLOSED_BY_CLIENT;
        connection_set_state(connection, CONNECTION_CLOSING);
    } else if (request->command != COMMAND_SET) {
        count(&worker->auth_commands);
        count(&worker->auth_errors);
        answer_line(worker, connection, "CLIENT_ERROR unauthenticated");
        connection->run_failed = command_comes_in_runs(request->command) && !request->ends_run;
    } else if (request->too_large) {
        count(&worker->auth_commands);
        refuse(worker, connection);
        answer_line(worker, connection, "CLIENT_ERROR auth token too long");
    } else {
        check_credential(worker, i);
    }
}

/* Its credential comes again in the next turn. */
static void admit(struct connection *connection) {
    connection_set_awaits_check(connection, false);
    connection->resumed = true;
    connection_set_ready(connection);
}

static struct connection *oldest(const struct worker *worker) {
    struct connection *connection = worker->connections;
    while (connection && connection->next)
        connection = connection->next;
    return connection;
}

/* Oldest first: the prover's queue may have no room for all. */
void login_admit_waiting(struct worker *worker) {
    uint64_t now_us = monotonic_us();
    struct connection *connection = worker->awaiting_check > 0 ? oldest(worker) : NULL;
    for (; connection && worker->awaiting_check > 0; connection = connection->previous)
        if (connection->awaits_check && now_us >= connection->check_us) {
            connection->has_waited = true;
            admit(connection);
        }
}

void login_collect_proofs(struct worker *worker) {
    pthread_mutex_lock(&worker->hand_lock);
    struct proof *proof = worker->proven, *next;
    worker->proven = NULL;
    pthread_mutex_unlock(&worker->hand_lock);
    for (; proof; proof = next) {
        struct connection *connection = proof->about;
        next = proof->next;
        proof->is_done = true;
        if (connection)
            admit(connection);
        else
            conclude(worker, proof);
    }
}

/* Its credential is with the prover, or is looked at in the next turn, as it has waited or is proven. That comes to an
 * end; but where answers wait for the client to read them, it need not. */
static bool is_being_judged(const struct connection *connection) {
    const struct proof *proof = connection->proof;
    return (proof && !proof->is_done) ||
           (connection->is_queued && !connection->pending && (proof || connection->has_waited));
}

/* It has done all that it can: its credential is with the prover, or found no room there. The latter only of who is
 * trusted: who fills the queue with guesses is not, as soon as some are proven wrong. */
static bool waits_for_prover(const struct worker *worker, const struct connection *connection) {
    const struct proof *proof = connection->proof;
    return (proof && !proof->is_done) || (connection->awaits_prover && is_trusted(worker, connection));
}

/* For the seconds that have passed. */
static void stop_clock(struct connection *connection, uint32_t passed) {
    uint32_t age = connection->worker->second - connection->opened;
    connection->opened += passed < age ? passed : age;
}

void login_end_strangers(struct worker *worker) {
    uint32_t timeout = worker->server->settings->auth_timeout;
    uint32_t passed = worker->second - worker->strangers_seen;
    struct connection *next;
    worker->strangers_seen = worker->second;
    for (struct connection *connection = worker->connections; connection; connection = next) {
        next = connection->next;
        if (!connection->authenticated && waits_for_prover(worker, connection))
            stop_clock(connection, passed);
        if (connection->authenticated || is_being_judged(connection) || connection->held ||
            connection_is_parked(connection) || worker->second - connection->opened <= timeout ||
            (connection->is_queued && connection_state(connection) != CONNECTION_OPEN)) /* it ends by then */
            continue;
        count(&worker->auth_timeouts);
        connection_end(connection, CLOSED_IDLE);
    }
}
