/**
 * The tests of the set `strangers`: that an attack stays within its bounds and says what it did, that a
 * round becomes the figure it should, and that the set runs. No figure is tested: machines differ.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { COMPILER, compileGenerator, generatorArguments } from './generator.mjs'
import { outputOf, writeCertificate } from './servers.mjs'
import { PARTS, resultOf, rowOf } from './strangers.mjs'

const TIMEOUT_MS = 120_000
const hasCompiler = outputOf(COMPILER, '--version') !== null
const hasServer = existsSync(resolve(import.meta.dirname, '..', '..', 'dist'))
const ATTACKS = [...new Set(PARTS.map(({ attack }) => attack))]

let folder
let program

function run(command, words) {
  return new Promise((resolveRun) => {
    execFile(command, words, (error, stdout, stderr) => {
      resolveRun({ code: error?.code ?? 0, stdout, stderr })
    })
  })
}

/** A server that answers everything with a line, and counts who is there. */
async function withCounter(use) {
  const seen = { count: 0, open: 0, most: 0, sources: new Set(), bytes: 0 }
  const server = createServer((socket) => {
    seen.count++
    seen.most = Math.max(seen.most, ++seen.open)
    // One that has been reset already has no address any more.
    if (socket.remoteAddress !== undefined) seen.sources.add(socket.remoteAddress)
    socket.on('error', () => {})
    socket.on('close', () => seen.open--)
    socket.on('data', (bytes) => {
      seen.bytes += bytes.length
      socket.write('ERROR\r\n')
    })
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  try {
    return await use(server.address().port, seen)
  } finally {
    server.close()
  }
}

describe.skipIf(!hasCompiler)('an attack', () => {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'saslcached-attack-test-'))
    program = compileGenerator(folder, 'attack')
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test.each(ATTACKS)('stays within its bounds and says what it did (%s)', (attack) =>
    withCounter(async (port, seen) => {
      const bounds = { port, attack, connections: 5, rate: 200, sources: 3, seconds: 1 }
      const { code, stdout, stderr } = await run(program, generatorArguments(bounds))
      expect(stderr).toBe('')
      expect(code).toBe(0)
      const printed = JSON.parse(stdout)
      expect(printed.events).toBeGreaterThan(0)
      // One more than the rate allows: the first is due at once. Its seconds are rounded to milliseconds.
      expect(printed.events).toBeLessThanOrEqual(200 * (printed.seconds + 0.001) + 1)
      expect(printed.open).toBeLessThanOrEqual(5)
      expect(seen.count).toBeLessThanOrEqual(printed.events)
      const sources = ['127.0.0.1', '127.0.0.2', '127.0.0.3']
      expect(sources).toEqual(expect.arrayContaining([...seen.sources]))
      // Who leaves at once may have done so before its address could be asked for.
      if (attack !== 'connects' && attack !== 'churn') expect(seen.sources.size).toBe(3)
      expect(printed.bytesSent).toBeGreaterThanOrEqual(seen.bytes)
      if (attack !== 'silent' && attack !== 'connects') {
        expect(printed.bytesSent).toBeGreaterThan(0)
      }
    }),
  )

  test('by a hello is one that a TLS server answers with its own, or waits for the end of', {
    timeout: 2 * TIMEOUT_MS,
  }, async () => {
    const { certificate, key } = writeCertificate(folder)
    const options = { cert: readFileSync(certificate), key: readFileSync(key) }
    const server = createTlsServer(options)
    server.on('tlsClientError', (_error, socket) => socket.destroy())
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
    const { port } = server.address()
    const printedBy = async (attack) => {
      const bounds = { port, attack, connections: 2, rate: 20, sources: 1, seconds: 0.5 }
      return JSON.parse((await run(program, generatorArguments(bounds))).stdout)
    }
    for (const attack of ['tls-hellos', 'tls-silent', 'tls-drops', 'tls-garbage']) {
      const readOfEach = async () => {
        const { bytesRead, connected } = await printedBy(attack)
        return bytesRead / connected
      }
      // More than the seven bytes of an alert. On a busy machine the first ones may not be answered in time.
      await expect.poll(readOfEach, { timeout: TIMEOUT_MS / 2 }).toBeGreaterThan(100)
    }
    expect(await printedBy('tls-half-hellos')).toMatchObject({ bytesRead: 0, cut: 0 })
    server.close()
  })

  test('that nobody knows ends with the names of those there are', async () => {
    const { code, stderr } = await run(program, ['--attack', 'no-such'])
    expect(code).toBe(2)
    expect(stderr.trim().split(' ').slice(-ATTACKS.length).sort()).toEqual([...ATTACKS].sort())
  })
})

