/**
 * Drives memcache-client, from npm, through everything that it can do over the text dialect.
 *
 * The contract with the test is in test/support/client-suite.ts. The library has no login and no
 * hook where it connects, and keeps to one connection unless told otherwise: the first thing sent
 * on it is the set that logs in.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { deflateSync, inflateSync } from 'node:zlib'
import memcacheClient from 'memcache-client'
import { ALL_BYTES, goneWithin, LARGE, runClient } from '../../../support/client-checks.mjs'

const { CLIENT_HOST, CLIENT_PORT, CLIENT_USER, CLIENT_PASSWORD, CLIENT_PATIENCE_MS } = process.env
const { CLIENT_CA, CLIENT_CERTIFICATE, CLIENT_KEY } = process.env

function tls() {
  if (!CLIENT_CA) return undefined
  const own = CLIENT_CERTIFICATE
    ? { cert: readFileSync(CLIENT_CERTIFICATE), key: readFileSync(CLIENT_KEY) }
    : {}
  return { ca: readFileSync(CLIENT_CA), ...own }
}

function connect() {
  return new memcacheClient.MemcacheClient({
    server: { server: `${CLIENT_HOST}:${CLIENT_PORT}`, maxConnections: 1 },
    cmdTimeout: Number(CLIENT_PATIENCE_MS),
    lifetime: 100,
    tls: tls(),
    compressor: {
      compressSync: ({ input }) => deflateSync(input),
      decompressSync: ({ input }) => inflateSync(input),
    },
  })
}

const logIn = async (client) => await client.set('login', `${CLIENT_USER} ${CLIENT_PASSWORD}`)
const read = async (client, key) => (await client.get(key))?.value

const checks = {
  async get(client) {
    assert.equal(await read(client, 'get'), undefined)
    await client.set('get', 'wörd')
    assert.equal(await read(client, 'get'), 'wörd')
  },
  async 'get of every type'(client) {
    for (const value of ['text', '', 42, 1.5, { a: [1, null] }, Buffer.from([0, 255])]) {
      await client.set('type', value)
      assert.deepEqual(await read(client, 'type'), value)
    }
  },
  async 'get of many keys'(client) {
    const keys = Array.from({ length: 1000 }, (_, index) => `multi-${index}`)
    await Promise.all(keys.map((key) => client.set(key, `value of ${key}`)))
    const found = await client.get([...keys, 'multi-missing'])
    assert.deepEqual(Object.keys(found), keys)
    assert.equal(found['multi-999'].value, 'value of multi-999')
  },
  async 'gets and cas'(client) {
    await assert.rejects(client.cas('cas', 'x', { casUniq: 1 }), /NOT_FOUND/)
    await client.set('cas', 'one')
    const { casUniq, value } = await client.gets('cas')
    assert.equal(value, 'one')
    assert.deepEqual(await client.cas('cas', 'two', { casUniq }), ['STORED'])
    await assert.rejects(client.cas('cas', 'three', { casUniq }), /EXISTS/)
    assert.equal((await client.gets(['cas', 'cas-missing'])).cas.value, 'two')
  },
  async set(client) {
    assert.deepEqual(await client.set('set', 'one'), ['STORED'])
    assert.deepEqual(await client.set('set', 'two'), ['STORED'])
    assert.equal(await read(client, 'set'), 'two')
  },
  async 'set with expiry'(client) {
    await client.set('expired', 'x', { lifetime: -1 })
    assert.equal(await read(client, 'expired'), undefined)
    await client.set('expiry', 'long', { lifetime: 100 })
    assert.equal(await read(client, 'expiry'), 'long')
    await client.set('expiry', 'short', { lifetime: 1 })
    await goneWithin(async () => (await read(client, 'expiry')) === undefined, 10)
  },
  async add(client) {
    assert.deepEqual(await client.add('add', 'first'), ['STORED'])
    await assert.rejects(client.add('add', 'second'), /NOT_STORED/)
    assert.equal(await read(client, 'add'), 'first')
  },
  async replace(client) {
    await assert.rejects(client.replace('replace', 'none'), /NOT_STORED/)
    await client.set('replace', 'old')
    assert.deepEqual(await client.replace('replace', 'new'), ['STORED'])
    assert.equal(await read(client, 'replace'), 'new')
  },
  async 'append and prepend'(client) {
    await assert.rejects(client.append('extend', 'x'), /NOT_STORED/)
    await assert.rejects(client.prepend('extend', 'x'), /NOT_STORED/)
    await client.set('extend', 'middle')
    assert.deepEqual(await client.append('extend', '-end'), ['STORED'])
    assert.deepEqual(await client.prepend('extend', 'start-'), ['STORED'])
    assert.equal(await read(client, 'extend'), 'start-middle-end')
  },
  async delete(client) {
    await assert.rejects(client.delete('delete'), /NOT_FOUND/)
    await client.set('delete', 'x')
    assert.deepEqual(await client.delete('delete'), ['DELETED'])
    assert.equal(await read(client, 'delete'), undefined)
  },
  async 'incr and decr'(client) {
    await assert.rejects(client.incr('number', 1), /NOT_FOUND/)
    await client.set('number', '10')
    assert.equal(await client.incr('number', 5), '15')
    assert.equal(await client.decr('number', 3), '12')
    assert.equal(await client.decr('number', 100), '0')
    await client.set('number', '18446744073709551614')
    assert.equal(await client.incr('number', 1), '18446744073709551615')
    assert.equal(await client.incr('number', 1), '0')
    await client.set('word', 'no number')
    await assert.rejects(client.incr('word', 1), /non-numeric value/)
  },
  async touch(client) {
    await assert.rejects(client.touch('touch', 100), /NOT_FOUND/)
    await client.set('touch', 'x')
    assert.deepEqual(await client.touch('touch', 100), ['TOUCHED'])
    assert.equal(await read(client, 'touch'), 'x')
    assert.deepEqual(await client.touch('touch', -1), ['TOUCHED'])
    assert.equal(await read(client, 'touch'), undefined)
  },
  async noreply(client) {
    const noreply = { noreply: true }
    await client.set('noreply-number', '1')
    for (let index = 0; index < 200; index++) {
      await client.set(`noreply-${index}`, String(index), noreply)
    }
    await client.add('noreply-0', 'not added', noreply)
    await client.replace('noreply-1', 'replaced', noreply)
    await client.append('noreply-1', '!', noreply)
    await client.prepend('noreply-1', '!', noreply)
    await client.cas('noreply-2', 'never', { casUniq: 1, ...noreply })
    await client.delete('noreply-3', noreply)
    await client.touch('noreply-4', -1, noreply)
    await client.incr('noreply-number', 5, noreply)
    await client.decr('noreply-number', 2, noreply)
    assert.equal(await read(client, 'noreply-0'), '0')
    assert.equal(await read(client, 'noreply-1'), '!replaced!')
    assert.equal(await read(client, 'noreply-2'), '2')
    assert.deepEqual(await client.get(['noreply-3', 'noreply-4']), {})
    assert.equal(await read(client, 'noreply-number'), '4')
    assert.equal(await read(client, 'noreply-199'), '199')
  },
  async 'binary values'(client) {
    await client.set('binary', ALL_BYTES)
    assert.deepEqual(await read(client, 'binary'), ALL_BYTES)
  },
  async 'compressed values'(client) {
    await client.set('compressed', LARGE, { compress: true })
    assert.ok((await read(client, 'compressed')).equals(LARGE))
  },
  async 'large values'(client) {
    await client.set('large', LARGE)
    assert.ok((await read(client, 'large')).equals(LARGE))
  },
  async 'a value too large'(client) {
    await client.set('too-large', 'old')
    await assert.rejects(client.set('too-large', Buffer.alloc(1024 * 1024)), /object too large/)
    assert.equal(await read(client, 'too-large'), undefined)
    assert.deepEqual(await client.set('too-large', 'new'), ['STORED'])
  },
  async 'long and odd keys'(client) {
    for (const key of ['k', 'k'.repeat(250), 'ключ', 'a:b/c?d', '~^\u0001\u007f']) {
      await client.set(key, key)
      assert.equal(await read(client, key), key)
    }
    await assert.rejects(client.get('k'.repeat(251)), /bad command line format/)
  },
  async stats(client) {
    const { STAT } = await client.cmd('stats')
    const stats = Object.fromEntries(STAT)
    assert.equal(Number(stats.limit_maxbytes), 64 * 1024 * 1024)
    assert.ok(Number(stats.pid) > 0 && Number(stats.curr_items) > 0 && Number(stats.cmd_set) > 0)
  },
  async version(client) {
    const [word, version] = await client.version()
    assert.equal(word, 'VERSION')
    assert.match(version, /^\d+\.\d+\.\d+/)
  },
  async 'a new connection'(client) {
    await client.set('reconnect', 'kept')
    const other = connect()
    await logIn(other)
    assert.equal(await read(other, 'reconnect'), 'kept')
    other.shutdown()
  },
  async 'commands in its own words'(client) {
    await client.set('words', 'x')
    assert.deepEqual(await client.send('flush_all 100\r\n'), ['OK'])
    assert.equal(await read(client, 'words'), 'x')
    assert.deepEqual(await client.cmd('flush_all'), ['OK'])
    assert.equal(await read(client, 'words'), undefined)
  },
}

await runClient({
  connect,
  logIn,
  read: async (client) => await read(client, 'missing'),
  close: (client) => client.shutdown(),
  checks,
})
