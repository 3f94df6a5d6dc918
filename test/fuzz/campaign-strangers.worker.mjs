/**
 * The strangers of a campaign (campaign.test.ts), in a process of their own: everything that somebody can
 * send who is not logged in, aimed at the keys of others, in the clear and over TLS, and handshakes that are
 * broken. They come and go at random; beside them `hogs` hold as much of unfinished requests as they are
 * let, all the time. Some log in as users who may do little, and try the same.
 *
 * They look at what they are answered: nothing may look as if a command of theirs had been carried
 * out, and no answer may bear the identity of somebody else's request.
 *
 * In: `{ kind: 'stop' }`. Out: `{ kind: 'ready' }` once the hogs have sent what they hold,
 * `{ kind: 'violation', what }`, and `{ kind: 'ended', counts }` with how often each act was played.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { connect as connectTls } from 'node:tls'
import {
  COUNTER_KEYS,
  counterKey,
  LARGE_KEYS,
  largeKey,
  SMALL_KEYS,
  smallKey,
} from '../support/campaign/keys.js'
import { randomBelow } from '../support/random-below.js'

const options = JSON.parse(process.argv[2])
const { host, port, tlsPort, seed, ownerCount, actCount, hogCount, hogBytes, idleCount } = options
const { insider, limited, isAllTls } = options
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
/** So may whoever is logged in, whatever they may do. */
const COMMON_OPCODES = new Set([...OPEN_OPCODES, 0x0a, 0x17, OP_SASL_AUTH])
const OP_STAT = 0x10
/** Success, and what tells whether an item is there. */
const TELLING_STATUSES = new Set([0x00, 0x01, 0x02, 0x05, 0x06])
/** Whoever has lost a login or has few rights comes from elsewhere, where no logins fail for others. */
const INSIDER_NETWORK = '127.0.3'
const LIMITED_NETWORK = '127.0.2'
const LIMITED_PASSWORD = 'little'
const RESUMED_SHARE = 3
/** Lines that only who is logged in is answered. `STORED` is the answer to a login, too. */
const TELLING_LINE =
  /^(STORED|DELETED|TOUCHED|NOT_FOUND|NOT_STORED|EXISTS|END|OK|MN|HD|EN|NF|NS|EX|SASL_OK|RESET|\d+|(VALUE|VA|STAT|ME|SIZES|PREFIX|ITEM|key=).*)$/

let isStopping = false
const sockets = new Set()
const counts = {}

const pick = (list) => list[random(list.length)]
const address = (network = '127.0.1') => `${network}.${1 + random(ADDRESS_COUNT)}`
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function victim() {
  const owner = random(ownerCount)
  const kind = random(10)
  if (kind === 0) return largeKey(owner, random(LARGE_KEYS))
  return kind === 1 ? counterKey(owner, random(COUNTER_KEYS)) : smallKey(owner, random(SMALL_KEYS))
}

function violation(what) {
  process.send({ kind: 'violation', what })
}

/**
 * Looks at what a stranger is answered. With `isLoggedIn` set, nothing is wrong; with `user`, who may do
 * little, that user's few answers are not.
 */
class Watcher {
  isLoggedIn = false
  user = ''
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
      if (TELLING_STATUSES.has(status) && !this.isLoggedIn && !this.#mayBeTold(opcode)) {
        violation(`${shown} ${this.user}`)
      }
      at = end
    }
    return at
  }

  #lines(bytes, act) {
    const end = bytes.lastIndexOf(0x0a) + 1
    if (this.isLoggedIn) return end
    for (const line of bytes.toString('latin1', 0, end).split('\r\n')) {
      if (TELLING_LINE.test(line) && !this.#mayRead(line)) {
        violation(`${act} ${this.user}: text ${JSON.stringify(line.slice(0, 80))}`)
      }
    }
    return end
  }

  #mayBeTold(opcode) {
    if (this.user === 'monitor' && opcode === OP_STAT) return true
    return (this.user === '' ? OPEN_OPCODES : COMMON_OPCODES).has(opcode)
  }

  #mayRead(line) {
    if (this.user === '') return false
    if (line === 'MN') return true
    return this.user === 'monitor' && /^(END$|STAT )/.test(line) && !/owner\d+:/.test(line)
  }
}

