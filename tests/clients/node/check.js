// SPDX-License-Identifier: MIT
// What the Node.js programs of this folder share: arguments, values, and the three phases of tests/clients/conftest.py.
'use strict';
const assert = require('assert/strict');

const port = process.env.PORT;
const [phase, prefix = ''] = process.argv.slice(2);
const binary = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, i) => i)), Buffer.from('\r\nEND\r\n')]);
const big = Buffer.from('0123456789'.repeat(20000));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Runs the function of this phase; a failed assertion or a hang ends the program with 1.
function main(phases) {
    const patience = setTimeout(() => { console.log('not ok: no end'); process.exit(1); }, 60000);
    phases[phase]().then(
        () => { clearTimeout(patience); process.exit(0); },
        (error) => { console.log('not ok:', error); process.exit(1); });
}

// Stores a session of the flow through set(key, value, seconds), del, incr and touch (all return promises).
async function write({ set, del, incr, touch }) {
    await set(prefix + 'plain', 'value', 600);
    await set(prefix + 'binary', binary, 600);
    await set(prefix + 'big', big, 600);
    await set(prefix + 'overwritten', 'first', 600);
    await set(prefix + 'overwritten', 'second', 600);
    await set(prefix + 'deleted', 'gone', 600);
    await del(prefix + 'deleted');
    await set(prefix + 'counter', '10', 600);
    assert.equal(Number(await incr(prefix + 'counter', 2)), 12);
    await set(prefix + 'touched', 'longer', 600);
    await touch(prefix + 'touched', 3600);
}

// get(key): the value, or undefined.
async function read(get) {
    assert.equal(String(await get(prefix + 'plain')), 'value');
    assert.deepEqual(await get(prefix + 'binary'), binary);
    assert.deepEqual(await get(prefix + 'big'), big);
    assert.equal(String(await get(prefix + 'overwritten')), 'second');
    assert.equal(await get(prefix + 'deleted'), undefined);
    assert.equal(Number(await get(prefix + 'counter')), 12);
    assert.equal(String(await get(prefix + 'touched')), 'longer');
}

// What test_backend_down.py asks: each request on a client of its own, both at once.
async function down(makeGet, makeGetMulti) {
    await Promise.all([['get', makeGet, prefix + 'k'], ['many', makeGetMulti, [prefix + 'here', prefix + 'k']]].map(
        async ([what, make, key]) => {
            const word = await Promise.race([make()(key).then(() => 'miss', () => 'failure'), sleep(5000).then(() => 'silence')]);
            console.log(`${what} ${word}`);
        }));
}

module.exports = { down, assert, port, prefix, binary, big, sleep, main, write, read };
