/**
 * The sending side of a connection of TLS 1.3, by hand: for what no client library lets anybody send. Node's
 * own client shakes hands and reads; from then on it must not write.
 */
import { createCipheriv, createHmac } from 'node:crypto'
import { connect as connectPlain, type Socket } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'

const CIPHER = 'TLS_AES_128_GCM_SHA256'
const KEY_BYTES = 16
const IV_BYTES = 12
const SECRET_BYTES = 32
const HANDSHAKE = 0x16
const APPLICATION_DATA = 0x17
/** RFC 8446, 4.6.3: update_requested. */
const KEY_UPDATE = Uint8Array.of(24, 0, 0, 1, 1)

export class TlsRecords {
  readonly socket: TLSSocket
  readonly under: Socket
  private secret: Buffer
  private sequence = 0

  private constructor(under: Socket, socket: TLSSocket, secret: Buffer) {
    this.under = under
    this.socket = socket
    this.secret = secret
  }

  static async connect(port: number): Promise<TlsRecords> {
    const under = connectPlain(port, '127.0.0.1')
    const options = { minVersion: 'TLSv1.3', ciphers: CIPHER, rejectUnauthorized: false } as const
    const socket = connect({ ...options, socket: under })
    let secret = Buffer.alloc(0)
    socket.on('keylog', (line: Buffer) => {
      const [label, , hex = ''] = line.toString().trim().split(' ')
      if (label === 'CLIENT_TRAFFIC_SECRET_0') secret = Buffer.from(hex, 'hex')
    })
    await new Promise<void>((resolve, reject) => {
      // The server's ticket: it has the end of our handshake, behind which this writes.
      socket.once('session', () => resolve())
      socket.once('error', reject)
    })
    return new TlsRecords(under, socket, secret)
  }

  /** So many records, each of which asks for new keys. */
  keyUpdates(count: number): Buffer {
    const records: Buffer[] = []
    for (let index = 0; index < count; index++) {
      records.push(this.record(HANDSHAKE, KEY_UPDATE))
      this.secret = this.derive('traffic upd', SECRET_BYTES)
      this.sequence = 0
    }
    return Buffer.concat(records)
  }

  data(text: string): Buffer {
    return this.record(APPLICATION_DATA, Buffer.from(text, 'latin1'))
  }

  /** RFC 8446, 5.2. */
  private record(type: number, content: Uint8Array): Buffer {
    const nonce = this.derive('iv', IV_BYTES)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.sequence++) >>> 0, 8)
    const inner = Buffer.concat([content, Uint8Array.of(type)])
    const header = Buffer.from([APPLICATION_DATA, 3, 3, 0, 0])
    header.writeUInt16BE(inner.length + 16, 3)
    const cipher = createCipheriv('aes-128-gcm', this.derive('key', KEY_BYTES), nonce)
    cipher.setAAD(header)
    const sealed = [cipher.update(inner), cipher.final(), cipher.getAuthTag()]
    return Buffer.concat([header, ...sealed])
  }

  /** HKDF-Expand-Label without a context (RFC 8446, 7.1), of one block. */
  private derive(label: string, length: number): Buffer {
    const name = Buffer.from(`tls13 ${label}`)
    const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])])
    return createHmac('sha256', this.secret).update(info).digest().subarray(0, length)
  }
}
