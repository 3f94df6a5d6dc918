/**
 * A memcached small enough to lie on command: what the tests of the generators need to see that a
 * wrong reply is noticed. It knows gets, sets and logins in each dialect, and no expiry.
 */
import { createServer } from 'node:net'

/**
 * A memcached of a few lines over a Map, with one hook: `spoil(reply, request, number)` may answer
 * with other bytes, or with null to close the connection, or with an empty buffer to stay silent.
 */
function answerBinary(items, request) {
  const opcode = request[1]
  const keyBytes = request.readUInt16BE(2)
  const extrasBytes = request[4]
  const key = request.toString('latin1', 24 + extrasBytes, 24 + extrasBytes + keyBytes)
  const reply = (status, extras, body) => {
    const header = Buffer.alloc(24)
    header[0] = 0x81
    header[1] = opcode
    header[4] = extras.length
    header.writeUInt16BE(status, 6)
    header.writeUInt32BE(extras.length + body.length, 8)
    request.copy(header, 12, 12, 16)
    return Buffer.concat([header, extras, body])
  }
  const nothing = Buffer.alloc(0)
  if (opcode === 0x20) return reply(0, nothing, Buffer.from('PLAIN'))
  if (opcode === 0x21) {
    const isRight = request.toString('latin1', 24) === 'PLAIN\0bench\0word'
    return isRight
      ? reply(0, nothing, Buffer.from('Authenticated'))
      : reply(0x20, nothing, Buffer.from('Auth failure.'))
  }
  if (opcode === 1) {
    items.set(key, {
      flags: request.subarray(24, 28),
      value: request.subarray(24 + extrasBytes + keyBytes),
    })
    return reply(0, nothing, nothing)
  }
  const item = items.get(key)
  return item === undefined
    ? reply(1, nothing, Buffer.from('Not found'))
    : reply(0, item.flags, item.value)
}

export function answerText(items, line, value) {
  const words = line.split(' ')
  const opaque = words.at(-1)
  const end = Buffer.from('\r\n')
  if (words[0] === 'set' && words[1] === 'auth') {
    return Buffer.from(
      value.toString() === 'bench word' ? 'STORED\r\n' : 'CLIENT_ERROR authentication failure\r\n',
    )
  }
  if (words[0] === 'set' || words[0] === 'ms') {
    const flags = words[0] === 'set' ? words[2] : words[3].slice(1)
    items.set(words[1], { flags, value })
    return Buffer.from(words[0] === 'set' ? 'STORED\r\n' : `HD ${opaque}\r\n`)
  }
  if (words[0] === 'get') {
    const hits = words.slice(1).flatMap((key) => {
      const found = items.get(key)
      if (found === undefined) return []
      const head = `VALUE ${key} ${found.flags} ${found.value.length}\r\n`
      return [Buffer.from(head), found.value, end]
    })
    return Buffer.concat([...hits, Buffer.from('END\r\n')])
  }
  if (words[0] === 'mn') return Buffer.from('MN\r\n')
  const item = items.get(words[1])
  if (item === undefined) return Buffer.from(words.includes('q') ? '' : 'EN\r\n')
  const head = `VA ${item.value.length} f${item.flags} ${opaque}\r\n`
  return Buffer.concat([Buffer.from(head), item.value, end])
}

/** Cuts whole requests off `bytes`: [requests, what is left]. */
function cutRequests(bytes) {
  const requests = []
  let at = 0
  while (at < bytes.length) {
    if (bytes[at] === 0x80) {
      if (bytes.length - at < 24) break
      const end = at + 24 + bytes.readUInt32BE(at + 8)
      if (end > bytes.length) break
      requests.push({ raw: bytes.subarray(at, end), isSet: bytes[at + 1] === 1 })
      at = end
      continue
    }
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) break
    const line = bytes.toString('latin1', at, lineEnd)
    const words = line.split(' ')
    const isSet = words[0] === 'set' || words[0] === 'ms'
    const valueBytes = isSet ? Number(words[0] === 'set' ? words[4] : words[2]) : 0
    const end = lineEnd + 2 + (isSet ? valueBytes + 2 : 0)
    if (end > bytes.length) break
    requests.push({ line, isSet, value: bytes.subarray(lineEnd + 2, lineEnd + 2 + valueBytes) })
    at = end
  }
  return [requests, bytes.subarray(at)]
}

export async function withServer(
  { spoil = (reply) => reply, pieceBytes = null, forgets = false },
  use,
) {
  const items = new Map()
  let number = 0
  const server = createServer((socket) => {
    let rest = Buffer.alloc(0)
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      const [requests, left] = cutRequests(Buffer.concat([rest, bytes]))
      rest = Buffer.from(left)
      for (const request of requests) {
        if (forgets) items.clear()
        const right = request.raw
          ? answerBinary(items, Buffer.from(request.raw))
          : answerText(items, request.line, Buffer.from(request.value))
        const reply = spoil(right, request, number++)
        if (reply === null) {
          socket.destroy()
          return
        }
        for (let at = 0; at < reply.length; ) {
          const length = pieceBytes === null ? reply.length : pieceBytes()
          socket.write(reply.subarray(at, at + length))
          at += length
        }
      }
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await use(server.address().port)
  } finally {
    server.close()
  }
}
