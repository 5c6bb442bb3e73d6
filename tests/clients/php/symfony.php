<?php
// SPDX-License-Identifier: MIT
// symfony.php commands|write|read: Symfony's MemcachedAdapter, whose connections speak the binary protocol. With a SASL_USER it
// authenticates.

require __DIR__ . '/check.php';
require 'Symfony/Component/Cache/autoload.php';

use Symfony\Component\Cache\Adapter\MemcachedAdapter;
use Symfony\Contracts\Cache\ItemInterface;

$who = getenv('SASL_USER') ? getenv('SASL_USER') . ':' . getenv('SASL_PASSWORD') . '@' : '';
$cache = new MemcachedAdapter(MemcachedAdapter::createConnection("memcached://{$who}127.0.0.1:$port"), 'sess');

if ($phase == 'write') {
    same($cache->save($cache->getItem('alice')->set(['cart' => [17, 4]])->expiresAfter(600)), true, 'save');
}
if ($phase != 'commands') {
    same($cache->getItem('alice')->get(), ['cart' => [17, 4]], 'what was saved');
    exit(0);
}

$made = 0;
$make = function (ItemInterface $item) use (&$made) {
    $item->expiresAfter(600);
    return ['made' => ++$made];
};
same($cache->get('k', $make), ['made' => 1], 'get makes what is not there');
same($cache->get('k', $make), ['made' => 1], 'and gets what is');
same($cache->hasItem('k'), true, 'hasItem');
same($cache->hasItem('none'), false, 'hasItem of what is not there');

for ($i = 0; $i < 100; $i++) {
    $cache->saveDeferred($cache->getItem("many$i")->set("value $i"));
}
same($cache->commit(), true, 'commit of many');
$found = [];
foreach ($cache->getItems(['many0', 'many99', 'none']) as $key => $item) {
    $found[$key] = $item->get();
}
ksort($found);
same($found, ['many0' => 'value 0', 'many99' => 'value 99', 'none' => null], 'getItems');
same($cache->deleteItems(['many0', 'none']), true, 'deleteItems');
same($cache->hasItem('many0'), false, 'they are gone');
same($cache->save($cache->getItem('big')->set($big)), true, 'a big value');
same($cache->getItem('big')->get(), $big, 'comes back');
same($cache->clear(), true, 'clear');
same($cache->hasItem('k'), false, 'all is gone');
