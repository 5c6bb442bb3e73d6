<?php
// SPDX-License-Identifier: MIT
// An application of two pages with Symfony's sessions, behind PHP's own server; SNIPPET is the file that makes $handler.

require 'Symfony/Component/Cache/autoload.php';
require 'Symfony/Component/HttpFoundation/autoload.php';
require getenv('SNIPPET');

use Symfony\Component\HttpFoundation\Session\Session;
use Symfony\Component\HttpFoundation\Session\Storage\NativeSessionStorage;

$session = new Session(new NativeSessionStorage([], $handler));
$session->start();
if (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) === '/logout') {
    $session->invalidate();
    $answer = 'out';
} else {
    $session->set('visits', $session->get('visits', 0) + 1);
    $answer = $session->get('visits');
}
$session->save();
echo $answer;
