/**
 * Puts a stream of traces.mjs on a server, cache-aside and pipelined: reads go out in batches over a
 * few connections, and each that misses is followed by a set of its key in the connection's next
 * batch. Binary dialect. Hot path: one buffer each way a connection, nothing allocated per request.
 *
 * Its invariant is load.c's: a reply that is not the one asked for ends the run. Checked are magic,
 * opcode, status, opaque and lengths, and of a hit the flags, which are the key's number, and the
 * length of the value, which is the key's own. It is JavaScript and not part of load.c because
 * streams are shared with a driver in this process, and because no time is measured here.
 */
import { connect } from 'node:net'

const HEADER_BYTES = 24
const HIT_EXTRAS_BYTES = 4
const REQUEST_MAGIC = 0x80
const RESPONSE_MAGIC = 0x81
const GET = 0x00
const SET = 0x01
const SASL_AUTH = 0x21
const STATUS_OK = 0
const STATUS_NOT_FOUND = 1
/** A server whose memory is full in a way that eviction cannot help: the item is simply not there. */
const STATUS_NO_MEMORY = 0x82

const CONNECTION_COUNT = 8
const BATCH_REQUESTS = 128
/** A batch also ends at this size, or large values would fill the sockets' buffers both ways. */
const BATCH_BYTES = 256 * 1024
const READ_BYTES = 256 * 1024
const STALL_LIMIT_MS = 30_000

/** What a request in a batch is; a counted read also has the bit. */
const IS_SET = 1
const IS_COUNTED = 2

function putHeader(out, at, opcode, keyBytes, extrasBytes, bodyBytes, opaque) {
  out[at] = REQUEST_MAGIC
  out[at + 1] = opcode
  out[at + 2] = 0
  out[at + 3] = keyBytes
  out[at + 4] = extrasBytes
  out[at + 5] = 0
  out[at + 6] = 0
  out[at + 7] = 0
  putU32(out, at + 8, bodyBytes)
  putU32(out, at + 12, opaque)
  out.fill(0, at + 16, at + HEADER_BYTES)
}

function putU32(out, at, value) {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}

const getU32 = (bytes, at) =>
  ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0

/**
 * One connection: a batch under way, the replies to it, and the keys that missed.
 *
 *     head gathers 24 or 28 bytes that a read cut in two   | head | .. value: skipped .. | head | ...
 */
class Channel {
  constructor(driver, socket, buffer) {
    this.driver = driver
    this.socket = socket
    this.buffer = buffer
    this.ids = new Uint32Array(BATCH_REQUESTS)
    this.kinds = new Uint8Array(BATCH_REQUESTS)
    this.sent = 0
    this.answered = 0
    this.missed = new Uint32Array(BATCH_REQUESTS)
    this.missedCount = 0
    this.out = Buffer.allocUnsafeSlow(BATCH_BYTES + driver.requestBytesMax)
    this.head = Buffer.alloc(HEADER_BYTES + HIT_EXTRAS_BYTES)
    this.headBytes = 0
    this.skipBytes = 0
  }

  /** Fills of what missed first, then the stream. False when there is nothing left to send. */
  sendBatch() {
    const { stream } = this.driver
    this.sent = 0
    this.answered = 0
    let end = 0
    while (this.missedCount > 0 && end < BATCH_BYTES) {
      end = this.putSet(end, this.missed[--this.missedCount])
    }
    while (this.sent < BATCH_REQUESTS && end < BATCH_BYTES && this.driver.takeNext()) {
      if (stream.isWrite) {
        end = this.putSet(end, stream.id)
      } else {
        const { keyBytes } = stream
        putHeader(this.out, end, GET, keyBytes, 0, keyBytes, this.sent)
        stream.writeKey(this.out, end + HEADER_BYTES, stream.id)
        end += HEADER_BYTES + keyBytes
        this.ids[this.sent] = stream.id
        this.kinds[this.sent++] = this.driver.isCounting ? IS_COUNTED : 0
      }
    }
    if (this.sent === 0) return false
    // Written from the reused buffer: every reply is back before it is filled again.
    this.socket.write(this.out.subarray(0, end))
    return true
  }

