// SPDX-License-Identifier: MIT
// express_application.js SNIPPET: an Express application whose sessions are kept as the snippet says. See test_applications.py.
'use strict';
const fs = require('fs');
const { createRequire } = require('module');
const packages = createRequire(`${__dirname}/../node/package.json`);
const express = packages('express');
const session = packages('express-session');
const MemcachedStore = packages('connect-memcached')(session);

const app = express();
process.env.SESSION_SECRET = 'not a secret in a test';
new Function('app', 'session', 'MemcachedStore', fs.readFileSync(process.argv[2], 'utf8'))(app, session, MemcachedStore);
app.get('/visit', (request, response) => {
    request.session.visits = (request.session.visits || 0) + 1;
    response.send(String(request.session.visits));
});
app.get('/logout', (request, response) => request.session.destroy(() => response.send('out')));
const listener = app.listen(0, '127.0.0.1', () => console.log(listener.address().port));
process.stdin.resume().on('end', () => process.exit(0));
