<?php
// SPDX-License-Identifier: MIT
// What the shop looks like.

function head(): void
{
    ?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tea shop, PHP</title>
<link rel="stylesheet" href="/style.css">
<header><h1>Tea shop</h1><nav><a href="/flask/">Flask</a> <a href="/php/" class="here">PHP</a> <a href="/express/">Express</a></nav></header>
<main>
<?php
}

function foot(array $strip): void
{
    ?>
</main>
<footer>
<p>Answered by <b id="instance"><?= getenv('INSTANCE') ?></b></p>
<table>
<?php foreach ($strip as [$part, $policy, $from]) { ?>
<tr id="strip-<?= $part ?>"><th><?= $part ?><td><?= $policy ?><td class="from-<?= $from ?>"><?= $from ?>

<?php } ?>
</table>
</footer>
<?php
}

function down(string $why): never
{
    http_response_code(503);
    head();
    ?>
<section><h2>Your session cannot be read</h2><p class="down" id="down"><?= htmlspecialchars($why) ?></p><p>You are not logged out. Try again.</p></section>
<?php
    foot([]);
    exit;
}

function failed(string $id, string $what, string $why): void
{
    echo "<p class=\"down\" id=\"$id\">$what: ", htmlspecialchars($why), "</p>\n";
}

function page(array $session, array $shop, array $parts, ?string $refused, array $strip): void
{
    head();
    if ($parts) {
        customer($session, $parts['profile']);
        cart($shop['items'], $parts['cart'], $refused);
        counter($parts['counter']);
    } else {
        login($shop['customers']);
    }
    foot($strip);
}

function login(array $customers): void
{
    ?>
<section>
<h2>Who are you?</h2>
<form method="post" action="login">
<?php foreach ($customers as $customer) { ?>
<button name="customer" value="<?= $customer['id'] ?>"><?= $customer['name'] ?></button>
<?php } ?>
</form>
</section>
<?php
}

function customer(array $session, array $profile): void
{
    [$row, $why] = $profile;
    ?>
<section>
<h2>Hello, <span id="who"><?= $session['customer'] ?></span></h2>
<p>Logged in since <span id="since"><?= $session['since'] ?></span>, <span id="visits"><?= $session['visits'] ?></span> pages in this session.</p>
<?php if ($why !== null) {
    failed('profile', 'Your profile cannot be read', $why);
} elseif ($row) { ?>
<p id="profile"><?= htmlspecialchars("{$row['name']}, {$row['town']}, {$row['points']} points") ?></p>
<?php } ?>
<form method="post" action="logout"><button id="logout">Log out</button></form>
</section>
<?php
}

function cart(array $items, array $cart, ?string $refused): void
{
    [$lines, $why] = $cart;
    echo "<section>\n<h2>Cart</h2>\n";
    if ($refused !== null) {
        failed('refused', 'The cart was not changed', $refused);
    }
    if ($why !== null) {
        failed('cart', 'Your cart cannot be read', $why);
    } else {
        echo '<ul id="cart">', implode('', array_map(fn ($item) => "<li>{$lines[$item]} $item</li>", array_keys($lines))), "</ul>\n";
    }
    ?>
<form method="post" action="cart">
<?php foreach ($items as $item) { ?>
<button name="item" value="<?= $item ?>">Add <?= $item ?></button>
<?php } ?>
<button name="item" value="" class="quiet">Empty</button>
</form>
</section>
<?php
}

function counter(array $counter): void
{
    [$count, $why] = $counter;
    echo "<section>\n<h2>Pages seen</h2>\n";
    if ($why !== null) {
        failed('counter', 'They cannot be counted', $why);
    } else {
        echo "<p class=\"large\" id=\"counter\">$count</p>\n";
    }
    echo "</section>\n";
}
