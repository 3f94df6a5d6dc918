/**
 * The sending side of a connection of TLS 1.2 or 1.3, by hand: for what no client library lets anybody send.
 * Node's own client shakes hands and reads; from then on it must not write.
 */
import { createCipheriv, createHmac } from 'node:crypto'
import { connect as connectPlain, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect, type SecureVersion, type TLSSocket } from 'node:tls'

export type RecordVersion = Extract<SecureVersion, 'TLSv1.2' | 'TLSv1.3'>

const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':')
const KEY_BYTES = 16
const IV_BYTES = 12
const SECRET_BYTES = 32
const TAG_BYTES = 16
export const CHANGE_CIPHER_SPEC = 0x14
export const ALERT = 0x15
export const HANDSHAKE = 0x16
export const APPLICATION_DATA = 0x17
/** RFC 8446, 4.6.3: update_requested. */
const KEY_UPDATE = Uint8Array.of(24, 0, 0, 1, 1)
/** Behind the headers of record and message, and the version. */
const SERVER_RANDOM_OFFSET = 11

/** A record as it stands on the wire, whatever is in it; `length` is what it says of itself. */
export function plainRecord(
  type: number,
  content: Uint8Array,
  version = 0x0303,
  length: number = content.length,
): Buffer {
  return Buffer.concat([recordHeader(type, length, version), content])
}

function recordHeader(type: number, length: number, version = 0x0303): Buffer {
  const header = Buffer.from([type, 0, 0, 0, 0])
  header.writeUInt16BE(version, 1)
  header.writeUInt16BE(length, 3)
  return header
}

/** What seals the records of one direction. */
interface Sealer {
  /** `type` is what is in it, whatever it looks like on the wire. */
  seal(type: number, content: Uint8Array): Buffer
}

/** RFC 8446, 5.2. */
class Sealer13 implements Sealer {
  private secret: Buffer
  private sequence = 0

  constructor(secret: Buffer) {
    this.secret = secret
  }

  seal(type: number, content: Uint8Array): Buffer {
    const nonce = this.derive('iv', IV_BYTES)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.sequence++) >>> 0, 8)
    const inner = Buffer.concat([content, Uint8Array.of(type)])
    const header = recordHeader(APPLICATION_DATA, inner.length + TAG_BYTES)
    return Buffer.concat([header, encrypted(this.derive('key', KEY_BYTES), nonce, header, inner)])
  }

  /** From now on with the next keys (7.2). */
  update(): void {
    this.secret = this.derive('traffic upd', SECRET_BYTES)
    this.sequence = 0
  }

  /** HKDF-Expand-Label without a context (7.1), of one block. */
  private derive(label: string, length: number): Buffer {
    const name = Buffer.from(`tls13 ${label}`)
    const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])])
    return createHmac('sha256', this.secret).update(info).digest().subarray(0, length)
  }
}

/** RFC 5246, 6.2.3.3, and RFC 5288. */
class Sealer12 implements Sealer {
  private readonly key: Buffer
  private readonly salt: Buffer
  /** The end of the handshake was the first. */
  private sequence = 1n

  constructor(master: Buffer, serverRandom: Buffer, clientRandom: Buffer) {
    const seed = Buffer.concat([Buffer.from('key expansion'), serverRandom, clientRandom])
    const block = expanded(master, seed, 2 * (KEY_BYTES + 4))
    this.key = block.subarray(0, KEY_BYTES)
    this.salt = block.subarray(2 * KEY_BYTES, 2 * KEY_BYTES + 4)
  }

  seal(type: number, content: Uint8Array): Buffer {
    const sequence = Buffer.alloc(8)
    sequence.writeBigUInt64BE(this.sequence++)
    const authenticated = Buffer.concat([sequence, recordHeader(type, content.length)])
    const nonce = Buffer.concat([this.salt, sequence])
    const sealed = encrypted(this.key, nonce, authenticated, content)
    return plainRecord(type, Buffer.concat([sequence, sealed]))
  }
}

