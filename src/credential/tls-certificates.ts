/**
 * What is in the files behind a TLS listener (tls-files.ts): certificates with those that signed them, their keys, whom
 * clients' certificates are verified against, and which of these were revoked. Read and checked as a whole, so
 * that what a worker is given works.
 *
 * Invariant: all or nothing. Either everything is without a problem, or all problems are thrown, each
 * with its file and what to do about it. Nothing of a key or a password is ever in one.
 */
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto'
import { basename } from 'node:path'
import type { FileContent } from './file-access.ts'
import { peerCertificate } from './peer-certificate.ts'
import type { PemBlock } from './pem.ts'
import { isListSignedBy } from './revocation-signature.ts'
import { type FileCertificate, TlsFileContents, UnusableFileError } from './tls-file-contents.ts'
import {
  TlsFileError,
  type TlsFilePair,
  type TlsFileProblem,
  type TlsFileRole,
  type TlsFiles,
  tlsFilePaths,
} from './tls-files.ts'
import type { TlsIdentity } from './tls-identity.ts'
import { slownessOf, weaknessOf } from './tls-key.ts'
import { type RevocationList, readRevocationList, readTbsCertificate } from './x509.ts'

/** One that was found good, and how long it is. */
export interface DatedCertificate {
  readonly file: string
  readonly role: 'chain' | 'ca' | 'crl'
  /** The first host that it is for, or the last part of the file's path. */
  readonly name: string
  /** What it is, in a sentence: `the certificate`. */
  readonly what: string
  readonly validToMs: number
}

export interface LoadedCertificates {
  readonly identities: readonly TlsIdentity[]
  /** PEM. */
  readonly ca: string | undefined
  readonly crl: string | undefined
  readonly dated: readonly DatedCertificate[]
  /** What is worth a warning at each reading. */
  readonly warnings: readonly TlsFileProblem[]
}

export type ReadFile = (path: string) => Promise<FileContent | string>

/** Throws TlsFileError. `nowMs`: milliseconds since 1970. */
export async function loadCertificates(
  files: TlsFiles,
  read: ReadFile,
  nowMs: number,
): Promise<LoadedCertificates> {
  const contents = new Map<string, FileContent | string>()
  for (const path of tlsFilePaths(files)) contents.set(path, await read(path))
  return new Check(new TlsFileContents(contents), nowMs).all(files)
}

/** A list of revoked certificates grows. */
const CRL_BYTES_MAX = 8 * 1024 * 1024
/** OpenSSL takes no longer one from here. */
const PASSWORD_BYTES_MAX = 1024
const CHAIN_MAX = 10
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const ANY_USAGE = '2.5.29.37.0'

class Check {
  private readonly files: TlsFileContents
  private readonly nowMs: number
  private readonly problems: TlsFileProblem[] = []
  private readonly warnings: TlsFileProblem[] = []
  private readonly dated: DatedCertificate[] = []

  constructor(files: TlsFileContents, nowMs: number) {
    this.files = files
    this.nowMs = nowMs
  }

  all({ pairs, caFile, crlFile }: TlsFiles): LoadedCertificates {
    const found = pairs.map((pair) => this.attempt(() => this.identity(pair)))
    const authorities = this.attempt(() => this.authorities(caFile))
    const crl = this.attempt(() => this.revocations(crlFile, authorities))
    this.refuseTwins(pairs, found)
    if (this.problems.length > 0) throw new TlsFileError(this.problems)
    return {
      identities: found.flatMap((each) => each?.identity ?? []),
      ca: authorities?.map(({ x509 }) => x509.toString()).join(''),
      crl,
      dated: this.dated,
      warnings: this.warnings,
    }
  }

  /** What `look` gives; undefined, and a problem, if it cannot. */
  private attempt<Result>(look: () => Result): Result | undefined {
    try {
      return look()
    } catch (error) {
      if (!(error instanceof UnusableFileError)) throw error
      this.problems.push(error.problem)
      return undefined
    }
  }

  private identity(pair: TlsFilePair): { identity: TlsIdentity; keyKind: string } | undefined {
    const { certificateFile, keyFile } = pair
    const chain = this.attempt(() => this.chain(certificateFile))
    const key = this.attempt(() => this.key(pair))
    const [leaf] = chain ?? []
    if (chain === undefined || leaf === undefined || key === undefined) return undefined
    if (!leaf.x509.checkPrivateKey(key)) {
      const message = `the key does not fit the certificate of ${certificateFile}: replace both together`
      throw new UnusableFileError('pair', keyFile, message)
    }
    return {
      identity: {
        names: namesOf(leaf.x509),
        key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
        certificate: chain.map(({ x509 }) => x509.toString()).join(''),
      },
      keyKind: key.asymmetricKeyType ?? '',
    }
  }

