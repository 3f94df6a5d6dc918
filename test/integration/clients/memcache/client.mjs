/**
 * Drives the npm package memcache through everything that it can do over the binary dialect: the
 * `binary` commands of a node, which it uses behind a SASL login.
 *
 * The contract with the test is in test/support/client-suite.ts.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { createNode } from 'memcache'

const { CLIENT_HOST, CLIENT_PORT, CLIENT_USER, CLIENT_PASSWORD, CLIENT_PATIENCE_MS } = process.env
const LARGE = '0123456789abcdef'.repeat(62_500)

async function connect() {
  const node = createNode(CLIENT_HOST, Number(CLIENT_PORT), {
    timeout: Number(CLIENT_PATIENCE_MS),
    sasl: { username: CLIENT_USER, password: CLIENT_PASSWORD, mechanism: 'PLAIN' },
  })
  node.on('error', () => undefined)
  await node.connect()
  return node
}

async function goneWithin(node, key, seconds) {
  const end = performance.now() + seconds * 1000
  while ((await node.binaryGet(key)) !== undefined) {
    assert.ok(performance.now() < end, 'the item did not expire')
    await delay(50)
  }
}

const checks = {
  async get(node) {
    assert.equal(await node.binaryGet('get-missing'), undefined)
    assert.equal(await node.binarySet('get', 'wörd'), true)
    assert.equal(await node.binaryGet('get'), 'wörd')
  },
  async set(node) {
    assert.equal(await node.binarySet('set', 'one', 0, 7), true)
    assert.equal(await node.binarySet('set', 'two'), true)
    assert.equal(await node.binaryGet('set'), 'two')
  },
  async 'set with expiry'(node) {
    assert.equal(await node.binarySet('expiry', 'long', 100), true)
    assert.equal(await node.binaryGet('expiry'), 'long')
    assert.equal(await node.binarySet('expiry', 'short', 1), true)
    await goneWithin(node, 'expiry', 10)
  },
  async add(node) {
    assert.equal(await node.binaryAdd('add', 'first'), true)
    assert.equal(await node.binaryAdd('add', 'second'), false)
    assert.equal(await node.binaryGet('add'), 'first')
  },
  async replace(node) {
    assert.equal(await node.binaryReplace('replace', 'none'), false)
    await node.binarySet('replace', 'old')
    assert.equal(await node.binaryReplace('replace', 'new'), true)
    assert.equal(await node.binaryGet('replace'), 'new')
  },
  async append(node) {
    assert.equal(await node.binaryAppend('append-missing', 'x'), false)
    await node.binarySet('append', 'left')
    assert.equal(await node.binaryAppend('append', '-right'), true)
    assert.equal(await node.binaryGet('append'), 'left-right')
  },
  async prepend(node) {
    assert.equal(await node.binaryPrepend('prepend-missing', 'x'), false)
    await node.binarySet('prepend', 'right')
    assert.equal(await node.binaryPrepend('prepend', 'left-'), true)
    assert.equal(await node.binaryGet('prepend'), 'left-right')
  },
  async delete(node) {
    // It takes a missing key for a success as well.
    assert.equal(await node.binaryDelete('delete'), true)
    await node.binarySet('delete', 'x')
    assert.equal(await node.binaryDelete('delete'), true)
    assert.equal(await node.binaryGet('delete'), undefined)
  },
  async increment(node) {
    assert.equal(await node.binaryIncr('increment', 1, 10), 10)
    assert.equal(await node.binaryIncr('increment', 5), 15)
    assert.equal(await node.binaryIncr('increment-missing', 1, 0, 0xffffffff), undefined)
    await node.binarySet('increment-word', 'no number')
    assert.equal(await node.binaryIncr('increment-word'), undefined)
  },
  async decrement(node) {
    assert.equal(await node.binaryDecr('decrement', 1, 10), 10)
    assert.equal(await node.binaryDecr('decrement', 3), 7)
    assert.equal(await node.binaryDecr('decrement', 100), 0)
  },
  async touch(node) {
    assert.equal(await node.binaryTouch('touch', 100), false)
    await node.binarySet('touch', 'x')
    assert.equal(await node.binaryTouch('touch', 100), true)
    assert.equal(await node.binaryGet('touch'), 'x')
    assert.equal(await node.binaryTouch('touch', Math.floor(Date.now() / 1000) - 10), true)
    assert.equal(await node.binaryGet('touch'), undefined)
  },
  async stats(node) {
    await node.binarySet('stats', 'x')
    const stats = await node.binaryStats()
    assert.equal(Number(stats.limit_maxbytes), 64 * 1024 * 1024)
    assert.ok(Number(stats.pid) > 0 && Number(stats.curr_items) > 0 && Number(stats.cmd_set) > 0)
  },
  async version(node) {
    assert.match(await node.binaryVersion(), /^\d+\.\d+\.\d+/)
  },
  async 'large values'(node) {
    assert.equal(await node.binarySet('large', LARGE), true)
    assert.ok((await node.binaryGet('large')) === LARGE)
  },
  async 'a value too large'(node) {
    await node.binarySet('too-large', 'old')
    assert.equal(await node.binarySet('too-large', 'x'.repeat(1024 * 1024)), false)
    assert.equal(await node.binaryGet('too-large'), undefined)
    assert.equal(await node.binarySet('too-large', 'new'), true)
  },
  async 'long and non-ASCII keys'(node) {
    for (const key of ['k', 'k'.repeat(250), 'ключ', 'a:b/c?d']) {
      assert.equal(await node.binarySet(key, key), true)
      assert.equal(await node.binaryGet(key), key)
    }
  },
  async 'a new connection'(node) {
    await node.binarySet('reconnect', 'kept')
    await node.reconnect()
    assert.equal(await node.binaryGet('reconnect'), 'kept')
  },
  async quit() {
    const other = await connect()
    const closed = new Promise((resolve) => other.on('close', resolve))
    await other.binaryQuit()
    await closed
    assert.equal(other.isConnected(), false)
  },
  async flush(node) {
    await node.binarySet('flush', 'x')
    assert.equal(await node.binaryFlush(), true)
    assert.equal(await node.binaryGet('flush'), undefined)
  },
}

async function login() {
  try {
    const node = await connect()
    await node.binaryGet('missing')
    console.log('accepted')
    await node.disconnect()
  } catch (error) {
    console.log(`refused: ${error?.message ?? error}`)
  }
}

async function operations() {
  const node = await connect()
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(node)
      console.log(`ok - ${name}`)
    } catch (error) {
      const why = String(error?.message ?? error).replaceAll('\n', ' ')
      console.log(`not ok - ${name}: ${why}`)
    }
  }
  await node.disconnect()
}

await (process.argv.at(-1) === 'login' ? login() : operations())
