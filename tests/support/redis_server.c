/* SPDX-License-Identifier: MIT */
#include "tests/support/redis_server.h"
#include "tests/support/check.h"
#include <fcntl.h>
#include <hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Below the ephemeral range, and at random: no client's socket has the port before the server does, nor a server of
 * another test that is started at the same time. */
static int free_port(void) {
    enum { LOWEST = 15000, PORTS = 17000, TRIES = 1000 };
    for (int i = 0; i < TRIES; i++) {
        uint16_t luck = 0;
        int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
        if (getrandom(&luck, sizeof luck, 0) != sizeof luck)
            luck = (uint16_t)getpid();
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)(LOWEST + luck % PORTS)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        bool free = bind(socket_fd, (struct sockaddr *)&address, sizeof address) == 0;
        close(socket_fd);
        if (free)
            return ntohs(address.sin_port);
    }
    return -1;
}

enum { WORDS_MAX = 40 };

static void add(const char **words, size_t *count, const char *word) {
    if (*count + 1 < WORDS_MAX)
        words[(*count)++] = word;
}

/* It keeps what it finds out in its file. */
static void write_sentinel_file(const struct redis_server *server, const char *path) {
    FILE *file = fopen(path, "w");
    if (!file)
        return; /* and it will not start */
    fprintf(file, "port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor mymaster 127.0.0.1 %d 1\n", server->port,
            server->folder.path, server->watched_port);
    for (const char *const *option = server->options; option && *option; option++)
        fprintf(file, "%s\n", *option);
    fclose(file);
}

static void run_server(const struct redis_server *server) {
    char port[16], cluster_port[16], file[400];
    const char *common[] = {"redis-server",
                            "--port",
                            port,
                            "--bind",
                            "127.0.0.1",
                            "--dir",
                            server->folder.path,
                            "--unixsocket",
                            "redis.sock",
                            "--save",
                            "",
                            "--appendonly",
                            server->append_only ? "yes" : "no",
                            "--appendfsync",
                            "always"};
    const char *words[WORDS_MAX] = {NULL};
    size_t count = 0;
    snprintf(port, sizeof port, "%d", server->port);
    snprintf(cluster_port, sizeof cluster_port, "%d", server->cluster_port);
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        add(words, &count, common[i]);
    if (server->cluster) {
        add(words, &count, "--cluster-enabled");
        add(words, &count, "yes");
        add(words, &count, "--cluster-port");
        add(words, &count, cluster_port);
    }
    for (const char *const *option = server->options; option && *option && !server->watched_port; option++)
        add(words, &count, *option);
    snprintf(file, sizeof file, "%s/sentinel.conf", server->folder.path);
    if (server->watched_port) {
        count = 1;
        write_sentinel_file(server, file);
        add(words, &count, file);
        add(words, &count, "--sentinel");
        words[count] = NULL;
    }
    int nowhere = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(nowhere, STDIN_FILENO);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    execvp(words[0], (char *const *)(uintptr_t)words);
    _exit(127);
}

/* Until it answers, or has ended. */
static bool wait_until_up(struct redis_server *server) {
    uint64_t until_us = monotonic_us() + (uint64_t)EVENTUALLY_SECONDS * US_PER_SECOND;
    while (monotonic_us() < until_us) {
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            return false;
        }
        const char *answer = redis_server_ask(server, "PING");
        if (strcmp(answer, "PONG") == 0 || strncmp(answer, "-LOADING", 8) == 0 ||
            strncmp(answer, "-NOAUTH", 7) == 0)
            return true;
        usleep(10000);
    }
    return false;
}

bool redis_server_restart(struct redis_server *server) {
    if (server->cluster && !server->cluster_port)
        server->cluster_port = free_port();
    server->pid = fork();
    if (server->pid == 0)
        run_server(server);
    return server->pid > 0 && wait_until_up(server);
}

/* A port that was free may be somebody else's by now. */
bool redis_server_start(struct redis_server *server) {
    enum { TRIES = 3 };
    temp_folder_make(&server->folder);
    for (int i = 0; i < TRIES; i++) {
        server->port = free_port();
        server->cluster_port = 0;
        if (redis_server_restart(server))
            return true;
        redis_server_kill(server); /* it may be there and not answer */
    }
    redis_server_stop(server);
    return false;
}

void redis_server_kill(struct redis_server *server) {
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
    }
    server->pid = 0;
}

void redis_server_pause(const struct redis_server *server, bool pause) {
    kill(server->pid, pause ? SIGSTOP : SIGCONT);
}

void redis_server_stop(struct redis_server *server) {
    redis_server_kill(server);
    temp_folder_remove(&server->folder);
}

