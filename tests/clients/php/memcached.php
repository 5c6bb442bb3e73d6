<?php
// SPDX-License-Identifier: MIT
// memcached.php commands|write|read|down PREFIX: the extension php-memcached (libmemcached), in the mode that PROTOCOL says. With
// a SASL_USER it authenticates.

require __DIR__ . '/check.php';

$client = new Memcached();
$client->setOptions([Memcached::OPT_BINARY_PROTOCOL => getenv('PROTOCOL') == 'binary', Memcached::OPT_COMPRESSION => false,
                     Memcached::OPT_TCP_NODELAY => true]);
$client->addServer('127.0.0.1', $port);
if (getenv('SASL_USER')) {
    $client->setSaslAuthData(getenv('SASL_USER'), getenv('SASL_PASSWORD'));
}

function commands(Memcached $client, string $prefix, string $binary, string $big): void
{
    $key = $prefix . 'k';
    same($client->get($key), false, 'a miss');
    same($client->getResultCode(), Memcached::RES_NOTFOUND, 'its code');
    same($client->set($key, 'v'), true, 'set');
    same($client->get($key), 'v', 'get');
    same($client->add($key, 'w'), false, 'add what is there');
    same($client->replace($prefix . 'none', 'w'), false, 'replace what is not there');
    same($client->replace($key, 'x'), true, 'replace');
    same($client->append($key, '-end'), true, 'append');
    same($client->prepend($key, 'start-'), true, 'prepend');
    same($client->get($key), 'start-x-end', 'appended and prepended');

    $values = [];
    for ($i = 0; $i < 300; $i++) {
        $values["$prefix$i"] = "value $i";
    }
    same($client->setMulti($values), true, 'setMulti');
    $found = $client->getMulti(array_keys($values + [$prefix . 'none' => 1]));
    ksort($values);
    ksort($found);
    same($found, $values, 'getMulti');

    $found = $client->get($key, null, Memcached::GET_EXTENDED);
    same($client->cas($found['cas'], $key, 'cas'), true, 'cas');
    same($client->cas($found['cas'], $key, 'late'), false, 'cas with an old token');
    same($client->getResultCode(), Memcached::RES_DATA_EXISTS, 'its code');
    same($client->get($key), 'cas', 'cas wrote once');

    same($client->increment($prefix . 'n'), false, 'increment of nothing');
    $client->set($prefix . 'n', 10);
    same($client->increment($prefix . 'n', 5), 15, 'increment');
    same($client->decrement($prefix . 'n', 100), 0, 'decrement stops at 0');

    same($client->touch($key, 100), true, 'touch');
    same($client->delete($key), true, 'delete');
    same($client->delete($key), false, 'delete what is not there');
    same($client->touch($key, 100), false, 'touch what is not there');

    foreach (['binary' => $binary, 'big' => $big, 'list' => [1, ['a' => null]], 'number' => 17, 'truth' => true] as $name => $value) {
        $client->set($prefix . $name, $value);
        same($client->get($prefix . $name), $value, $name);
    }
    $client->setOption(Memcached::OPT_COMPRESSION, true);
    $client->set($prefix . 'big', $big);
    same($client->get($prefix . 'big'), $big, 'compressed');

    $client->set($prefix . 'short', 'v', 1);
    $client->set($prefix . 'long', 'v', 100);
    until_gone(fn () => $client->get($prefix . 'short') === false);
    same($client->get($prefix . 'short'), false, 'expired');
    same($client->get($prefix . 'long'), 'v', 'not expired');
    same(count($client->getStats()), 1, 'getStats');
    same(count($client->getVersion()), 1, 'getVersion');
    same($client->flush(), true, 'flush');
}

if ($phase == 'commands') {
    commands($client, $prefix, $binary, $big);
} elseif ($phase == 'write') {
    foreach ([['plain', 'value'], ['binary', $binary], ['big', $big], ['overwritten', 'first'], ['overwritten', 'second'],
              ['deleted', 'gone'], ['counter', '10'], ['touched', 'longer']] as [$name, $value]) {
        same($client->set($prefix . $name, $value, 600), true, $name);
    }
    same($client->delete($prefix . 'deleted'), true, 'delete');
    same($client->increment($prefix . 'counter', 2), 12, 'increment');
    same($client->touch($prefix . 'touched', 3600), true, 'touch');
} elseif ($phase == 'down') { // what test_backend_down.py asks
    $client->get($prefix . 'k');
    echo 'get ', $client->getResultCode() == Memcached::RES_NOTFOUND ? 'miss' : 'failure', "\n";
    same($client->getLastErrorCode() === Memcached::RES_SUCCESS, $prefix === 'miss:', 'a miss without an error');
    if ($prefix === 'error:') {
        same($client->getMulti([$prefix . 'k', $prefix . 'l']), [], 'several keys of which none can be read');
    }
    $client->resetServerList(); // it would not ask a server that has just failed
    $client->addServer('127.0.0.1', $port);
    echo 'many ', $client->getMulti([$prefix . 'here', $prefix . 'k']) === false ? 'failure' : 'miss', "\n";
} else {
    foreach ($kept as $name => $value) {
        same($client->get($prefix . $name), $value, $name);
    }
    same((int) $client->get($prefix . 'counter'), 12, 'counter');
}