  /** The certificate of the server, then who signed it. */
  private chain(file: string): readonly FileCertificate[] {
    const chain = this.files.certificates('chain', file)
    if (chain.length > CHAIN_MAX) {
      throw new UnusableFileError(
        'chain',
        file,
        `there are more than ${CHAIN_MAX} certificates in the chain`,
      )
    }
    const [leaf] = chain
    for (const [index, { x509, line }] of chain.entries()) {
      const issuer = chain[index + 1]
      if (issuer !== undefined && !isSignedBy(x509, issuer.x509)) {
        const message = `the certificate that begins here was not signed by the one behind it: the order is the server's own, who signed that, and so on`
        throw new UnusableFileError('chain', file, message, line)
      }
      this.checkDates('chain', file, x509, line)
    }
    if (leaf !== undefined) {
      this.dated.push({
        file,
        role: 'chain',
        name: namesOf(leaf.x509)[0] ?? basename(file),
        what: 'the certificate',
        validToMs: Math.min(...chain.map(({ x509 }) => Date.parse(x509.validTo))),
      })
      this.checkUse(file, leaf)
    }
    return chain
  }

  private checkDates(role: TlsFileRole, file: string, x509: X509Certificate, line: number): void {
    if (Date.parse(x509.validTo) < this.nowMs) {
      const message = `the certificate that begins here has expired on ${x509.validTo}: have it renewed`
      throw new UnusableFileError(role, file, message, line)
    }
    if (Date.parse(x509.validFrom) > this.nowMs) {
      const message = `the certificate that begins here is not valid before ${x509.validFrom}: is the clock right?`
      throw new UnusableFileError(role, file, message, line)
    }
  }

  private checkUse(file: string, { x509, line }: FileCertificate): void {
    // Node's name for the extended key usage.
    const usage: readonly string[] | undefined = x509.keyUsage
    if (usage !== undefined && !usage.includes(SERVER_AUTH) && !usage.includes(ANY_USAGE)) {
      const message =
        'this certificate is not for servers (its extended key usage lacks serverAuth): clients would refuse it'
      throw new UnusableFileError('chain', file, message, line)
    }
    if (x509.subjectAltName === undefined) {
      const message =
        'the certificate has no subject alternative name, and clients of today look at nothing else'
      this.warnings.push({ role: 'chain', file, line, message })
    }
  }

  private key({ keyFile, keyPasswordFile, certificateFile }: TlsFilePair): KeyObject {
    const { stats } = this.files.content('key', keyFile)
    const blocks = this.files.blocks('key', keyFile)
    const [block, second] = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'))
    if (block === undefined) {
      const isPublic = blocks.some(({ label }) => label.endsWith('PUBLIC KEY'))
      const what = isPublic
        ? 'there is a public key in the file, and no private one'
        : 'there is no private key in PEM in the file'
      const hint = keyFile === certificateFile ? '; name its own with --tls-key' : ''
      throw new UnusableFileError('key', keyFile, `${what}${hint}`)
    }
    if (second !== undefined) {
      throw new UnusableFileError(
        'key',
        keyFile,
        'there is a second private key here; leave one',
        second.line,
      )
    }
    const key = this.decrypt(keyFile, block, keyPasswordFile)
    const weakness = weaknessOf(key)
    if (weakness !== undefined) throw new UnusableFileError('key', keyFile, weakness, block.line)
    const slowness = slownessOf(key)
    if (slowness !== undefined) {
      this.warnings.push({ role: 'key', file: keyFile, line: block.line, message: slowness })
    }
    this.warnOfMode(keyFile, stats.mode, 'the key')
    return key
  }

  private warnOfMode(file: string, mode: number, secret: string): void {
    const open = mode & 0o006
    if (open === 0) return
    const what = ['', 'change', 'read', 'read and change'][open >> 1]
    const message = `everybody on this machine may ${what} ${secret}; run chmod o-rw on it`
    this.warnings.push({ role: 'key', file, line: 0, message })
  }

  private decrypt(file: string, block: PemBlock, passwordFile: string | undefined): KeyObject {
    const isEncrypted = block.label === 'ENCRYPTED PRIVATE KEY' || block.hasHeaders
    if (isEncrypted && passwordFile === undefined) {
      const message =
        'the key is encrypted: name a file with its password, --tls-key-password-file FILE'
      throw new UnusableFileError('key', file, message, block.line)
    }
    const password =
      isEncrypted && passwordFile !== undefined ? this.password(passwordFile) : undefined
    try {
      return createPrivateKey({
        key: block.text,
        format: 'pem',
        ...(password === undefined ? {} : { passphrase: password }),
      })
    } catch (error) {
      if (!(error instanceof Error)) throw error
      const message = isEncrypted
        ? `the key cannot be decrypted: is the password in ${passwordFile} the right one?`
        : 'the private key that begins here cannot be read: it is damaged, or of a kind that OpenSSL does not know'
      throw new UnusableFileError('key', file, message, block.line)
    }
  }

  private password(file: string): string {
    const text = this.files.text('key', file, PASSWORD_BYTES_MAX + 2).replace(/\r?\n$/, '')
    if (/[\r\n]/.test(text)) {
      throw new UnusableFileError('key', file, 'there is more than one line; the password is one')
    }
    const { stats } = this.files.content('key', file)
    this.warnOfMode(file, stats.mode, 'the password of the key')
    return text
  }

