/**
 * Connects to a server: TCP, a Unix socket, or TLS. The server's certificate has to be signed by whom the
 * operator trusts, and be for the name that was asked for, unless it was said otherwise; then the
 * connection counts as one in the clear for whatever asks whether a password may go through it.
 */
import { connect, isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls'
import type { Channel } from '../base/channel.ts'
import { codeOfTrouble, describeConnectTrouble } from '../base/connect-trouble.ts'
import { formatAddress, type ServerAddress } from './address.ts'
import { ClientError } from './client-error.ts'

export interface TlsSettings {
  /** Certificates in PEM; undefined: the authorities that Node trusts. */
  readonly ca?: string | undefined
  readonly certificate?: string | undefined
  readonly key?: string | undefined
  readonly keyPassword?: string | undefined
  /** The name that the certificate must be for; undefined: the host. */
  readonly name?: string | undefined
  /** False: whoever answers is taken for the server. */
  readonly isVerified: boolean
}

export interface ClientPipe {
  readonly socket: Socket
  /** With the server's certificate, to bind a login to. */
  readonly channel: Channel
  /** Nobody but the server reads what is sent: a Unix socket, or TLS to a server that was verified. */
  readonly isPrivate: boolean
}

export interface PipeTarget {
  readonly address: ServerAddress
  readonly tls: TlsSettings | undefined
  readonly timeoutMs: number
}

/** Throws ClientError. */
export async function openPipe(target: PipeTarget): Promise<ClientPipe> {
  const { address, tls, timeoutMs } = target
  if (tls !== undefined && 'path' in address) {
    const message = 'a Unix socket of this machine needs no TLS: leave --tls out'
    throw new ClientError('settings', message)
  }
  const socket = begin(address, tls)
  await new Promise<void>((resolve, reject) => {
    const where = formatAddress(address)
    const fail = (error: ClientError): void => {
      clearTimeout(timer)
      socket.destroy()
      reject(error)
    }
    const timer = setTimeout(() => {
      const message = `${where} did not take the connection within ${timeoutMs / 1000} s`
      fail(new ClientError('unreachable', message))
    }, timeoutMs)
    const failed = (error: Error): void => fail(describe(error, address, tls))
    const closed = (): void => {
      fail(new ClientError('unreachable', `${where} closed the connection at once`))
    }
    socket.once('error', failed)
    socket.once('close', closed)
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      clearTimeout(timer)
      // From here on trouble is the reader's business (wire.ts).
      socket.off('error', failed)
      socket.off('close', closed)
      resolve()
    })
  })
  socket.setNoDelay(true)
  const isPrivate = 'path' in address || tls?.isVerified === true
  return { socket, channel: channelOf(socket, address, tls !== undefined), isPrivate }
}

function begin(address: ServerAddress, tls: TlsSettings | undefined): Socket {
  if ('path' in address) return connect({ path: address.path })
  const { host, port } = address
  if (tls === undefined) return connect({ host, port })
  const name = tls.name ?? host.replace(/\.$/, '')
  try {
    return connectTls({
      host,
      port,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
      rejectUnauthorized: tls.isVerified,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['memcached'],
      ca: tls.ca,
      cert: tls.certificate,
      key: tls.key,
      passphrase: tls.keyPassword,
    })
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const message = `the files of TLS cannot be used (${code === '' ? String(error) : code}): look at --tls-ca, --tls-cert and --tls-key`
    throw new ClientError('settings', message, { cause: error })
  }
}

function channelOf(socket: Socket, address: ServerAddress, isTls: boolean): Channel {
  if (!isTls) return { kind: 'path' in address ? 'unix' : 'tcp', listenerIndex: 0 }
  const tls = socket as TLSSocket
  return {
    kind: 'tls',
    listenerIndex: 0,
    tls: {
      version: tls.getProtocol() ?? '',
      certificate: undefined,
      localCertificate: tls.getPeerCertificate(false).raw,
      exporter: () => tls.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)),
    },
  }
}

const CERTIFICATE_TROUBLE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet; is the clock of this machine right?',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'is for another name: give the name that it is for as the host of --server, or as --tls-name',
}

const UNKNOWN_AUTHORITY =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|INVALID_CA|INVALID_PURPOSE)/

function describe(error: Error, address: ServerAddress, tls: TlsSettings | undefined): ClientError {
  const where = formatAddress(address)
  const code = codeOfTrouble(error)
  const options = { cause: error }
  const certificate = CERTIFICATE_TROUBLE[code]
  if (certificate !== undefined) {
    return new ClientError('identity', `the certificate of ${where} ${certificate}`, options)
  }
  if (UNKNOWN_AUTHORITY.test(code)) {
    const trusted = tls?.ca === undefined ? 'Node trusts' : '--tls-ca has'
    const message = `the certificate of ${where} is not signed by an authority that ${trusted} (${code}): name its authority with --tls-ca FILE`
    return new ClientError('identity', message, options)
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    const message = `${where} does not speak TLS: leave --tls out, or ask another port`
    return new ClientError('unreachable', message, options)
  }
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) {
    const message = `there is no TLS connection to ${where} (${code}): look at --tls-cert, --tls-key and --tls-ca`
    return new ClientError('identity', message, options)
  }
  const why = describeConnectTrouble(error, 'path' in address ? undefined : address.host)
  const perhaps = tls !== undefined && code === 'ECONNRESET' ? '; does it speak TLS?' : ''
  return new ClientError('unreachable', `${where} cannot be reached: ${why}${perhaps}`, options)
}
