/** What a node over TLS may do wrongly: the pipe to it ends, and tells so once. */
import { type AddressInfo, createServer } from 'node:net'
import { TLSSocket } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { nodeDialer } from '../../../../src/server/net/node-dialer.ts'
import { TestAuthority } from '../../../support/authority.ts'

const DEADLINE_MS = 60_000
const HELD_OPEN = 'it is still open'

/** What the pipe tells when a node sends `bytes` in the clear within a session. */
async function eventsAfter(bytes: Buffer): Promise<readonly string[]> {
  const authority = new TestAuthority()
  onTestFinished(() => authority.remove())
  const { certificate: cert, key } = authority.issue({})
  const node = createServer((under) => {
    under.on('error', () => undefined)
    const secure = new TLSSocket(under, { isServer: true, cert, key })
    secure.on('error', () => undefined)
    secure.once('data', () => under.write(bytes))
    secure.resume()
    onTestFinished(() => void under.destroy())
  })
  onTestFinished(() => void node.close())
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve))
  const { port } = node.address() as AddressInfo
  const told: string[] = []
  const dial = nodeDialer({ ca: authority.certificate, identity: undefined })
  await new Promise<void>((resolve) => {
    const late = setTimeout(() => {
      told.push(HELD_OPEN)
      resolve()
    }, DEADLINE_MS)
    const pipe = dial(
      { host: 'localhost', port },
      {
        opened: () => {
          told.push('opened')
          pipe.write(Buffer.from('a request'))
        },
        received: () => void told.push('received'),
        ended: (error) => {
          clearTimeout(late)
          told.push(`ended: ${(error as NodeJS.ErrnoException | undefined)?.code}`)
          resolve()
        },
      },
    )
    onTestFinished(() => pipe.close())
  })
  return told
}

test.each([
  ['what is encrypted by nobody', [0x17, 3, 3, 0, 32, ...Array<number>(32).fill(0xa5)]],
  ['an alert in the clear', [0x15, 3, 3, 0, 2, 2, 40]],
  ['what is no record', [...Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')]],
])('a pipe ends when a node sends %s', async (_, bytes) => {
  expect(await eventsAfter(Buffer.from(bytes))).toEqual([
    'opened',
    expect.stringMatching(/^ended: ERR_SSL_/),
  ])
})
