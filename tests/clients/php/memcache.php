<?php
// SPDX-License-Identifier: MIT
// memcache.php commands|write|read|down PREFIX: the extension php-memcache, which is not php-memcached, in text mode.

require __DIR__ . '/check.php';

ini_set('memcache.protocol', 'ascii');
ini_set('memcache.compress_threshold', '0');
$client = new Memcache();
$client->addServer('127.0.0.1', $port, true, 1, 20); // seconds; 1 if nothing is said

function commands(Memcache $client, string $prefix, string $binary, string $big): void
{
    $key = $prefix . 'k';
    same($client->get($key), false, 'a miss');
    same($client->set($key, 'v'), true, 'set');
    same($client->get($key), 'v', 'get');
    same($client->add($key, 'w'), false, 'add what is there');
    same($client->add($prefix . 'new', 'w'), true, 'add');
    same($client->replace($prefix . 'none', 'w'), false, 'replace what is not there');
    same($client->replace($key, 'x'), true, 'replace');
    same($client->append($key, '-end'), true, 'append');
    same($client->prepend($key, 'start-'), true, 'prepend');
    same($client->get($key), 'start-x-end', 'appended and prepended');

    $values = [];
    for ($i = 0; $i < 300; $i++) {
        $values["$prefix$i"] = "value $i";
        $client->set("$prefix$i", "value $i");
    }
    $found = $client->get(array_keys($values + [$prefix . 'none' => 1]));
    ksort($values);
    ksort($found);
    same($found, $values, 'get of many');

    $flags = $token = null;
    same($client->get($key, $flags, $token), 'start-x-end', 'get with its token');
    same($client->cas($key, 'cas', 0, 0, $token), true, 'cas');
    same($client->cas($key, 'late', 0, 0, $token), false, 'cas with an old token');

    same($client->increment($prefix . 'n'), false, 'increment of nothing');
    $client->set($prefix . 'n', 10);
    same($client->increment($prefix . 'n', 5), 15, 'increment');
    same($client->decrement($prefix . 'n', 100), 0, 'decrement stops at 0');

    same($client->delete($key), true, 'delete');
    same($client->delete($key), false, 'delete what is not there');

    foreach (['binary' => $binary, 'big' => $big, 'list' => [1, ['a' => null]], 'number' => 17, 'truth' => true] as $name => $value) {
        $client->set($prefix . $name, $value);
        same($client->get($prefix . $name), $value, $name);
    }
    $client->set($prefix . 'big', $big, MEMCACHE_COMPRESSED);
    same($client->get($prefix . 'big'), $big, 'compressed');

    $client->set($prefix . 'short', 'v', 0, 1);
    $client->set($prefix . 'long', 'v', 0, 100);
    until_gone(fn () => $client->get($prefix . 'short') === false);
    same($client->get($prefix . 'short'), false, 'expired');
    same($client->get($prefix . 'long'), 'v', 'not expired');
    same(isset($client->getStats()['pid']), true, 'getStats');
    same($client->flush(), true, 'flush');
}

if ($phase == 'commands') {
    commands($client, $prefix, $binary, $big);
} elseif ($phase == 'write') {
    foreach ([['plain', 'value', 600], ['binary', $binary, 600], ['big', $big, 600], ['overwritten', 'first', 600],
              ['overwritten', 'second', 600], ['deleted', 'gone', 600], ['counter', '10', 600],
              ['touched', 'longer', 3600]] as [$name, $value, $seconds]) { // it knows no touch
        same($client->set($prefix . $name, $value, 0, $seconds), true, $name);
    }
    same($client->delete($prefix . 'deleted'), true, 'delete');
    same($client->increment($prefix . 'counter', 2), 12, 'increment');
} elseif ($phase == 'down') { // what test_backend_down.py asks; a notice is all that tells a failure from a miss
    $noticed = false;
    set_error_handler(function () use (&$noticed) {
        return $noticed = true;
    });
    same($client->get($prefix . 'k'), false, 'get');
    echo 'get ', $noticed ? 'notice' : 'miss', "\n";
    $client = new Memcache();
    $client->addServer('127.0.0.1', $port, true, 1, 20); // seconds; 1 if nothing is said
    $noticed = false;
    $client->get([$prefix . 'here', $prefix . 'k']);
    echo 'many ', $noticed ? 'notice' : 'miss', "\n";
} else {
    foreach ($kept as $name => $value) {
        same($client->get($prefix . $name), $value, $name);
    }
    same((int) $client->get($prefix . 'counter'), 12, 'counter');
}
