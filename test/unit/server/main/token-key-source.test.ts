/** The keys of a running server: when they are looked for, and what is made of what comes. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { TokenConfig } from '../../../../src/config/config.ts'
import type { FetchedJwks, JwksRequest } from '../../../../src/server/main/jwks-fetch.ts'
import { TokenKeySource } from '../../../../src/server/main/token-key-source.ts'
import type { ToWorker } from '../../../../src/server/worker/worker-messages.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { AUDIENCE, ISSUER, keySetText, signingKey } from '../../../support/token-issuer.ts'
import { keySetOf } from '../../../support/token-logins.ts'

const one = signingKey('ES256', 'one')
const two = signingKey('ES256', 'two')

function configOf(keys: TokenConfig['keys']): TokenConfig {
  return {
    issuer: ISSUER,
    audiences: [AUDIENCE],
    keys,
    algorithms: ['ES256'],
    clockSkewSeconds: 60,
    userClaim: 'sub',
    rolesClaim: undefined,
    rolesPrefix: '',
  }
}

function makeSource(keys: TokenConfig['keys']) {
  const clock = new ManualClock()
  const said: string[] = []
  const sent: string[][] = []
  const fetches: { request: JwksRequest; answer: (found: FetchedJwks | string) => void }[] = []
  let tellSent: () => void = () => undefined
  const source = new TokenKeySource({
    config: configOf(keys),
    clock,
    say: (_, event, message) => void said.push(`${event}: ${message}`),
    workers: {
      broadcast: (message: ToWorker) => {
        if (message.kind !== 'token-keys') return
        sent.push(message.keys.keys.map(({ id }) => id ?? ''))
        tellSent()
      },
    },
    fetch: (request) => new Promise((answer) => void fetches.push({ request, answer })),
  })
  onTestFinished(() => source.close())
  const nextSent = (): Promise<void> => new Promise((resolve) => (tellSent = resolve))
  return { source, clock, said, sent, fetches, nextSent }
}

const URL_KEYS = {
  kind: 'url',
  url: 'https://h/',
  caFile: undefined,
  tokenFile: undefined,
} as const

/** Whatever is settled has been heard of. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function startedFromUrl() {
  const parts = makeSource(URL_KEYS)
  const loading = parts.source.load()
  await settled()
  parts.fetches[0]?.answer({ text: keySetText(one) })
  const settings = await loading
  await parts.source.watch()
  return { ...parts, settings }
}

describe('keys from the issuer', () => {
  test('are there from the start, and can be asked for', async () => {
    const { settings } = await startedFromUrl()
    expect(settings).toMatchObject({ asksForKeys: true, keys: keySetOf(one) })
    expect(settings.policy).toMatchObject({ issuer: ISSUER, audiences: [AUDIENCE] })
  })

  test('are fetched every ten minutes', async () => {
    const { clock, fetches, sent } = await startedFromUrl()
    clock.pass(599_000)
    expect(fetches.length).toBe(1)
    clock.pass(2000)
    await settled()
    expect(fetches.length).toBe(2)
    fetches[1]?.answer({ text: keySetText(one, two) })
    await settled()
    expect(sent.at(-1)).toEqual(['one', 'two'])
  })

  test('are fetched for who meets an unknown key, at most once in ten seconds', async () => {
    const { source, clock, fetches, sent } = await startedFromUrl()
    sent.length = 0
    // The start was just now: all are told what there is.
    source.wanted()
    expect([fetches.length, sent]).toEqual([1, [['one']]])
    clock.pass(10_000)
    source.wanted()
    source.wanted()
    await settled()
    // Who asks meanwhile is answered with the rest.
    expect([fetches.length, sent.length]).toEqual([2, 1])
    fetches[1]?.answer({ text: keySetText(two) })
    await settled()
    expect(sent).toEqual([['one'], ['two']])
    source.wanted()
    expect([fetches.length, sent]).toEqual([2, [['one'], ['two'], ['two']]])
  })

  test.each([
    ['cannot be had', 'it answers with status 503'],
    ['make no sense', { text: '<html>' }],
    ['are private', { text: JSON.stringify({ keys: [{ kty: 'oct', k: 'c2VjcmV0' }] }) }],
  ])('that %s change nothing; those from before are told again', async (_, answer) => {
    const { source, clock, fetches, sent, said } = await startedFromUrl()
    clock.pass(10_000)
    source.wanted()
    await settled()
    fetches[1]?.answer(answer)
    await settled()
    expect(sent.at(-1)).toEqual(['one'])
    expect(said.at(-1)).toContain('token_keys_refused')
    expect(said.at(-1)).toContain('those from before stay in force: https://h/')
    expect(said.at(-1)).not.toContain('c2VjcmV0')
  })

  test('that cannot be had are tried again, less and less often', async () => {
    const { source, clock, fetches } = makeSource(URL_KEYS)
    const loading = source.load()
    await settled()
    fetches[0]?.answer('it cannot be asked (ECONNREFUSED)')
    // The server starts all the same.
    expect((await loading).keys.keys).toEqual([])
    await source.watch()
    const gaps: number[] = []
    for (let seconds = 1; gaps.length < 8; seconds++) {
      const count = fetches.length
      clock.pass(1000)
      await settled()
      if (fetches.length === count) continue
      gaps.push(seconds)
      seconds = 0
      fetches.at(-1)?.answer('no')
      await settled()
    }
    expect(gaps).toEqual([10, 20, 40, 80, 160, 320, 600, 600])
  })

  test('are asked for with a token and a CA that are read each time', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'saslcached-keys-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const [caFile, tokenFile] = [join(folder, 'ca'), join(folder, 'token')]
    writeFileSync(caFile, 'CA')
    writeFileSync(tokenFile, 'a.b.c\n')
    const { source, said, fetches, nextSent } = makeSource({ ...URL_KEYS, caFile, tokenFile })
    void source.load()
    while (fetches.length < 1) await settled()
    expect(fetches[0]?.request).toEqual({ url: 'https://h/', ca: 'CA', token: 'a.b.c' })
    fetches[0]?.answer({ text: keySetText(one) })
    await nextSent()
    writeFileSync(tokenFile, 'line one\r\nx-evil: 1\n')
    source.reload()
    await nextSent()
    expect(fetches.length).toBe(1)
    expect(said.at(-1)).toContain(`${tokenFile} has no token in it`)
    rmSync(tokenFile)
    source.reload()
    await nextSent()
    expect(said.at(-1)).toContain(`${tokenFile}: there is no such file`)
  })

  test('that come after the end change nothing', async () => {
    const { source, clock, fetches, sent } = await startedFromUrl()
    sent.length = 0
    clock.pass(10_000)
    source.wanted()
    await settled()
    source.close()
    fetches[1]?.answer({ text: keySetText(two) })
    await settled()
    clock.pass(3_600_000)
    expect([sent, fetches.length, clock.periodCount]).toEqual([[], 2, 0])
  })
})

describe('keys from a file', () => {
  function fileOf(text: string) {
    const folder = mkdtempSync(join(tmpdir(), 'saslcached-keys-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'jwks.json')
    const write = (content: string): void => {
      writeFileSync(`${path}.new`, content)
      renameSync(`${path}.new`, path)
    }
    write(text)
    return { path, write }
  }

  test('are read again when the file changes; what is wrong with it then changes nothing', async () => {
    const { path, write } = fileOf(keySetText(one))
    const { source, sent, said, nextSent } = makeSource({ kind: 'file', path })
    expect(await source.load()).toMatchObject({ asksForKeys: false, keys: keySetOf(one) })
    await source.watch()
    let changed = nextSent()
    write(keySetText(one, two))
    await changed
    expect(sent.at(-1)).toEqual(['one', 'two'])
    changed = nextSent()
    write('{"keys":')
    await changed
    expect(sent.at(-1)).toEqual(['one', 'two'])
    expect(said.at(-1)).toContain(`stay in force: ${path}: it is no JWK Set`)
    write(keySetText(two))
    changed = nextSent()
    source.reload()
    await changed
    expect(sent.at(-1)).toEqual(['two'])
  })

  test.each([
    ['is not there', undefined, 'there is no such file'],
    ['is empty', '', 'it is no JWK Set'],
    [
      'has a private key',
      JSON.stringify({ keys: [one.privateKey.export({ format: 'jwk' })] }),
      'private',
    ],
    ['is large', ' '.repeat(300_000), 'more than 262144 bytes'],
  ])('that %s keep the server from starting', async (_, text, message) => {
    const { path } = text === undefined ? { path: '/nonexistent/jwks.json' } : fileOf(text)
    await expect(makeSource({ kind: 'file', path }).source.load()).rejects.toThrow(message)
  })
})
