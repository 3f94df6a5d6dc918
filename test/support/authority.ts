/**
 * A certificate authority for tests, by the openssl program: what is read here was written by somebody
 * else. Keys are ECDSA P-256 unless asked otherwise.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TestPair {
  readonly certificate: string
  readonly key: string
}

export interface TestCertificateOptions {
  /** As -subj has it; default /CN=localhost. */
  readonly subject?: string
  /** As a configuration file of openssl has them; default DNS:localhost. Empty for none. */
  readonly names?: string
  /** Further lines of extensions. */
  readonly extensions?: string
  /** May be negative. */
  readonly days?: number
  /** The second at which it ends, in the place of `days`. */
  readonly endsAtMs?: number
  /** As -newkey and -pkeyopt have it: `rsa:1024`, `ec:secp256k1`. */
  readonly key?: string
}

export class TestAuthority {
  readonly certificate: string
  private readonly directory = mkdtempSync(join(tmpdir(), 'saslcached-authority-'))
  private count = 0

  /** Signed by itself, or by `parent`. */
  constructor(
    subject: string = '/CN=Test authority',
    parent?: TestAuthority,
    key: string = 'ec:P-256',
  ) {
    const options = { subject, names: '', extensions: 'basicConstraints=critical,CA:TRUE' }
    const own = parent?.issue(options) ?? this.selfSigned(subject, key)
    this.certificate = own.certificate
    this.write('ca.pem', own.certificate)
    this.write('ca.key', own.key)
    this.write('index.txt', '')
    this.write(
      'ca.cnf',
      '[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncertificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\nnew_certs_dir=.\nunique_subject=no\nrand_serial=yes\npolicy=any\n[any]\ncommonName=optional\n',
    )
  }

  /** The key goes with the directory. */
  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  issue(options: TestCertificateOptions = {}): TestPair {
    const { subject = '/CN=localhost', names = 'DNS:localhost', extensions = '' } = options
    const id = `issued-${++this.count}`
    const newKey = newKeyOf(options.key ?? 'ec:P-256')
    const alternatives = names === '' ? '' : `subjectAltName=${names}\n`
    this.write(`${id}.ext`, `[all]\n${alternatives}${extensions}\n`)
    const request = ['-keyout', `${id}.key`, '-out', `${id}.csr`, '-subj', subject, '-utf8']
    this.openssl('req', ...newKey, '-nodes', ...request)
    const from = ['-in', `${id}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial']
    const extended = ['-extfile', `${id}.ext`, '-extensions', 'all', '-out', `${id}.pem`]
    if (options.endsAtMs === undefined) {
      this.openssl('x509', '-req', ...from, '-days', String(options.days ?? 30), ...extended)
    } else {
      const end = new Date(options.endsAtMs).toISOString().replace(/[-:T]|\.\d+/g, '')
      const how = ['-config', 'ca.cnf', '-batch', '-notext', '-preserveDN', '-enddate', end]
      this.openssl('ca', ...how, '-in', `${id}.csr`, ...extended)
    }
    return { certificate: this.read(`${id}.pem`), key: this.read(`${id}.key`) }
  }

  /** A list of revoked certificates in PEM, good for `days`. */
  revocationList(revoked: readonly TestPair[], days: number = 30): string {
    for (const { certificate } of revoked) {
      this.write('revoked.pem', certificate)
      this.openssl('ca', '-config', 'ca.cnf', '-revoke', 'revoked.pem')
    }
    this.openssl('ca', '-config', 'ca.cnf', '-gencrl', '-crldays', `${days}`, '-out', 'crl.pem')
    return this.read('crl.pem')
  }

  /** The key, encrypted with a password. */
  encrypt(key: string, password: string): string {
    this.write('plain.key', key)
    const to = ['-aes256', '-passout', `pass:${password}`, '-out', 'encrypted.key']
    this.openssl('pkey', '-in', 'plain.key', ...to)
    return this.read('encrypted.key')
  }

  private selfSigned(subject: string, key: string): TestPair {
    const files = ['-keyout', 'self.key', '-out', 'self.pem', '-days', '3650']
    this.openssl('req', '-x509', ...newKeyOf(key), '-nodes', ...files, '-subj', subject)
    return { certificate: this.read('self.pem'), key: this.read('self.key') }
  }

  private openssl(...args: readonly string[]): void {
    const { status, stderr } = spawnSync('openssl', args, { cwd: this.directory, encoding: 'utf8' })
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`)
  }

  private write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), text, { mode: 0o600 })
  }

  private read(name: string): string {
    return readFileSync(join(this.directory, name), 'utf8')
  }
}

function newKeyOf(key: string): readonly string[] {
  const [kind = '', parameter = ''] = key.split(':')
  return kind === 'ec'
    ? ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${parameter}`]
    : ['-newkey', `${kind}:${parameter}`]
}
