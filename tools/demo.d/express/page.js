// SPDX-License-Identifier: MIT
// What the shop looks like.
'use strict';

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text) => String(text).replace(/[&<>"']/g, (one) => ENTITIES[one]);
const failed = (id, what, why) => `<p class="down" id="${id}">${what}: ${escape(why)}</p>`;

const document = (main, instance, rows) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tea shop, Express</title>
<link rel="stylesheet" href="/style.css">
<header><h1>Tea shop</h1><nav><a href="/flask/">Flask</a> <a href="/php/">PHP</a> <a href="/express/" class="here">Express</a></nav></header>
<main>
${main}
</main>
<footer>
<p>Answered by <b id="instance">${escape(instance)}</b></p>
<table>
${rows.map(([part, policy, from]) => `<tr id="strip-${part}"><th>${part}<td>${policy}<td class="from-${from}">${from}`).join('\n')}
</table>
</footer>
`;

const login = (customers) => `<section>
<h2>Who are you?</h2>
<form method="post" action="login">
${customers.map(({ id, name }) => `<button name="customer" value="${id}">${escape(name)}</button>`).join('\n')}
</form>
</section>`;

function customer(session, [row, why]) {
    const profile = row ? `<p id="profile">${escape(`${row.name}, ${row.town}, ${row.points} points`)}</p>` : '';
    return `<section>
<h2>Hello, <span id="who">${session.customer}</span></h2>
<p>Logged in since <span id="since">${session.since}</span>, <span id="visits">${session.visits}</span> pages in this session.</p>
${why ? failed('profile', 'Your profile cannot be read', why) : profile}
<form method="post" action="logout"><button id="logout">Log out</button></form>
</section>`;
}

function cart(items, [found, why], refused) {
    const lines = Object.entries(found || {}).map(([item, count]) => `<li>${count} ${escape(item)}</li>`).join('');
    return `<section>
<h2>Cart</h2>
${refused ? failed('refused', 'The cart was not changed', refused) : ''}
${why ? failed('cart', 'Your cart cannot be read', why) : `<ul id="cart">${lines}</ul>`}
<form method="post" action="cart">
${items.map((item) => `<button name="item" value="${item}">Add ${item}</button>`).join('\n')}
<button name="item" value="" class="quiet">Empty</button>
</form>
</section>`;
}

const counter = ([count, why]) => `<section>
<h2>Pages seen</h2>
${why ? failed('counter', 'They cannot be counted', why) : `<p class="large" id="counter">${count}</p>`}
</section>`;

function page({ instance, session, shop, parts, refused, rows }) {
    const main = session.customer
        ? [customer(session, parts.profile), cart(shop.items, parts.cart, refused), counter(parts.counter)].join('\n')
        : login(shop.customers);
    return document(main, instance, rows);
}

const down = ({ instance, why }) => document(`<section><h2>Your session cannot be read</h2>
<p class="down" id="down">${escape(why)}</p><p>You are not logged out. Try again.</p></section>`, instance, []);

module.exports = { page, down };
