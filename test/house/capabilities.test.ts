/**
 * What a capability touches, as src/README.md has it: the files that are its own, and the layers in which others know it. A
 * file knows a capability that imports one of its files. Each is known in two layers at most, so that one who
 * changes it, or makes another like it, finds all of it; who wants to know it in a third gives it something that was
 * there before to speak through instead: an interface in a lower layer, an outcome, an event.
 *
 * Not counted is what every capability has: options, which `config` reads and checks against each other, and the entry of
 * a command, which says no more than its name. What is passed on without a name (a field of the settings, say) is
 * not seen by this.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { importsOf, type SourceFile, sourceFiles } from './sources.ts'

const LAYERS_MAX = 2
const ENTRIES: readonly string[] = ['cli/main.ts', 'cli/users.ts']

const README = readFileSync(join(import.meta.dirname, '../../src/README.md'), 'utf8')
const SOURCES = sourceFiles()

interface Capability {
  readonly name: string
  /** As the README has them. */
  readonly layers: readonly string[]
  readonly own: readonly string[]
  readonly changed: readonly string[]
}

/** `**Name** is known in a, b` and the list under it, whose last item begins with `changed:`. */
function capabilitiesIn(text: string): Capability[] {
  const heads = /^\*\*(.+)\*\* (?:is|are) known in (.+)\n\n((?:(?:- | {2}).*\n)+)/gm
  return [...text.matchAll(heads)].map(([, name = '', layers = '', list = '']) => {
    const [own = '', changed = ''] = list.split('\n- changed:')
    return { name, layers: layers.split(', '), own: pathsIn(own), changed: pathsIn(changed) }
  })
}

/** What is in backquotes and has a folder; `*` stands for a part of a file's name. */
function pathsIn(text: string): string[] {
  return [...text.matchAll(/`([\w*.-]+(?:\/[\w*.-]+)+\.ts)`/g)].map(([, path = '']) => path)
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`)
}

function layerOf(path: string): string {
  return path.split('/')[0] ?? ''
}

interface Knowledge {
  /** Which file knows which of the capability's. */
  readonly by: ReadonlyMap<string, string>
  readonly layers: readonly string[]
}

function knowledgeOf({ own }: Capability, sources: readonly SourceFile[]): Knowledge {
  const patterns = own.map(patternOf)
  const isOwn = (path: string): boolean => patterns.some((pattern) => pattern.test(path))
  const by = new Map<string, string>()
  for (const file of sources) {
    const { path } = file
    if (isOwn(path) || layerOf(path) === 'config' || ENTRIES.includes(path)) continue
    const known = importsOf(file).find(({ target }) => target !== undefined && isOwn(target))
    if (known !== undefined) by.set(path, known.target ?? '')
  }
  return { by, layers: [...new Set([...by.keys()].map(layerOf))].sort() }
}

const CAPABILITIES = capabilitiesIn(README)

test('src/README.md names the capabilities, and files of each that are there', () => {
  expect(CAPABILITIES.length).toBeGreaterThan(10)
  const paths = SOURCES.map(({ path }) => path)
  const missing = CAPABILITIES.flatMap(({ name, own, changed }) =>
    [...own, ...changed]
      .filter((path) => !paths.some((there) => patternOf(path).test(there)))
      .map((path) => `${name}: ${path}`),
  )
  expect(missing).toEqual([])
})

test.each(CAPABILITIES)('$name: known in two layers at most, those that are told', (capability) => {
  const { by, layers } = knowledgeOf(capability, SOURCES)
  const told = [...capability.layers].sort()
  const surplus = [...by]
    .filter(([path]) => !told.includes(layerOf(path)))
    .map(([path, known]) => `src/${path} imports ${known}: let it speak through what both know`)
  expect(surplus).toEqual([])
  expect(layers).toEqual(told)
  expect(told.length).toBeLessThanOrEqual(LAYERS_MAX)
})

test.each(CAPABILITIES)(
  '$name: what is told to be changed knows it, in each layer',
  (capability) => {
    const { by } = knowledgeOf(capability, SOURCES)
    expect(capability.changed.filter((path) => !by.has(path))).toEqual([])
    expect([...new Set(capability.changed.map(layerOf))].sort()).toEqual(
      [...capability.layers].sort(),
    )
  },
)

/** Two rows, because they have nothing in common but the user who has both; as one they would be known in three layers. */
test('outside credential no file knows both rights and namespaces', () => {
  const [rights, namespaces] = ['Rights', 'Namespaces'].map((wanted) => {
    const capability = CAPABILITIES.find(({ name }) => name === wanted)
    if (capability === undefined) throw new Error(`src/README.md does not have ${wanted}`)
    const own = capability.own.map(patternOf)
    const owners = SOURCES.map(({ path }) => path).filter((path) =>
      own.some((pattern) => pattern.test(path)),
    )
    return new Set([...owners, ...knowledgeOf(capability, SOURCES).by.keys()])
  })
  const both = [...(rights ?? [])].filter((path) => namespaces?.has(path))
  expect(both.length).toBeGreaterThan(0)
  expect(both.filter((path) => layerOf(path) !== 'credential')).toEqual([])
})

test('the checker sees who knows a capability: by any import, but neither its own files nor options nor entries', () => {
  const [bells] = capabilitiesIn(
    [
      '**Bells** are known in server',
      '',
      '- `server/bells/*.ts`, `storage/bell.ts`: they ring',
      '  when they are told to',
      '- changed: `server/main/ringer.ts`',
      '',
      '**What is a tower** has bells.',
      '',
    ].join('\n'),
  )
  const importing = (path: string, target: string): SourceFile => {
    const up = '../'.repeat(path.split('/').length - 1)
    return { path, text: `const { ring } = await import('${up}${target}')\n` }
  }
  const sources = [
    importing('server/bells/big.ts', 'storage/bell.ts'),
    importing('server/main/ringer.ts', 'server/bells/big.ts'),
    importing('config/load.ts', 'storage/bell.ts'),
    importing('cli/main.ts', 'server/bells/big.ts'),
    importing('connection/gate.ts', 'storage/bell.ts'),
    importing('connection/other.ts', 'storage/belly.ts'),
  ]
  if (bells === undefined) throw new Error('nothing was read')
  expect(bells.own).toEqual(['server/bells/*.ts', 'storage/bell.ts'])
  expect(bells.changed).toEqual(['server/main/ringer.ts'])
  const { by, layers } = knowledgeOf(bells, sources)
  expect([...by.keys()]).toEqual(['server/main/ringer.ts', 'connection/gate.ts'])
  expect(layers).toEqual(['connection', 'server'])
})
