<?php
// SPDX-License-Identifier: MIT
// What the PHP programs of this folder share: values, and a check that ends the program when it fails.

$port = (int) getenv('PORT');
[, $phase, $prefix] = $argv + [1 => '', 2 => ''];
$binary = implode('', array_map('chr', range(0, 255))) . "\r\nEND\r\n";
$big = str_repeat('0123456789', 20000);
$kept = ['plain' => 'value', 'binary' => $binary, 'big' => $big, 'overwritten' => 'second', 'deleted' => false,
         'touched' => 'longer'];

set_error_handler(function ($level, $message, $file, $line) {
    fail("$message ($file:$line)");
}, E_ALL & ~E_DEPRECATED); // php-memcache does some things that PHP 8.2 deprecates

function fail(string $why): void
{
    echo "not ok: $why\n";
    exit(1);
}

// Until a life of a second has ended.
function until_gone(callable $is_gone): void
{
    for ($i = 0; $i < 200 && !$is_gone(); $i++) {
        usleep(100000);
    }
}

function same($found, $expected, string $what): void
{
    if ($found !== $expected) {
        fail("$what: " . substr(var_export($found, true), 0, 200) . ' is not ' . substr(var_export($expected, true), 0, 200));
    }
    echo "ok $what\n";
}
