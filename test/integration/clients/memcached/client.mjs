/**
 * Drives memcached, the oldest client for Node from npm, through everything that it can do over the
 * text dialect.
 *
 * The contract with the test is in test/support/client-suite.ts. The library has no login and no
 * hook where it connects; told to keep one connection, the first thing sent on it is the set that
 * logs in. Out of reach are bytes beyond ASCII in a Buffer (it reads replies as UTF-8 before it knows
 * better) and errors that begin SERVER_ERROR (it drops the connection and its callback).
 */
import assert from 'node:assert/strict'
import { promisify } from 'node:util'
import Memcached from 'memcached'
import { goneWithin, LARGE, runClient } from '../../../support/client-checks.mjs'

const { CLIENT_HOST, CLIENT_PORT, CLIENT_USER, CLIENT_PASSWORD, CLIENT_PATIENCE_MS } = process.env
const METHODS =
  'get gets getMulti set add replace append prepend cas del incr decr touch version stats settings slabs items flush'
const LARGE_TEXT = LARGE.toString()

/** Its methods as ones that return promises. */
function connect() {
  const client = new Memcached(`${CLIENT_HOST}:${CLIENT_PORT}`, {
    poolSize: 1,
    retries: 0,
    failures: 0,
    timeout: Number(CLIENT_PATIENCE_MS),
    idle: 60_000,
  })
  const methods = METHODS.split(' ').map((name) => [name, promisify(client[name]).bind(client)])
  return { ...Object.fromEntries(methods), end: () => client.end() }
}

const logIn = async (client) => await client.set('login', `${CLIENT_USER} ${CLIENT_PASSWORD}`, 0)

const checks = {
  async get(client) {
    assert.equal(await client.get('get'), undefined)
    await client.set('get', 'wörd', 0)
    assert.equal(await client.get('get'), 'wörd')
  },
  async 'get of every type'(client) {
    for (const value of ['text', '', 42, 1.5, { a: [1, null] }, true, Buffer.from('bytes')]) {
      await client.set('type', value, 0)
      assert.deepEqual(await client.get('type'), value)
    }
  },
  async getMulti(client) {
    const keys = Array.from({ length: 1000 }, (_, index) => `multi-${index}`)
    await Promise.all(keys.map((key) => client.set(key, `value of ${key}`, 0)))
    const found = await client.getMulti([...keys, 'multi-missing'])
    assert.equal(Object.keys(found).length, 1000)
    assert.equal(found['multi-999'], 'value of multi-999')
  },
  async 'gets and cas'(client) {
    await client.set('cas', 'one', 0)
    const found = await client.gets('cas')
    assert.equal(found.cas && (await client.cas('cas', 'two', found.cas, 0)), true)
    assert.equal(await client.cas('cas', 'three', found.cas, 0), false)
    assert.equal(await client.get('cas'), 'two')
  },
  async set(client) {
    assert.equal(await client.set('set', 'one', 0), true)
    assert.equal(await client.set('set', 'two', 0), true)
    assert.equal(await client.get('set'), 'two')
  },
  async 'set with expiry'(client) {
    await client.set('expiry', 'long', 100)
    assert.equal(await client.get('expiry'), 'long')
    await client.set('expiry', 'short', 1)
    await goneWithin(async () => (await client.get('expiry')) === undefined, 10)
  },
  async add(client) {
    assert.equal(await client.add('add', 'first', 0), true)
    await assert.rejects(client.add('add', 'second', 0), /not stored/)
    assert.equal(await client.get('add'), 'first')
  },
  async replace(client) {
    await assert.rejects(client.replace('replace', 'none', 0), /not stored/)
    await client.set('replace', 'old', 0)
    assert.equal(await client.replace('replace', 'new', 0), true)
    assert.equal(await client.get('replace'), 'new')
  },
  async 'append and prepend'(client) {
    await assert.rejects(client.append('extend', 'x'), /not stored/)
    await client.set('extend', 'middle', 0)
    assert.equal(await client.append('extend', '-end'), true)
    assert.equal(await client.prepend('extend', 'start-'), true)
    assert.equal(await client.get('extend'), 'start-middle-end')
  },
  async del(client) {
    assert.equal(await client.del('delete'), false)
    await client.set('delete', 'x', 0)
    assert.equal(await client.del('delete'), true)
    assert.equal(await client.get('delete'), undefined)
  },
  async 'incr and decr'(client) {
    assert.equal(await client.incr('number', 1), false)
    await client.set('number', '10', 0)
    assert.equal(await client.incr('number', 5), 15)
    assert.equal(await client.decr('number', 3), 12)
    assert.equal(await client.decr('number', 100), 0)
    await client.set('word', 'no number', 0)
    await assert.rejects(client.incr('word', 1), /non-numeric value/)
  },
  async touch(client) {
    assert.equal(await client.touch('touch', 100), false)
    await client.set('touch', 'x', 0)
    assert.equal(await client.touch('touch', 100), true)
    assert.equal(await client.get('touch'), 'x')
    assert.equal(await client.touch('touch', -1), true)
    assert.equal(await client.get('touch'), undefined)
  },
  async 'large values'(client) {
    assert.equal(await client.set('large', LARGE_TEXT, 0), true)
    assert.ok((await client.get('large')) === LARGE_TEXT)
  },
  async 'long and odd keys'(client) {
    // It sends a digest in the place of a key that is too long.
    for (const key of ['k', 'k'.repeat(250), 'k'.repeat(251), 'a:b/c?d', '~^-_']) {
      await client.set(key, key, 0)
      assert.equal(await client.get(key), key)
    }
  },
  async stats(client) {
    const [stats] = await client.stats()
    assert.equal(stats.limit_maxbytes, 64 * 1024 * 1024)
    assert.ok(stats.pid > 0 && stats.curr_items > 0 && stats.cmd_set > 0)
    const [settings] = await client.settings()
    assert.equal(settings.maxbytes, 64 * 1024 * 1024)
  },
  async version(client) {
    const [{ version }] = await client.version()
    assert.match(version, /^\d+\.\d+\.\d+/)
  },
  async 'a new connection'(client) {
    await client.set('reconnect', 'kept', 0)
    const other = connect()
    await logIn(other)
    assert.equal(await other.get('reconnect'), 'kept')
    other.end()
  },
  async flush(client) {
    await client.set('flush', 'x', 0)
    assert.deepEqual(await client.flush(), [true])
    assert.equal(await client.get('flush'), undefined)
  },
}

await runClient({
  connect,
  logIn,
  read: async (client) => await client.get('missing'),
  close: (client) => client.end(),
  checks,
})
