/* SPDX-License-Identifier: MIT */
/* See turn_send.h. */
#include "server/worker/turn_send.h"
#include "server/worker/held.h"
#include "server/worker/internal.h"
#include "server/worker/reply_limit.h"
#include "server/worker/share.h"

void turn_journal_and_send(struct worker *worker, bool ends) {
    uint64_t hold;
    bool kept = tier_turn_end(worker->tier, &hold);
    held_date(worker, hold);
    if (!kept)
        output_break(&worker->output);
    if (ends)
        output_hand_over(&worker->output, worker->io_type);
    else
        output_send(&worker->output);
    reply_limit_reset(worker);
}

void turn_send_part(struct worker *worker) {
    worker->said += output_said(&worker->output);
    turn_journal_and_send(worker, false);
    share_set(worker, worker->said);
    worker->is_full |= worker->said >= SHARE_TURN;
    if (!tier_turn_begin(worker->tier, &worker->now))
        return;
    for (size_t i = 0; i < worker->slot_count; i++)
        if (command_has_key(worker->slots[i].request.command))
            tier_prepare(worker->tier, &worker->slots[i].request);
}
