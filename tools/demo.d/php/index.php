<?php
// SPDX-License-Identifier: MIT
// The shop in PHP: one instance of several, none of which keeps anything. Sessions are PHP's own, with every setting of
// memcached.sess_* as it comes; cart, profile and counter by the same extension. INSTANCE, FOREBAY_PORT and SHOP (shop.json) come
// from the environment, session.save_handler and session.save_path from the command line.

const PARTS = ['session' => 'php_sessions', 'cart' => 'carts', 'profile' => 'profiles', 'counter' => 'counters'];

require __DIR__ . '/store.php';
require __DIR__ . '/page.php';

function redirect(): never
{
    header('Location: /php/', true, 303);
    exit;
}

function log_in(array $shop): never
{
    if (in_array($_POST['customer'] ?? '', array_column($shop['customers'], 'id'), true)) {
        session_regenerate_id();
        $_SESSION = ['customer' => $_POST['customer'], 'since' => date('H:i:s'), 'visits' => 0];
    }
    redirect();
}

function change_cart(Store $store, string $customer, array $shop): ?string
{
    $item = $_POST['item'] ?? '';
    $known = in_array($item, $shop['items'], true);
    return attempt(fn () => $known ? $store->add_to_cart($customer, $item) : $store->empty_cart($customer))[1];
}

function show(Store $store, array $shop, array $before, ?string $refused): void
{
    $customer = $_SESSION['customer'] ?? null;
    $parts = [];
    if ($customer) {
        $_SESSION['visits']++;
        $parts = ['cart' => attempt(fn () => $store->cart($customer)),
                  'profile' => attempt(fn () => $store->profile($customer)),
                  'counter' => attempt(fn () => $store->count($customer))];
    }
    $session = $_SESSION;
    error_clear_last();
    @session_write_close(); // before anything is shown that would not be there the next time
    if (error_get_last()) { // it answers true all the same
        down(error_get_last()['message']);
    }
    http_response_code($refused === null ? 200 : 503);
    page($session, $shop, $parts, $refused, strip($before, $store->namespaces(), ['session', ...array_keys($parts)]));
}

function answer(int $port, array $shop, string $path): void
{
    $store = new Store($port);
    $before = $store->namespaces();
    if (!@session_start()) { // nobody is logged out by that, and the next request finds the session again
        down(error_get_last()['message'] ?? 'it cannot be read');
    }
    $customer = $_SESSION['customer'] ?? null;
    $refused = null;
    if ($path === '/php/login') {
        log_in($shop);
    } elseif ($path === '/php/logout') {
        session_destroy();
        redirect();
    } elseif ($path === '/php/cart') {
        $refused = $customer ? change_cart($store, $customer, $shop) : null;
        $refused === null && redirect();
    }
    show($store, $shop, $before, $refused);
}

try {
    answer((int) getenv('FOREBAY_PORT'), json_decode(file_get_contents(getenv('SHOP')), true),
           parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
} catch (Failure $failure) {
    down($failure->getMessage());
}
