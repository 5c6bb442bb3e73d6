/* SPDX-License-Identifier: MIT */
/*
 * The smallest server that speaks the protocols, text and binary, by the first byte of a connection: parser, evaluate
 * and reply over a plain array of entries, without sockets, threads, policies and memory limits. Bytes go in, bytes
 * come out. The tests ask it what the protocol is, and the fuzzers shake it.
 */
#ifndef FOREBAY_TESTS_SUPPORT_MODEL_H
#define FOREBAY_TESTS_SUPPORT_MODEL_H

#include "policies/evaluate.h"
#include "server/protocol/binary.h"
#include "server/protocol/reply.h"

struct model;

/* item_max as memcached's -I. The clock starts at now (Unix seconds) and moves only by model_advance. */
struct model *model_create(size_t item_max, uint32_t now);
void model_destroy(struct model *model);

/* As it was when it was created, but for the clock: a fuzzer needs very many. */
void model_begin_anew(struct model *model, uint32_t now);

void model_advance(struct model *model, uint32_t seconds);

/* Bytes arrive on the connection, in one piece. Answers are appended to the output. Nothing happens once
 * closed. */
void model_feed(struct model *model, const char *bytes, size_t size);

/* All that was answered since the last model_take, ended by a zero; valid until the next model_feed. */
struct slice model_take(struct model *model);

bool model_is_closed(const struct model *model);

/* Bytes that the parser has not consumed yet. */
size_t model_waiting(const struct model *model);

/* From now on changes get versions above this one, which is not below the last. */
void model_raise_version(struct model *model, uint64_t version);

#endif
