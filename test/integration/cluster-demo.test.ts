/** The demonstration of docs/cluster.md in short, and the load with verified values against servers that lie. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type LoadReport, VerifiedLoad } from '../bench/verified-load.ts'
import { describeRun } from '../support/client-program.ts'
import { hasPrerequisites, runProgram } from '../support/program.ts'
import { REDIS } from '../support/redis-cluster.ts'

const ROOT = join(import.meta.dirname, '..', '..')

if (hasPrerequisites('the demonstration of a cluster', [REDIS])) {
  test('a master dies under load: requests fail for a while, and no value is wrong', async () => {
    const command = ['npm', 'run', '--silent', 'cluster-demo', '--', '--load', '1']
    const outcome = await runProgram(command, { directory: ROOT, deadlineMs: 150_000 })
    expect(outcome.exitCode, describeRun(outcome)).toBe(0)
    expect(outcome.stdout).toMatch(/Log in as demo with the password \S{16},/)
    expect(outcome.stdout).toMatch(/^ {2}kill -9 \d+$/m)
    expect(outcome.stdout).toMatch(/^wrong values {2}0$/m)
    expect(outcome.stdout).toMatch(/^failed {8}[1-9]\d*, in \d+\.\d s/m)
    expect(outcome.stderr).toBe('')
  })
}

describe('a load with verified values', () => {
  const FEW = 2000
  /** What a server that tells `read` of what was stored is found to do. */
  async function loadOf(
    read: (values: ReadonlyMap<string, string>, key: string, turn: number) => string | undefined,
    isKilled = false,
  ): Promise<LoadReport> {
    const values = new Map<string, string>()
    let turn = 0
    const server = createServer((socket) => {
      let key = ''
      let text = ''
      socket.setEncoding('latin1').on('data', (more: string) => {
        const lines = (text + more).split('\r\n')
        text = lines.pop() ?? ''
        for (const line of lines) {
          const [verb, name = ''] = line.split(' ')
          if (verb === 'get') {
            const value = read(values, name, ++turn)
            socket.write(
              value === undefined
                ? 'END\r\n'
                : `VALUE ${name} 0 ${value.length}\r\n${value}\r\nEND\r\n`,
            )
          } else if (verb === 'set') key = name
          else {
            values.set(key, line)
            socket.write('STORED\r\n')
          }
        }
      })
    }).listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const load = new VerifiedLoad({ host: '127.0.0.1', port, connections: 2 })
    if (isKilled) load.masterKilled()
    return await load.run(() => turn > FEW)
  }
  const atTimes = (turn: number): boolean => turn % 100 === 0

  test('finds nothing where nothing is wrong', async () => {
    const report = await loadOf((values, key) => values.get(key))
    expect(report).toMatchObject({ failed: 0, wrong: 0, lost: 0, failedForMs: 0 })
    expect(report.requests).toBeGreaterThan(FEW)
  })

  test('finds the value of another key', async () => {
    const report = await loadOf((values, key, turn) =>
      atTimes(turn) ? values.get('load-0-0') : values.get(key),
    )
    expect(report.wrong).toBeGreaterThan(0)
  })

  test('finds a value that is cut', async () => {
    const report = await loadOf((values, key, turn) =>
      atTimes(turn) ? values.get(key)?.slice(0, -1) : values.get(key),
    )
    expect(report.wrong).toBeGreaterThan(0)
  })

  test('takes a lost value for wrong, unless a master was killed', async () => {
    const forget = (values: ReadonlyMap<string, string>, key: string, turn: number) =>
      atTimes(turn) ? undefined : values.get(key)
    expect((await loadOf(forget)).wrong).toBeGreaterThan(0)
    const killed = await loadOf(forget, true)
    expect(killed.wrong).toBe(0)
    expect(killed.lost).toBeGreaterThan(0)
  })
})
