/**
 * The wall clock is stepped under a running server, by an hour and back: items live as long as they
 * were to live, and what is told of times stays true.
 */
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const STEPPER = join(import.meta.dirname, '..', 'support', 'step-clock.mjs')
const HOUR_MS = 3_600_000
const EXPIRY_DEADLINE_MS = 60_000
const POLL_INTERVAL_MS = 20
/** What passes meanwhile on a busy machine. */
const SLACK_SECONDS = 120

interface Stepped {
  readonly server: TestServer
  step(byMs: number): void
}

async function start(): Promise<Stepped> {
  const directory = await mkdtemp(join(tmpdir(), 'saslcached-clock-'))
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'step')
  const step = (byMs: number): void => writeFileSync(file, String(byMs))
  step(0)
  const server = await startSaslcached({
    flags: ['-t', '2'],
    environment: { NODE_OPTIONS: `--import=${STEPPER}`, STEP_CLOCK: file },
  })
  onTestFinished(async () => await server.stop())
  return { server, step }
}

/** An item of one second that is set now, or was, comes to its end: the clock goes on. */
async function expires(client: TextClient, key: string): Promise<void> {
  const endMs = performance.now() + EXPIRY_DEADLINE_MS
  while ((await client.ask(`get ${key}\r\n`, 'END\r\n')) !== 'END\r\n') {
    if (performance.now() > endMs) throw new Error(`${key} has not expired`)
    await delay(POLL_INTERVAL_MS)
  }
}

async function stats(client: TextClient, group: string): Promise<Map<string, string>> {
  const text = await client.ask(`stats${group}\r\n`, 'END\r\n')
  return new Map(
    [...text.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name = '', value = '']) => [name, value]),
  )
}

async function ttlOf(client: TextClient, key: string): Promise<number> {
  return Number(/^HD t(-?\d+)\r\n$/.exec(await client.ask(`mg ${key} t\r\n`))?.[1])
}

test.each([
  ['forward', HOUR_MS],
  ['back', -HOUR_MS],
])(
  'a wall clock stepped %s by an hour expires nothing early and nothing late',
  async (_, stepMs) => {
    const { server, step } = await start()
    const clients = Array.from({ length: 4 }, () => new TextClient(server))
    const [first] = clients
    if (first === undefined) throw new Error('there is a client')
    const date = Number((await stats(first, '')).get('time')) + 1000
    expect(Math.abs(date - 1000 - Date.now() / 1000)).toBeLessThan(SLACK_SECONDS)
    await first.ask('set relative 0 1000 1\r\nx\r\n')
    await first.ask(`set absolute 0 ${date} 1\r\nx\r\n`)
    await first.ask('set before 0 2 1\r\nx\r\n')
    step(stepMs)
    await expires(first, 'before')
    for (const [index, client] of clients.entries()) {
      expect(await client.ask(`set after${index} 0 1 1\r\nx\r\n`)).toBe('STORED\r\n')
      await expires(client, `after${index}`)
      for (const key of ['relative', 'absolute']) {
        const ttl = await ttlOf(client, key)
        expect(ttl).toBeLessThanOrEqual(1000)
        expect(ttl).toBeGreaterThan(1000 - SLACK_SECONDS)
      }
      const general = await stats(client, '')
      expect(Number(general.get('uptime'))).toBeGreaterThanOrEqual(0)
      expect(Number(general.get('uptime'))).toBeLessThan(SLACK_SECONDS)
      expect(Math.abs(Number(general.get('time')) + 1000 - date)).toBeLessThan(SLACK_SECONDS)
      for (const [name, value] of await stats(client, ' conns')) {
        if (!name.endsWith(':secs_since_last_cmd')) continue
        expect(Number(value)).toBeGreaterThanOrEqual(0)
        expect(Number(value)).toBeLessThan(SLACK_SECONDS)
      }
    }
    expect(await first.ask(`gat 1 relative\r\n`, 'END\r\n')).toContain('VALUE relative')
    await expires(first, 'relative')
  },
)
