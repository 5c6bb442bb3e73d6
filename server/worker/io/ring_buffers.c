/* SPDX-License-Identifier: MIT */
/* See ring_buffers.h. */
#include "server/worker/io/ring_buffers.h"
#include "server/worker/connection.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Making them ---- */

/* Memory for the buffers' own ring, which the kernel is told of. Returns a negative errno, or 0. */
static int register_with(struct io_uring *ring, struct io_uring_buf_ring **ret_buffers) {
    void *memory;
    if (posix_memalign(&memory, (size_t)sysconf(_SC_PAGESIZE), RING_BUFFERS * sizeof(struct io_uring_buf)) !=
        0)
        return -ENOMEM;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)memory, .ring_entries = RING_BUFFERS, .bgid = RING_GROUP};
    int result = io_uring_register_buf_ring(ring, &reg, 0);
    if (result < 0) {
        free(memory);
        return result;
    }
    *ret_buffers = memory;
    io_uring_buf_ring_init(*ret_buffers);
    return 0;
}

static char *memory_of(const struct ring_buffers *buffers, unsigned buffer) {
    return buffers->memory + (size_t)buffer * CONNECTION_READ;
}

static void put_into_ring(struct ring_buffers *buffers, unsigned buffer, int at) {
    io_uring_buf_ring_add(buffers->ring, memory_of(buffers, buffer), CONNECTION_READ, (unsigned short)buffer,
                          io_uring_buf_ring_mask(RING_BUFFERS), at);
}

int ring_buffers_open(struct ring_buffers *buffers, struct io_uring *ring, counter *aside_bytes,
                      counter *strains) {
    *buffers = (struct ring_buffers){.aside_bytes = aside_bytes, .strains = strains};
    buffers->memory = malloc((size_t)RING_BUFFERS * CONNECTION_READ);
    int result = buffers->memory ? register_with(ring, &buffers->ring) : -ENOMEM;
    if (result < 0)
        return result;
    for (int i = 0; i < RING_BUFFERS; i++)
        put_into_ring(buffers, (unsigned)i, i);
    io_uring_buf_ring_advance(buffers->ring, RING_BUFFERS);
    return 0;
}

void ring_buffers_close(struct ring_buffers *buffers) {
    struct received *received;
    while ((received = buffers->spent)) {
        buffers->spent = received->next;
        if (received->copied > 0)
            free(received);
    }
    free(buffers->ring);
    free(buffers->memory);
}

/* ---- What is put aside ---- */

static void count_copy(struct ring_buffers *buffers, size_t bytes) {
    count_add(buffers->aside_bytes, bytes);
    if (buffers->strained || counted(buffers->aside_bytes) <= buffers->bound)
        return;
    buffers->strained = true;
    count(buffers->strains);
}

static void free_copy(struct ring_buffers *buffers, struct received *copy) {
    count_add(buffers->aside_bytes, -(uint64_t)copy->copied);
    if (counted(buffers->aside_bytes) <= buffers->bound / 2)
        buffers->strained = false;
    free(copy);
}

static struct received *copy_of(const struct io_link *link) {
    size_t size = 0;
    for (const struct received *received = link->first; received; received = received->next)
        size += received->size;
    struct received *copy = malloc(sizeof *copy + size);
    if (!copy)
        return NULL;
    char *at = (char *)(copy + 1);
    *copy = (struct received){.data = at, .size = size, .copied = size};
    for (const struct received *received = link->first; received; received = received->next) {
        memcpy(at, received->data, received->size);
        at += received->size;
    }
    return copy;
}

/* ---- A connection's queue ---- */

static void spend(struct ring_buffers *buffers, struct received *received) {
    received->next = buffers->spent;
    buffers->spent = received;
}

static void append(struct io_link *link, struct received *received) {
    received->next = NULL;
    if (link->first)
        link->last->next = received;
    else
        link->first = received;
    link->last = received;
}

void ring_buffers_receive(struct ring_buffers *buffers, struct io_link *link, unsigned buffer, size_t size) {
    struct received *received = &buffers->received[buffer];
    *received =
        (struct received){.data = memory_of(buffers, buffer), .size = size, .buffer = (unsigned short)buffer};
    if (size == 0 || !link)
        spend(buffers, received);
    else
        append(link, received);
}

size_t ring_buffers_take(struct ring_buffers *buffers, struct io_link *link, size_t size,
                         const char **ret_data) {
    struct received *received = link->first;
    size_t taken = received->size < size ? received->size : size;
    *ret_data = received->data;
    received->data += taken;
    received->size -= taken;
    if (received->size == 0) {
        link->first = received->next;
        spend(buffers, received);
    }
    return taken;
}

void ring_buffers_drop(struct ring_buffers *buffers, struct io_link *link) {
    struct received *received;
    while ((received = link->first)) {
        link->first = received->next;
        spend(buffers, received);
    }
}

bool ring_buffers_are_held(const struct io_link *link) {
    for (const struct received *received = link->first; received; received = received->next)
        if (received->copied == 0)
            return true;
    return false;
}

bool ring_buffers_put_aside(struct ring_buffers *buffers, struct io_link *link, size_t bound) {
    struct received *copy = copy_of(link);
    ring_buffers_drop(buffers, link);
    if (!copy)
        return false;
    buffers->bound = bound;
    append(link, copy);
    count_copy(buffers, copy->copied);
    return true;
}

void ring_buffers_give_back(struct ring_buffers *buffers) {
    int given = 0;
    struct received *received;
    while ((received = buffers->spent)) {
        buffers->spent = received->next;
        if (received->copied > 0)
            free_copy(buffers, received);
        else
            put_into_ring(buffers, received->buffer, given++);
    }
    if (given > 0)
        io_uring_buf_ring_advance(buffers->ring, given);
}
