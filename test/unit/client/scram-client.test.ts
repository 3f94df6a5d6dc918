/** The client's side of SCRAM: against the published vectors, and against servers that cheat. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ScramClient } from '../../../src/client/scram-client.ts'
import {
  findScramHash,
  ITERATIONS_MAX,
  ITERATIONS_MIN,
  scramHash,
} from '../../../src/credential/verifier.ts'

interface Vector {
  readonly source: string
  readonly mechanism: string
  readonly user: string
  readonly password: string
  readonly clientFirst: string
  readonly serverFirst: string
  readonly clientFinal: string
  readonly serverFinal: string
  readonly bindingType?: string
  readonly bindingData?: string
}

const VECTORS = ['scram.json', 'scram-plus.json'].flatMap((name) => {
  const file = join(import.meta.dirname, '..', '..', 'vectors', name)
  return JSON.parse(readFileSync(file, 'utf8')) as Vector[]
})

function clientOf(vector: Vector): ScramClient {
  const { mechanism, user, password, clientFirst, bindingType: type, bindingData } = vector
  const hash = findScramHash(mechanism.replace('-PLUS', '')) ?? scramHash('SCRAM-SHA-1')
  const data = Buffer.from(bindingData ?? '', 'hex')
  const nonce = clientFirst.slice(clientFirst.indexOf('r=') + 2)
  const binding = type === undefined ? ({ flag: 'n' } as const) : { flag: 'p' as const, type, data }
  return new ScramClient({ hash, user, password, binding, nonce })
}

const [RFC_5802] = VECTORS
if (RFC_5802 === undefined) throw new Error('there are no vectors')

test.each(VECTORS)('$mechanism as in $source', async (vector) => {
  const client = clientOf(vector)
  expect(client.first.toString()).toBe(vector.clientFirst)
  const final = await client.next(Buffer.from(vector.serverFirst))
  expect(final.toString()).toBe(vector.clientFinal)
  expect(client.isServerProven).toBe(false)
  expect(await client.next(Buffer.from(vector.serverFinal))).toHaveLength(0)
  expect(client.isServerProven).toBe(true)
})

test('there are vectors of every hash, bound and not', () => {
  expect(new Set(VECTORS.map(({ mechanism }) => mechanism)).size).toBe(6)
})

test.each([
  ['another signature', 'v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=', 'identity'],
  ['a shorter one', 'v=AAAA', 'identity'],
  ['none', 'v=', 'protocol'],
  ['an error', 'e=invalid-proof', 'login'],
  ['something else', 'welcome', 'protocol'],
  ['nothing', '', 'protocol'],
])('a server that ends with %s is not believed', async (_, message, kind) => {
  const client = clientOf(RFC_5802)
  await client.next(Buffer.from(RFC_5802.serverFirst))
  await expect(client.next(Buffer.from(message))).rejects.toMatchObject({ kind })
  expect(client.isServerProven).toBe(false)
  await expect(client.next(Buffer.from(RFC_5802.serverFinal))).rejects.toMatchObject({
    kind: 'protocol',
  })
})

const NONCE = 'fyko+d2lbbFgONRv9qkxdawL'

test.each([
  ['a nonce that is not ours', 'r=other3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096'],
  ['our nonce and nothing of its own', `r=${NONCE},s=QSXCR+Q6sek8bf92,i=4096`],
  ['an extension that must be known', `m=x,r=${NONCE}abc,s=QSXCR+Q6sek8bf92,i=4096`],
  ['too few iterations', `r=${NONCE}abc,s=QSXCR+Q6sek8bf92,i=${ITERATIONS_MIN - 1}`],
  ['too many iterations', `r=${NONCE}abc,s=QSXCR+Q6sek8bf92,i=${ITERATIONS_MAX + 1}`],
  ['iterations without end', `r=${NONCE}abc,s=QSXCR+Q6sek8bf92,i=99999999999999999999`],
  ['a salt that is no base64', `r=${NONCE}abc,s=Q,i=4096`],
  ['a salt without end', `r=${NONCE}abc,s=${'AAAA'.repeat(1000)},i=4096`],
  ['a message without end', `r=${NONCE}${'a'.repeat(9000)},s=QSXCR+Q6sek8bf92,i=4096`],
  ['bytes that are no text', `r=${NONCE}\u00ff,s=QSXCR+Q6sek8bf92,i=4096`],
  ['its signature at once', RFC_5802.serverFinal],
])('a server that begins with %s gets no proof', async (_, message) => {
  const client = clientOf(RFC_5802)
  await expect(client.next(Buffer.from(message, 'latin1'))).rejects.toMatchObject({
    kind: 'protocol',
  })
})

test('too many iterations are told with the bound and the way out', async () => {
  const message = `r=${NONCE}abc,s=QSXCR+Q6sek8bf92,i=${ITERATIONS_MAX + 1}`
  await expect(clientOf(RFC_5802).next(Buffer.from(message))).rejects.toThrow(
    /10000001 iterations.*at most 10000000 .*set anew there with fewer/,
  )
})

test('a name is escaped and prepared, and each nonce is another', () => {
  const login = {
    hash: scramHash('SCRAM-SHA-256'),
    user: 'a=b,\u00adc',
    password: 'p',
    binding: { flag: 'y' },
  } as const
  const [one, other] = [new ScramClient(login).first, new ScramClient(login).first]
  expect(one.toString()).toMatch(/^y,,n=a=3Db=2Cc,r=[A-Za-z0-9+/]{24}$/)
  expect(one.equals(other)).toBe(false)
})
