/**
 * The strangers of a campaign (campaign.test.ts), in a thread of their own: everything that somebody can
 * send who is not logged in, aimed at the keys of others. They come and go at random; beside them `hogs`
 * hold as much of unfinished requests as they are let, all the time.
 *
 * They look at what they are answered: nothing may look as if a command of theirs had been carried
 * out, and no answer may bear the identity of somebody else's request.
 *
 * In: `{ kind: 'stop' }`. Out: `{ kind: 'ready' }` once the hogs have sent what they hold,
 * `{ kind: 'violation', what }`, and `{ kind: 'ended', counts }` with how often each act was played.
 */
import { connect } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import {
  COUNTER_KEYS,
  counterKey,
  LARGE_KEYS,
  largeKey,
  SMALL_KEYS,
  smallKey,
} from '../support/campaign/keys.js'
import { randomBelow } from '../support/random-below.js'

const { host, port, seed, ownerCount, actCount, hogCount, hogBytes, idleCount, insider } =
  workerData
const random = randomBelow(seed)

const ADDRESS_COUNT = 40
const LIFE_MS_MAX = 400
const HOG_PAUSE_MS = 100
const OPAQUE_MARK = 0x5e
const OPCODES_MAX = 0x48
const OP_DELETE = 0x04
const OP_VERSION = 0x0b
const OP_SASL_LIST = 0x20
const OP_SASL_AUTH = 0x21
const OP_SASL_STEP = 0x22
/** A stranger may be answered these with success. */
const OPEN_OPCODES = new Set([0x07, OP_VERSION, OP_SASL_LIST])
/** Lines that only who is logged in is answered. `STORED` is the answer to a login, too. */
const TELLING_LINE =
  /^(STORED|DELETED|TOUCHED|NOT_FOUND|NOT_STORED|EXISTS|END|OK|MN|HD|EN|NF|NS|EX|SASL_OK|RESET|\d+|(VALUE|VA|STAT|ME|SIZES|PREFIX|ITEM|key=).*)$/

let isStopping = false
const sockets = new Set()
const counts = {}

const pick = (list) => list[random(list.length)]
const address = () => `127.0.1.${1 + random(ADDRESS_COUNT)}`
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function victim() {
  const owner = random(ownerCount)
  const kind = random(10)
  if (kind === 0) return largeKey(owner, random(LARGE_KEYS))
  return kind === 1 ? counterKey(owner, random(COUNTER_KEYS)) : smallKey(owner, random(SMALL_KEYS))
}

function violation(what) {
  parentPort.postMessage({ kind: 'violation', what })
}

/** Looks at what a stranger is answered. With `isLoggedIn` set, nothing is wrong. */
class Watcher {
  isLoggedIn = false
  #rest = Buffer.alloc(0)

  look(chunk, act) {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = bytes.subarray(
      bytes[0] === 0x81 ? this.#frames(bytes, act) : this.#lines(bytes, act),
    )
  }

  #frames(bytes, act) {
    let at = 0
    while (bytes.length - at >= 24) {
      const end = at + 24 + bytes.readUInt32BE(at + 8)
      if (end > bytes.length) break
      const opcode = bytes[at + 1]
      const status = bytes.readUInt16BE(at + 6)
      const shown = `${act}: binary opcode ${opcode} status ${status} opaque ${bytes.readUInt32BE(at + 12)}`
      if (bytes[at + 12] !== OPAQUE_MARK) violation(`${shown}: another's opaque`)
      if (status === 0 && !OPEN_OPCODES.has(opcode) && !this.isLoggedIn) violation(shown)
      at = end
    }
    return at
  }

  #lines(bytes, act) {
    const end = bytes.lastIndexOf(0x0a) + 1
    if (this.isLoggedIn) return end
    for (const line of bytes.toString('latin1', 0, end).split('\r\n')) {
      if (TELLING_LINE.test(line)) violation(`${act}: text ${JSON.stringify(line.slice(0, 80))}`)
    }
    return end
  }
}

function open(act) {
  const socket = connect({ host, port, localAddress: address() })
  sockets.add(socket)
  socket.setNoDelay(true)
  socket.on('error', () => {})
  socket.on('close', () => sockets.delete(socket))
  const watcher = new Watcher()
  socket.on('data', (chunk) => watcher.look(chunk, act))
  return { socket, watcher }
}

