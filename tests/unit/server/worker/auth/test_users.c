/* SPDX-License-Identifier: MIT */
/* Password files, who is found and followed in them, and the thread that proves passwords: what it finds, and in which
 * order. */
#include "server/config/settings.h"
#include "server/worker/auth/prover.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { USERS = 2, DONE_MAX = 8 };

struct bench {
    struct temp_folder folder;
    char paths[USERS][300], right[USERS_HASH_MAX], other[USERS_HASH_MAX], error[600];
    struct user_options options[USERS];
    struct settings settings;
    struct users *users;
};

static const char *const none[] = {NULL};

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

/* "anna" with "sesame" or "other", and "bert" with "sesame". */
static int set_up(void **state) {
    static struct bench bench;
    static const char *const names[USERS] = {"anna", "bert"};
    char lines[2 * USERS_HASH_MAX + 40];
    bench = (struct bench){0};
    temp_folder_make(&bench.folder);
    assert_true(users_hash("sesame", 1, bench.right) && users_hash("other", 1, bench.other));
    for (int i = 0; i < USERS; i++) {
        snprintf(bench.paths[i], sizeof bench.paths[i], "%s/%s", bench.folder.path, names[i]);
        bench.options[i] = (struct user_options){.name = names[i], bench.paths[i], none, none, false};
    }
    snprintf(lines, sizeof lines, "# two\n\n%s\r\n%s", bench.right, bench.other);
    write_file(bench.paths[0], lines);
    write_file(bench.paths[1], bench.right);
    bench.settings.users = bench.options;
    bench.settings.user_count = USERS;
    *state = &bench;
    return 0;
}

static int tear_down(void **state) {
    struct bench *bench = *state;
    users_free(bench->users);
    temp_folder_remove(&bench->folder);
    return 0;
}

static struct users *load(struct bench *bench) {
    users_free(bench->users);
    bench->users = users_load(&bench->settings, bench->error, sizeof bench->error);
    return bench->users;
}

static struct users *load_good(struct bench *bench) {
    if (!load(bench))
        fail_msg("refused: %s", bench->error);
    return bench->users;
}

/* ---- The files ---- */

TEST(users_are_found_by_their_whole_names) {
    struct users *users = load_good(*state);
    assert_string_equal(users_find(users, SLICE("anna"))->name, "anna");
    assert_int_equal(users_find(users, SLICE("anna"))->hash_count, 2);
    assert_int_equal(users_find(users, SLICE("bert"))->hash_count, 1);
    assert_int_equal(users_most_hashes(users), 2);
    assert_null(users_find(users, SLICE("ann")));
    assert_null(users_find(users, SLICE("annaa")));
    assert_null(users_find(users, SLICE("")));
    assert_null(users_find(users, slice_of("anna\0x", 6)));
}

TEST(a_line_that_is_no_hash_is_refused_and_not_shown) {
    struct bench *bench = *state;
    static const char *const bad[] = {"sesame", "$1$salt$sesame", "ab1sesamesesa", "$9$sesame", "$y$",
                                      "*",      "$y$j9T$ses ame"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char lines[USERS_HASH_MAX + 40];
        snprintf(lines, sizeof lines, "%s\n%s\n", bench->right, bad[i]);
        write_file(bench->paths[1], lines);
        if (load(bench))
            fail_msg("%s was taken", bad[i]);
        assert_non_null(strstr(bench->error, "line 2 of the password file"));
        assert_null(strstr(bench->error, "sesame"));
    }
    write_file(bench->paths[1], "# none\n");
    assert_null(load(bench));
    assert_non_null(strstr(bench->error, "of user \"bert\" has no password"));
    assert_int_equal(unlink(bench->paths[1]), 0);
    assert_null(load(bench));
    assert_non_null(strstr(bench->error, "cannot read the password file"));
}

TEST(who_came_with_a_password_is_followed_as_long_as_it_is_there) {
    struct bench *bench = *state;
    struct users *before = load_good(bench);
    const struct user *anna = users_find(before, SLICE("anna"));
    struct identity first = {before, anna, anna->hashes[0]}, second = {before, anna, anna->hashes[1]};
    bench->users = NULL;
    write_file(bench->paths[0], bench->other);
    struct users *after = load_good(bench);
    assert_false(users_are_same(before, after));
    assert_false(users_follow(after, &first));
    assert_ptr_equal(first.users, before);
    assert_true(users_follow(after, &second));
    assert_ptr_equal(second.users, after);
    assert_ptr_equal(second.user, users_find(after, SLICE("anna")));
    assert_string_equal(second.hash, bench->other);
    bench->users = NULL;
    assert_true(users_are_same(after, load_good(bench)));
    users_free(before);
    users_free(after);
}

/* ---- The prover ---- */

