// SPDX-License-Identifier: MIT
// The shop as an Express application: one instance of several, none of which keeps anything. Sessions by express-session and
// connect-memcached; cart, profile and counter by the client below it, npm's memcached. INSTANCE, PORT, FOREBAY_PORT, SHOP
// (shop.json), COOKIE (its name) and SESSION_SECRET come from the environment: instances with different secrets would not know each
// other's cookies.
'use strict';
const express = require('express');
const session = require('express-session');
const MemcachedStore = require('connect-memcached')(session);
const { Client, Store, attempt, namespaces } = require('./store.js');
const { page, down } = require('./page.js');

const { INSTANCE, PORT, FOREBAY_PORT, SHOP, COOKIE, SESSION_SECRET } = process.env;
const PARTS = { session: 'express_sessions', cart: 'carts', profile: 'profiles', counter: 'counters' };
const LIFE_MS = 30 * 60 * 1000;
const shop = require(SHOP);
const store = new Store(FOREBAY_PORT);

// connect-memcached, which would take a session that cannot be read for none, and one that is not kept for kept.
class Sessions extends MemcachedStore {
    get(id, done) {
        this.client.ask('get', [this.getKey(id)], done);
    }

    set(id, found, done) {
        this.client.ask('set', [this.getKey(id), found, LIFE_MS / 1000], done);
    }
}
Sessions.prototype.touch = undefined; // every page writes its session, so that a touch would write it twice

// Rows [part, policy, where it came from]. With others clicking at the same moment, what they load counts too.
async function strip(before, parts) {
    const now = await namespaces(FOREBAY_PORT);
    return parts.map((part) => {
        const name = PARTS[part];
        return [part, now[`${name}:policy`], before[`${name}:loads`] === now[`${name}:loads`] ? 'memory' : 'backend'];
    });
}

async function show(request, response, refused) {
    const parts = {};
    const { customer } = request.session;
    if (customer) {
        request.session.visits += 1;
        parts.cart = await attempt(() => store.cart(customer));
        parts.profile = await attempt(() => store.profile(customer));
        parts.counter = await attempt(() => store.count(customer));
    }
    const rows = await strip(request.before, ['session', ...Object.keys(parts)]);
    await new Promise((done, fail) => customer ? request.session.save((error) => error ? fail(error) : done()) : done());
    response.status(refused ? 503 : 200).send(page({ instance: INSTANCE, session: request.session, shop, parts, refused, rows }));
}

function logIn(request, response) {
    if (!shop.customers.some((customer) => customer.id === request.body.customer)) return response.redirect(303, '/express/');
    const since = new Date().toTimeString().slice(0, 8);
    Object.assign(request.session, { customer: request.body.customer, since, visits: 0 });
    response.redirect(303, '/express/');
}

async function changeCart(request, response) {
    const { customer } = request.session;
    const { item } = request.body;
    const change = shop.items.includes(item) ? () => store.addToCart(customer, item) : () => store.emptyCart(customer);
    const [, refused] = customer ? await attempt(change) : [];
    if (refused) return show(request, response, refused);
    response.redirect(303, '/express/');
}

const caught = (handler) => (request, response, next) => handler(request, response, next).catch(next);
const application = express();
application.use(express.urlencoded({ extended: false }));
application.use(caught(async (request, response, next) => {
    request.before = await namespaces(FOREBAY_PORT);
    next();
}));
application.use(session({
    name: COOKIE, secret: SESSION_SECRET, resave: false, saveUninitialized: false, cookie: { maxAge: LIFE_MS },
    store: new Sessions({ client: new Client(FOREBAY_PORT), prefix: 'sess:' }),
}));
application.get('/express/', caught((request, response) => show(request, response)));
application.post('/express/login', logIn);
application.post('/express/cart', caught(changeCart));
application.post('/express/logout', (request, response) => request.session.destroy(() => response.redirect(303, '/express/')));
application.use((error, request, response, next) => response.headersSent ? next(error)
    : response.status(503).send(down({ instance: INSTANCE, why: String(error.message || error) })));
application.listen(Number(PORT), '127.0.0.1');
