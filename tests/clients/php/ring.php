<?php
// SPDX-License-Identifier: MIT
// ring.php place|read NUMBER [VALUE]: php-memcached over the nodes of PORTS, on the ring that test_ring.py documents. read tells how many
// keys were found, missing and refused. With EJECTS a node that fails leaves the ring.

$client = new Memcached();
$client->setOptions([Memcached::OPT_LIBKETAMA_COMPATIBLE => true, Memcached::OPT_TCP_NODELAY => true]);
if (getenv('EJECTS')) {
    $client->setOptions([Memcached::OPT_SERVER_FAILURE_LIMIT => 1, Memcached::OPT_REMOVE_FAILED_SERVERS => true]);
}
foreach (explode(',', getenv('PORTS')) as $port) {
    $client->addServer('127.0.0.1', (int) $port);
}
$found = $missing = $failed = 0;
for ($i = 0; $i < (int) $argv[2]; $i++) {
    if ($argv[1] == 'place') {
        $client->set("sess:$i", $argv[3]) || exit("sess:$i: {$client->getResultMessage()}\n");
        continue;
    }
    $value = $client->get("sess:$i");
    $code = $client->getResultCode();
    $found += $value !== false;
    $missing += $code == Memcached::RES_NOTFOUND;
    $failed += $value === false && $code != Memcached::RES_NOTFOUND;
}
echo "$found $missing $failed\n";
