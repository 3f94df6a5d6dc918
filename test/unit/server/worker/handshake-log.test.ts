import { expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import type { LogEvent } from '../../../../src/observe/log.ts'
import { HandshakeLog } from '../../../../src/server/worker/handshake-log.ts'

test('of a second one failed handshake is written, and the others are counted', () => {
  const lines: LogEvent[] = []
  const log = new HandshakeLog((event) => lines.push(event))
  const peer = Peer.at('192.0.2.1', 5)
  for (let count = 0; count < 10; count++) log.record(peer, 'ERR_SSL_NO_SHARED_CIPHER', 100)
  log.rollOver(1099)
  expect(lines).toMatchObject([
    {
      event: 'tls_handshake_failed',
      fields: { peer: '192.0.2.1:5', code: 'ERR_SSL_NO_SHARED_CIPHER' },
    },
  ])
  log.rollOver(1100)
  log.rollOver(5000)
  expect(lines.slice(1)).toMatchObject([
    { event: 'tls_handshakes_summed_up', fields: { failed: 9 } },
  ])
  log.record(peer, 'ECONNRESET', 5000)
  expect(lines).toHaveLength(3)
})
