/* SPDX-License-Identifier: MIT */
/* Short runs over what a start reads: the files of the data folder. */
#include "tests/fuzz/journal.h"
#include "tests/fuzz/low_water.h"
#include "tests/fuzz/quarantine.h"
#include "tests/fuzz/records.h"
#include "tests/fuzz/short_run.h"
#include "tests/support/check.h"

enum { JOURNALS = 1500, RECORDS = 3000, LOW_WATERS = 1000, QUARANTINES = 400 };

TEST(journals_are_recovered_or_refused) {
    assert_true(short_run("journal", check_journal, JOURNALS) > 0);
}

TEST(records_are_read_as_they_were_written) {
    assert_true(short_run("record", check_records, RECORDS) > 0);
}

TEST(low_water_files_are_taken_or_refused) {
    assert_true(short_run("low_water", check_low_water, LOW_WATERS) > 0);
}

TEST(quarantine_files_are_taken_or_refused) {
    assert_true(short_run("quarantine", check_quarantine, QUARANTINES) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(journals_are_recovered_or_refused),
        cmocka_unit_test(records_are_read_as_they_were_written),
        cmocka_unit_test(low_water_files_are_taken_or_refused),
        cmocka_unit_test(quarantine_files_are_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