/** Leaves in one of the ways in which clients leave. */
function leave(socket) {
  const kind = random(3)
  if (kind === 0) socket.end()
  else if (kind === 1) socket.resetAndDestroy()
  else socket.destroy()
  if (kind === 0) setTimeout(() => socket.destroy(), LIFE_MS_MAX).unref()
}

/** Sends in up to `count` pieces, with a pause between them. */
async function sendInPieces(socket, bytes, count = 3) {
  let at = 0
  for (let left = 1 + random(count); left > 0 && !socket.destroyed; left--) {
    const end = left === 1 ? bytes.length : at + random(bytes.length - at + 1)
    socket.write(bytes.subarray(at, end))
    at = end
    if (left > 1) await delay(random(30))
  }
}

function frame(opcode, { key = '', extras = Buffer.alloc(0), value = '', bodyBytes } = {}) {
  const body = Buffer.concat([extras, Buffer.from(key), Buffer.from(value)])
  const header = Buffer.alloc(24)
  header[0] = 0x80
  header[1] = opcode
  header.writeUInt16BE(Buffer.byteLength(key), 2)
  header[4] = extras.length
  header.writeUInt32BE(bodyBytes ?? body.length, 8)
  header.writeUInt32BE(((OPAQUE_MARK << 24) | random(1 << 24)) >>> 0, 12)
  return Buffer.concat([header, body])
}

function words(...values) {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4)
  return bytes
}

/** A whole request of that opcode, with the extras that it has by the protocol. */
function wholeFrame(opcode) {
  const key = victim()
  switch (opcode) {
    case 0x01:
    case 0x02:
    case 0x03:
    case 0x11:
    case 0x12:
    case 0x13:
      return frame(opcode, { key, extras: words(0, 0), value: 'stranger' })
    case 0x05:
    case 0x06:
    case 0x15:
    case 0x16:
      return frame(opcode, { key, extras: words(0, 1, 0, 0, 0) })
    case 0x08:
    case 0x18:
    case 0x1b:
      return frame(opcode, { extras: words(random(2)) })
    case 0x0e:
    case 0x0f:
    case 0x19:
    case 0x1a:
      return frame(opcode, { key, value: 'stranger' })
    case 0x1c:
    case 0x1d:
    case 0x1e:
    case 0x23:
    case 0x24:
      return frame(opcode, { key, extras: words(1) })
    case 0x07:
    case 0x17:
    case 0x0a:
    case OP_VERSION:
    case OP_SASL_LIST:
      return frame(opcode)
    case OP_SASL_AUTH:
    case OP_SASL_STEP:
      return wrongLogin()
    default:
      return frame(opcode, { key })
  }
}

const wrongLogin = () =>
  frame(OP_SASL_AUTH, {
    key: 'PLAIN',
    value: `\0owner${random(ownerCount)}\0wrong${random(1e9)}`,
  })

const scramStart = (user) =>
  frame(OP_SASL_AUTH, { key: 'SCRAM-SHA-256', value: `n,,n=${user},r=nonce${random(1e9)}` })

function textCommand() {
  const key = victim()
  const noreply = random(2) === 0 ? ' noreply' : ''
  const q = random(2) === 0 ? ' q' : ''
  return pick([
    () => `get ${key}`,
    () => `gets ${key} ${victim()}`,
    () => `gat 1 ${key}`,
    () => `delete ${key}${noreply}`,
    () => `touch ${key} 1${noreply}`,
    () => `incr ${key} 1${noreply}`,
    () => `decr ${key} 1${noreply}`,
    () => `add ${key} 0 0 8${noreply}\r\nstranger`,
    () => `replace ${key} 0 0 8${noreply}\r\nstranger`,
    () => `append ${key} 0 0 8${noreply}\r\nstranger`,
    () => `prepend ${key} 0 0 8${noreply}\r\nstranger`,
    () => `cas ${key} 0 0 8 1${noreply}\r\nstranger`,
    () => `set ${key} 0 0 8${noreply}\r\nstranger`,
    () => `set ${key} 0 0 x${noreply}`,
    () => `set ${key} 0 0`,
    () => `mg ${key} v t${q}`,
    () => `mg ${key} T1${q}`,
    () => `ms ${key} 8${q}\r\nstranger`,
    () => `ms ${key} 8 MA${q}\r\nstranger`,
    () => `ms ${key} S8 I${q}\r\nstranger`,
    () => `md ${key}${q}`,
    () => `md ${key} I T1${q}`,
    () => `ma ${key}${q}`,
    () => `me ${key}`,
    () => 'mn',
    () => `flush_all${noreply}`,
    () => `flush_all 1${noreply}`,
    () => `verbosity 1${noreply}`,
    () => pick(['stats', 'stats items', 'stats conns', 'stats reset', 'stats detail dump']),
    () => pick(['watch', 'watch mutations', 'lru_crawler metadump all', 'lru_crawler mgdump all']),
    () =>
      pick(['cache_memlimit 64', 'slabs reassign 1 2', 'lru mode flat', 'misbehave', 'shutdown']),
    () => pick(['version', 'sasl mech', 'refresh_certs', 'unknown', '']),
  ])()
}