  putSet(end, id) {
    const { stream, values, slowness } = this.driver
    const { keyBytes } = stream
    const valueBytes = stream.valueBytesOf(id)
    putHeader(this.out, end, SET, keyBytes, 8, 8 + keyBytes + valueBytes, this.sent)
    putU32(this.out, end + HEADER_BYTES, id)
    putU32(this.out, end + HEADER_BYTES + 4, Math.round(stream.ttlSecondsOf(id) * slowness))
    const keyAt = end + HEADER_BYTES + 8
    stream.writeKey(this.out, keyAt, id)
    values.copy(this.out, keyAt + keyBytes, 0, valueBytes)
    this.ids[this.sent] = id
    this.kinds[this.sent++] = IS_SET
    return keyAt + keyBytes + valueBytes
  }

  /** Takes what was read: `length` bytes of this.buffer. */
  take(length) {
    const bytes = this.buffer
    let at = 0
    while (at < length) {
      if (this.skipBytes > 0) {
        const step = Math.min(this.skipBytes, length - at)
        this.skipBytes -= step
        at += step
        if (this.skipBytes === 0) this.answered++
        continue
      }
      if (this.answered === this.sent) throw new Error('more replies than requests')
      if (this.headBytes === 0 && length - at >= HEADER_BYTES + HIT_EXTRAS_BYTES) {
        at += this.takeHead(bytes, at)
        continue
      }
      this.head[this.headBytes++] = bytes[at++]
      if (this.headBytes < HEADER_BYTES) continue
      if (this.headBytes < HEADER_BYTES + HIT_EXTRAS_BYTES && this.head[4] > 0) continue
      this.headBytes = 0
      this.takeHead(this.head, 0)
    }
    if (this.answered === this.sent) this.driver.onAnswered(this)
  }

  /** One whole head; returns its length with extras. */
  takeHead(bytes, at) {
    const index = this.answered
    const kind = this.kinds[index]
    const id = this.ids[index]
    const opcode = (kind & IS_SET) !== 0 ? SET : GET
    const status = (bytes[at + 6] << 8) | bytes[at + 7]
    const extrasBytes = bytes[at + 4]
    const bodyBytes = getU32(bytes, at + 8)
    const isFramed =
      bytes[at] === RESPONSE_MAGIC &&
      bytes[at + 1] === opcode &&
      getU32(bytes, at + 12) === index &&
      bytes[at + 2] === 0 &&
      bytes[at + 3] === 0 &&
      extrasBytes === (opcode === GET && status === STATUS_OK ? HIT_EXTRAS_BYTES : 0)
    const isRight =
      isFramed &&
      (status === STATUS_OK
        ? opcode === SET
          ? bodyBytes === 0
          : bodyBytes === HIT_EXTRAS_BYTES + this.driver.stream.valueBytesOf(id) &&
            getU32(bytes, at + HEADER_BYTES) === id
        : opcode === GET
          ? status === STATUS_NOT_FOUND
          : status === STATUS_NO_MEMORY)
    if (!isRight) {
      const shown = Buffer.from(bytes.subarray(at, at + HEADER_BYTES + HIT_EXTRAS_BYTES))
      throw new Error(
        `wrong reply to a ${opcode === SET ? 'set' : 'get'} of key ${id}: ${shown.toString('hex')}`,
      )
    }
    if (status === STATUS_NOT_FOUND) {
      this.missed[this.missedCount++] = id
      if ((kind & IS_COUNTED) !== 0) {
        this.driver.misses++
        this.driver.missedBytes += this.driver.stream.valueBytesOf(id)
      }
    }
    if (status === STATUS_NO_MEMORY) this.driver.refusedSets++
    this.skipBytes = bodyBytes - extrasBytes
    if (this.skipBytes === 0) this.answered++
    return HEADER_BYTES + extrasBytes
  }
}

function loginFrame(user, password) {
  const body = Buffer.from(`PLAIN\0${user}\0${password}`)
  const frame = Buffer.alloc(HEADER_BYTES + body.length)
  putHeader(frame, 0, SASL_AUTH, 5, 0, body.length, 0)
  body.copy(frame, HEADER_BYTES)
  return frame
}

/** One reply to the login, whole; anything behind it would be one that nobody asked for. */
function isLoginReply(bytes) {
  if (bytes.length < HEADER_BYTES) return false
  if (bytes[1] !== SASL_AUTH || bytes[6] !== 0 || bytes[7] !== 0) {
    throw new Error(`login refused: ${bytes.toString('latin1', HEADER_BYTES)}`)
  }
  return bytes.length === HEADER_BYTES + getU32(bytes, 8)
}

