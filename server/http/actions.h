/* SPDX-License-Identifier: MIT */
/* What changes something: POST, with the token. Answers are lines as the protocol's commands give them. */
#ifndef FOREBAY_SERVER_HTTP_ACTIONS_H
#define FOREBAY_SERVER_HTTP_ACTIONS_H

#include "server/http/http.h"

http_handler action_sync, action_hand_over, action_flush, action_retry, action_drop, action_reload,
    action_log;

/* The arguments that they know. */
extern const char *const action_takes_nothing[],
    *const action_takes_space[], *const action_takes_key[], *const action_takes_level[],
                                                                *const action_takes_switch[];

#endif