/* What was done, in its order. The first one that is done holds the thread until it is let go. */
struct doings {
    sem_t begun, go_on, done;
    struct proof *list[DONE_MAX + PROVER_QUEUE];
    size_t count;
};

static void note_done(struct proof *proof) {
    struct doings *doings = proof->owner;
    doings->list[doings->count++] = proof;
    if (doings->count == 1) {
        sem_post(&doings->begun);
        sem_wait(&doings->go_on);
    }
    sem_post(&doings->done);
}

static void begin(struct doings *doings) {
    *doings = (struct doings){.count = 0};
    sem_init(&doings->begun, 0, 0);
    sem_init(&doings->go_on, 0, 0);
    sem_init(&doings->done, 0, 0);
}

static void end(struct doings *doings) {
    for (size_t i = 0; i < doings->count; i++)
        proof_free(doings->list[i]);
    sem_destroy(&doings->begun);
    sem_destroy(&doings->go_on);
    sem_destroy(&doings->done);
}

static struct proof *proof_of(struct doings *doings, const struct users *users, const char *name,
                              const char *password, bool is_trusted) {
    struct proof *proof = proof_create(slice_string(password));
    assert_non_null(proof);
    proof->done = note_done;
    proof->owner = doings;
    proof->is_trusted = is_trusted;
    proof->identity = (struct identity){users, users_find(users, slice_string(name)), NULL};
    return proof;
}

TEST(only_the_password_of_the_user_is_proven) {
    struct bench *bench = *state;
    static const struct {
        const char *user, *password;
        bool good;
    } table[] = {{"anna", "sesame", true}, {"anna", "other", true},  {"anna", "Sesame", false},
                 {"anna", "", false},      {"bert", "sesame", true}, {"bert", "other", false},
                 {"carl", "sesame", false}};
    struct users *users = load_good(bench);
    struct prover *prover = prover_create();
    assert_non_null(prover);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct doings doings;
        begin(&doings);
        struct proof *proof = proof_of(&doings, users, table[i].user, table[i].password, i % 2 == 0);
        assert_true(prover_submit(prover, proof));
        sem_post(&doings.go_on);
        sem_wait(&doings.done);
        if ((proof->identity.user != NULL) != table[i].good)
            fail_msg("%s with \"%s\" is judged wrongly", table[i].user, table[i].password);
        assert_int_equal(proof->identity.hash != NULL, table[i].good);
        assert_int_equal(proof->password[0], '\0'); /* it is not kept */
        end(&doings);
    }
    prover_free(prover);
}

TEST(who_has_failed_waits_behind_the_others_and_takes_half_of_the_queue) {
    struct bench *bench = *state;
    struct users *users = load_good(bench);
    struct prover *prover = prover_create();
    struct doings doings;
    struct proof *refused, *trusted, *last;
    size_t taken = 0;
    begin(&doings);
    assert_non_null(prover);
    assert_true(prover_submit(prover, proof_of(&doings, users, "bert", "first", true)));
    sem_wait(&doings.begun); /* from now on nothing is taken off the queue */
    while (prover_submit(prover, refused = proof_of(&doings, users, "bert", "x", false))) {
        taken++;
        assert_true(taken < PROVER_QUEUE);
    }
    assert_int_equal(taken, PROVER_QUEUE / 2);
    proof_free(refused);
    trusted = proof_of(&doings, users, "bert", "sesame", true);
    assert_true(prover_submit(prover, trusted));
    for (taken++; prover_submit(prover, last = proof_of(&doings, users, "bert", "y", true)); taken++)
        continue;
    assert_int_equal(taken, PROVER_QUEUE);
    proof_free(last);
    sem_post(&doings.go_on);
    for (int i = 0; i < 3; i++)
        sem_wait(&doings.done);
    assert_ptr_equal(doings.list[1], trusted);
    prover_free(prover); /* with those that it has not come to */
    end(&doings);
}

TEST(a_password_that_no_hash_takes_is_no_proof) {
    (void)state;
    char password[PROOF_PASSWORD_MAX + 1];
    memset(password, 'x', sizeof password);
    assert_null(proof_create(slice_of(password, sizeof password)));
    struct proof *proof = proof_create(slice_of(password, PROOF_PASSWORD_MAX));
    assert_non_null(proof);
    assert_memory_equal(proof->password, password, PROOF_PASSWORD_MAX);
    assert_int_equal(proof->password[PROOF_PASSWORD_MAX], '\0');
    proof_free(proof);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(users_are_found_by_their_whole_names),
        CASE(a_line_that_is_no_hash_is_refused_and_not_shown),
        CASE(who_came_with_a_password_is_followed_as_long_as_it_is_there),
        CASE(only_the_password_of_the_user_is_proven),
        CASE(who_has_failed_waits_behind_the_others_and_takes_half_of_the_queue),
        CASE(a_password_that_no_hash_takes_is_no_proof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