class Driver {
  constructor(stream, { warm, requests, requestsPerSecond, slowness }) {
    this.stream = stream
    this.warm = warm
    this.requests = requests
    this.isPaced = requestsPerSecond !== null
    this.requestsPerMs = (requestsPerSecond ?? 0) / slowness / 1000
    this.slowness = slowness
    this.requestBytesMax = HEADER_BYTES + 8 + stream.keyBytes + stream.valueBytesMax
    this.values = Buffer.alloc(stream.valueBytesMax, 'value')
    this.made = 0
    this.allowed = 0
    this.isCounting = false
    this.reads = 0
    this.readBytes = 0
    this.misses = 0
    this.missedBytes = 0
    this.refusedSets = 0
    this.startMs = 0
    this.channels = []
    this.idle = []
    this.timer = null
    this.end = new Promise((resolve, reject) => {
      this.finish = resolve
      this.fail = reject
    })
    // A failure while the connections are still being made is told by the await that comes later.
    this.end.catch(() => {})
  }

  /** Moves the stream on; false when it is at its end, or ahead of its time. */
  takeNext() {
    if (this.made >= this.allowed) return false
    this.stream.next()
    this.isCounting = this.made++ >= this.warm
    if (this.isCounting && !this.stream.isWrite) {
      this.reads++
      this.readBytes += this.stream.valueBytesOf(this.stream.id)
    }
    return true
  }

  async open(port, login) {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
    let channel = null
    let reply = Buffer.alloc(0)
    let isReady
    const ready = new Promise((resolve) => {
      isReady = resolve
    })
    const callback = (length) => {
      try {
        if (channel.isLoggedIn) {
          channel.take(length)
        } else {
          reply = Buffer.concat([reply, buffer.subarray(0, length)])
          channel.isLoggedIn = isLoginReply(reply)
          if (channel.isLoggedIn) isReady()
        }
      } catch (error) {
        this.fail(error)
      }
      return true
    }
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback } })
    channel = new Channel(this, socket, buffer)
    channel.isLoggedIn = login === null
    this.channels.push(channel)
    socket.setTimeout(STALL_LIMIT_MS, () => this.fail(new Error('no reply for 30 seconds')))
    socket.on('error', (error) => this.fail(error))
    socket.on('close', () => this.fail(new Error('closed by the server')))
    socket.on('connect', () => {
      if (login === null) isReady()
      else socket.write(loginFrame(login.user, login.password))
    })
    await Promise.race([ready, this.end])
    return channel
  }

  start() {
    this.startMs = performance.now()
    this.idle = [...this.channels]
    this.pump()
  }

  onAnswered(channel) {
    this.idle.push(channel)
    this.pump()
  }

  /** Sends what is due; waits a millisecond when the stream is ahead of its time. */
  pump() {
    const dueCount = Math.ceil((performance.now() - this.startMs) * this.requestsPerMs)
    this.allowed = this.isPaced ? Math.min(this.requests, dueCount + 1) : this.requests
    while (this.idle.length > 0 && this.idle[this.idle.length - 1].sendBatch()) this.idle.pop()
    if (this.made === this.requests && this.idle.length === this.channels.length) {
      this.finish()
    } else if (this.idle.length > 0 && this.made < this.requests && this.timer === null) {
      this.timer = setTimeout(() => {
        this.timer = null
        this.pump()
      }, 1)
    }
  }

  close() {
    clearTimeout(this.timer)
    for (const { socket } of this.channels) socket.destroy()
  }
}

/**
 * Drives a server with a stream and counts the reads after `warm` requests, and those that missed, each with
 * the bytes of their values.
 *
 * `stream` is a Trace, or anything with `next`, `id`, `isWrite`, `keyBytes`, `valueBytesMax`,
 * `valueBytesOf`, `ttlSecondsOf` and `writeKey`. `requestsPerSecond` bounds the pace, so that real
 * time, in which servers let items expire, is the stream's time; null where that is no matter.
 * With `slowness` 2 a second of the stream takes two, and TTLs are twice as long.
 *
 * @param {any} stream
 * @param {{
 *   port: number, login: { user: string, password: string } | null,
 *   warm: number, requests: number, requestsPerSecond: number | null,
 *   slowness: number
 * }} run
 */
export async function driveServer(stream, run) {
  const driver = new Driver(stream, run)
  try {
    for (let index = 0; index < CONNECTION_COUNT; index++) await driver.open(run.port, run.login)
    driver.start()
    await driver.end
    const { reads, readBytes, misses, missedBytes, refusedSets, startMs } = driver
    const seconds = (performance.now() - startMs) / 1000
    return { reads, readBytes, misses, missedBytes, refusedSets, seconds }
  } finally {
    driver.close()
  }
}
