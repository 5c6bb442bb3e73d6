#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# client.pl MODULE commands|write|read|down PREFIX: Cache::Memcached or Cache::Memcached::Fast against 127.0.0.1:$PORT.
# See tests/clients/conftest.py for what the halves of the session flow store.
use strict;
use warnings;
use Test::More;

my ($module, $phase, $prefix) = @ARGV;
eval "require $module" or do { print "$module is not installed\n"; exit 77 };

# Seconds for an answer; one or less if nothing is said. Some see none in an error line, and wait for another.
my $patience = $phase eq 'down' ? 2 : 20;
my $client = $module->new({ servers => ["127.0.0.1:$ENV{PORT}"], compress_threshold => -1,
    connect_timeout => $patience, io_timeout => $patience, select_timeout => $patience });
$client->enable_compress(0);
my $fast   = $module eq 'Cache::Memcached::Fast';
my $binary = join('', map { chr } 0 .. 255) . "\r\nEND\r\n";
my $big    = '0123456789' x 20000;

sub commands {
    my $key = "${prefix}k";
    is($client->get($key), undef, 'a miss');
    ok($client->set($key, 'v'), 'set');
    is($client->get($key), 'v', 'get');
    ok(!$client->add($key, 'w'), 'add what is there');
    ok($client->add("${prefix}new", 'w'), 'add');
    ok($client->replace($key, 'x'), 'replace');
    ok(!$client->replace("${prefix}none", 'x'), 'replace what is not there');
    ok($client->append($key, '-end'), 'append');
    ok($client->prepend($key, 'start-'), 'prepend');
    is($client->get($key), 'start-x-end', 'appended and prepended');

    $client->set("$prefix$_", "value $_") for 1 .. 300;
    my $found = $client->get_multi(map { "$prefix$_" } 1 .. 310);
    is(scalar keys %$found, 300, 'multi-get');
    is($found->{"${prefix}300"}, 'value 300', 'its last value');

    is($client->incr("${prefix}n"), $fast ? '' : undef, 'incr of nothing');
    $client->set("${prefix}n", 10);
    is($client->incr("${prefix}n", 5), 15, 'incr');
    is($client->decr("${prefix}n", 3), 12, 'decr');
    is($client->decr("${prefix}n", 100) + 0, 0, 'decr stops at 0');

    ok($client->delete($key), 'delete');
    ok(!$client->delete($key), 'delete what is not there');
    is($client->get($key), undef, 'deleted');

    $client->set("${prefix}binary", $binary);
    is($client->get("${prefix}binary"), $binary, 'binary value');
    $client->set("${prefix}big", $big);
    is($client->get("${prefix}big"), $big, 'big value');
    my $data = { list => [1, 2, 3], text => "gr\x{fc}n" };
    $client->set("${prefix}data", $data);
    is_deeply($client->get("${prefix}data"), $data, 'a structure, marked in the flags');

    if ($fast) {
        $client->set("${prefix}cas", 'one');
        my $pair = $client->gets("${prefix}cas");
        is($pair->[1], 'one', 'gets');
        ok($client->cas("${prefix}cas", $pair->[0], 'two'), 'cas');
        ok(!$client->cas("${prefix}cas", $pair->[0], 'three'), 'cas with an old token');
        is($client->get("${prefix}cas"), 'two', 'cas wrote once');
        ok($client->touch("${prefix}cas", 100), 'touch');
        is(scalar grep({ $_ } values %{ $client->set_multi(map { ["${prefix}m$_", $_] } 1 .. 100) }), 100, 'set_multi');
        ok($client->server_versions, 'version');
    }

    $client->set("${prefix}short", 'v', 1);
    $client->set("${prefix}long",  'v', 100);
    for (1 .. 200) { # a life of a second ends within two
        last unless defined $client->get("${prefix}short");
        select(undef, undef, undef, 0.1);
    }
    is($client->get("${prefix}short"), undef, 'expired');
    is($client->get("${prefix}long"),  'v',   'not expired');
    ok($client->flush_all, 'flush_all');
}

sub write_sessions {
    $client->set("$prefix$_->[0]", $_->[1], 600)
        for ['plain', 'value'], ['binary', $binary], ['big', $big], ['overwritten', 'first'], ['overwritten', 'second'],
        ['deleted', 'gone'], ['counter', '10'];
    ok($client->delete("${prefix}deleted"), 'delete');
    is($client->incr("${prefix}counter", 2), 12, 'incr');
    ok($client->set("${prefix}touched", 'longer', $fast ? 600 : 3600), 'set'); # Cache::Memcached knows no touch
    ok($client->touch("${prefix}touched", 3600), 'touch') if $fast;
}

sub read_sessions {
    my %kept = (plain => 'value', binary => $binary, big => $big, overwritten => 'second', deleted => undef, touched => 'longer');
    is($client->get("$prefix$_"), $kept{$_}, $_) for sort keys %kept;
    is($client->get("${prefix}counter") + 0, 12, 'counter');
}

# What test_backend_down.py asks. A failure would be an exception: they have no other way to tell it from a miss.
sub ask_while_down {
    print 'get ', (eval { $client->get("${prefix}k"); 1 } ? 'miss' : 'failure'), "\n";
    print 'many ', (eval { $client->get_multi("${prefix}here", "${prefix}k"); 1 } ? 'miss' : 'failure'), "\n";
    ok(1, 'asked');
}

{ down => \&ask_while_down, commands => \&commands, write => \&write_sessions, read => \&read_sessions }->{$phase}->();
done_testing();