/** Of an earlier connection, to be resumed. */
let session

/** Any handshake that a client may wish for. */
function tlsOptions() {
  const version = pick(['TLSv1.2', 'TLSv1.3'])
  return {
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(random(4) === 0 && { ALPNProtocols: pick([['memcached'], ['memcached', 'h2']]) }),
    ...(random(4) === 0 && { servername: pick(['localhost', 'nobody.example', 'a'.repeat(200)]) }),
    ...(session !== undefined && random(RESUMED_SHARE) > 0 && { session }),
  }
}

function track(socket) {
  sockets.add(socket)
  socket.on('error', () => {})
  socket.on('close', () => sockets.delete(socket))
  return socket
}

/** Over TLS or in the clear, as it comes, or as it must be. */
const anyWay = (isTls = random(2) === 0) => isAllTls || isTls

function open(act, network, isTls = anyWay(), localAddress = address(network)) {
  const raw = track(connect({ host, port: isTls ? tlsPort : port, localAddress }))
  raw.setNoDelay(true)
  let socket = raw
  if (isTls) {
    socket = track(connectTls({ socket: raw, ...tlsOptions() }))
    socket.on('session', (ticket) => {
      session = ticket
    })
  }
  const watcher = new Watcher()
  socket.on('data', (chunk) => watcher.look(chunk, act))
  return { socket, watcher, raw }
}

/** Leaves in one of the ways in which clients leave, over TLS with the alert or without. */
function leave(socket, raw) {
  const kind = random(3)
  if (kind === 0) socket.end()
  else if (kind === 1) raw.resetAndDestroy()
  else raw.destroy()
  if (kind > 0) socket.destroy()
  else {
    setTimeout(() => {
      socket.destroy()
      raw.destroy()
    }, LIFE_MS_MAX).unref()
  }
}

/** Passes bytes on, and harms those that go to the server, at that byte, in that way. */
function passOnHarmed(near, far, harm, byteIndex) {
  let left = byteIndex
  far.pipe(near)
  near.on('data', (chunk) => {
    const at = left
    left -= chunk.length
    if (at < 0 || at >= chunk.length) {
      if (at >= 0 || harm === 'flip' || harm === 'insert') far.write(chunk)
      return
    }
    const [head, tail] = [chunk.subarray(0, at), chunk.subarray(at)]
    if (harm === 'flip') tail[0] ^= 1 << random(8)
    far.write(head)
    if (harm === 'insert') far.write(pick(JUNK)())
    if (harm === 'flip' || harm === 'insert') far.write(tail)
    if (harm === 'end') far.end()
  })
  near.on('close', () => far.destroy())
  far.on('close', () => near.destroy())
}

/** Between clients that speak TLS rightly and the server. */
const harmfulProxy = createServer((near) => {
  const far = track(connect({ host, port: tlsPort, localAddress: address() }))
  const harm = pick(['stop', 'end', 'flip', 'insert'])
  passOnHarmed(track(near), far, harm, random(pick([5, 60, 600, 2400])))
}).listen(0, host)

function randomBytes(count) {
  return Buffer.from(Array.from({ length: count }, () => random(256)))
}

/** The head of a TLS record, and bytes that need not be what it says. */
function record(type, length, bytes) {
  return Buffer.concat([
    Buffer.from([type, 3, pick([0, 1, 3, 4]), length >> 8, length & 255]),
    bytes,
  ])
}

/** What is no TLS, or is wrong, or comes at the wrong time. */
const JUNK = [
  () => record(0x16, 300, Buffer.concat([Buffer.from([1, 0, 1, 40, 3, 3]), randomBytes(294)])),
  () => record(0x16, 300, Buffer.concat([Buffer.from([1, 0xff, 0xff, 0xff]), randomBytes(296)])),
  () => record(pick([0x14, 0x15, 0x16, 0x17, 0x18]), 0, Buffer.alloc(0)),
  () => record(pick([0x14, 0x15, 0x17, 0x99]), 2, Buffer.from([random(3), random(256)])),
  () => record(0x17, 0xffff, randomBytes(100)),
  () => record(0x16, 0x4000, Buffer.alloc(0x4000, 1)),
  () => Buffer.from([0x80, 0x2e, 1, 0, 2, 0, 21, 0, 0, 0, 16, ...randomBytes(37)]),
  () => randomBytes(1 + random(2000)),
  () => Buffer.from(`${textCommand()}\r\n`),
  () => wholeFrame(random(0x20)),
]

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

