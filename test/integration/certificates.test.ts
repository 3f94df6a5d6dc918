/**
 * Certificates of a running server: which one is shown, how they are exchanged while clients are
 * connected, and what a session that was begun before is good for afterwards.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestAuthority, type TestPair } from '../support/authority.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'

const authority = new TestAuthority()
const first = authority.issue()
const second = authority.issue()
const shop = authority.issue({ names: 'DNS:*.shop.example' })
const alice = authority.issue({ subject: '/CN=alice', names: '' })
const mallory = authority.issue({ subject: '/CN=mallory', names: '' })

const directory = mkdtempSync(join(tmpdir(), 'saslcached-certificates-'))
const at = (name: string): string => join(directory, name)

function put(name: string, pair: TestPair): void {
  writeFileSync(at(`${name}.crt`), pair.certificate)
  writeFileSync(at(`${name}.key`), pair.key, { mode: 0o600 })
}

let server: TestServer
const clients: Client[] = []

beforeAll(async () => {
  put('tls', first)
  put('shop', shop)
  writeFileSync(at('ca.pem'), authority.certificate)
  writeFileSync(at('crl.pem'), authority.revocationList([]))
  const pairs = ['tls', 'shop'].flatMap((name) => [
    ...['--tls-cert', at(`${name}.crt`)],
    ...['--tls-key', at(`${name}.key`)],
  ])
  const clientsOf = ['--tls-ca', at('ca.pem'), '--tls-crl', at('crl.pem'), '--tls-verify', '1']
  server = await startSaslcached({ flags: ['-Z', '-t', '2', ...pairs, ...clientsOf] })
})

afterAll(async () => {
  for (const client of clients) client.socket.destroy()
  await server.stop()
  authority.remove()
  rmSync(directory, { recursive: true, force: true })
})

class Client {
  readonly socket: tls.TLSSocket
  private text = ''

  constructor(options: tls.ConnectionOptions = {}) {
    this.socket = tls.connect({
      host: server.host,
      port: server.port,
      ca: authority.certificate,
      servername: 'localhost',
      ...options,
    })
    this.socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1')
    })
    clients.push(this)
  }

  /** Sends a line, and resolves to the one that comes back. */
  async ask(line: string): Promise<string> {
    this.socket.write(`${line}\r\n`)
    while (!this.text.includes('\r\n')) {
      await Promise.race([
        once(this.socket, 'data'),
        once(this.socket, 'close').then(() => Promise.reject(new Error('closed'))),
      ])
    }
    const end = this.text.indexOf('\r\n')
    const answer = this.text.slice(0, end)
    this.text = this.text.slice(end + 2)
    return answer
  }

  /** What it was shown, in PEM. */
  get shown(): string | undefined {
    return this.socket.getPeerX509Certificate()?.toString()
  }
}

async function connected(options: tls.ConnectionOptions = {}): Promise<Client> {
  const client = new Client(options)
  expect(await client.ask('version')).toMatch(/^VERSION/)
  return client
}

/** What ends a connection, if it is not served. */
async function refusal(options: tls.ConnectionOptions): Promise<string> {
  return await connected(options).then(
    () => 'served',
    () => 'refused',
  )
}

async function refresh(): Promise<string> {
  return await (await connected()).ask('refresh_certs')
}

test('the certificate is the one of the host that is asked for', async () => {
  expect((await connected()).shown).toBe(first.certificate)
  const asked = async (servername: string): Promise<string | undefined> =>
    (await connected({ servername, checkServerIdentity: () => undefined })).shown
  expect(await asked('eu.shop.example')).toBe(shop.certificate)
  expect(await asked('EU.SHOP.example')).toBe(shop.certificate)
  expect(await asked('a.b.shop.example')).toBe(first.certificate)
  expect(await asked('shop.example')).toBe(first.certificate)
  expect(await asked('nobody.example')).toBe(first.certificate)
})

