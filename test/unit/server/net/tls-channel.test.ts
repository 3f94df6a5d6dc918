/** What a TLS connection tells of itself, and how often Node is asked for it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type tls from 'node:tls'
import { expect, test } from 'vitest'
import type { Channel } from '../../../../src/base/channel.ts'
import { channelOf } from '../../../../src/server/net/tls-channel.ts'
import { fixture, snapshotOf } from '../../sasl/fixture.ts'

const path = join(import.meta.dirname, '..', '..', '..', 'vectors', 'certificates.json')
const [vector] = JSON.parse(readFileSync(path, 'utf8')) as readonly { readonly der: string }[]
const der = Buffer.from(vector?.der ?? '', 'base64')

/** Of a connection by TLS 1.2; `certificate` is what Node gives of the server's own. */
function oldChannel(certificate: object | null): { channel: Channel; asked: () => number } {
  let count = 0
  const socket = {
    authorized: false,
    getProtocol: () => 'TLSv1.2',
    getCertificate: () => {
      count++
      return certificate
    },
  }
  const channel: Channel = {
    kind: 'tls',
    listenerIndex: 0,
    tls: channelOf(socket as unknown as tls.TLSSocket),
  }
  return { channel, asked: () => count }
}

test('the own certificate is asked for once, however often a stranger asks for the mechanisms', () => {
  const { environment } = fixture(snapshotOf({ alice: 'secret' }))
  const { channel, asked } = oldChannel({ raw: der })
  expect(asked()).toBe(0)
  for (let count = 0; count < 500; count++) {
    expect(environment.announced(channel)).toContain('SCRAM-SHA-256-PLUS')
  }
  expect(environment.findAnnounced('SCRAM-SHA-256', channel)).toBeDefined()
  expect(channel.tls?.localCertificate).toBe(der)
  expect(asked()).toBe(1)
})

test.each([[null], [{}]])('that there is none is asked for once, too: %o', (certificate) => {
  const { channel, asked } = oldChannel(certificate)
  for (let count = 0; count < 3; count++) expect(channel.tls?.localCertificate).toBeUndefined()
  expect(asked()).toBe(1)
})
