/**
 * The settings of docs/sharding.md over three servers: keys are spread, one server is killed and comes back
 * on its port, and all the while no value is wrong and the other servers' keys are there.
 */

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../support/free-port.js'
import { hasPrerequisites, inheritedEnvironment } from '../../support/program.ts'
import { startSaslcached, type TestServer } from '../../support/server.ts'
import { TextClient } from '../../support/text-client.ts'

const GUIDE = readFileSync(
  join(import.meta.dirname, '..', '..', '..', 'docs', 'sharding.md'),
  'utf8',
)
// Debian's modules belong to Debian's interpreter, whatever another `python3` comes first.
const PYTHON = '/usr/bin/python3'
const ALICE = { name: 'alice', password: 'wonderland' }
const KEY_COUNT = 300
/** Of what is tried again until a client has noticed that a server is gone, or is back. */
const DEADLINE_MS = 60_000
/** A request waits for a dead server no longer than its own timeouts say, and a busy machine. */
const SLOWEST_SECONDS = 15

interface Counts {
  readonly done: number
  readonly missed: number
  readonly wrong: number
  readonly failed: number
  readonly slowest: number
}

/** The example as it stands in the guide, for servers of the test's own, which it misses less long. */
function exampleOf(name: string, servers: readonly TestServer[]): string {
  const block = new RegExp(`<!-- example: ${name} -->\n\`\`\`python\n(.*?)\n\`\`\``, 's').exec(
    GUIDE,
  )
  let text = block?.[1] ?? ''
  for (const [index, { port }] of servers.entries()) {
    const address = `10.0.0.${index + 1}`
    expect(text).toContain(address)
    text = text
      .replace(`'${address}', 11211`, `'127.0.0.1', ${port}`)
      .replace(`${address}:11211`, `127.0.0.1:${port}`)
  }
  const impatient = text.replace(/(dead_timeout\W+)5\b/, '$11')
  expect(impatient).not.toBe(text)
  // A server that is busy for a second is no dead one; who is dead refuses at once.
  const patient = impatient
    .replace(/\b((?:connect_)?timeout=)1,/g, '$110,')
    .replace(/('connect_timeout': )1000\b/, '$110_000')
    .replace(/('(?:send|receive)_timeout': )1_000_000\b/g, '$110_000_000')
  expect(patient).not.toBe(impatient)
  return patient
}

/** Where it can be started again: nobody else is given the port in between. */
async function startOn(port: number): Promise<TestServer> {
  return await startSaslcached({ users: [ALICE], flags: ['-p', String(port)] })
}

class Ring {
  private readonly lines: AsyncIterator<string>
  private readonly child: ReturnType<typeof spawn>
  private errors = ''

  constructor(example: string) {
    const directory = mkdtempSync(join(tmpdir(), 'saslcached-ring-'))
    const file = join(directory, 'example.py')
    writeFileSync(file, example)
    const words = [join(import.meta.dirname, 'ring.py'), file, String(KEY_COUNT)]
    const child = spawn(PYTHON, words, {
      env: { ...inheritedEnvironment(), PYTHONDONTWRITEBYTECODE: '1' },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    child.stderr.on('data', (chunk: Buffer) => {
      this.errors += chunk.toString('utf8')
    })
    child.stdin.on('error', () => undefined)
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    this.child = child
    onTestFinished(() => {
      child.kill('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
    })
  }

  async ask(word: 'set' | 'read' | 'fill'): Promise<Counts> {
    this.child.stdin?.write(`${word}\n`)
    const line = await this.lines.next()
    if (line.done === true) throw new Error(`the client ended: ${this.errors}`)
    const counts: Counts = JSON.parse(line.value)
    expect(counts.wrong).toBe(0)
    expect(counts.slowest).toBeLessThan(SLOWEST_SECONDS)
    return counts
  }
}

async function itemsOf(server: TestServer): Promise<number> {
  const client = new TextClient(server)
  client.send('set login 0 0 16\r\nalice wonderland\r\nstats\r\n')
  const stats = await client.until('END\r\n')
  client.socket.destroy()
  return Number(/STAT curr_items (\d+)/.exec(stats)?.[1])
}

/** Until `isDone` says so of what `act` comes to. */
async function repeat<Value>(
  act: () => Promise<Value>,
  isDone: (value: Value) => boolean,
): Promise<Value> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const value = await act()
    if (isDone(value)) return value
    if (performance.now() > deadline) throw new Error(`in vain: ${JSON.stringify(value)}`)
  }
}

const RINGS = [
  {
    name: 'ring-pymemcache',
    needs: { packages: 'python3 python3-pymemcache', probe: [PYTHON, '-c', 'import pymemcache'] },
  },
  {
    name: 'ring-pylibmc',
    needs: { packages: 'python3-pylibmc', probe: [PYTHON, '-c', 'import pylibmc'] },
  },
]

for (const { name, needs } of RINGS) {
  if (!hasPrerequisites(name, [needs])) continue
  describe(name, () => {
    test('spreads keys over three servers, goes on without one, and takes it back', async () => {
      const servers = await Promise.all([1, 2, 3].map(async () => await startOn(await freePort())))
      const stop = new Set(servers)
      onTestFinished(async () => {
        await Promise.all([...stop].map(async (server) => await server.stop()))
      })
      const ring = new Ring(exampleOf(name, servers))
      expect((await ring.ask('set')).done).toBe(KEY_COUNT)
      const counts = await Promise.all(servers.map(itemsOf))
      expect(counts.reduce((sum, count) => sum + count)).toBe(KEY_COUNT)
      for (const count of counts) expect(count).toBeGreaterThan(KEY_COUNT / 10)
      expect((await ring.ask('read')).done).toBe(KEY_COUNT)

      const [, lost] = servers
      if (lost === undefined) throw new Error('three servers were started')
      stop.delete(lost)
      lost.signal('SIGKILL')
      await lost.exited
      rmSync(lost.directory, { recursive: true, force: true })
      // What the others have is there at once.
      const left = KEY_COUNT - (counts[1] ?? 0)
      expect((await ring.ask('read')).done).toBe(left)
      // Soon all keys are with the others.
      await repeat(
        async () => await ring.ask('fill'),
        ({ done }) => done === KEY_COUNT,
      )

      const back = await startOn(lost.port)
      stop.add(back)
      await repeat(
        async () => {
          await ring.ask('fill')
          return await itemsOf(back)
        },
        (count) => count === counts[1],
      )
      expect((await ring.ask('read')).done).toBe(KEY_COUNT)
    })
  })
}
