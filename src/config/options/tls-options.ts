/** TLS: certificates of the server and of clients, and who may send a password without it. */
import { choice, choiceOrNumber, flag, type Kind, list, Refusal, text } from '../kind.ts'
import type { Options } from './option.ts'

/** What a client's certificate is to a listener: not asked for, verified if there is one, required. */
export type TlsVerify = 'none' | 'request' | 'require' | 'once'
/** The lowest version that is spoken. */
export type TlsMinVersion = '1.2' | '1.3'

export interface TlsValues {
  tls: boolean
  tls_cert: readonly string[]
  tls_key: readonly string[]
  tls_key_password_file: readonly string[]
  tls_ca: string
  tls_crl: string
  tls_verify: TlsVerify
  tls_min_version: TlsMinVersion
  tls_ciphers: string
  tls_user_from: 'off' | 'cn' | 'dns' | 'email' | 'uri'
  require_tls: boolean
  plain_in_the_clear: boolean
}

function nonEmptyPath(word: string): string | Refusal {
  if (word === '') return new Refusal('has an empty path in it')
  return /\p{Cc}/u.test(word) ? new Refusal('has a control character in it') : word
}

/** As people and OpenSSL write it, and as memcached counts; what is older is not spoken. */
function tlsVersion(): Kind<TlsMinVersion> {
  const words = choice<TlsMinVersion>(['1.2', '1.3'], {
    '1.0': 'is broken, and not spoken here; use 1.2 or 1.3',
    '1.1': 'is broken, and not spoken here; use 1.2 or 1.3',
  })
  return {
    ...words,
    placeholder: '<version>',
    // In a file it is easily written as a number.
    accept: (value) => words.accept(typeof value === 'number' ? String(value) : value),
  }
}

export const TLS_OPTIONS: Options<TlsValues> = {
  tls: {
    group: 'tls',
    long: 'tls',
    kind: flag(),
    default: false,
    description: 'speak TLS on every TCP address that is not marked notls:',
  },
  tls_cert: {
    group: 'tls',
    long: 'tls-cert',
    kind: list('<file>', 'a list of paths', nonEmptyPath),
    default: [],
    description: 'certificate with those that signed it, in PEM; with more, one a name',
    repeatable: true,
  },
  tls_key: {
    group: 'tls',
    long: 'tls-key',
    kind: list('<file>', 'a list of paths', nonEmptyPath),
    default: [],
    description: 'private key of each certificate, in PEM; without it, in the file of that',
    repeatable: true,
  },
  tls_key_password_file: {
    group: 'tls',
    long: 'tls-key-password-file',
    kind: list('<file>', 'a list of paths', nonEmptyPath),
    default: [],
    description: 'file with the password of an encrypted key; one for all, or one a key',
    repeatable: true,
  },
  tls_ca: {
    group: 'tls',
    long: 'tls-ca',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'certificates of who signs those of clients, in PEM',
  },
  tls_crl: {
    group: 'tls',
    long: 'tls-crl',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'lists of revoked client certificates, in PEM, one of each authority',
  },
  tls_verify: {
    group: 'tls',
    long: 'tls-verify',
    kind: choiceOrNumber<TlsVerify>(['none', 'request', 'require', 'once']),
    default: 'none',
    description: 'client certificates: none, request, require or once; a wrong one is refused',
  },
  tls_min_version: {
    group: 'tls',
    long: 'tls-min-version',
    kind: tlsVersion(),
    default: '1.2',
    description: 'lowest version of TLS: 1.2 or 1.3',
  },
  tls_ciphers: {
    group: 'tls',
    long: 'tls-ciphers',
    kind: text('<list>', 'a list of ciphers'),
    default: '',
    description: 'ciphers as OpenSSL writes them; by default those with forward secrecy',
  },
  tls_user_from: {
    group: 'tls',
    long: 'tls-user-from',
    kind: choice(['off', 'cn', 'dns', 'email', 'uri']),
    default: 'off',
    description: "what of a client's certificate is its user, for EXTERNAL",
  },
  require_tls: {
    group: 'tls',
    long: 'require-tls',
    kind: flag(),
    default: false,
    description: 'take no password over plain TCP but from this machine; so with any TLS',
  },
  plain_in_the_clear: {
    group: 'tls',
    long: 'plain-in-the-clear',
    kind: flag(),
    default: false,
    description: 'take passwords over plain TCP although there is TLS',
  },
}
