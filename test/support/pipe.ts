/** Pipes for those who never send anything through one. */
import type { PeerCertificate, TlsChannel } from '../../src/base/channel.ts'
import { Peer } from '../../src/base/peer.ts'
import type { Pipe } from '../../src/base/pipe.ts'

/** A plain TCP connection from an address. */
export function pipeAt(address: string): Pipe {
  return { peer: new Peer(address, address), channel: { kind: 'tcp', listenerIndex: 0 } }
}

/** What an exporter gives where the test does not say. */
export const EXPORTED: Uint8Array = Buffer.from([...Array(32).keys()])

/** A TLS 1.3 connection from an address, without certificates if they are not given. */
export function tlsPipeAt(
  address: string,
  tls: Partial<Omit<TlsChannel, 'exporter'>> & { readonly exported?: Uint8Array | undefined } = {},
): Pipe {
  const { exported = EXPORTED, version = 'TLSv1.3', ...rest } = tls
  const exporter = (): Uint8Array | undefined => (version === 'TLSv1.3' ? exported : undefined)
  const whole = { version, certificate: undefined, localCertificate: undefined, ...rest, exporter }
  const channel = { kind: 'tls', listenerIndex: 0, tls: whole } as const
  return { peer: new Peer(address, address), channel }
}

/** A verified client certificate that has these names and no others. */
export function certificateNaming(names: Partial<PeerCertificate>): PeerCertificate {
  return {
    subject: 'CN=test',
    fingerprint: '00'.repeat(32),
    validTo: 2_000_000_000,
    commonNames: [],
    dnsNames: [],
    emailAddresses: [],
    uris: [],
    ...names,
  }
}
