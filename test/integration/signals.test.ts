/**
 * Signals while the server starts. None of them may kill it or open Node's debugger once its first line
 * runs: SIGHUP and SIGUSR1 have been seen to do so for as long as a start takes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { inheritedEnvironment } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const AT_IMPORT = join(import.meta.dirname, '..', 'support', 'signal-at-import.mjs')
const FLAGS = ['--no-auth', '-t', '1', '-l', '127.0.0.1', '-p', '-1', '--log-format', 'json']
/** Parts of the program and its packages, in the order in which a start asks for them. */
const POINTS = ['/main.js', 'commander', '/load.js', 'pino', 'smol-toml']
const DELAYS_MS = [0, 10, 20, 40, 80, 150, 300]
const HANGUP_BIT = 1n

interface Start {
  readonly child: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>
  output: string
}

function start(
  nodeFlags: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  args: readonly string[] = FLAGS,
): Start {
  return run(SERVER_NODE, [...nodeFlags, SERVER_PROGRAM, ...args], environment)
}

function run(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Start {
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...inheritedEnvironment(), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const started: Start = {
    child,
    output: '',
    ended: new Promise((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }))
    }),
  }
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      started.output += text
    })
  }
  onTestFinished(() => void child.kill('SIGKILL'))
  return started
}

/** Resolves to true when the server has said `text`, to false when it ended before. */
async function says(server: Start, text: string): Promise<boolean> {
  let isOver = false
  void server.ended.then(() => {
    isOver = true
  })
  while (!server.output.includes(text)) {
    if (isOver) return false
    await delay(5)
  }
  return true
}

async function expectReloadThenStop(server: Start): Promise<void> {
  expect(await says(server, '"reload_requested"'), server.output).toBe(true)
  server.child.kill('SIGTERM')
  expect(await server.ended).toEqual({ code: 0, signal: null })
}

test.each(POINTS)(
  'a signal as %s is asked for does no harm and is acted on',
  async (name) => {
    const flags = ['--import', AT_IMPORT]
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGTERM', 'SIGINT']) {
      const server = start(flags, { SIGNAL_AT_IMPORT: signal, IMPORT_OF: name })
      if (signal === 'SIGHUP') await expectReloadThenStop(server)
      else expect(await server.ended, server.output).toEqual({ code: 0, signal: null })
      expect(server.output).not.toContain('Debugger listening')
    }
  },
  120_000,
)

/** Whether the process has a handler for SIGHUP, as the kernel tells. */
function catchesHangup(pid: number): boolean {
  const caught = /^SigCgt:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  return (BigInt(`0x${caught}`) & HANGUP_BIT) !== 0n
}

test.each(['SIGHUP', 'SIGUSR1'] as const)(
  '%s does no harm at any time from the first line on',
  async (signal) => {
    // A delay counts from the start of the process; or, where that is said, from its first line.
    const sweep = [false, true].flatMap((fromFirstLine) =>
      DELAYS_MS.map((delayMs) => [fromFirstLine, delayMs] as const),
    )
    for (const [fromFirstLine, delayMs] of sweep) {
      const server = start([])
      const pid = server.child.pid ?? 0
      while (fromFirstLine && !catchesHangup(pid)) await delay(1)
      await delay(delayMs)
      // Before the first line, Node has its own way with signals, which docs/operations.md tells.
      if (!catchesHangup(pid)) {
        server.child.kill('SIGKILL')
        continue
      }
      server.child.kill(signal)
      if (signal === 'SIGHUP') await expectReloadThenStop(server)
      else expect(await server.ended, server.output).toEqual({ code: 0, signal: null })
      expect(server.output).not.toContain('Debugger listening')
    }
  },
  240_000,
)

test('a debugger that SIGUSR1 opened before the first line is closed, and the server ends', async () => {
  // What comes before the first line is played here by the debugger itself.
  const script = "import inspector from 'node:inspector'; inspector.open(0)"
  const opener = `data:text/javascript,${encodeURIComponent(script)}`
  const server = start(['--import', opener])
  expect(await server.ended).toEqual({ code: 0, signal: null })
  expect(server.output).toContain('Debugger listening')
  expect(server.output).toContain('SIGUSR1: stopped before the server was ready')
})

test('a server that npm has started ends in order when npm is told to end', async () => {
  const server = run('npm', ['start', '--', ...FLAGS])
  onTestFinished(() => endServerOf(server))
  expect(await says(server, '"started"'), server.output).toBe(true)
  server.child.kill('SIGTERM')
  // Also of the server itself: it has the same output.
  await server.ended
  expect(server.output).toContain('"event":"stopped"')
})

/** Where the test has failed, npm may be gone and the server not. */
function endServerOf({ output }: Start): void {
  const pid = Number(/"event":"started".*"pid":(\d+)/.exec(output)?.[1])
  if (output.includes('"event":"stopped"') || Number.isNaN(pid)) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended all the same.
  }
}

test('a command that serves nobody ends by the signals that programs end by', async () => {
  const command = start([], {}, ['hash-password', 'alice'])
  // Its standard input is empty: it ends by itself unless the signal comes first.
  command.child.kill('SIGTERM')
  const { code, signal } = await command.ended
  expect(signal === 'SIGTERM' || code === 1, `${code} ${signal}`).toBe(true)
})

test('nothing is imported before the signals are held', () => {
  const importsOf = (file: string): string[] =>
    [...readFileSync(join(ROOT, file), 'utf8').matchAll(/^import .*from '(.*)'/gm)].map(
      ([, name]) => name ?? '',
    )
  const first = importsOf('bin/saslcached.ts')
  expect(first).toEqual([
    '../src/base/exit-code.ts',
    '../src/base/shortage.ts',
    '../src/server/main/signals.ts',
  ])
  for (const name of first) expect(importsOf(join('bin', name))).toEqual([])
})