/** Each is given a connection, which is left when it has done its harm, or is cut. */
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
}

/** Those that make their connection themselves. */
const OWN_ACTS = {
  /** A handshake or what is behind it, harmed on its way at any byte. */
  async brokenTls() {
    const { port: proxyPort } = harmfulProxy.address()
    const far = track(connect({ host, port: proxyPort }))
    const socket = track(connectTls({ socket: far, ...tlsOptions() }))
    const watcher = new Watcher()
    socket.on('data', (chunk) => watcher.look(chunk, 'brokenTls'))
    const commands = Array.from({ length: 1 + random(20) }, textCommand)
    socket.write(`${commands.join('\r\n')}\r\n`)
    await delay(random(LIFE_MS_MAX))
    leave(socket, far)
  },
  /** What is no TLS where TLS is spoken, and TLS where it is not. */
  async wrongPort() {
    const isTlsPort = anyWay()
    const far = connect({ host, port: isTlsPort ? tlsPort : port, localAddress: address() })
    track(far)
    if (isTlsPort) {
      const watcher = new Watcher()
      far.on('data', (chunk) => watcher.look(chunk, 'wrongPort'))
      for (let left = 1 + random(3); left > 0; left--) await sendInPieces(far, pick(JUNK)())
    } else {
      const socket = track(connectTls({ socket: far, ...tlsOptions() }))
      socket.write(`${textCommand()}\r\n`)
    }
    await delay(random(100))
    leave(far, far)
  },
  /** Handshakes that are refused: of an old version, or once more on the same connection. */
  async refusedHandshake() {
    const isOld = random(2) === 0
    const versions = isOld
      ? { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }
      : { maxVersion: 'TLSv1.2' }
    const far = connect({ host, port: tlsPort, localAddress: address() })
    const socket = track(connectTls({ socket: track(far), rejectUnauthorized: false, ...versions }))
    socket.on('secureConnect', () => {
      if (isOld) violation(`an old version was taken: ${socket.getProtocol()}`)
      socket.renegotiate({ rejectUnauthorized: false }, (error) => {
        if (error === null) violation('renegotiated')
      })
    })
    await delay(random(LIFE_MS_MAX))
    leave(socket, far)
  },
  /** Guesses beside an owner, from where that owner comes: which delays the owner at most. */
  async guessBesideOwner() {
    const owner = random(ownerCount)
    const { socket, raw } = open('guessBesideOwner', '', isAllTls, `127.0.0.${2 + owner}`)
    const login = `owner${owner} wrong${random(1e9)}`
    const text = `set ${victim()} 0 0 ${login.length}\r\n${login}\r\n${textCommand()}\r\n`
    await sendInPieces(socket, Buffer.from(text))
    await delay(random(LIFE_MS_MAX))
    leave(socket, raw)
  },
  /** The beginning of a handshake, up to all of its first message, in pieces; or alerts and floods behind it. */
  async halfHandshake() {
    const far = track(connect({ host, port: tlsPort, localAddress: address() }))
    far.resume()
    if (random(2) === 0) await sendInPieces(far, hello.subarray(0, random(hello.length)), 5)
    else {
      await sendInPieces(far, hello)
      const behind = pick([
        () => record(0x15, 2, Buffer.from([1 + random(2), random(256)])),
        () => record(0x14, 1, Buffer.from([1])),
        () => record(0x16, 0, Buffer.alloc(0)),
        () => hello,
      ])
      const count = pick([0, 1, 2, 50])
      await sendInPieces(far, Buffer.concat(Array.from({ length: count }, behind)))
    }
    await delay(random(LIFE_MS_MAX))
    leave(far, far)
  },
  /** Is logged in, and may do little: what that user may not do is refused, and nothing told. */
  async fewRights() {
    const user = pick(limited)
    const isBinary = random(2) === 0
    const { socket, watcher, raw } = open('fewRights', LIMITED_NETWORK)
    const login = `${user} ${LIMITED_PASSWORD}`
    // The answer to a login looks like that to a request of somebody who is logged in.
    watcher.isLoggedIn = true
    const answered = new Promise((resolve) => {
      socket.once('close', resolve)
      socket.once('data', (answer) => {
        const isIn = isBinary ? answer.readUInt16BE(6) === 0 : answer.toString() === 'STORED\r\n'
        if (isIn) counts.letIn = (counts.letIn ?? 0) + 1
        watcher.isLoggedIn = isIn && user === 'neighbour'
        watcher.user = isIn ? user : ''
        resolve()
      })
    })
    socket.write(
      isBinary
        ? frame(OP_SASL_AUTH, { key: 'PLAIN', value: `\0${user}\0${LIMITED_PASSWORD}` })
        : `set login 0 0 ${login.length}\r\n${login}\r\n`,
    )
    await answered
    for (let left = 1 + random(4); left > 0; left--) {
      const requests = Array.from({ length: 1 + random(20) }, () =>
        isBinary ? wholeFrame(random(OP_SASL_LIST)) : Buffer.from(`${textCommand()}\r\n`),
      )
      await sendInPieces(socket, Buffer.concat(requests))
      await delay(random(20))
    }
    await delay(random(50))
    leave(socket, raw)
  },
  /** Was logged in, and is a stranger again because of a login that it did not finish or failed in. */
  async fallen() {
    const { socket, watcher, raw } = open('fallen', INSIDER_NETWORK)
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
    await delay(random(LIFE_MS_MAX))
    leave(socket, raw)
  },
}
const NAMES = [...Object.keys(ACTS), ...Object.keys(OWN_ACTS)].filter(
  (name) => name !== 'fallen' || insider !== null,
)

