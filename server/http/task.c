/* SPDX-License-Identifier: MIT */
#include "server/http/task.h"
#include "cache/base/thread.h"

static void *run(void *argument) {
    struct task *task = argument;
    task->body(task->context);
    atomic_store(&task->over, true);
    return NULL;
}

static void join(struct task *task) {
    if (task->runs)
        pthread_join(task->thread, NULL);
    task->runs = false;
}

static struct task *find_place(struct task *places, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!places[i].runs || atomic_load(&places[i].over)) {
            join(&places[i]);
            return &places[i];
        }
    return NULL;
}

bool task_start(struct tasks *tasks, bool acts, void (*body)(void *context), void *context) {
    struct task *task =
        acts ? find_place(tasks->acting, TASKS_ACTING) : find_place(tasks->reading, TASKS_READING);
    if (!task)
        return false;
    task->body = body;
    task->context = context;
    atomic_store(&task->over, false);
    task->runs = thread_start(&task->thread, acts ? "admin action" : "admin reader", run, task) == 0;
    return task->runs;
}

void tasks_join(struct tasks *tasks) {
    for (size_t i = 0; i < TASKS_READING; i++)
        join(&tasks->reading[i]);
    for (size_t i = 0; i < TASKS_ACTING; i++)
        join(&tasks->acting[i]);
}
