<?php
// SPDX-License-Identifier: MIT
// session.php HANDLER ID visits|slow|destroy [SECONDS]: one request to an application with PHP sessions in the memcached server. HANDLER is
// memcached, memcache or symfony. Prints the visits counted so far; `slow` keeps the session (and its lock) for SECONDS. PROTOCOL text
// sets that, binary leaves php-memcached's default; with UNTOUCHED all of its settings are what they are by default. With a
// SASL_USER it authenticates.

[, $handler, $id, $what] = $argv;
$port = (int) getenv('PORT');
if ($handler == 'symfony') {
    require 'Symfony/Component/HttpFoundation/autoload.php';
    $client = new Memcached();
    $client->setOption(Memcached::OPT_BINARY_PROTOCOL, getenv('PROTOCOL') == 'binary');
    $client->addServer('127.0.0.1', $port);
    $sessions = 'Symfony\Component\HttpFoundation\Session\Storage\Handler\MemcachedSessionHandler';
    session_set_save_handler(new $sessions($client, ['prefix' => 'sess:']));
} else {
    ini_set('session.save_handler', $handler);
}
ini_set('session.save_path', $handler == 'memcached' ? "127.0.0.1:$port" : "tcp://127.0.0.1:$port");
ini_set('session.use_cookies', '0');
ini_set('session.use_strict_mode', '0');
ini_set('session.gc_maxlifetime', '600');
if (getenv('PROTOCOL') != 'binary') {
    ini_set('memcached.sess_binary_protocol', '0');
}
if (getenv('SASL_USER')) {
    ini_set('memcached.sess_sasl_username', getenv('SASL_USER'));
    ini_set('memcached.sess_sasl_password', getenv('SASL_PASSWORD'));
}
if (!getenv('UNTOUCHED')) {
    ini_set('memcached.sess_locking', '1');
    ini_set('memcached.sess_lock_wait_min', '20');
    ini_set('memcached.sess_lock_wait_max', '50');
    ini_set('memcached.sess_lock_retries', '500');
    ini_set('memcached.sess_prefix', 'sess:');
}
ini_set('memcache.protocol', 'ascii');

session_cache_limiter('');
session_id($id);
if (!session_start()) {
    echo "no session\n";
    exit(1);
}
if ($what == 'destroy') {
    session_destroy();
    exit(0);
}
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
$_SESSION['notes'] = str_repeat("\0é", 1000);
if ($what == 'slow') {
    usleep((int) (1e6 * (float) $argv[4]));
}
echo $_SESSION['visits'], "\n";
if (!session_write_close()) {
    exit(1);
}