/** Each takes a connection and leaves when it has done its harm, or when it is cut. */
const ACTS = {
  async halfSet(socket) {
    const bytes = pick([8, 100, 4000, 65_536, 65_537])
    const head = `${pick(['set', 'ms'])} ${victim()} ${bytes === 8 ? '0 0 8' : `0 0 ${bytes}`}\r\n`
    await sendInPieces(socket, Buffer.from(head + 'x'.repeat(random(bytes))), 5)
  },
  async halfHeader(socket) {
    const whole = Buffer.concat([
      ...(random(2) === 0 ? [frame(OP_VERSION)] : []),
      frame(OP_DELETE, { key: victim() }),
    ])
    const end = (whole.length > 60 ? 24 : 0) + 1 + random(23)
    await sendInPieces(socket, whole.subarray(0, end))
  },
  /** The rest comes with more than one read, so that the server needs room while it knows no length. */
  async halfHeaderThenMuch(socket) {
    const head = random(2) === 0 ? frame(OP_SASL_AUTH, { key: 'PLAIN', bodyBytes: 65_000 }) : null
    const bytes = head ?? Buffer.from(`set ${victim()} 0 0 65000\r\n`)
    const split = 1 + random(20)
    socket.write(bytes.subarray(0, split))
    await delay(30)
    socket.write(Buffer.concat([bytes.subarray(split), Buffer.alloc(100_000, 'x')]))
  },
  async halfBody(socket) {
    const opcode = pick([OP_SASL_AUTH, OP_SASL_STEP, 0x01, 0x11, 0x0e, OP_DELETE])
    const bodyBytes = pick([40, 4000, 65_000])
    const part = frame(opcode, { key: opcode === OP_SASL_AUTH ? 'PLAIN' : victim(), bodyBytes })
    await sendInPieces(socket, Buffer.concat([part, Buffer.alloc(random(bodyBytes), 'x')]), 5)
  },
  async anyOpcode(socket) {
    await sendInPieces(socket, wholeFrame(random(OPCODES_MAX)))
  },
  async anyCommands(socket) {
    const commands = Array.from({ length: 1 + random(20) }, textCommand)
    await sendInPieces(socket, Buffer.from(`${commands.join('\r\n')}\r\n`))
  },
  async failedLogin(socket) {
    const behind = Array.from({ length: 1 + random(5) }, () => wholeFrame(random(0x20)))
    await sendInPieces(socket, Buffer.concat([wrongLogin(), ...behind]))
  },
  async failedTextLogin(socket) {
    const login = `owner${random(ownerCount)} wrong${random(1e9)}`
    const behind = Array.from({ length: 1 + random(10) }, textCommand).join('\r\n')
    const text = `set ${victim()} 0 0 ${login.length}\r\n${login}\r\n${behind}\r\n`
    await sendInPieces(socket, Buffer.from(text))
  },
  async abandonedScram(socket) {
    const steps = [scramStart(`owner${random(ownerCount)}`)]
    if (random(2) === 0) steps.push(scramStart(`nobody${random(1e6)}`))
    if (random(2) === 0) steps.push(frame(OP_SASL_STEP, { key: 'SCRAM-SHA-256', value: 'c=biws' }))
    steps.push(wholeFrame(random(0x20)))
    await sendInPieces(socket, Buffer.concat(steps), 4)
  },
  async oversize(socket) {
    const bytes = pick([65_600, 1_048_577, 2_147_483_647, 4_294_967_295])
    const head = pick([
      () => Buffer.from(`set ${victim()} 0 0 ${bytes}\r\n`),
      () => Buffer.from(`ms ${victim()} ${bytes}\r\n`),
      () => Buffer.from(`sasl auth PLAIN ${bytes}\r\n`),
      () => frame(OP_SASL_AUTH, { key: 'PLAIN', bodyBytes: bytes }),
      () => frame(0x01, { key: victim(), bodyBytes: bytes }),
    ])()
    const rest = Buffer.from(`${'x'.repeat(random(100_000))}\r\ndelete ${victim()}\r\n`)
    await sendInPieces(socket, Buffer.concat([head, rest]), 4)
  },
  async longLine(socket) {
    const line = `get ${Array.from({ length: 1 + random(600) }, victim).join(' ')}`
    await sendInPieces(socket, Buffer.from(random(2) === 0 ? line : `${line}\r\n`))
  },
  async byteByByte(socket) {
    const bytes =
      random(2) === 0 ? frame(OP_DELETE, { key: victim() }) : Buffer.from(`${textCommand()}\r\n`)
    for (let at = 0; at < bytes.length && !socket.destroyed; at++) {
      socket.write(bytes.subarray(at, at + 1))
      await delay(random(4))
    }
  },
  async vanish(socket) {
    if (random(2) === 0) socket.destroy()
    else await delay(random(20))
  },
  async neverRead(socket) {
    socket.pause()
    const request = random(2) === 0 ? Buffer.from('version\r\n') : frame(OP_VERSION)
    const count = 1 + random(4000)
    socket.write(Buffer.concat(Array.from({ length: count }, () => request)))
  },
  /** Was logged in, and is a stranger again because of a login that it did not finish or failed in. */
  async fallen(socket, watcher) {
    watcher.isLoggedIn = true
    const { user, password } = insider
    const loggedIn = new Promise((resolve) => socket.once('data', resolve))
    socket.write(frame(OP_SASL_AUTH, { key: 'PLAIN', value: `\0${user}\0${password}` }))
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await Promise.race([loggedIn, closed])
    // What was answered so far was for who was logged in.
    watcher.isLoggedIn = false
    const fall =
      random(2) === 0
        ? [frame(OP_SASL_AUTH, { key: 'PLAIN', value: `\0${user}\0wrong${random(1e9)}` })]
        : [scramStart(user), scramStart(user)]
    const opcode = pick([OP_DELETE, 0x14, 0x01, 0x11, 0x0e, 0x19, 0x08, 0x18])
    await sendInPieces(socket, Buffer.concat([...fall, wholeFrame(opcode)]))
  },
}
const NAMES = Object.keys(ACTS).filter((name) => name !== 'fallen' || insider !== null)

