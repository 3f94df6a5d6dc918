/**
 * The certificates of a TlsMaterial in the terms of node:tls: which of them a client is shown, and whom
 * clients' own are verified against. Everything else about a tls.Server is the caller's.
 */
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type TlsOptions,
} from 'node:tls'
import { curveOf, curvesOf, type TlsIdentity } from '../../credential/tls-identity.ts'
import type { TlsMaterial } from './tls-material.ts'

/** Identities with the same names, each with a key of another kind: the client's ciphers choose. */
type IdentityGroup = readonly TlsIdentity[]

/** What of a material the choice is made of. */
export type CertificateMaterial = Pick<TlsMaterial, 'identities' | 'ca' | 'crl'>

/**
 * OpenSSL's groups of key agreement but those over finite fields (ffdhe2048 to ffdhe8192), and the two larger ones of NIST: nobody
 * has these alone, and a hello that asks for them costs us 150, 4 and 8 ms, where others cost half a millisecond.
 */
const GROUPS = ['X25519MLKEM768', 'X25519', 'P-256', 'X448']
/**
 * Where a certificate of our own has such a key, or an authority of clients: whoever set that up wants these, and has clients that may
 * have nothing else. A client certificate on a curve is taken over TLS 1.2 only where we have the group.
 */
const LARGE_GROUPS: ReadonlyMap<string, readonly string[]> = new Map([
  ['secp384r1', ['P-384']],
  ['secp521r1', ['P-384', 'P-521']],
])
/** Those that this OpenSSL has, once TLS was asked for. */
let knownGroups: readonly string[] | undefined

/** Before 3.5 OpenSSL has none that withstands quantum computers. */
function isKnownGroup(ecdhCurve: string): boolean {
  try {
    // With no authorities at all, or Node would read the public ones.
    createSecureContext({ ecdhCurve, ca: [] })
    return true
  } catch {
    return false
  }
}

/**
 * `given` for tls.createServer, with the certificates of `material`. With several, the one is shown
 * whose names fit the host that the client asks for (SNI), under the same options. Throws what OpenSSL
 * says of certificates that it does not take.
 */
export function withCertificates(material: CertificateMaterial, given: TlsOptions): TlsOptions {
  const options = { ...given, ecdhCurve: groupsFor(material).join(':') }
  const groups = groupsOf(material.identities)
  const own = { ...options, ...certificateOptions(material, groups[0] ?? []) }
  // Who has one certificate does not pay for the choice.
  if (groups.length === 1) return own
  const byName = new Map<string, SecureContext>()
  for (const group of groups) {
    const context = createSecureContext({ ...options, ...certificateOptions(material, group) })
    for (const name of group[0]?.names ?? []) if (!byName.has(name)) byName.set(name, context)
  }
  return { ...own, SNICallback: (host, done) => done(null, findByHost(byName, host)) }
}

function groupsFor({ identities, ca }: CertificateMaterial): readonly string[] {
  knownGroups ??= GROUPS.filter(isKnownGroup)
  const curves = [...identities.map(curveOf), ...(ca === undefined ? [] : curvesOf(ca))]
  const large = curves.flatMap((curve = '') => LARGE_GROUPS.get(curve) ?? [])
  return [...knownGroups, ...new Set(large)]
}

/** Why OpenSSL does not take a list of ciphers, whatever certificate there is: a code. Undefined: it does. */
export function problemWithCiphers(ciphers: string): string | undefined {
  return refusalOf({ ciphers, ca: [] })
}

/**
 * The first certificate that OpenSSL does not take under these options, and its reason, a code: a digest
 * that is too weak, a key that the ciphers' security level refuses. Undefined: all are good.
 */
export function problemWithCertificates(
  material: CertificateMaterial,
  options: Pick<TlsOptions, 'minVersion' | 'ciphers'>,
): { readonly index: number; readonly code: string } | undefined {
  for (const [index, identity] of material.identities.entries()) {
    const code = refusalOf({ ...options, ...certificateOptions(material, [identity]) })
    if (code !== undefined) return { index, code }
  }
  return undefined
}

/** A code. Undefined: OpenSSL takes it. */
function refusalOf(options: SecureContextOptions): string | undefined {
  try {
    createSecureContext(options)
    return undefined
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : ''
  }
}

/** What is found for a host, or for all hosts of its domain; undefined: the server's own. */
export function findByHost<Found>(
  byName: ReadonlyMap<string, Found>,
  host: string,
): Found | undefined {
  const name = host.toLowerCase().replace(/\.$/, '')
  const dot = name.indexOf('.')
  return byName.get(name) ?? (dot > 0 ? byName.get(`*${name.slice(dot)}`) : undefined)
}

function certificateOptions(
  { ca, crl }: CertificateMaterial,
  group: IdentityGroup,
): Pick<TlsOptions, 'key' | 'cert' | 'ca' | 'crl'> {
  return {
    key: group.map(({ key }) => key),
    cert: group.map(({ certificate }) => certificate),
    // Without any, Node would trust the public ones.
    ca: ca === undefined ? [] : [ca],
    // Node reads one of each text.
    ...(crl === undefined ? {} : { crl: crl.split(/(?=-----BEGIN)/) }),
  }
}

function groupsOf(identities: readonly TlsIdentity[]): readonly IdentityGroup[] {
  const byNames = new Map<string, TlsIdentity[]>()
  for (const identity of identities) {
    const names = [...identity.names].sort().join(' ')
    const group = byNames.get(names)
    if (group === undefined) byNames.set(names, [identity])
    else group.push(identity)
  }
  return [...byNames.values()]
}