/* ---- Asking ---- */

static void append_text(char *text, size_t room, const redisReply *reply) {
    size_t used = strlen(text);
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        snprintf(text + used, room - used, "%lld", reply->integer);
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements; i++) {
            if (i > 0)
                snprintf(text + strlen(text), room - strlen(text), " ");
            append_text(text, room, reply->element[i]);
        }
        break;
    case REDIS_REPLY_NIL:
        break;
    default:
        snprintf(text + used, room - used, "%s%s", reply->type == REDIS_REPLY_ERROR ? "-" : "", reply->str);
    }
}

const char *redis_server_ask(const struct redis_server *server, const char *format, ...) {
    static char text[2000];
    const struct timeval timeout = {5, 0};
    redisContext *link = redisConnectWithTimeout("127.0.0.1", server->port, timeout);
    va_list arguments;
    strcpy(text, "");
    if (!link || link->err) {
        strcpy(text, "-not connected");
    } else {
        redisSetTimeout(link, timeout);
        va_start(arguments, format);
        redisReply *reply = redisvCommand(link, format, arguments);
        va_end(arguments);
        if (reply)
            append_text(text, sizeof text, reply);
        else
            strcpy(text, "-no answer");
        freeReplyObject(reply);
    }
    redisFree(link);
    return text;
}

int redis_server_pretend(const char *answer, pid_t *ret_child) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int door = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(door, 4), 0);
    getsockname(door, (struct sockaddr *)&address, &size);
    *ret_child = fork();
    if (*ret_child == 0) {
        char asked[4096];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int client; (client = accept(door, NULL, NULL)) >= 0; close(client))
            while (read(client, asked, sizeof asked) > 0)
                dprintf(client, "%s", answer);
        _exit(0);
    }
    close(door);
    return ntohs(address.sin_port);
}

/* ---- A cluster ---- */

static bool are_one_cluster(struct redis_server *servers, int count) {
    char known[40];
    snprintf(known, sizeof known, "cluster_known_nodes:%d\r", count);
    for (int i = 0; i < count; i++) {
        const char *info = redis_server_ask(&servers[i], "CLUSTER INFO");
        if (!strstr(info, "cluster_state:ok") || !strstr(info, known))
            return false;
    }
    return true;
}

bool redis_server_start_cluster(struct redis_server *servers, int count) {
    enum { SLOTS = 16384 };
    for (int i = 0; i < count; i++) {
        servers[i].cluster = true;
        if (!redis_server_start(&servers[i]))
            return false;
        redis_server_ask(&servers[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
        redis_server_ask(&servers[i], "CLUSTER ADDSLOTSRANGE %d %d", SLOTS * i / count,
                         SLOTS * (i + 1) / count - 1);
        if (i > 0)
            redis_server_ask(&servers[i], "CLUSTER MEET 127.0.0.1 %d %d", servers[0].port,
                             servers[0].cluster_port);
    }
    eventually(are_one_cluster(servers, count));
    return true;
}

static bool follows(const struct redis_server *replica) {
    return strstr(redis_server_ask(replica, "INFO replication"), "master_link_status:up") != NULL;
}

static void meet(const struct redis_server *server, const struct redis_server *other) {
    redis_server_ask(server, "CLUSTER MEET 127.0.0.1 %d %d", other->port, other->cluster_port);
}

void redis_server_join(const struct redis_server *server, const struct redis_server *other) {
    meet(server, other);
    eventually(strstr(redis_server_ask(server, "CLUSTER INFO"), "cluster_state:ok"));
}

bool redis_server_start_replica(struct redis_server *server, const struct redis_server *master) {
    char name[64];
    server->cluster = true;
    if (!redis_server_start(server))
        return false;
    redis_server_ask(master, "CONFIG SET repl-diskless-sync-delay 0");
    redis_server_ask(server, "CONFIG SET repl-diskless-sync-delay 0"); /* it may be promoted */
    snprintf(name, sizeof name, "%s", redis_server_ask(master, "CLUSTER MYID"));
    meet(server, master);
    eventually(strcmp(redis_server_ask(server, "CLUSTER REPLICATE %s", name), "OK") == 0);
    eventually(follows(server));
    eventually(strstr(redis_server_ask(server, "CLUSTER INFO"), "cluster_state:ok"));
    return true;
}

void redis_server_cut_off(const struct redis_server *replica, const struct redis_server *master, bool cut) {
    redis_server_ask(replica, "CONFIG SET masterauth %s", cut ? "of-nobody" : "");
    if (cut)
        redis_server_ask(master, "CLIENT KILL TYPE replica");
    else
        eventually(follows(replica));
}