async function play() {
  while (!isStopping) {
    const name = pick(NAMES)
    counts[name] = (counts[name] ?? 0) + 1
    const { socket, watcher } = open(name)
    await ACTS[name](socket, watcher)
    await delay(random(3) === 0 ? random(LIFE_MS_MAX) : random(20))
    leave(socket)
  }
}

/** Holds an unfinished request as large as is let, and sends on when it is thought to rest. */
async function hog() {
  while (!isStopping) {
    const { socket } = open('hog')
    const closed = new Promise((resolve) => socket.once('close', resolve))
    const head =
      random(2) === 0
        ? Buffer.from(`set ${victim()} 0 0 ${hogBytes}\r\n`)
        : frame(OP_SASL_AUTH, { key: 'PLAIN', bodyBytes: hogBytes })
    socket.write(Buffer.concat([head, Buffer.alloc(hogBytes - 64, 'x')]))
    await Promise.race([closed, delay(HOG_PAUSE_MS)])
    // One byte more than a power of two takes a block of twice the size.
    if (!socket.destroyed) socket.write(Buffer.alloc(60, 'x'))
    hogsReady++
    if (hogsReady === hogCount) parentPort.postMessage({ kind: 'ready' })
    await closed
    await delay(HOG_PAUSE_MS)
  }
}
let hogsReady = 0

/** Sits there and says nothing. */
async function sit() {
  while (!isStopping) {
    const { socket } = open('sit')
    await new Promise((resolve) => socket.once('close', resolve))
    await delay(random(HOG_PAUSE_MS))
  }
}

parentPort.on('message', () => {
  isStopping = true
  for (const socket of sockets) socket.destroy()
  parentPort.postMessage({ kind: 'ended', counts })
  parentPort.close()
})

for (let index = 0; index < hogCount; index++) void hog()
for (let index = 0; index < idleCount; index++) void sit()
for (let index = 0; index < actCount; index++) void play()
if (hogCount === 0) parentPort.postMessage({ kind: 'ready' })
