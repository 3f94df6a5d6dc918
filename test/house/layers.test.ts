/**
 * The house rules of the code base: which folder may import which, and which node modules may be
 * used where. A violation is printed with its file, line and the remedy.
 */
import { expect, test } from 'vitest'
import { importsOf, type SourceFile, sourceFiles } from './sources.ts'

const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  observe: ['base'],
  config: ['base'],
  protocol: ['base'],
  storage: ['base', 'observe'],
  credential: ['base'],
  sasl: ['base', 'credential'],
  remote: ['base'],
  command: ['base', 'observe', 'protocol', 'storage', 'credential', 'remote'],
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
    'remote',
  ],
  client: ['base', 'config', 'protocol', 'credential', 'sasl'],
  cli: ['base', 'server', 'config', 'credential', 'client'],
}

/** Node modules that only the named folders may touch; all others are free. */
const NODE_MODULES: Record<string, readonly string[]> = {
  'node:net': ['server', 'client'],
  'node:tls': ['server', 'client'],
  'node:http': ['server'],
  'node:https': ['server'],
  'node:worker_threads': ['server'],
  'node:child_process': ['server'],
  'node:os': ['server', 'config'],
  'node:fs': ['config', 'credential', 'server', 'client'],
  'node:fs/promises': ['config', 'credential', 'server'],
  'node:crypto': ['credential', 'sasl', 'client'],
}

/** What connections carry requests out by: only through commands.ts, which asks the gate. */
const BEHIND_COMMANDS: readonly string[] = [
  'command/local/',
  'command/remote/',
  'command/permission.ts',
]

interface Violation {
  readonly where: string
  readonly what: string
}

function violationsOf(file: SourceFile): Violation[] {
  const folder = file.path.split('/')[0] ?? ''
  const allowed = MAY_IMPORT[folder]
  if (allowed === undefined) {
    return [{ where: `src/${file.path}:1`, what: `unknown folder ${folder}: add it to MAY_IMPORT` }]
  }
  const found: Violation[] = []
  for (const { line, specifier, target } of importsOf(file)) {
    const where = `src/${file.path}:${line}`
    if (target === undefined) {
      const owners = NODE_MODULES[specifier]
      if (owners !== undefined && !owners.includes(folder)) {
        found.push({ where, what: `${specifier} belongs to ${owners.join(', ')}: pass it in` })
      }
      continue
    }
    const targetFolder = target.split('/')[0] ?? ''
    if (folder === 'connection' && BEHIND_COMMANDS.some((each) => target.startsWith(each))) {
      found.push({ where, what: 'requests are carried out by command/commands.ts alone' })
    }
    if (targetFolder !== folder && !allowed.includes(targetFolder)) {
      const list = allowed.join(', ') || 'nothing'
      found.push({ where, what: `${folder} may import ${list}; not ${targetFolder}` })
    }
  }
  return found
}

/** Why is in server/net/http-modules.ts, which requires them. */
const IMPORTED_HTTP =
  /^import (?!type\b)(?:(?!\bfrom\b)[^;])*from 'node:https?'|(?<!typeof )import\('node:https?'\)/gm

function importsHttp({ path, text }: SourceFile): string[] {
  if (path === 'server/net/http-modules.ts') return []
  return [...text.matchAll(IMPORTED_HTTP)].map(
    ([found]) => `src/${path}: ${found}: take loadHttp() or loadHttps()`,
  )
}

test('nobody imports node:http: whoever needs it requires it', () => {
  expect(sourceFiles().flatMap(importsHttp)).toEqual([])
})

test('the checker sees imports of values of node:http, and none of types', () => {
  const bad = [
    `import http from 'node:http'`,
    `import { get } from 'node:https'`,
    `import {\n  get,\n  type IncomingMessage,\n} from 'node:http'`,
    `const http = await import('node:http')`,
  ]
  for (const text of bad) expect(importsHttp({ path: 'server/bad.ts', text })).toHaveLength(1)
  const good = `import { a } from './a.ts'\nimport type http from 'node:http'\nimport { b } from 'b'`
  expect(importsHttp({ path: 'server/good.ts', text: good })).toEqual([])
})

test('every import respects the layers', () => {
  expect(sourceFiles().flatMap(violationsOf)).toEqual([])
})

test('the checker sees a sideways import, an upward one and a misplaced node module', () => {
  const text = [
    `import { x } from '../storage/store.ts'`,
    `import { y } from '../server/net/listener.ts'`,
    `import net from 'node:net'`,
    `const z = await import('../cli/serve.ts')`,
  ].join('\n')
  expect(violationsOf({ path: 'protocol/bad.ts', text }).map((v) => v.where)).toEqual([
    'src/protocol/bad.ts:1',
    'src/protocol/bad.ts:2',
    'src/protocol/bad.ts:3',
    'src/protocol/bad.ts:4',
  ])
  const past = `import type { ClassicCommands } from '../command/local/classic-commands.ts'`
  expect(violationsOf({ path: 'connection/bad.ts', text: past })).toHaveLength(1)
})

test('the checker sees imports that are wrapped over lines, and none in comments', () => {
  const text = [
    'const x = await import(',
    `  '../server/listener.ts'`,
    ')',
    'import type {',
    '  Y,',
    '} from',
    `  '../storage/store.ts'`,
    `// import { z } from '../cli/main.ts'`,
    `type Z = import('../cli/io.ts').Io`,
    `export * from '../config/load.ts'`,
  ].join('\n')
  expect(violationsOf({ path: 'protocol/bad.ts', text }).map((v) => v.where)).toEqual([
    'src/protocol/bad.ts:2',
    'src/protocol/bad.ts:7',
    'src/protocol/bad.ts:9',
    'src/protocol/bad.ts:10',
  ])
})
