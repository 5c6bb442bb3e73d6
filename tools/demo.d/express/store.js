// SPDX-License-Identifier: MIT
// What the shop keeps in Forebay, beside the sessions.
'use strict';
const net = require('net');
const Memcached = require('memcached');

// The client would leave a server alone for 30 seconds after a single failure, for five hours after five, and wait for up to a
// minute before it connects again. Here, the server is back in a moment.
const OPTIONS = { retries: 0, timeout: 2000, failures: 1000000, retry: 1 };
const PATIENCE_MS = 5000;

// npm's memcached, which tells of a SERVER_ERROR here alone, and answers as if nothing were there. It takes it for a failure of the
// connection, too, which it is not.
class Client extends Memcached {
    constructor(port) {
        super(`127.0.0.1:${port}`, OPTIONS);
        this.refusals = 0;
        this.watched = new WeakSet();
        this.on('issue', () => {}); // it is told to whoever asked
    }

    // What was under way when its connection was lost would never be answered.
    connect(server, done) {
        super.connect(server, (error, socket) => {
            if (socket && !this.watched.has(socket)) {
                this.watched.add(socket);
                const lost = new Error('the connection was lost');
                socket.once('close', () => socket.metaData.splice(0).forEach(({ callback }) => callback(lost)));
            }
            done(error, socket);
        });
    }

    connectionIssue(message, socket) {
        if (socket.readyState !== 'open') return super.connectionIssue(message, socket);
        this.refusals += 1;
        this.refusal = message;
    }

    // Calls back with an error where the command was refused. (With others refused at the same moment, a miss may be an error, too.)
    ask(command, parameters, done) {
        const before = this.refusals;
        this[command](...parameters, (error, answer) => {
            const refused = !answer && this.refusals !== before;
            done(refused ? new Error(this.refusal) : error && !error.notStored ? error : null, answer);
        });
    }
}

class Store {
    constructor(port) {
        this.client = new Client(port);
    }

    ask(command, ...parameters) {
        return new Promise((done, fail) => this.client.ask(command, parameters, (error, answer) => error ? fail(error) : done(answer)));
    }

    async cart(customer) {
        return JSON.parse(await this.ask('get', `cart:${customer}`) || '{}');
    }

    // Two clicks at once, through whatever instances, both count: gets and cas.
    async addToCart(customer, item) {
        const key = `cart:${customer}`;
        for (;;) {
            const found = await this.ask('gets', key);
            const cart = JSON.parse(found && found[key] || '{}');
            cart[item] = (cart[item] || 0) + 1;
            const value = JSON.stringify(cart);
            if (found ? await this.ask('cas', key, value, found.cas, 0) : await this.ask('add', key, value, 0)) return;
        }
    }

    async emptyCart(customer) {
        await this.ask('del', `cart:${customer}`);
    }

    // A row of the shop's own table, which Forebay reads through.
    async profile(customer) {
        return JSON.parse(await this.ask('get', `profile:${customer}`) || 'null');
    }

    async count(customer) {
        const key = `count:${customer}`;
        const counted = await this.ask('incr', key, 1);
        if (counted) return counted;
        return await this.ask('add', key, '1', 0) ? 1 : this.ask('incr', key, 1);
    }
}

// [what it answers, null], or [null, why not]: a page has what can be had.
async function attempt(action) {
    try {
        return [await action(), null];
    } catch (error) {
        return [null, String(error.message || error)];
    }
}

// What the server tells of its namespaces: {"carts:policy": "write-through", "carts:loads": "3", ...}.
function namespaces(port) {
    return new Promise((done, fail) => {
        let text = '';
        const socket = net.connect(Number(port), '127.0.0.1', () => socket.write('stats namespaces\r\n'));
        socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no answer')));
        socket.on('error', fail);
        socket.on('close', () => fail(new Error('the connection was closed')));
        socket.on('data', (data) => {
            text += data;
            if (!text.endsWith('END\r\n')) return;
            done(Object.fromEntries([...text.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name, value])));
            socket.destroy();
        });
    });
}

module.exports = { Client, Store, attempt, namespaces };
