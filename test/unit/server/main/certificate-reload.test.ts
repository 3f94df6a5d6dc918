import { X509Certificate } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import type { TlsConfig } from '../../../../src/config/config.ts'
import { TlsFileError } from '../../../../src/credential/tls-files.ts'
import { CertificateReload } from '../../../../src/server/main/certificate-reload.ts'
import type { TlsMaterial } from '../../../../src/server/net/tls-material.ts'
import { TestAuthority, type TestPair } from '../../../support/authority.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const authority = new TestAuthority()
const first = authority.issue()
const second = authority.issue()
const ending = new X509Certificate(first.certificate)
afterAll(() => authority.remove())

let directory = ''
const reloads: CertificateReload[] = []
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'saslcached-reload-'))
})
afterEach(() => {
  for (const reload of reloads.splice(0)) reload.close()
  rmSync(directory, { recursive: true, force: true })
})

const at = (name: string): string => join(directory, name)

function put(pair: TestPair): void {
  writeFileSync(at('tls.crt'), pair.certificate)
  writeFileSync(at('tls.key'), pair.key, { mode: 0o600 })
}

interface Said {
  readonly level: string
  readonly event: string
  readonly message: string
}

/** A server of two workers, which the test plays. */
class Server {
  readonly said: Said[] = []
  readonly sent: TlsMaterial[] = []
  readonly clock: ManualClock = new ManualClock()
  readonly reload: CertificateReload
  /** Of the wall clock. */
  wallMs = Date.parse(ending.validFrom) + HOUR_MS
  confirms = true
  private wake: () => void = () => undefined

  constructor(config: Partial<TlsConfig> = {}) {
    const pair = {
      certificateFile: at('tls.crt'),
      keyFile: at('tls.key'),
      keyPasswordFile: undefined,
    }
    this.reload = new CertificateReload({
      config: {
        pairs: [pair],
        caFile: undefined,
        crlFile: undefined,
        minVersion: '1.2',
        ciphers: undefined,
        verify: 'none',
        ...config,
      },
      say: (level, event, message) => {
        this.said.push({ level, event, message })
        this.wake()
      },
      workers: {
        size: 2,
        broadcast: (message) => {
          if (message.kind !== 'certificates') return
          this.sent.push(message.material)
          if (this.confirms) this.confirm(message.material.generation)
        },
      },
      clock: this.clock,
      nowSeconds: () => 42,
      wallMs: () => this.wallMs,
      debounceMs: 1,
    })
    reloads.push(this.reload)
  }

  confirm(generation: number): void {
    this.reload.confirmed(generation)
    this.reload.confirmed(generation)
  }

  get events(): string[] {
    return this.said.map(({ event }) => event)
  }

