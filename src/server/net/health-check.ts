/**
 * The health check: asks a running server for its version over the binary dialect and reads the
 * whole answer. VERSION is answered before login, so no password is needed; an answer proves that
 * the listener accepts, a worker turns its loop and the dialect is spoken.
 *
 * It is run every few seconds by container runtimes: it imports next to nothing.
 */
import { readFileSync } from 'node:fs'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { codeOfTrouble, describeConnectTrouble } from '../../base/connect-trouble.ts'
import type { Config, ListenAddress } from '../../config/config.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import {
  HEADER_BYTES,
  MAGIC_REQUEST,
  MAGIC_RESPONSE,
  OP_VERSION,
  STATUS_OK,
} from '../../protocol/binary/wire.ts'

export type HealthTarget =
  | { readonly host: string; readonly port: number; readonly tls?: TlsVerify | undefined }
  | { readonly path: string }

export class HealthError extends Error {
  override readonly name = 'HealthError'
}

/** "health" to nobody but us; the reply must bring it back. */
const OPAQUE = 0x6865616c
/** A version is a dozen bytes; whatever says more is not memcached. */
const VERSION_BYTES_MAX = 256

/** Where to knock for a server with this configuration. Throws HealthError when that is unknown. */
export function healthTarget(network: Config['network']): HealthTarget {
  if (network.unixSocket !== undefined) return { path: network.unixSocket }
  const address = network.listen.find(({ tls }) => tls === undefined) ?? network.listen[0]
  const [identitySocket] = network.identitySockets
  if (address === undefined && identitySocket !== undefined) return { path: identitySocket.path }
  if (address === undefined && network.passed.length > 0) {
    throw new HealthError('its sockets are passed to it at the start; name the address')
  }
  if (address === undefined) throw new HealthError('the configuration has no address to listen on')
  const port = address.port === 0 ? pickedPort(network.portFile) : address.port
  return { host: reachable(address), port, tls: address.tls }
}

function reachable({ host }: ListenAddress): string {
  if (host === '*' || host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}

/** The port that the system picked, as the server wrote it to MEMCACHED_PORT_FILENAME. */
function pickedPort(portFile: string | undefined): number {
  if (portFile === undefined) {
    throw new HealthError(
      'the system picks the port; name the address, or a MEMCACHED_PORT_FILENAME',
    )
  }
  let text: string
  try {
    text = readFileSync(portFile, 'utf8')
  } catch (cause) {
    throw new HealthError(`${portFile} cannot be read`, { cause })
  }
  const port = /^TCP INET6?: (\d{1,5})$/m.exec(text)?.[1]
  if (port === undefined) throw new HealthError(`${portFile} names no port yet`)
  return Number(port)
}

/**
 * A pipe to the server. Nothing that is sent is secret, and what is asked is whether it answers, not
 * who: its certificate, which may be for another name, is not looked at.
 */
async function open(target: HealthTarget): Promise<Socket> {
  if ('path' in target || target.tls === undefined) return connect(target as NetConnectOpts)
  const { connect: connectTls } = await import('node:tls')
  const { host, port } = target
  return connectTls({ host, port, rejectUnauthorized: false, ALPNProtocols: ['memcached'] })
}

export function formatTarget(target: HealthTarget): string {
  if ('path' in target) return target.path
  const { host, port } = target
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** What is told of a server that wants to know who we are before it answers. */
const WANTS_CERTIFICATE = 'unknown, it asks for a client certificate,'

/** Resolves to the version text that the server answered; rejects with HealthError. */
export async function checkHealth(target: HealthTarget, timeoutMs: number): Promise<string> {
  const isTls = !('path' in target) && target.tls !== undefined
  const needsCertificate = isTls && target.tls === 'require'
  const socket = await open(target)
  const request = Buffer.alloc(HEADER_BYTES)
  request[0] = MAGIC_REQUEST
  request[1] = OP_VERSION
  request.writeUInt32BE(OPAQUE, 12)
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const fail = (message: string, cause?: Error): void => {
      clearTimeout(timer)
      socket.destroy()
      reject(new HealthError(message, { cause }))
    }
    // Unlike a socket's own timeout this one covers an answer that comes byte by byte.
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs)
    socket.on(isTls ? 'secureConnect' : 'connect', () => {
      socket.write(request)
      if (!needsCertificate) return
      // That it speaks TLS is all that it tells a stranger.
      clearTimeout(timer)
      socket.destroy()
      resolve(WANTS_CERTIFICATE)
    })
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < HEADER_BYTES) return
      const status = received.readUInt16BE(6)
      const bodyBytes = received.readUInt32BE(8)
      const isAnswer =
        received[0] === MAGIC_RESPONSE &&
        received[1] === OP_VERSION &&
        received.readUInt32BE(12) === OPAQUE &&
        bodyBytes <= VERSION_BYTES_MAX
      if (!isAnswer) fail('the answer is not one to a memcached version request')
      else if (status !== STATUS_OK)
        fail(`the server answered with status 0x${status.toString(16)}`)
      else if (received.length >= HEADER_BYTES + bodyBytes) {
        clearTimeout(timer)
        socket.destroy()
        resolve(received.toString('latin1', HEADER_BYTES, HEADER_BYTES + bodyBytes))
      }
    })
    socket.on('end', () => {
      const perhaps =
        'path' in target || isTls
          ? ''
          : `; if it speaks TLS, write btls:${formatTarget(target)}, or give --tls`
      fail(`the connection was closed before an answer came${perhaps}`)
    })
    socket.on('error', (error) => fail(`cannot be reached: ${whyNot(error, target)}`, error))
  })
}

const NOT_TLS: readonly string[] = [
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
]

function whyNot(error: Error, target: HealthTarget): string {
  if (NOT_TLS.includes(codeOfTrouble(error))) return 'it does not speak TLS'
  return describeConnectTrouble(error, 'path' in target ? undefined : target.host)
}