async function play() {
  while (!isStopping) {
    const name = pick(NAMES)
    counts[name] = (counts[name] ?? 0) + 1
    if (OWN_ACTS[name] !== undefined) {
      await OWN_ACTS[name]()
      continue
    }
    const { socket, watcher, raw } = open(name)
    await ACTS[name](socket, watcher)
    await delay(random(3) === 0 ? random(LIFE_MS_MAX) : random(20))
    leave(socket, raw)
  }
}

/** Holds an unfinished request as large as is let, and sends on when it is thought to rest. */
async function hog() {
  while (!isStopping) {
    const { socket } = open('hog', undefined, anyWay(random(8) === 0))
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
    if (hogsReady === hogCount) process.send({ kind: 'ready' })
    await closed
    await delay(HOG_PAUSE_MS)
  }
}
let hogsReady = 0

/** Says hello, or half of it, and does not go on. */
function halfShaken() {
  const socket = track(connect({ host, port: tlsPort, localAddress: address() }))
  socket.resume()
  socket.write(pick([hello, hello.subarray(0, 100)]))
  return socket
}

/** Sits there and says nothing, or nothing more. */
async function sit() {
  while (!isStopping) {
    const socket = random(3) === 0 ? halfShaken() : open('sit').socket
    await new Promise((resolve) => socket.once('close', resolve))
    await delay(random(HOG_PAUSE_MS))
  }
}

process.on('message', () => {
  isStopping = true
  for (const socket of sockets) socket.destroy()
  harmfulProxy.close()
  process.send({ kind: 'ended', counts })
})

/** The first message of a client that speaks TLS rightly. */
async function captureHello() {
  const listener = createServer().listen(0, host)
  await once(listener, 'listening')
  const client = connectTls({ host, port: listener.address().port, rejectUnauthorized: false })
  client.on('error', () => {})
  const [accepted] = await once(listener, 'connection')
  const [bytes] = await once(accepted, 'data')
  accepted.destroy()
  client.destroy()
  listener.close()
  return bytes
}

await once(harmfulProxy, 'listening')
const hello = await captureHello()
for (let index = 0; index < hogCount; index++) void hog()
for (let index = 0; index < idleCount; index++) void sit()
for (let index = 0; index < actCount; index++) void play()
if (hogCount === 0) process.send({ kind: 'ready' })