describe('the figures of an attack', () => {
  const measured = (p99Us, failedSets = 0, computedP99Us = p99Us / 2) => ({
    p50Us: 10,
    p99Us,
    computedP99Us,
    serverShare: 0.1,
    failedSets,
    errors: [],
    attackerShare: 0.2,
    eventsPerSecond: 1000,
    othersShare: 0,
  })
  const round = (quiet, attacked, failedSets = 0) => ({
    quiet: measured(quiet),
    control: measured(quiet),
    attacked: measured(attacked, failedSets),
  })
  const resultOfRounds = (...rounds) => resultOf({ name: 'x', what: 'x' }, rounds)

  test('are taken within a round, and the median of them counts', () => {
    const result = resultOfRounds(round(100, 200), round(1000, 1000), round(100, 900))
    expect(result).toMatchObject({ ratio: 2, ratioLeast: 1, ratioMost: 9 })
    expect(result.verdict.isReached).toBe(true)
    expect(resultOfRounds(round(100, 201)).verdict.isReached).toBe(false)
  })

  test('say what of it is not the same attack on another process', () => {
    const noisy = { ...round(100, 600), control: measured(300) }
    expect(resultOfRounds(noisy)).toMatchObject({ ratio: 6, controlRatio: 3, overControl: 2 })
  })

  test('say what the server itself computed, or that the kernel does not tell', () => {
    const ours = { ...round(100, 600), attacked: measured(600, 0, 75) }
    expect(resultOfRounds(ours)).toMatchObject({ ratio: 6, computedRatio: 1.5 })
    const untold = { ...round(100, 600), attacked: measured(600, 0, Number.NaN) }
    expect(rowOf(resultOfRounds(untold)).filter((cell) => cell === '-')).toHaveLength(2)
    expect(rowOf(resultOfRounds(untold)).join(' ')).not.toContain('NaN')
  })

  test('are missed when one set failed in one round', () => {
    const result = resultOfRounds(round(100, 100), round(100, 100, 1))
    expect(result.failedSets).toBe(1)
    expect(rowOf(result).at(-1)).toMatch(/MISSED$/)
  })

  test('of a client that was cut are worse than any', () => {
    const row = rowOf(resultOfRounds(round(100, Number.POSITIVE_INFINITY, 1)))
    expect(row).toContain('cut')
    expect(row.at(-1)).toMatch(/MISSED$/)
  })
})

test.skipIf(!hasCompiler || !hasServer)(
  'the set strangers puts an attack on one of two servers and shows both',
  { timeout: TIMEOUT_MS },
  async () => {
    const words = ['--set', 'strangers', '--only', 'versions-200', '--servers', 'saslcached']
    const script = join(import.meta.dirname, 'run.mjs')
    const { code, stdout, stderr } = await run(process.execPath, [script, '--quick', ...words])
    expect(stderr).not.toMatch(/Error/)
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^versions-200 +[\d,]+ +[\d,]+ +[\d,]+ +[\d,]+ +[\d,]+ +[\d,]+ +[\d.]+ \([\d.]+-[\d.]+\) +[\d.]+ +[\d.]+ +(?:[\d,]+|-) +(?:[\d,]+|-) +(?:[\d.]+|-) +(?:[\d.]+|-) +\d+ +\d+%\/\d+% +p99 <= 2, no set fails {2}(reached|MISSED)$/m,
    )
  },
)