function encrypted(key: Buffer, nonce: Buffer, authenticated: Buffer, bytes: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-128-gcm', key, nonce)
  cipher.setAAD(authenticated)
  return Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()])
}

/** P_SHA256 (RFC 5246, 5). */
function expanded(secret: Buffer, seed: Buffer, length: number): Buffer {
  const hmac = (bytes: Uint8Array) => createHmac('sha256', secret).update(bytes).digest()
  let blocks = Buffer.alloc(0)
  for (let a = hmac(seed); blocks.length < length; a = hmac(a)) {
    blocks = Buffer.concat([blocks, hmac(Buffer.concat([a, seed]))])
  }
  return blocks.subarray(0, length)
}

/** Lies between Node's client and the socket, passes everything on, and keeps what the server said. */
class Tap extends Duplex {
  readonly pieces: Buffer[] = []
  private readonly under: Socket

  constructor(under: Socket) {
    super()
    this.under = under
    under.on('data', (piece) => {
      this.pieces.push(piece)
      this.push(piece)
    })
    under.on('end', () => this.push(null))
    under.on('close', () => this.destroy())
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.under.write(bytes, () => done())
  }

  override _final(done: () => void): void {
    this.under.end(done)
  }
}

export class TlsRecords {
  readonly socket: TLSSocket
  readonly under: Socket
  private readonly sealer: Sealer

  private constructor(under: Socket, socket: TLSSocket, sealer: Sealer) {
    this.under = under
    this.socket = socket
    this.sealer = sealer
  }

  static async connect(port: number, version: RecordVersion = 'TLSv1.3'): Promise<TlsRecords> {
    const under = connectPlain(port, '127.0.0.1')
    const tap = new Tap(under)
    const versions = { minVersion: version, maxVersion: version }
    const socket = connect({
      ...versions,
      ciphers: CIPHERS,
      rejectUnauthorized: false,
      socket: tap,
    })
    const secrets = new Map<string, readonly [random: Buffer, secret: Buffer]>()
    socket.on('keylog', (line: Buffer) => {
      const [label = '', random = '', secret = ''] = line.toString().trim().split(' ')
      secrets.set(label, [Buffer.from(random, 'hex'), Buffer.from(secret, 'hex')])
    })
    await new Promise<void>((resolve, reject) => {
      // Of 1.3 the server's ticket: it has the end of our handshake then, behind which this writes.
      socket.once(version === 'TLSv1.3' ? 'session' : 'secureConnect', () => resolve())
      socket.once('error', reject)
      under.once('error', reject)
    })
    for (const each of [socket, under, tap]) each.on('error', () => undefined)
    return new TlsRecords(under, socket, sealerOf(version, secrets, Buffer.concat(tap.pieces)))
  }

  /** So many records, each of which asks for new keys. */
  keyUpdates(count: number): Buffer {
    const records: Buffer[] = []
    for (let index = 0; index < count; index++) {
      records.push(this.record(HANDSHAKE, KEY_UPDATE))
      if (this.sealer instanceof Sealer13) this.sealer.update()
    }
    return Buffer.concat(records)
  }

  data(text: string): Buffer {
    return this.record(APPLICATION_DATA, Buffer.from(text, 'latin1'))
  }

  record(type: number, content: Uint8Array): Buffer {
    return this.sealer.seal(type, content)
  }
}

function sealerOf(
  version: RecordVersion,
  secrets: ReadonlyMap<string, readonly [random: Buffer, secret: Buffer]>,
  received: Buffer,
): Sealer {
  const label = version === 'TLSv1.3' ? 'CLIENT_TRAFFIC_SECRET_0' : 'CLIENT_RANDOM'
  const found = secrets.get(label)
  if (found === undefined) throw new Error(`Node told no ${label}`)
  const [clientRandom, secret] = found
  if (version === 'TLSv1.3') return new Sealer13(secret)
  const end = SERVER_RANDOM_OFFSET + SECRET_BYTES
  return new Sealer12(secret, received.subarray(SERVER_RANDOM_OFFSET, end), clientRandom)
}
