/* SPDX-License-Identifier: MIT */
/*
 *     AUTH with a message -----------------------> judged
 *     AUTH without one --> continue --STEP-------> judged
 *
 * Who has authenticated may do so again, as another user, say. If that fails the connection closes: nobody is left to
 * answer to.
 */
#include "server/worker/auth/sasl.h"
#include "server/worker/answer.h"
#include "server/worker/auth/login.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"

enum { MECHANISM_MAX = 32 }; /* memcached's: what is longer is no name of a mechanism */

/* "[as whom] NUL user NUL password". As whom he acts makes no difference here. */
static bool read_plain(struct slice message, struct slice *ret_user, struct slice *ret_password) {
    struct slice as_whom;
    if (!slice_cut(&message, '\0', &as_whom) || !slice_cut(&message, '\0', ret_user))
        return false;
    *ret_password = message;
    return true;
}

/* Counted it is by now. */
static void answer_refused(struct worker *worker, const struct slot *slot) {
    answer_status(worker, slot, BINARY_AUTH_ERROR);
    if (slot->connection->authenticated)
        connection_set_state(slot->connection, CONNECTION_CLOSING);
}

/* There is no credential to check. */
static void refuse(struct worker *worker, const struct slot *slot) {
    count(&worker->auth_commands);
    count(&worker->auth_errors);
    answer_refused(worker, slot);
}

static void judge(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    struct connection *connection = slot->connection;
    struct slice user, password;
    if (!read_plain(slot->request.value, &user, &password)) {
        refuse(worker, slot);
        return;
    }
    switch (login_check(worker, i, user, password)) {
    case LOGIN_PASSED:
        answer_message(worker, slot, SLICE("Authenticated"));
        break;
    case LOGIN_REFUSED:
        answer_refused(worker, slot);
        break;
    case LOGIN_WAITS:
        return;
    }
    connection->sasl_begun = false;
}

void sasl_execute(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    struct connection *connection = slot->connection;
    bool steps = slot->head.opcode == BINARY_SASL_STEP;
    if (!login_is_asked_for(worker->server)) {
        answer_status(worker, slot, BINARY_UNKNOWN_COMMAND); /* as memcached without -S */
    } else if (slot->head.opcode == BINARY_SASL_LIST) {
        answer_message(worker, slot, SLICE("PLAIN"));
    } else if (slot->request.key.size > MECHANISM_MAX) {
        answer_status(worker, slot, BINARY_INVALID);
    } else if (!slice_equal(slot->request.key, SLICE("PLAIN")) || (steps && !connection->sasl_begun)) {
        refuse(worker, slot);
    } else if (!steps && slot->request.value.size == 0) {
        connection->sasl_begun = true;
        answer_status(worker, slot, BINARY_AUTH_CONTINUE);
    } else {
        judge(worker, i);
    }
}
