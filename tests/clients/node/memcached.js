// SPDX-License-Identifier: MIT
// memcached.js commands|write|read|down PREFIX: the npm package memcached.
'use strict';
const { promisify } = require('util');
const Memcached = require('memcached');
const { assert, port, prefix, binary, big, sleep, main, write, read, down } = require('./check');

const client = new Memcached(`127.0.0.1:${port}`, { retries: 0, timeout: 20000, maxValue: 2 * 1024 * 1024 });
const names = ['get', 'gets', 'getMulti', 'set', 'add', 'replace', 'append', 'prepend', 'cas', 'incr', 'decr', 'del',
    'touch', 'stats', 'version', 'flush'];
const [get, gets, getMulti, set, add, replace, append, prepend, cas, incr, decr, del, touch, stats, version, flush] =
    names.map((name) => promisify(client[name].bind(client)));

async function refused(promise) {
    await assert.rejects(promise.then((answer) => { if (answer === false) throw new Error('refused'); }));
}

async function commands() {
    const key = prefix + 'k';
    assert.equal(await get(key), undefined);
    assert.equal(await set(key, 'v', 0), true);
    assert.equal(await get(key), 'v');
    await refused(add(key, 'w', 0));
    assert.equal(await add(prefix + 'new', 'w', 0), true);
    await refused(replace(prefix + 'none', 'w', 0));
    assert.equal(await replace(key, 'x', 0), true);
    assert.equal(await append(key, '-end'), true);
    assert.equal(await prepend(key, 'start-'), true);
    assert.equal(await get(key), 'start-x-end');

    const keys = Array.from({ length: 300 }, (_, i) => prefix + i);
    await Promise.all(keys.map((name, i) => set(name, `value ${i}`, 0)));
    const found = await getMulti(keys.concat(prefix + 'none'));
    assert.equal(Object.keys(found).length, 300);
    assert.equal(found[prefix + '299'], 'value 299');

    const token = (await gets(key)).cas;
    assert.equal(await cas(key, 'second', token, 0), true);
    assert.equal(await cas(key, 'third', token, 0), false);
    assert.equal(await get(key), 'second');

    assert.equal(await incr(prefix + 'n', 1), false);
    await set(prefix + 'n', '10', 0);
    assert.equal(await incr(prefix + 'n', 5), 15);
    assert.equal(await decr(prefix + 'n', 100), 0);
    assert.equal(await touch(key, 100), true);
    assert.equal(await del(key), true);
    assert.equal(await del(key), false);
    assert.equal(await touch(key, 100), false);

    await set(prefix + 'binary', binary, 0);
    assert.deepEqual(await get(prefix + 'binary'), binary);
    await set(prefix + 'big', big, 0);
    assert.deepEqual(await get(prefix + 'big'), big);
    await set(prefix + 'json', { list: [1, { a: null }], text: 'grün' }, 0); // marked in the flags
    assert.deepEqual(await get(prefix + 'json'), { list: [1, { a: null }], text: 'grün' });

    await set(prefix + 'short', 'v', 1);
    await set(prefix + 'long', 'v', 100);
    for (let i = 0; i < 200 && await get(prefix + 'short') !== undefined; i++) await sleep(100);
    assert.equal(await get(prefix + 'short'), undefined);
    assert.equal(await get(prefix + 'long'), 'v');
    assert.ok((await stats())[0].pid > 0);
    assert.ok((await version())[0].version);
    await flush();
}

const another = (name) => {
    const one = new Memcached(`127.0.0.1:${port}`, { retries: 0, timeout: 2000 });
    return promisify(one[name].bind(one));
};

main({ down: () => down(() => another('get'), () => another('getMulti')), commands, write: () => write({ set, del, incr, touch }), read: () => read(get) });
