/**
 * What Node writes down of the process for whoever looks for a fault: a diagnostic report lists the environment,
 * and gets into bug reports. A password that came by a variable is not in it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { inheritedEnvironment } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const PASSWORD = 'correct-horse'
const FLAGS = ['-l', '127.0.0.1', '-p', '-1', '-t', '1', '--log-format', 'json']

test.each(['SASLCACHED', 'MEMCACHED'])(
  'a report has no password of %s_PASSWORD',
  async (prefix) => {
    const directory = mkdtempSync(join(tmpdir(), 'diagnostic-report-'))
    const reporting = ['--report-on-signal', '--report-signal=SIGUSR2']
    const node = [...reporting, `--report-directory=${directory}`]
    const child = spawn(SERVER_NODE, [...node, SERVER_PROGRAM, ...FLAGS], {
      env: {
        ...inheritedEnvironment(),
        [`${prefix}_USERNAME`]: 'alice',
        [`${prefix}_PASSWORD`]: PASSWORD,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(async () => {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
      rmSync(directory, { recursive: true })
    })
    let port = 0
    for await (const line of createInterface(child.stdout)) {
      const record = JSON.parse(line)
      if (record.event === 'listening') port = record.port
      if (record.event === 'started') break
    }
    child.stdout.resume()
    // It is the password all the same.
    const client = new TextClient({ host: '127.0.0.1', port })
    const message = `\0alice\0${PASSWORD}`
    expect(await client.ask(`sasl auth PLAIN ${message.length}\r\n${message}\r\n`)).toBe(
      'SASL_OK\r\n',
    )
    child.kill('SIGUSR2')
    const report = (): string => {
      const [name] = readdirSync(directory).filter((each) => each.endsWith('.json'))
      return name === undefined ? '' : readFileSync(join(directory, name), 'utf8')
    }
    const whole = (): { readonly environmentVariables: Record<string, string> } | undefined => {
      try {
        return JSON.parse(report())
      } catch {
        return undefined
      }
    }
    await expect.poll(whole).toBeDefined()
    const { environmentVariables = {} } = whole() ?? {}
    expect(environmentVariables[`${prefix}_USERNAME`]).toBe('alice')
    expect(report()).not.toContain(PASSWORD)
  },
)
