/* SPDX-License-Identifier: MIT */
/*
 * An address's budget of failures is one number: the time at which all of them are forgiven. A failure moves it on;
 * what lies more than a whole budget ahead is more than there was to spend. It is never moved further than that, so the
 * longest penalty is one budget, however many failures there were.
 */
#include "server/worker/auth/gate.h"
#include "server/accepted.h"
#include <string.h>
#include <sys/random.h>

void gate_init(struct gate *gate) {
    *gate = (struct gate){0};
    if (getrandom(&gate->seed, sizeof gate->seed, GRND_NONBLOCK) != sizeof gate->seed)
        gate->seed = (uint64_t)(uintptr_t)gate; /* a guess would let an attacker slow others down, no more */
}

/* The bytes of an address that tell one machine from another. */
static size_t machine_of(const struct peer *peer, unsigned char ret_bytes[8]) {
    if (peer->family == AF_INET) {
        memcpy(ret_bytes, &peer->v4.sin_addr, 4);
        return 4;
    }
    if (peer->family != AF_INET6)
        return 0;
    const struct in6_addr *address = &peer->v6.sin6_addr;
    bool is_mapped = IN6_IS_ADDR_V4MAPPED(address);
    memcpy(ret_bytes, address->s6_addr + (is_mapped ? 12 : 0), is_mapped ? 4 : 8);
    return is_mapped ? 4 : 8;
}

/* FNV-1a from a seed, its bits mixed once more. */
static size_t place_of(const struct gate *gate, const struct peer *peer) {
    unsigned char bytes[8];
    size_t size = machine_of(peer, bytes);
    uint64_t hash = gate->seed ^ 0xcbf29ce484222325ull;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93ull;
    return (size_t)(hash >> 32) % GATE_PLACES;
}

bool gate_trusts(const struct gate *gate, const struct peer *peer, uint64_t now_us) {
    uint64_t calm_us = gate->calm_us[place_of(gate, peer)];
    return calm_us <= now_us || calm_us - now_us <= GATE_FORGIVEN_US * (GATE_FAILURES - 1);
}

void gate_note_failure(struct gate *gate, const struct peer *peer, uint64_t now_us) {
    uint64_t *calm_us = &gate->calm_us[place_of(gate, peer)];
    uint64_t from_us = *calm_us > now_us ? *calm_us : now_us,
             most_us = now_us + GATE_FORGIVEN_US * GATE_FAILURES;
    *calm_us = from_us + GATE_FORGIVEN_US < most_us ? from_us + GATE_FORGIVEN_US : most_us;
}