  private authorities(file: string | undefined): readonly FileCertificate[] | undefined {
    if (file === undefined) return undefined
    const certificates = this.files.certificates('ca', file)
    const good = certificates.filter(({ x509, line }) => {
      if (!x509.ca) {
        const message = 'the certificate that begins here is not one of an authority (CA:TRUE)'
        throw new UnusableFileError('ca', file, message, line)
      }
      return Date.parse(x509.validTo) >= this.nowMs
    })
    if (good.length === 0) {
      throw new UnusableFileError(
        'ca',
        file,
        'every certificate in the file has expired: have it renewed',
      )
    }
    for (const { x509, line } of certificates) {
      if (Date.parse(x509.validTo) >= this.nowMs) continue
      const message = `the certificate that begins here has expired on ${x509.validTo}: who it signed for is refused`
      this.warnings.push({ role: 'ca', file, line, message })
    }
    const last = good.reduce(
      (least, { x509 }) => Math.min(least, Date.parse(x509.validTo)),
      Infinity,
    )
    this.dated.push({
      file,
      role: 'ca',
      name: basename(file),
      what: 'an authority',
      validToMs: last,
    })
    return certificates
  }

  private revocations(
    file: string | undefined,
    authorities: readonly FileCertificate[] | undefined,
  ): string | undefined {
    if (file === undefined) return undefined
    const blocks = this.files.blocks('crl', file, CRL_BYTES_MAX)
    const lists = blocks.map((block) => {
      const list = block.label === 'X509 CRL' ? readRevocationList(block.bytes) : undefined
      if (list === undefined) {
        const message = 'what begins here is not a list of revoked certificates (X509 CRL)'
        throw new UnusableFileError('crl', file, message, block.line)
      }
      if (isForged(list, authorities ?? [])) {
        const message = 'the list that begins here is not signed by the authority that it names'
        throw new UnusableFileError('crl', file, message, block.line)
      }
      return list
    })
    if (lists.length === 0) {
      throw new UnusableFileError(
        'crl',
        file,
        'there is no list of revoked certificates (X509 CRL) in PEM',
      )
    }
    const nextMs = Math.min(...lists.map(({ nextUpdateMs = Infinity }) => nextUpdateMs))
    if (nextMs < this.nowMs) {
      const message = `a list in it was good until ${new Date(nextMs).toUTCString()}: fetch a new one, or every client is refused`
      throw new UnusableFileError('crl', file, message)
    }
    // OpenSSL asks for the list of everyone in a client's chain.
    const issuers = new Set(lists.map(({ issuer }) => Buffer.from(issuer).toString('hex')))
    const lacking = authorities?.find(({ x509 }) => !issuers.has(subjectOf(x509)))
    if (lacking !== undefined) {
      const message = `there is no list of ${onOneLine(lacking.x509.subject)} in it: every client that it signed for would be refused`
      throw new UnusableFileError('crl', file, message)
    }
    if (nextMs !== Infinity) {
      this.dated.push({
        file,
        role: 'crl',
        name: basename(file),
        what: 'the list of revoked certificates',
        validToMs: nextMs,
      })
    }
    return blocks.map(({ text }) => text).join('')
  }

  /** Of two certificates with the same names only one would ever be shown, unless their keys differ. */
  private refuseTwins(
    pairs: readonly TlsFilePair[],
    found: readonly ({ identity: TlsIdentity; keyKind: string } | undefined)[],
  ): void {
    const seen = new Map<string, string>()
    for (const [index, each] of found.entries()) {
      const file = pairs[index]?.certificateFile
      if (each === undefined || file === undefined) continue
      const { names } = each.identity
      if (names.length === 0 && index > 0) {
        const message = 'the certificate names no host, and so would never be shown: put it first'
        this.problems.push({ role: 'chain', file, line: 0, message })
      }
      const key = `${each.keyKind} ${[...names].sort().join(' ')}`
      const other = seen.get(key)
      if (other === undefined) seen.set(key, file)
      else {
        const message = `the certificate has the same names, and the same kind of key, as that of ${other}`
        this.problems.push({ role: 'chain', file, line: 0, message })
      }
    }
  }
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

/** DNS names, or the common name of a certificate from before there were any. */
function namesOf(x509: X509Certificate): readonly string[] {
  const certificate = peerCertificate(x509)
  if (certificate === undefined) return []
  const { dnsNames, commonNames } = certificate
  if (x509.subjectAltName !== undefined) return [...new Set(dnsNames)]
  return [...new Set(commonNames.map((name) => name.toLowerCase()))]
}

function subjectOf(x509: X509Certificate): string {
  const certificate = readTbsCertificate(x509.raw)
  return Buffer.from(certificate?.subject.whole ?? []).toString('hex')
}

function onOneLine(subject: string): string {
  return subject.replaceAll('\n', ', ')
}

/** Authorities of one name may have several keys; a list of somebody else is left to OpenSSL. */
function isForged(
  { issuer, signed }: RevocationList,
  authorities: readonly FileCertificate[],
): boolean {
  const name = Buffer.from(issuer).toString('hex')
  const makers = authorities.filter(({ x509 }) => subjectOf(x509) === name)
  return makers.length > 0 && makers.every(({ x509 }) => isListSignedBy(signed, x509) === false)
}