test('refresh_certs shows the new pair to newcomers and leaves those who are there', async () => {
  const old = await connected()
  put('tls', second)
  expect(await old.ask('refresh_certs')).toBe('OK')
  // Whichever thread it is that serves them.
  const shown = await Promise.all(Array.from({ length: 6 }, async () => (await connected()).shown))
  expect(new Set(shown)).toEqual(new Set([second.certificate]))
  expect(await old.ask('version')).toMatch(/^VERSION/)
  expect(old.shown).toBe(first.certificate)
})

test('a pair that does not fit changes nothing, and the client hears which file it is', async () => {
  put('tls', first)
  expect(await refresh()).toBe('OK')
  writeFileSync(at('tls.key'), second.key)
  expect(await refresh()).toMatch(
    /^Error validating the certificate: \S+tls\.key : the key does not/,
  )
  writeFileSync(at('tls.crt'), 'nothing\n')
  expect(await refresh()).toMatch(/^Error loading the certificate chain: \S+tls\.crt : there is no/)
  expect((await connected()).shown).toBe(first.certificate)
  await server.waitForLog(
    ({ event, level }) => event === 'certificates_refused' && level === 'error',
  )
  put('tls', first)
  expect(await refresh()).toBe('OK')
})

test('what is asked behind refresh_certs is answered behind it, however many ask', async () => {
  const many = await Promise.all(Array.from({ length: 5 }, () => connected()))
  const answers = many.map(async (client) => [
    await client.ask('refresh_certs\r\nversion'),
    await client.ask(''),
  ])
  for (const [answer, behind] of await Promise.all(answers)) {
    expect([answer, behind?.split(' ')[0]]).toEqual(['OK', 'VERSION'])
  }
})

test('SIGHUP reads them again, changed or not', async () => {
  server.signal('SIGHUP')
  // A line about a reload from before may still be on its way, but it comes before the request's.
  await server.waitForLog(() => {
    const events = server.log().map(({ event }) => event)
    const asked = events.lastIndexOf('reload_requested')
    return asked >= 0 && events.includes('certificates_reloaded', asked)
  })
})

test('a revoked client is refused after the reload, and its session with it', async () => {
  const identity = { cert: mallory.certificate, key: mallory.key }
  const options = { ...identity, maxVersion: 'TLSv1.2' as const }
  const before = await connected(options)
  const session = before.socket.getSession()
  expect(session).toBeDefined()
  const resumed = await connected({ ...options, session })
  expect(resumed.socket.isSessionReused()).toBe(true)
  writeFileSync(at('crl.pem'), authority.revocationList([mallory]))
  expect(await refresh()).toBe('OK')
  expect(await refusal(identity)).toBe('refused')
  expect(await refusal(options)).toBe('refused')
  expect(await refusal({ ...options, session })).toBe('refused')
  expect(await refusal({ cert: alice.certificate, key: alice.key })).toBe('served')
})

test('a session is resumed by whichever thread it comes to', async () => {
  const options = { maxVersion: 'TLSv1.2' as const }
  const session = (await connected(options)).socket.getSession()
  for (let index = 0; index < 6; index++) {
    const client = await connected({ ...options, session })
    expect(client.socket.isSessionReused()).toBe(true)
  }
})

test('a session that is resumed brings the ticket for the next, whichever thread it comes to', async () => {
  let session: Buffer | undefined
  for (let index = 0; index < 6; index++) {
    const client = new Client({ session })
    // TLS 1.3 sends tickets behind the handshake; the answer comes behind them.
    let ticket: Buffer | undefined
    client.socket.on('session', (bytes: Buffer) => {
      ticket = bytes
    })
    expect(await client.ask('version')).toMatch(/^VERSION/)
    expect(client.socket.getProtocol()).toBe('TLSv1.3')
    expect(client.socket.isSessionReused()).toBe(index > 0)
    expect(ticket).toBeDefined()
    session = ticket
  }
})

test('a ticket is worth nothing after a reload, on TLS 1.3 either', async () => {
  const client = new Client()
  const [session] = (await once(client.socket, 'session')) as [Buffer]
  expect(await refresh()).toBe('OK')
  expect((await connected({ session })).socket.isSessionReused()).toBe(false)
})
