/** What two workers count with labels, read from `/metrics` of a real server. */

import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { TestAuthority } from '../support/authority.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { whenClosed } from '../support/when-closed.ts'

const CLIENTS = 12

/** The answer to the login has been given. */
async function logIn(server: TestServer, login: string): Promise<TextClient> {
  const client = new TextClient(server)
  client.send(`set auth 0 0 ${login.length}\r\n${login}\r\n`)
  expect(await client.until('\r\n')).toMatch(/^(STORED|CLIENT_ERROR .*)\r\n$/)
  return client
}

/** Our own metrics as `name{labels} value`, by what stands before the value. */
async function scrape(server: TestServer): Promise<Record<string, number>> {
  const { address } = await server.waitForLog(({ event }) => event === 'http_listening')
  const answer = await fetch(`http://${address}/metrics`)
  expect(answer.status).toBe(200)
  const lines = (await answer.text()).split('\n')
  return Object.fromEntries(
    lines
      .filter((line) => line.startsWith('saslcached_'))
      .map((line) => {
        const at = line.lastIndexOf(' ')
        return [line.slice('saslcached_'.length, at), Number(line.slice(at + 1))] as const
      }),
  )
}

test('what two workers count by user, verb and mechanism is read as one', async () => {
  const server = await startSaslcached({
    users: [
      { name: 'alice', password: 'secret' },
      { name: 'b"\\ob', password: 'hidden' },
    ],
    flags: ['-t', '2', '--http', '127.0.0.1:0', '--histograms'],
  })
  const clients: TextClient[] = []
  for (let index = 0; index < CLIENTS; index++) {
    clients.push(await logIn(server, index % 3 === 0 ? 'b"\\ob hidden' : 'alice secret'))
  }
  await logIn(server, 'alice wrong')
  for (const client of clients) {
    client.send('set k 0 0 1\r\nx\r\nget k\r\nget none\r\n')
    await client.until('END\r\nEND\r\n')
  }
  // When this is answered, the turns before it have been counted.
  for (const client of clients) {
    client.send('mn\r\n')
    await client.until('MN\r\n')
  }
  const values = await scrape(server)
  expect(values).toMatchObject({
    'user_connections{user="alice"}': 8,
    'user_connections{user="b\\"\\\\ob"}': 4,
    'user_hits_total{user="alice"}': 8,
    'user_misses_total{user="b\\"\\\\ob"}': 4,
    'requests_total{dialect="text",verb="get"}': 2 * CLIENTS,
    'logins_total{mechanism="PLAIN"}': CLIENTS,
    'login_failures_total{mechanism="PLAIN",reason="wrong-password"}': 1,
    'namespace_hits_total{namespace="default"}': CLIENTS,
    'request_duration_seconds_count{dialect="text",verb="get"}': 2 * CLIENTS,
    'request_duration_seconds_bucket{dialect="text",verb="get",le="+Inf"}': 2 * CLIENTS,
  })
  expect(values['request_duration_seconds_sum{dialect="text",verb="get"}']).toBeGreaterThan(0)
  for (const worker of [0, 1]) {
    expect(values).toHaveProperty([`event_loop_active_seconds_total{worker="${worker}"}`])
    expect(values).toHaveProperty([`gc_seconds_total{worker="${worker}",kind="minor"}`])
  }
  await server.stop()
})

test('of TLS, handshakes that failed and the ends of the certificates are told', async () => {
  const authority = new TestAuthority()
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-measures-'))
  onTestFinished(() => {
    authority.remove()
    rmSync(directory, { recursive: true, force: true })
  })
  const { certificate, key } = authority.issue({ names: 'DNS:cache.example' })
  const crt = join(directory, 'tls.crt')
  const keyFile = join(directory, 'tls.key')
  const ca = join(directory, 'ca.pem')
  writeFileSync(crt, certificate)
  writeFileSync(keyFile, key, { mode: 0o600 })
  writeFileSync(ca, authority.certificate)
  const pair = ['-Z', '--tls-cert', crt, '--tls-key', keyFile, '--tls-ca', ca, '--tls-verify', '1']
  const server = await startSaslcached({ flags: [...pair, '--http', 'notls:127.0.0.1:0'] })
  const socket = connect(server.port, server.host).on('error', () => undefined)
  socket.resume().end('version\r\n')
  await whenClosed(socket)
  await expect
    .poll(async () =>
      Object.entries(await scrape(server)).filter(([name]) => name.startsWith('tls_handshake_')),
    )
    .toEqual([[expect.stringMatching(/^tls_handshake_failures_total\{reason="[\w-]+"\}$/), 1]])
  const values = await scrape(server)
  for (const [labels, pem] of [
    ['role="chain",certificate="cache.example"', certificate],
    ['role="ca",certificate="ca.pem"', authority.certificate],
  ] as const) {
    const endSeconds = Date.parse(new X509Certificate(pem).validTo) / 1000
    expect(values[`tls_certificate_not_after_seconds{${labels}}`]).toBe(endSeconds)
  }
  await server.stop()
})
