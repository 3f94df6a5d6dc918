/**
 * One server over TLS, and the ways by which clients come to it: as they should, trusting the wrong
 * authority, by a name that its certificate does not have, and where it asks for a certificate of theirs.
 */
import { TestAuthority } from './authority.ts'
import { startSaslcached, type TestServer, type User } from './server.ts'
import { STUNNEL_HOST, Stunnel, type StunnelService } from './stunnel.ts'
import { TestTls } from './tls.ts'

export type TlsWay = 'trusted' | 'untrusted' | 'misnamed' | 'known' | 'unknown'

/** Where a client goes, and by whose word; without files it goes in the clear, to stunnel. */
export type TlsTarget = Pick<StunnelService, 'host' | 'port'> & Partial<StunnelService>

export class TlsWays {
  readonly server: TestServer
  private readonly tls: TestTls
  private readonly stranger: TestAuthority
  private readonly services: Readonly<Record<TlsWay, StunnelService>>
  private stunnel: Stunnel<TlsWay> | undefined

  private constructor(tls: TestTls, stranger: TestAuthority, server: TestServer, user: User) {
    this.tls = tls
    this.stranger = stranger
    this.server = server
    const { caFile } = tls
    const at = (tag: string, host: string) => ({ host, port: portOf(server, tag), caFile })
    const open = at('open', '127.0.0.1')
    const mutual = at('mutual', '127.0.0.1')
    this.services = {
      trusted: open,
      untrusted: { ...open, caFile: tls.write('stranger.pem', stranger.certificate) },
      misnamed: at('other', '127.0.0.2'),
      known: { ...mutual, pair: tls.issue('client', { subject: `/CN=${user.name}`, names: '' }) },
      unknown: mutual,
    }
  }

  /** The certificate of the client is that of the first user. */
  static async start(user: User, ...others: readonly User[]): Promise<TlsWays> {
    const tls = new TestTls()
    const stranger = new TestAuthority('/CN=Stranger')
    const server = await startSaslcached({
      users: [user, ...others],
      flags: [
        // One thread logs what happens in its order.
        ...[...tls.server.flags, '--tls-ca', tls.caFile, '--tls-user-from', 'cn', '-t', '1'],
        ...['-l', 'btls:tag_open_:127.0.0.1:-1,btls:tag_other_:127.0.0.2:-1'],
        ...['-l', 'mtls:tag_mutual_:127.0.0.1:-1'],
      ],
    })
    // The file of ports is there before the log has the listeners.
    await server.waitForLog(({ event }) => event === 'started')
    return new TlsWays(tls, stranger, server, user)
  }

  async startStunnel(): Promise<void> {
    this.stunnel = await Stunnel.start(this.services)
  }

  /** For a client: its own end of TLS, or that of stunnel if it was started. */
  target(way: TlsWay): TlsTarget {
    if (this.stunnel === undefined) return this.services[way]
    return { host: STUNNEL_HOST, port: this.stunnel.portOf(way) }
  }

  /** Until stunnel says of a connection of a way why it ended. */
  async waitForComplaint(way: TlsWay, why: RegExp): Promise<void> {
    await this.stunnel?.waitForComplaint(way, why)
  }

  async stop(): Promise<void> {
    await this.stunnel?.stop()
    await this.server.stop()
    this.stranger.remove()
    this.tls.remove()
  }
}

function portOf(server: TestServer, tag: string): number {
  return Number(server.log().find((line) => line.event === 'listening' && line.tag === tag)?.port)
}
