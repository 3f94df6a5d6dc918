/**
 * The house rules of the code base: which folder may import which, and which node modules may be
 * used where. A violation is printed with its file, line and the remedy.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const SRC = join(ROOT, 'src')

const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  observe: ['base'],
  config: ['base'],
  protocol: ['base'],
  storage: ['base'],
  credential: ['base'],
  sasl: ['base', 'credential'],
  command: ['base', 'observe', 'protocol', 'storage', 'credential'],
  connection: ['base', 'observe', 'protocol', 'credential', 'sasl', 'command'],
  server: [
    'base',
    'observe',
    'protocol',
    'storage',
    'credential',
    'sasl',
    'command',
    'connection',
    'config',
  ],
  cli: ['base', 'server', 'config', 'credential'],
}

/** Node modules that only the named folders may touch; all others are free. */
const NODE_MODULES: Record<string, readonly string[]> = {
  'node:net': ['server'],
  'node:tls': ['server'],
  'node:http': ['server'],
  'node:worker_threads': ['server'],
  'node:child_process': ['server'],
  'node:os': ['server', 'config'],
  'node:fs': ['config', 'credential', 'server'],
  'node:fs/promises': ['config', 'credential', 'server'],
  'node:crypto': ['credential', 'sasl'],
}

/** The files that connections carry requests out by: only through commands.ts, which asks the gate. */
const BEHIND_COMMANDS: readonly string[] = ['command/execute.ts', 'command/meta.ts']

interface Violation {
  readonly where: string
  readonly what: string
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
}

function violationsOf(file: string, text: string): Violation[] {
  const path = relative(SRC, file).split(sep).join('/')
  const folder = path.split('/')[0] ?? ''
  const found: Violation[] = []
  const allowed = MAY_IMPORT[folder]
  if (allowed === undefined) {
    return [{ where: `src/${path}:1`, what: `unknown folder ${folder}: add it to MAY_IMPORT` }]
  }
  for (const [index, line] of text.split('\n').entries()) {
    const specifier = /(?:from|import)\s*\(?\s*'([^']+)'/.exec(line)?.[1]
    if (specifier === undefined) continue
    const where = `src/${path}:${index + 1}`
    if (specifier.startsWith('.')) {
      const target = relative(SRC, join(file, '..', specifier))
        .split(sep)
        .join('/')
      const targetFolder = target.split('/')[0] ?? ''
      if (folder === 'connection' && BEHIND_COMMANDS.includes(target)) {
        found.push({ where, what: 'requests are carried out by command/commands.ts alone' })
      }
      if (targetFolder !== folder && !allowed.includes(targetFolder)) {
        const list = allowed.join(', ') || 'nothing'
        found.push({ where, what: `${folder} may import ${list}; not ${targetFolder}` })
      }
    } else {
      const owners = NODE_MODULES[specifier]
      if (owners !== undefined && !owners.includes(folder)) {
        found.push({ where, what: `${specifier} belongs to ${owners.join(', ')}: pass it in` })
      }
    }
  }
  return found
}

test('every import respects the layers', () => {
  const violations = sourceFiles(SRC).flatMap((file) =>
    violationsOf(file, readFileSync(file, 'utf8')),
  )
  expect(violations).toEqual([])
})

test('the checker sees a sideways import, an upward one and a misplaced node module', () => {
  const bad = [
    `import { x } from '../storage/store.ts'`,
    `import { y } from '../server/net/listener.ts'`,
    `import net from 'node:net'`,
    `const z = await import('../cli/serve.ts')`,
  ].join('\n')
  expect(violationsOf(join(SRC, 'protocol', 'bad.ts'), bad).map((v) => v.where)).toEqual([
    'src/protocol/bad.ts:1',
    'src/protocol/bad.ts:2',
    'src/protocol/bad.ts:3',
    'src/protocol/bad.ts:4',
  ])
  const past = `import type { Executor } from '../command/execute.ts'`
  expect(violationsOf(join(SRC, 'connection', 'bad.ts'), past)).toHaveLength(1)
})
