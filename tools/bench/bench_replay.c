/* SPDX-License-Identifier: MIT */
/*
 * Replays a block trace against a server that speaks memcached's text protocol, look-aside: get, and set
 * after a miss.
 *
 *     bench_replay PORT TRACE [requests]
 *
 * TRACE is in the format of the ARC paper's traces (OLTP.lis, P3.lis; "Traces used in ARC", Megiddo and
 * Modha): lines of "first-block block-count ignored request-number", one request per block. The number of a
 * block determines the size of its value: log-uniform from 40 to 800 bytes. Prints the misses beyond the
 * first of each key, which no cache could have avoided; they can be compared between servers of the same
 * resident memory.
 */
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VALUE_MIN = 40, VALUE_MAX = 800, REPLY_MAX = 4096 };

struct replay {
    int fd;
    uint64_t requests, hits, misses, keys;
    uint64_t *seen; /* open addressing over block + 1 */
    size_t seen_capacity;
    char value[VALUE_MAX];
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static bool seen_insert(struct replay *replay, uint64_t block);

static void seen_grow(struct replay *replay) {
    uint64_t *old = replay->seen;
    size_t capacity = replay->seen_capacity;
    replay->seen_capacity = capacity ? capacity * 2 : 1 << 16;
    replay->seen = calloc(replay->seen_capacity, sizeof *replay->seen);
    if (!replay->seen)
        die("calloc");
    replay->keys = 0;
    for (size_t i = 0; i < capacity; i++)
        if (old[i])
            seen_insert(replay, old[i] - 1);
    free(old);
}

/* True if the block is new. */
static bool seen_insert(struct replay *replay, uint64_t block) {
    if (replay->keys * 2 >= replay->seen_capacity)
        seen_grow(replay);
    size_t i = (block * 0x9e3779b97f4a7c15u) & (replay->seen_capacity - 1);
    while (replay->seen[i]) {
        if (replay->seen[i] == block + 1)
            return false;
        i = (i + 1) & (replay->seen_capacity - 1);
    }
    replay->seen[i] = block + 1;
    replay->keys++;
    return true;
}

/* A mixing function of its own (splitmix64): servers that choose shards by a hash of the key must not find
 * sizes sorted by shard. bench_cache trace uses the same. */
static size_t value_size(uint64_t block) {
    block += 0x9e3779b97f4a7c15u;
    block = (block ^ block >> 30) * 0xbf58476d1ce4e5b9u;
    block = (block ^ block >> 27) * 0x94d049bb133111ebu;
    block ^= block >> 31;
    double part = (double)(block >> 11) / (double)(1ull << 53);
    return (size_t)(VALUE_MIN * pow((double)VALUE_MAX / VALUE_MIN, part));
}

static void send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            die("send");
        data += sent;
        size -= (size_t)sent;
    }
}

/* Reads one get's answer; true on a hit. */
static bool read_answer(int fd) {
    char reply[REPLY_MAX];
    size_t size = 0;
    for (;;) {
        ssize_t got = recv(fd, reply + size, sizeof reply - size, 0);
        if (got <= 0)
            die("recv");
        size += (size_t)got;
        if (size >= 5 && memcmp(reply + size - 5, "END\r\n", 5) == 0)
            return size > 5;
        if (size >= 6 && (memcmp(reply, "SERVER", 6) == 0 || memcmp(reply, "CLIENT", 6) == 0)) {
            fprintf(stderr, "%.*s", (int)size, reply);
            exit(1);
        }
    }
}

static void request(struct replay *replay, uint64_t block) {
    char line[VALUE_MAX + 128], key[32];
    snprintf(key, sizeof key, "block-%llu", (unsigned long long)block);
    int size = snprintf(line, sizeof line, "get %s\r\n", key);
    send_all(replay->fd, line, (size_t)size);
    replay->requests++;
    seen_insert(replay, block);
    if (read_answer(replay->fd)) {
        replay->hits++;
        return;
    }
    replay->misses++;
    size_t length = value_size(block);
    size = snprintf(line, sizeof line, "set %s 0 0 %zu noreply\r\n", key, length);
    memcpy(line + size, replay->value, length);
    memcpy(line + size + length, "\r\n", 2);
    send_all(replay->fd, line, (size_t)size + length + 2);
}

static int open_connection(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

int main(int count, char **arguments) {
    if (count < 3) {
        fprintf(stderr, "usage: bench_replay PORT TRACE [requests]\n");
        return 2;
    }
    FILE *trace = fopen(arguments[2], "r");
    if (!trace)
        die(arguments[2]);
    struct replay replay = {.fd = open_connection(atoi(arguments[1]))};
    memset(replay.value, 'v', sizeof replay.value);
    uint64_t limit = count > 3 ? strtoull(arguments[3], NULL, 10) : UINT64_MAX;
    unsigned long long first, blocks, ignored, number;
    while (replay.requests < limit &&
           fscanf(trace, "%llu %llu %llu %llu", &first, &blocks, &ignored, &number) == 4)
        for (uint64_t block = first; block < first + blocks && replay.requests < limit; block++)
            request(&replay, block);
    fclose(trace);
    close(replay.fd);
    printf("requests %llu keys %llu hits %llu misses %llu misses_beyond_first %llu\n",
           (unsigned long long)replay.requests, (unsigned long long)replay.keys,
           (unsigned long long)replay.hits, (unsigned long long)replay.misses,
           (unsigned long long)(replay.misses - replay.keys));
    free(replay.seen);
    return 0;
}
