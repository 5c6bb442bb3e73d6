// SPDX-License-Identifier: MIT
// memjs.js commands|write|read|down PREFIX: the npm package memjs, which speaks the binary protocol alone. With a SASL_USER it
// authenticates.
'use strict';
const memjs = require('memjs');
const { assert, port, prefix, binary, big, sleep, main, write, read, down } = require('./check');

const quiet = { log() {} };
const connect = (timeout) => memjs.Client.create(`127.0.0.1:${port}`,
    { timeout, retries: 1, logger: quiet, username: process.env.SASL_USER, password: process.env.SASL_PASSWORD });
const client = connect(20);
const get = async (key) => (await client.get(key)).value ?? undefined;
const set = (key, value, seconds) => client.set(key, value, { expires: seconds });

async function commands() {
    const key = prefix + 'k';
    assert.equal(await get(key), undefined);
    assert.equal(await set(key, 'v', 60), true);
    assert.equal(String(await get(key)), 'v');
    assert.equal(await client.add(key, 'w', {}), false);
    assert.equal(await client.add(prefix + 'new', 'w', {}), true);
    assert.equal(await client.replace(prefix + 'none', 'w', {}), false);
    assert.equal(await client.replace(key, 'x', {}), true);
    assert.equal(await client.append(key, '-end'), true);
    await assert.rejects(client.append(prefix + 'none', '-end'), /not stored/);
    assert.equal(String(await get(key)), 'x-end'); // its prepend sends an append

    const keys = Array.from({ length: 300 }, (_, i) => prefix + i);
    await Promise.all(keys.map((name, i) => set(name, `value ${i}`, 60)));
    const found = await Promise.all(keys.map(get)); // all of them under way at once
    found.forEach((value, i) => assert.equal(String(value), `value ${i}`));

    assert.equal((await client.increment(prefix + 'n', 5, { initial: 10, expires: 60 })).value, 10);
    assert.equal((await client.increment(prefix + 'n', 5, {})).value, 15);
    assert.equal((await client.decrement(prefix + 'n', 100, {})).value, 0);
    assert.equal(await client.touch(key, 100), true);
    assert.equal(await client.delete(key), true);
    assert.equal(await client.delete(key), false);
    assert.equal(await client.touch(key, 100), false);

    await set(prefix + 'binary', binary, 60);
    assert.deepEqual(await get(prefix + 'binary'), binary);
    await set(prefix + 'big', big, 60);
    assert.deepEqual(await get(prefix + 'big'), big);
    await assert.rejects(set(prefix + 'big', Buffer.alloc(2 << 20), 60), /Value too large/);
    assert.equal(await get(prefix + 'big'), undefined);

    await set(prefix + 'short', 'v', 1);
    await set(prefix + 'long', 'v', 100);
    for (let i = 0; i < 200 && await get(prefix + 'short') !== undefined; i++) await sleep(100);
    assert.equal(await get(prefix + 'short'), undefined);
    assert.equal(String(await get(prefix + 'long')), 'v');
    assert.ok((await statistics()).pid > 0);
    await client.flush();
}

// Its own has no promise, and calls back for each server.
function statistics() {
    return new Promise((resolve, reject) => client.stats((error, server, found) => (error ? reject(error) : resolve(found))));
}

const calls = { set, del: (key) => client.delete(key), incr: async (key, by) => (await client.increment(key, by, {})).value,
    touch: (key, seconds) => client.touch(key, seconds) };
const alone = () => { const one = connect(2); return (key) => one.get(key); };
const together = () => { const one = connect(2); return (keys) => Promise.all(keys.map((key) => one.get(key))); };
main({ down: () => down(alone, together), commands, write: () => write(calls), read: () => read(get) });
