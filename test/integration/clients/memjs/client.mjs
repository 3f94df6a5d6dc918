/**
 * Drives memjs through everything that it can do over the binary dialect.
 *
 * The contract with the test is in test/support/client-suite.ts.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import memjs from 'memjs'

const { CLIENT_HOST, CLIENT_PORT, CLIENT_USER, CLIENT_PASSWORD, CLIENT_PATIENCE_MS } = process.env
const LARGE = Buffer.alloc(1_000_000, '0123456789abcdef')
const quiet = { log: () => undefined }

function connect() {
  return memjs.Client.create(`${CLIENT_HOST}:${CLIENT_PORT}`, {
    username: CLIENT_USER,
    password: CLIENT_PASSWORD,
    retries: 1,
    // Seconds. Its half a second is short on a machine that compiles beside the tests.
    timeout: Number(CLIENT_PATIENCE_MS) / 1000,
    logger: quiet,
  })
}

async function text(client, key) {
  const { value } = await client.get(key)
  return value === null ? null : value.toString()
}

async function goneWithin(client, key, seconds) {
  const end = performance.now() + seconds * 1000
  while ((await text(client, key)) !== null) {
    assert.ok(performance.now() < end, 'the item did not expire')
    await delay(50)
  }
}

const checks = {
  async get(client) {
    assert.equal(await text(client, 'get-missing'), null)
    await client.set('get', 'wörd')
    assert.equal(await text(client, 'get'), 'wörd')
  },
  async 'gets at the same time'(client) {
    const keys = Array.from({ length: 100 }, (_, index) => `multi-${index}`)
    await Promise.all(keys.map((key) => client.set(key, `value of ${key}`)))
    const values = await Promise.all(keys.map((key) => text(client, key)))
    assert.deepEqual(
      values,
      keys.map((key) => `value of ${key}`),
    )
  },
  async set(client) {
    assert.equal(await client.set('set', 'one'), true)
    assert.equal(await client.set('set', Buffer.from([0, 255])), true)
    assert.deepEqual((await client.get('set')).value, Buffer.from([0, 255]))
  },
  async 'set with expiry'(client) {
    await client.set('expiry', 'long', { expires: 100 })
    assert.equal(await text(client, 'expiry'), 'long')
    await client.set('expiry', 'short', { expires: 1 })
    await goneWithin(client, 'expiry', 10)
  },
  async add(client) {
    assert.equal(await client.add('add', 'first', {}), true)
    assert.equal(await client.add('add', 'second', {}), false)
    assert.equal(await text(client, 'add'), 'first')
  },
  async replace(client) {
    assert.equal(await client.replace('replace', 'none', {}), false)
    await client.set('replace', 'old')
    assert.equal(await client.replace('replace', 'new', {}), true)
    assert.equal(await text(client, 'replace'), 'new')
  },
  async append(client) {
    await assert.rejects(client.append('append-missing', 'x'), /Item not stored/)
    await client.set('append', 'left')
    assert.equal(await client.append('append', '-right'), true)
    assert.equal(await text(client, 'append'), 'left-right')
  },
  async prepend(client) {
    await assert.rejects(client.prepend('prepend-missing', 'x'), /Item not stored/)
    await client.set('prepend', 'right')
    assert.equal(await client.prepend('prepend', 'left-'), true)
    // memjs 1.3.2 sends APPEND, whatever the server.
    assert.equal(await text(client, 'prepend'), 'rightleft-')
  },
  async delete(client) {
    assert.equal(await client.delete('delete'), false)
    await client.set('delete', 'x')
    assert.equal(await client.delete('delete'), true)
    assert.equal(await text(client, 'delete'), null)
  },
  async increment(client) {
    assert.equal((await client.increment('increment', 1, { initial: 10 })).value, 10)
    assert.equal((await client.increment('increment', 5, {})).value, 15)
    await client.set('increment-word', 'no number')
    await assert.rejects(client.increment('increment-word', 1, {}))
  },
  async decrement(client) {
    assert.equal((await client.decrement('decrement', 1, { initial: 10 })).value, 10)
    assert.equal((await client.decrement('decrement', 3, {})).value, 7)
    assert.equal((await client.decrement('decrement', 100, {})).value, 0)
  },
  async touch(client) {
    assert.equal(await client.touch('touch', 100), false)
    await client.set('touch', 'x')
    assert.equal(await client.touch('touch', 100), true)
    assert.equal(await text(client, 'touch'), 'x')
    assert.equal(await client.touch('touch', Math.floor(Date.now() / 1000) - 10), true)
    assert.equal(await text(client, 'touch'), null)
  },
  async stats(client) {
    await client.set('stats', 'x')
    const stats = await new Promise((resolve, reject) =>
      client.stats((error, _server, values) => (error ? reject(error) : resolve(values))),
    )
    assert.equal(Number(stats.limit_maxbytes), 64 * 1024 * 1024)
    assert.ok(Number(stats.pid) > 0 && Number(stats.curr_items) > 0 && Number(stats.cmd_set) > 0)
  },
  async statsWithKey(client) {
    const settings = await new Promise((resolve, reject) =>
      client.statsWithKey('settings', (error, _server, values) =>
        error ? reject(error) : resolve(values),
      ),
    )
    assert.ok('maxbytes' in settings)
  },
  async resetStats(client) {
    await client.get('reset')
    await new Promise((resolve, reject) =>
      client.resetStats((error) => (error ? reject(error) : resolve(undefined))),
    )
    const stats = await new Promise((resolve, reject) =>
      client.stats((error, _server, values) => (error ? reject(error) : resolve(values))),
    )
    assert.equal(stats.cmd_get, '0')
  },
  async 'large values'(client) {
    assert.equal(await client.set('large', LARGE), true)
    assert.ok((await client.get('large')).value.equals(LARGE))
  },
  async 'a value too large'(client) {
    await client.set('too-large', 'old')
    await assert.rejects(client.set('too-large', Buffer.alloc(1024 * 1024)))
    assert.equal(await text(client, 'too-large'), null)
    assert.equal(await client.set('too-large', 'new'), true)
  },
  async 'long and non-ASCII keys'(client) {
    for (const key of ['k', 'k'.repeat(250), 'ключ', 'a:b/c?d']) {
      assert.equal(await client.set(key, key), true)
      assert.equal(await text(client, key), key)
    }
  },
  async 'a new connection'(client) {
    await client.set('reconnect', 'kept')
    const other = connect()
    assert.equal(await text(other, 'reconnect'), 'kept')
    other.quit()
  },
  async flush(client) {
    await client.set('flush', 'x')
    await client.flush()
    assert.equal(await text(client, 'flush'), null)
  },
}

async function login() {
  const client = connect()
  try {
    await client.get('missing')
    console.log('accepted')
  } catch (error) {
    console.log(`refused: ${error?.message ?? error}`)
  }
  client.close()
}

async function operations() {
  const client = connect()
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(client)
      console.log(`ok - ${name}`)
    } catch (error) {
      const why = String(error?.message ?? error).replaceAll('\n', ' ')
      console.log(`not ok - ${name}: ${why}`)
    }
  }
  client.quit()
}

await (process.argv.at(-1) === 'login' ? login() : operations())
