/**
 * TLS for one test file: certificates, made when it runs, and clients. A TlsTunnel lets every client
 * that speaks in the clear (transcripts, libraries) talk to a server over TLS: it listens on a port of
 * this machine and passes the bytes on, encrypted.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { TestAuthority, type TestCertificateOptions, type TestPair } from './authority.ts'

/** A pair in files, as the server reads them. */
export interface PairFiles extends TestPair {
  readonly certificateFile: string
  readonly keyFile: string
  /** What makes a server speak TLS with it. */
  readonly flags: readonly string[]
}

/** An authority, the pair of a server that it signed, and its own certificate in a file. */
export class TestTls {
  readonly authority: TestAuthority = new TestAuthority()
  readonly directory: string = mkdtempSync(join(tmpdir(), 'saslcached-tls-'))
  readonly caFile: string
  readonly server: PairFiles

  constructor() {
    this.caFile = this.write('ca.pem', this.authority.certificate)
    this.server = this.issue('server', { names: 'DNS:localhost,IP:127.0.0.1' })
  }

  /** A pair of the authority in files of that name. */
  issue(name: string, options: TestCertificateOptions): PairFiles {
    const pair = this.authority.issue(options)
    const certificateFile = this.write(`${name}.pem`, pair.certificate)
    const keyFile = this.write(`${name}.key`, pair.key)
    const flags = ['-Z', '--tls-cert', certificateFile, '--tls-key', keyFile]
    return { ...pair, certificateFile, keyFile, flags }
  }

  remove(): void {
    this.authority.remove()
    rmSync(this.directory, { recursive: true, force: true })
  }

  write(name: string, text: string): string {
    const path = join(this.directory, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
}

/** Connects over TLS; rejects where there is no handshake. The certificate is not looked at. */
export async function connectTls(
  port: number,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
    socket.once('secureConnect', () => resolve(socket))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed before the handshake was done')))
  })
}

export class TlsTunnel {
  readonly host = '127.0.0.1'
  port = 0
  private readonly server: Server
  private readonly sockets: Set<Socket> = new Set()

  private constructor(serverPort: number, options: ConnectionOptions) {
    this.server = createServer({ allowHalfOpen: true }, (client) => {
      const far = connect({
        host: '127.0.0.1',
        port: serverPort,
        rejectUnauthorized: false,
        allowHalfOpen: true,
        ...options,
      } as ConnectionOptions)
      for (const socket of [client, far]) {
        this.sockets.add(socket)
        socket.on('error', () => undefined)
        socket.on('close', () => {
          this.sockets.delete(socket)
          client.destroySoon()
          far.destroySoon()
        })
      }
      client.pipe(far)
      far.pipe(client)
    })
  }

  static async to(serverPort: number, options: ConnectionOptions = {}): Promise<TlsTunnel> {
    const tunnel = new TlsTunnel(serverPort, options)
    await new Promise<void>((resolve) => tunnel.server.listen(0, '127.0.0.1', resolve))
    tunnel.port = (tunnel.server.address() as { port: number }).port
    return tunnel
  }

  close(): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }
}
