/**
 * What the ways to read and to write a socket in Node cost a request: the figures behind
 * socket-transport.ts and handle-writer.ts of src/server/net/, and src/connection/send-buffer.ts.
 *
 *   node test/bench/socket-layer.mjs [--seconds N] [--rounds N] [--only PART]
 *
 * Each way is a process of its own that answers every binary GET with "Not found", which costs
 * nothing to work out, so that what is left is the socket. Rounds alternate; medians are printed.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compileGenerator, runGenerator } from './generator.mjs'
import { median } from './report.mjs'

const HEADER_BYTES = 24
const BODY = Buffer.from('Not found')
const PREFIX = placementPrefix()

/** Answers all frames of `bytes`, each a GET, into `out`; returns how many bytes it wrote. */
function answer(bytes, length, out) {
  let offset = 0
  let end = 0
  while (length - offset >= HEADER_BYTES) {
    out.fill(0, end, end + HEADER_BYTES)
    out[end] = 0x81
    out[end + 1] = bytes[offset + 1]
    out[end + 7] = 0x01
    out[end + 11] = BODY.length
    bytes.copy(out, end + 12, offset + 12, offset + 16)
    BODY.copy(out, end + HEADER_BYTES)
    end += HEADER_BYTES + BODY.length
    offset += HEADER_BYTES + bytes.readUInt32BE(offset + 8)
  }
  return end
}

const shared = Buffer.allocUnsafeSlow(64 * 1024)
const out = Buffer.allocUnsafeSlow(256 * 1024)

function onData(socket, write) {
  socket.on('data', (bytes) => write(socket, answer(bytes, bytes.length, out)))
}

function onRead(write) {
  return (handle) => {
    const socket = new net.Socket({
      handle,
      onread: {
        buffer: shared,
        callback: (length) => {
          write(socket, answer(shared, length, out))
          return true
        },
      },
    })
    return socket
  }
}

const writeBuffer = (socket, length) => socket.write(Buffer.from(out.subarray(0, length)))
const writeString = (socket, length) => socket.write(out.latin1Slice(0, length), 'latin1')

let WriteRequest
function writeHandle(socket, length) {
  const handle = socket._handle
  if (WriteRequest !== undefined) {
    handle.writeLatin1String(new WriteRequest(), out.latin1Slice(0, length))
    return
  }
  const ordinary = handle.writeLatin1String
  handle.writeLatin1String = (request, text) => {
    WriteRequest = request.constructor
    delete handle.writeLatin1String
    return ordinary.call(handle, request, text)
  }
  writeString(socket, length)
}

const views = []
const viewOf = (length) => (views[length] ??= new Uint8Array(out.buffer, 0, length))

/** The handle does not use the request of a write that the kernel takes whole, as all of these are. */
let request
function writeView(socket, length) {
  const handle = socket._handle
  if (request !== undefined) {
    handle.writeBuffer(request, viewOf(length))
    return
  }
  const ordinary = handle.writeBuffer
  handle.writeBuffer = (first, bytes) => {
    request = new first.constructor()
    delete handle.writeBuffer
    return ordinary.call(handle, first, bytes)
  }
  writeBuffer(socket, length)
}

/** Takes what is read off the handle, before net.Socket: `lengthOf` tells how much it is. */
function ownOnRead(lengthOf) {
  return (handle) => {
    const socket = new net.Socket({ handle, onread: { buffer: shared, callback: () => true } })
    const ordinary = handle.onread
    const length = lengthOf(handle)
    handle.onread = (bytes) => {
      const read = length()
      if (read > 0) writeView(socket, answer(shared, read, out))
      else return ordinary.call(handle, bytes)
    }
    return socket
  }
}

function byTotal(handle) {
  let before = 0
  return () => {
    const total = handle.bytesRead
    const length = total - before
    before = total
    return length
  }
}

/** Deprecated, and the only way to the array in which Node passes the length. */
function byBinding() {
  const { streamBaseState, kReadBytesOrError } = process.binding('stream_wrap')
  return () => streamBaseState[kReadBytesOrError]
}

/** Way -> what a new connection's handle is made into. */
const WAYS = {
  'on(data), write(Buffer)': (handle) => onData(new net.Socket({ handle }), writeBuffer),
  'on(data), write(latin1)': (handle) => onData(new net.Socket({ handle }), writeString),
  'onread, write(Buffer)': onRead(writeBuffer),
  'onread, write(latin1)': onRead(writeString),
  'onread, handle.writeLatin1String': onRead(writeHandle),
  'onread, handle.writeBuffer, kept view': onRead(writeView),
  'handle.onread, bytesRead, kept view': ownOnRead(byTotal),
  'handle.onread, binding, kept view': ownOnRead(byBinding),
}

function serve(way) {
  const server = net.createServer({ pauseOnConnect: true })
  server.listen(0, '127.0.0.1', () => {
    server._handle.onconnection = (_, handle) => {
      handle.setNoDelay(true)
      const socket = WAYS[way](handle)
      socket?.on('error', () => undefined)
    }
    process.stdout.write(`${server.address().port}\n`)
  })
}

function placementPrefix() {
  return process.platform === 'linux' ? ['taskset', '-c', '1'] : []
}

async function measure(seconds, rounds, only) {
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-socket-layer-'))
  const children = new Set()
  try {
    const program = compileGenerator(folder)
    const servers = []
    for (const way of Object.keys(WAYS).filter((name) => name.includes(only))) {
      const self = fileURLToPath(import.meta.url)
      const child = spawn('taskset', ['-c', '0', process.execPath, self, '--serve', way], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      children.add(child)
      const port = await new Promise((resolve) => {
        child.stdout.once('data', (text) => resolve(Number(text)))
      })
      servers.push({ way, port, pid: child.pid })
    }
    for (const pipeline of [1, 50]) {
      const figures = new Map(servers.map(({ way }) => [way, []]))
      for (let round = -1; round < rounds; round++) {
        for (const { way, port, pid } of servers) {
          const load = { port, pipeline, seconds, serverPid: pid, ratio: '1:0' }
          const printed = await runGenerator(program, PREFIX, load, children)
          if (round >= 0) figures.get(way).push(printed.serverCpuUsPerRequest)
        }
      }
      console.log(`\nx${pipeline}: CPU us a request, median of ${rounds}`)
      for (const [way, each] of figures) {
        console.log(`  ${way.padEnd(38)} ${median(each).toFixed(pipeline === 1 ? 1 : 2)}`)
      }
    }
  } finally {
    for (const child of children) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}

const { values } = parseArgs({
  options: {
    serve: { type: 'string' },
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
  },
})
if (values.serve !== undefined) serve(values.serve)
else await measure(Number(values.seconds), Number(values.rounds), values.only)