  /** The next thing that is said of `events`; what a reader of half-written files says is skipped. */
  async next(...events: readonly string[]): Promise<Said> {
    for (;;) {
      const found = this.said.find(({ event }) => events.includes(event))
      if (found !== undefined) return found
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
  }
}

async function started(config: Partial<TlsConfig> = {}): Promise<Server> {
  put(first)
  const server = new Server(config)
  await server.reload.load()
  server.said.length = 0
  return server
}

const shown = ({ sent }: Server): string | undefined => sent.at(-1)?.identities[0]?.certificate
const plain = (certificate: string): string => new X509Certificate(certificate).toString()

test('the material of the start is what the files have, and survives the way to a worker', async () => {
  put(first)
  const server = new Server({ verify: 'once', ciphers: 'HIGH', minVersion: '1.3' })
  const material = await server.reload.load()
  expect(structuredClone(material)).toEqual(material)
  expect(material).toMatchObject({
    minVersion: 'TLSv1.3',
    ciphers: 'HIGH',
    verifyMode: 3,
    generation: 1,
    loadedAtSeconds: 42,
  })
  expect(material.ticketKeys).toHaveLength(48)
  expect(server.events).toEqual(['certificates_loaded', 'certificate_expires'])
})

test('a start without a good pair is refused, and says why', async () => {
  put({ ...first, key: second.key })
  const loading = new Server().reload.load()
  await expect(loading).rejects.toThrow(TlsFileError)
  await expect(loading).rejects.toThrow('the key does not fit the certificate')
})

test('ciphers that OpenSSL does not take are blamed, and not the certificate', async () => {
  put(first)
  const loading = new Server({ ciphers: 'NONE-SUCH' }).reload.load()
  await expect(loading).rejects.toThrow(
    new TlsFileError([
      {
        role: 'chain',
        file: '--tls-ciphers',
        line: 0,
        message: 'OpenSSL does not take "NONE-SUCH": ERR_SSL_NO_CIPHER_MATCH',
      },
    ]),
  )
})

test('a pair that OpenSSL does not take is refused like one that we do not', async () => {
  put(first)
  const loading = new Server({ ciphers: 'DEFAULT:@SECLEVEL=5' }).reload.load()
  await expect(loading).rejects.toThrow(/tls\.crt: OpenSSL does not take it: ERR_SSL_/)
})

test('a refresh is done when the last worker shows the new pair', async () => {
  const server = await started()
  server.confirms = false
  put(second)
  let isDone = false
  const refreshing = server.reload.refresh().then((problem) => {
    isDone = true
    return problem
  })
  while (server.sent.length === 0) await new Promise(setImmediate)
  server.reload.confirmed(2)
  await new Promise(setImmediate)
  expect([isDone, server.events]).toEqual([false, []])
  server.reload.confirmed(2)
  expect(await refreshing).toBeUndefined()
  expect(server.events[0]).toBe('certificates_reloaded')
  expect(shown(server)).toBe(plain(second.certificate))
  const endMs = Date.parse(new X509Certificate(second.certificate).validTo)
  expect(server.reload.dated).toMatchObject([{ role: 'chain', validToMs: endMs }])
})

test('however often clients ask, they have one refresh a second, and each is answered', async () => {
  const server = await started()
  const before = server.sent.length
  await server.reload.refreshForClient()
  expect(server.sent).toHaveLength(before + 1)
  const asked = Array.from({ length: 50 }, () => server.reload.refreshForClient())
  server.clock.pass(999)
  await server.reload.refresh()
  expect(server.sent, 'who is no client does not wait').toHaveLength(before + 2)
  server.clock.pass(1)
  await Promise.all(asked)
  expect(server.sent).toHaveLength(before + 3)
})

test('however many ask at once, the files are read once more for all of them', async () => {
  const server = await started()
  await Promise.all(Array.from({ length: 50 }, () => server.reload.refresh()))
  expect(server.sent.map(({ generation }) => generation)).toEqual([2, 3])
})

const encrypted = authority.encrypt(first.key, 'right')

/** What goes wrong with the files, and what a client that asked is told. */
const BREAKAGES: readonly (readonly [string, () => void, RegExp])[] = [
  [
    'a key of another certificate',
    () => writeFileSync(at('tls.key'), second.key),
    /^Error validating the certificate: \S+tls\.key : the key does not fit/,
  ],
  [
    'a certificate of another key',
    () => writeFileSync(at('tls.crt'), second.certificate),
    /^Error validating the certificate: \S+tls\.key : /,
  ],
  [
    'a certificate half written',
    () => truncateSync(at('tls.crt'), 200),
    /^Error loading the certificate chain: \S+tls\.crt : .*still being written/,
  ],
  [
    'a key half written',
    () => truncateSync(at('tls.key'), 100),
    /^Error loading the key: \S+tls\.key : .*still being written/,
  ],
  [
    'an empty file',
    () => truncateSync(at('tls.crt'), 0),
    /^Error loading the certificate chain: \S+ : the file is empty/,
  ],
  [
    'a missing certificate',
    () => unlinkSync(at('tls.crt')),
    /^Error loading the certificate chain: \S+ : there is no such file/,
  ],
  [
    'a missing key',
    () => unlinkSync(at('tls.key')),
    /^Error loading the key: \S+ : there is no such file/,
  ],
  [
    'a directory',
    () => {
      unlinkSync(at('tls.crt'))
      mkdirSync(at('tls.crt'))
    },
    /^Error loading the certificate chain: \S+ : this is a directory/,
  ],
  [
    'a link in a circle, which nobody can read',
    () => {
      unlinkSync(at('tls.key'))
      symlinkSync('tls.key', at('tls.key'))
    },
    /^Error loading the key: \S+ : the file cannot be read or written \(ELOOP\)/,
  ],
  [
    'a huge file',
    () => truncateSync(at('tls.crt'), 100 * 1024 * 1024),
    /^Error loading the certificate chain: \S+ : the file has 104857600 bytes; at most/,
  ],
  [
    'an encrypted key whose password nobody has said',
    () => writeFileSync(at('tls.key'), encrypted),
    /^Error loading the key: \S+ : the key is encrypted/,
  ],
  [
    'a weak key',
    () => put(authority.issue({ key: 'rsa:1024' })),
    /^Error loading the key: \S+ : the RSA key has 1024 bits/,
  ],
]

test.each(BREAKAGES)('%s: the old pair stays, the log names the file', async (_, damage, told) => {
  const server = await started()
  damage()
  const problem = await server.reload.refresh()
  expect(problem).toMatch(told)
  expect(problem).not.toContain('\n')
  expect(server.sent).toEqual([])
  expect(server.said).toMatchObject([{ level: 'error', event: 'certificates_refused' }])
  expect(server.said[0]?.message).toContain(directory)
  // And it is taken when it is right again.
  rmSync(at('tls.crt'), { recursive: true, force: true })
  rmSync(at('tls.key'), { force: true })
  put(second)
  expect(await server.reload.refresh()).toBeUndefined()
  expect(shown(server)).toBe(plain(second.certificate))
})

test('an expired pair: the old one stays, even where that has expired as well', async () => {
  const server = await started()
  server.wallMs = Date.parse(ending.validTo) + DAY_MS
  expect(await server.reload.refresh()).toMatch(
    /^Error loading the certificate chain: .*has expired/,
  )
  expect(server.sent).toEqual([])
})

test('a wrong password is told, a right one is taken', async () => {
  writeFileSync(at('password'), 'right\n')
  const pair = {
    certificateFile: at('tls.crt'),
    keyFile: at('tls.key'),
    keyPasswordFile: at('password'),
  }
  const server = await started({ pairs: [pair] })
  writeFileSync(at('tls.key'), encrypted)
  expect(await server.reload.refresh()).toBeUndefined()
  expect(server.sent[0]?.identities[0]?.key).not.toContain('ENCRYPTED')
  writeFileSync(at('password'), 'wrong\n')
  expect(await server.reload.refresh()).toMatch(/^Error loading the key: \S+ : .*the right one\?/)
  expect(JSON.stringify(server.said)).not.toContain('wrong\\n')
  expect(server.sent).toHaveLength(1)
})

test('of several pairs one that is broken keeps all of them as they were', async () => {
  const other = authority.issue({ names: 'DNS:other' })
  writeFileSync(at('other.crt'), other.certificate)
  writeFileSync(at('other.key'), other.key)
  const pairs = ['tls', 'other'].map((name) => ({
    certificateFile: at(`${name}.crt`),
    keyFile: at(`${name}.key`),
    keyPasswordFile: undefined,
  }))
  const server = await started({ pairs })
  put(second)
  truncateSync(at('other.key'), 10)
  expect(await server.reload.refresh()).toMatch(/^Error loading the key: \S+other\.key/)
  expect(server.sent).toEqual([])
})

test('files that are written over are noticed', async () => {
  const server = await started()
  await server.reload.watchFiles()
  put(second)
  await server.next('certificates_reloaded')
  expect(shown(server)).toBe(plain(second.certificate))
})

test('Kubernetes’ swap of a link is noticed, and again', async () => {
  // tls.crt -> ..data/tls.crt, ..data -> ..1, and then a ..data_tmp is renamed over ..data.
  const version = (name: string, pair: TestPair): void => {
    mkdirSync(at(name))
    writeFileSync(at(`${name}/tls.crt`), pair.certificate)
    writeFileSync(at(`${name}/tls.key`), pair.key)
    symlinkSync(name, at('..data_tmp'))
    renameSync(at('..data_tmp'), at('..data'))
  }
  version('..1', first)
  symlinkSync('..data/tls.crt', at('tls.crt'))
  symlinkSync('..data/tls.key', at('tls.key'))
  const server = new Server()
  await server.reload.load()
  await server.reload.watchFiles()
  for (const [name, pair] of [
    ['..2', second],
    ['..3', first],
  ] as const) {
    server.said.length = 0
    version(name, pair)
    await server.next('certificates_reloaded')
    expect(shown(server)).toBe(plain(pair.certificate))
  }
  expect(server.events).not.toContain('certificates_refused')
})

test('a pair that is replaced one file after the other is taken when both are there', async () => {
  const server = await started()
  await server.reload.watchFiles()
  writeFileSync(at('tls.crt'), second.certificate)
  await server.next('certificates_refused')
  expect(server.sent).toEqual([])
  writeFileSync(at('tls.key'), second.key)
  await server.next('certificates_reloaded')
  expect(shown(server)).toBe(plain(second.certificate))
})

test('every reload has ticket keys of its own: what was revoked must not be resumed', async () => {
  const server = await started()
  await server.reload.refresh()
  await server.reload.refresh()
  const [one, two] = server.sent.map(({ ticketKeys }) => Buffer.from(ticketKeys).toString('hex'))
  expect(one).not.toBe(two)
  expect(new Set(one?.match(/../g)).size).toBeGreaterThan(10)
})

test('ticket keys are exchanged after a day, and the certificates are not', async () => {
  const server = await started()
  server.clock.pass(23 * HOUR_MS)
  expect(server.sent).toEqual([])
  server.clock.pass(HOUR_MS)
  expect(server.sent.map(({ generation }) => generation)).toEqual([2])
  expect(shown(server)).toBe(plain(first.certificate))
  expect(server.sent[0]?.loadedAtSeconds).toBe(42)
  server.clock.pass(24 * HOUR_MS)
  expect(server.sent).toHaveLength(2)
})

test('an end that comes is warned of at 30, 7 and 1 days, once each, however often it is read', async () => {
  const long = authority.issue({ days: 40 })
  put(long)
  const server = new Server()
  const endMs = Date.parse(new X509Certificate(long.certificate).validTo)
  server.wallMs = endMs - 31 * DAY_MS
  await server.reload.load()
  const warnings = (): string[] =>
    server.said
      .splice(0)
      .filter(({ event }) => event.startsWith('certificate_'))
      .map(({ level, message }) => `${level} ${message}`)
  expect(warnings()).toEqual([])
  for (const [days, warning] of [
    [30, 'warn the certificate expires within 30 days: have it renewed'],
    [7, 'warn the certificate expires within 7 days: have it renewed'],
    [1, 'warn the certificate expires within a day: have it renewed'],
    [0, 'error the certificate has expired: clients refuse it, or are refused'],
  ] as const) {
    server.wallMs = endMs - days * DAY_MS
    for (let hours = 0; hours < 5; hours++) server.clock.pass(HOUR_MS)
    if (days > 0) await server.reload.refresh()
    expect(warnings()).toEqual([warning])
  }
})

test('after the end nothing is read, sent or said', async () => {
  const server = await started()
  await server.reload.watchFiles()
  server.reload.close()
  put(second)
  await server.reload.refresh()
  server.clock.pass(100 * HOUR_MS)
  expect([server.sent, server.said]).toEqual([[], []])
})
