/* SPDX-License-Identifier: MIT */
/*
 * What the tests of a cluster are about, in this order. A new subject is declared here, and has its place in
 * tests/backends/test_redis_cluster.c.
 */
#ifndef FOREBAY_TESTS_BACKENDS_REDIS_CLUSTER_SUBJECTS_H
#define FOREBAY_TESTS_BACKENDS_REDIS_CLUSTER_SUBJECTS_H

#include "tests/support/subject.h"

extern const struct subject about_openings, about_losses, about_replicas, about_promotions, about_links;

#endif
