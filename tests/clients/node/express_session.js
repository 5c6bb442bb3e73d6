// SPDX-License-Identifier: MIT
// express_session.js PREFIX: an Express application that keeps its sessions through connect-memcached. It serves on a free
// port, which it prints; /visit counts and /logout destroys the session. Ends with its standard input.
'use strict';
const express = require('express');
const session = require('express-session');
const MemcachedStore = require('connect-memcached')(session);

const app = express();
app.use(session({
    secret: 'not a secret in a test', resave: false, saveUninitialized: false, cookie: { maxAge: 600000 },
    store: new MemcachedStore({ hosts: [`127.0.0.1:${process.env.PORT}`], prefix: process.argv[2], retries: 0, timeout: 20000 }),
}));
app.get('/visit', (request, response) => {
    request.session.visits = (request.session.visits || 0) + 1;
    response.json({ visits: request.session.visits, id: request.sessionID });
});
app.get('/logout', (request, response) => request.session.destroy(() => response.json({ done: true })));
const listener = app.listen(0, '127.0.0.1', () => console.log(listener.address().port));
process.stdin.resume().on('end', () => process.exit(0));
