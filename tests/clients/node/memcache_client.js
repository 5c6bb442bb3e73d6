// SPDX-License-Identifier: MIT
// memcache_client.js commands|write|read|down PREFIX: the npm package memcache-client.
'use strict';
const { MemcacheClient } = require('memcache-client');
const { assert, port, prefix, binary, big, sleep, main, write, read, down } = require('./check');

const client = new MemcacheClient({ server: `127.0.0.1:${port}`, cmdTimeout: 20000, ignoreNotStored: false });
const get = async (key) => (await client.get(key))?.value;
const set = (key, value, seconds) => client.set(key, value, { lifetime: seconds });

async function commands() {
    const key = prefix + 'k';
    assert.equal(await get(key), undefined);
    assert.deepEqual(await set(key, 'v', 60), ['STORED']);
    assert.equal(await get(key), 'v');
    await assert.rejects(client.add(key, 'w'), /NOT_STORED/);
    await client.add(prefix + 'new', 'w');
    await assert.rejects(client.replace(prefix + 'none', 'w'), /NOT_STORED/);
    await client.replace(key, 'x');
    await client.append(key, '-end');
    await client.prepend(key, 'start-');
    assert.equal(await get(key), 'start-x-end');

    const keys = Array.from({ length: 300 }, (_, i) => prefix + i);
    await Promise.all(keys.map((name, i) => set(name, `value ${i}`, 60)));
    const found = await client.get(keys.concat(prefix + 'none'));
    assert.equal(Object.keys(found).length, 300);
    assert.equal(found[prefix + '299'].value, 'value 299');

    const token = (await client.gets(key)).casUniq;
    await client.cas(key, 'second', { casUniq: token });
    await assert.rejects(client.cas(key, 'third', { casUniq: token }), /EXISTS/);
    assert.equal(await get(key), 'second');

    await assert.rejects(client.incr(prefix + 'n', 1), /NOT_FOUND/);
    await set(prefix + 'n', '10', 60);
    assert.equal(await client.incr(prefix + 'n', 5), '15');
    assert.equal(await client.decr(prefix + 'n', 100), '0');
    assert.deepEqual(await client.touch(key, 100), ['TOUCHED']);
    assert.deepEqual(await client.delete(key), ['DELETED']);
    await assert.rejects(client.delete(key), /NOT_FOUND/);

    await set(prefix + 'binary', binary, 60);
    assert.deepEqual(await get(prefix + 'binary'), binary);
    await set(prefix + 'big', big, 60);
    assert.deepEqual(await get(prefix + 'big'), big);
    await set(prefix + 'json', { list: [1, { a: null }], text: 'grün' }, 60);
    assert.deepEqual(await get(prefix + 'json'), { list: [1, { a: null }], text: 'grün' });

    for (let i = 0; i < 500; i++) client.set(`${prefix}q${i}`, 'v', { noreply: true });
    await sleep(100);
    assert.equal(await get(prefix + 'q499'), 'v');
    await set(prefix + 'short', 'v', 1);
    await set(prefix + 'long', 'v', 100);
    for (let i = 0; i < 200 && await get(prefix + 'short') !== undefined; i++) await sleep(100);
    assert.equal(await get(prefix + 'short'), undefined);
    assert.equal(await get(prefix + 'long'), 'v');
    assert.ok((await client.version())[0].startsWith('VERSION') || (await client.version())[0] === 'VERSION');
}

const calls = { set, del: (key) => client.delete(key), incr: (key, by) => client.incr(key, by),
    touch: (key, seconds) => client.touch(key, seconds) };
const another = () => new MemcacheClient({ server: `127.0.0.1:${port}`, cmdTimeout: 2000 });
main({ down: () => down(() => (key) => another().get(key), () => (keys) => another().get(keys)), commands, write: () => write(calls), read: () => read(get) });
