/**
 * Certificates, and what they are for.
 *
 * Invariant: whoever asks for TLS, or for anything that takes it, does not get a server in the clear instead.
 */
import type { Config, TlsConfig, TlsPair } from './config.ts'
import type { GivenOptions } from './given-options.ts'

/** Options that are about nothing but TLS. */
const TLS_OPTIONS = [
  'tls_cert',
  'tls_key',
  'tls_key_password_file',
  'tls_ca',
  'tls_crl',
  'tls_verify',
  'tls_min_version',
  'tls_ciphers',
  'tls_user_from',
] as const

export function resolveTls(
  given: GivenOptions,
  { listen, unixSocket }: Config['network'],
): TlsConfig | undefined {
  const { tls: isOn, ...values } = given.values
  const caFile = given.path('tls_ca')
  if (!isOn) {
    // In the clear instead would be a surprise.
    for (const option of TLS_OPTIONS.filter((name) => given.isGiven(name))) {
      if (!given.isDefault(option)) given.problem(option, 'takes TLS: add -Z')
    }
    return undefined
  }
  if (unixSocket !== undefined) {
    given.notices.push(`${given.source('tls')} has no effect: a Unix socket is not encrypted`)
    return undefined
  }
  const speaksTls = listen.some(({ tls }) => tls !== undefined)
  if (listen.length > 0 && !speaksTls) {
    given.problem('tls', 'is on, and every address of -l is marked notls:')
  }
  const asks = listen.some(({ tls }) => tls !== undefined && tls !== 'none')
  if (!asks && values.tls_user_from !== 'off') {
    given.problem('tls_user_from', 'takes client certificates: --tls-verify request')
  }
  if (caFile === undefined && asks) {
    const blamed = values.tls_verify === 'none' ? 'listen' : 'tls_verify'
    const message =
      'asks for client certificates, which takes --tls-ca FILE: without it every client would be refused'
    given.problem(blamed, message)
  }
  const crlFile = given.path('tls_crl')
  if (crlFile !== undefined && caFile === undefined) {
    given.problem('tls_crl', 'is about certificates of clients, which takes --tls-ca FILE')
  }
  return {
    pairs: tlsPairs(given),
    caFile,
    crlFile,
    minVersion: values.tls_min_version,
    ciphers: values.tls_ciphers === '' ? undefined : values.tls_ciphers,
    verify: values.tls_verify,
  }
}

/** Certificates with their keys; what belongs together has the same place in its list. */
function tlsPairs(given: GivenOptions): readonly TlsPair[] {
  const { tls_cert: certificates, tls_key: keys, tls_key_password_file: passwords } = given.values
  const counts = `${certificates.length} and ${keys.length}`
  if (certificates.length === 0) {
    given.problem(
      'tls',
      'needs a certificate: --tls-cert FILE and --tls-key FILE; "saslcached tls self-signed" makes both, to try',
    )
  } else if (keys.length > 0 && keys.length !== certificates.length) {
    const blamed = keys.length > certificates.length ? 'tls_key' : 'tls_cert'
    given.problem(blamed, `takes a key for each certificate, --tls-key FILE; there are ${counts}`)
  }
  if (passwords.length > 1 && passwords.length !== certificates.length) {
    const message = `takes one file for all keys, or one for each; there are ${passwords.length} for ${certificates.length}`
    given.problem('tls_key_password_file', message)
  }
  return certificates.map((file, index) => {
    const certificateFile = given.resolvePath('tls_cert', file)
    const key = keys[index]
    const password = passwords.length === 1 ? passwords[0] : passwords[index]
    return {
      certificateFile,
      keyFile: key === undefined ? certificateFile : given.resolvePath('tls_key', key),
      keyPasswordFile:
        password === undefined ? undefined : given.resolvePath('tls_key_password_file', password),
    }
  })
}

/** Where there is TLS, whoever has a password to say can use it. */
export function takesPasswordsInTheClear(
  given: GivenOptions,
  { listen, passed }: Config['network'],
): boolean {
  const { require_tls: isRequired, plain_in_the_clear: isAllowed } = given.values
  if (isRequired && isAllowed) {
    given.problem('plain_in_the_clear', `contradicts ${given.source('require_tls')}`)
  }
  return isAllowed || !(isRequired || [...listen, ...passed].some(({ tls }) => tls !== undefined))
}
