/**
 * Records of TLS that bring nothing, of a client that has not logged in: wishes for new keys are bounded whatever
 * comes between them, and what a client needs on the wire for what it says is never taken for one.
 */
import { once } from 'node:events'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { TestAuthority } from '../support/authority.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { connectTls, TestTls, TlsTunnel } from '../support/tls.ts'
import { type RecordVersion, TlsRecords } from '../support/tls-records.ts'
import { whenClosed } from '../support/when-closed.ts'

const LOGIN = 'set login 0 0 16\r\nalice wonderland\r\n'
const BODY_BYTES = 20_000

let tls: TestTls
let server: TestServer
let tunnel: TlsTunnel

beforeAll(async () => {
  tls = new TestTls()
  server = await startSaslcached({
    users: [{ name: 'alice', password: 'wonderland' }],
    // No deadline is to end what the bound does not.
    flags: [...tls.server.flags, '-t', '1', '--login-timeout', '600'],
  })
  tunnel = await TlsTunnel.to(server.port)
})

afterAll(async () => {
  tunnel.close()
  await server.stop()
  tls.remove()
})

async function clientOf(version: RecordVersion): Promise<TlsRecords> {
  const client = await TlsRecords.connect(server.port, version)
  onTestFinished(() => void client.under.destroy())
  return client
}

async function droppedCount(): Promise<number> {
  const text = new TextClient(tunnel)
  expect(await text.ask(LOGIN)).toBe('STORED\r\n')
  const rows = await text.ask('stats\r\n', 'END\r\n')
  return Number(/STAT ssl_proto_errors (\d+)/.exec(rows)?.[1])
}

test('who hides wishes for new keys behind single bytes of data is dropped', async () => {
  const before = await droppedCount()
  const client = await clientOf('TLSv1.3')
  const isClosed = whenClosed(client.under)
  // A body that belongs to nobody, and is passed over.
  const sent = [client.data('set a 0 0 1000000\r\n')]
  for (let round = 0; round < 1000; round++) sent.push(client.data('x'), client.keyUpdates(8))
  client.under.write(Buffer.concat(sent))
  await isClosed
  expect(await droppedCount()).toBe(before + 1)
})

test.each<RecordVersion>(['TLSv1.2', 'TLSv1.3'])(
  'who sends a byte in each record is not, over %s',
  async (version) => {
    const before = await droppedCount()
    const client = await clientOf(version)
    const refused = once(client.socket, 'data')
    const request = `set a 0 0 ${BODY_BYTES}\r\n${'x'.repeat(BODY_BYTES)}\r\n`
    client.under.write(Buffer.concat([...request].map((character) => client.data(character))))
    expect(String((await refused)[0])).toMatch(/^\w+_ERROR /)
    const answer = once(client.socket, 'data')
    client.under.write(Buffer.concat([...LOGIN].map((character) => client.data(character))))
    expect(String((await answer)[0])).toBe('STORED\r\n')
    expect(await droppedCount()).toBe(before)
  },
)

test('keys of finite fields and large curves, which cost us much more than a client, are not agreed on', async () => {
  for (const ecdhCurve of ['ffdhe2048', 'ffdhe8192', 'P-384', 'P-521']) {
    await expect(connectTls(server.port, { ecdhCurve, minVersion: 'TLSv1.3' })).rejects.toThrow(
      /handshake.failure/,
    )
  }
  for (const ecdhCurve of ['X25519', 'P-256', 'X448']) {
    const socket = await connectTls(server.port, { ecdhCurve, minVersion: 'TLSv1.3' })
    socket.destroy()
  }
})

test.each([
  ['P-384', ['P-384']],
  ['P-521', ['P-384', 'P-521']],
])('a server whose own key is on %s agrees on %j, too', async (curve, agreed) => {
  const files = new TestTls()
  onTestFinished(() => files.remove())
  const { flags } = files.issue('large', { names: 'DNS:localhost', key: `ec:${curve}` })
  const large = await startSaslcached({ users: [{ name: 'alice', password: 'wonderland' }], flags })
  onTestFinished(async () => await large.stop())
  for (const ecdhCurve of ['X25519', ...agreed]) {
    const socket = await connectTls(large.port, { ecdhCurve, minVersion: 'TLSv1.3' })
    socket.destroy()
  }
})

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'a client certificate on P-384, of an authority on that curve, is taken over %s',
  async (version) => {
    const files = new TestTls()
    const authority = new TestAuthority('/CN=Large authority', undefined, 'ec:P-384')
    onTestFinished(() => {
      files.remove()
      authority.remove()
    })
    const caFile = files.write('large-ca.pem', authority.certificate)
    const { certificate, key } = authority.issue({ names: '', key: 'ec:P-384' })
    const large = await startSaslcached({
      users: [{ name: 'alice', password: 'wonderland' }],
      flags: [...files.server.flags, '--tls-ca', caFile, '--tls-verify', 'require'],
    })
    onTestFinished(async () => await large.stop())
    const options = { cert: certificate, key, minVersion: version, maxVersion: version }
    const socket = await connectTls(large.port, options)
    onTestFinished(() => void socket.destroy())
    socket.write(LOGIN)
    expect(String((await once(socket, 'data'))[0])).toBe('STORED\r\n')
  },
)
