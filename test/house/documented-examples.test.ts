/**
 * The examples of README.md and docs/ that no test can carry out, as Docker and Kubernetes are not there, and those of files: taken
 * as they stand, and given to what would read them. What a shell can carry out is run by test/integration/guides.test.ts.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseUsersFile } from '../../src/credential/users-file.ts'
import { hashPassword } from '../../src/credential/verifier.ts'
import { type Manifest, type PodSpec, parseYaml, typeProblems } from '../support/manifests.ts'
import { load } from '../unit/config/support.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGES = [
  'README.md',
  ...pagesOf('docs'),
  ...pagesOf('docs/migration'),
  ...pagesOf('docs/programs'),
]
/** What a container is started with, of `docker run`. */
const WITH_VALUE = ['-p', '-e', '-v', '--name', '--cap-drop', '--entrypoint']
const WITHOUT_VALUE = ['-d', '-it', '--rm', '--read-only']
const IMAGE = /^(?:registry\.example\/)?saslcached(?::[\d.]+)?$/
/** What stands for a verifier in an example. */
const SOME_VERIFIER = '"..."'

function pagesOf(folder: string): string[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))
}

interface Block {
  readonly page: string
  readonly text: string
}

function blocks(language: string): Block[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')
  return PAGES.flatMap((page) =>
    [...readFileSync(join(ROOT, page), 'utf8').matchAll(fence)].map(([, text = '']) => ({
      page,
      text,
    })),
  )
}

interface Run extends Block {
  readonly environment: Readonly<Record<string, string>>
  readonly arguments: readonly string[]
  readonly unknown: readonly string[]
  readonly image: string
}

/** The words of a line as a shell splits it; nothing in them is a substitution that matters here. */
function words(line: string): string[] {
  return [...line.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) =>
    word.replace(/'([^']*)'|"([^"]*)"/g, (_, one, other) => one ?? other),
  )
}

function runOf({ page, text }: Block): Run {
  const environment: Record<string, string> = {}
  const unknown: string[] = []
  const rest = words(text).slice(2)
  while (rest[0]?.startsWith('-')) {
    const [option = '', value = ''] = rest
    const hasValue = WITH_VALUE.includes(option)
    if (!hasValue && !WITHOUT_VALUE.includes(option)) unknown.push(option)
    const [, name, content] = /^(\w+)=(.*)$/s.exec(value) ?? []
    if (option === '-e' && name !== undefined) environment[name] = content ?? ''
    rest.splice(0, hasValue ? 2 : 1)
  }
  const [image = '', ...words_] = rest
  return { page, text, environment, arguments: words_, unknown, image }
}

/** Every `docker run` of ours. */
function runs(): Run[] {
  return blocks('sh')
    .flatMap(({ page, text }) =>
      text
        .replaceAll('\\\n', ' ')
        .split('\n')
        .filter((line) => line.startsWith('docker run'))
        .map((line) => runOf({ page, text: line })),
    )
    .filter(({ text }) => text.includes('saslcached'))
}

test('what the pages start by `docker run` is the image, and what it is given is taken', async () => {
  const found = runs()
  expect(found.length).toBeGreaterThan(8)
  const help = readFileSync(join(ROOT, 'test/unit/cli/help.txt'), 'utf8')
  const commands = [...help.matchAll(/^ {2}([a-z][a-z-]+)\b/gm)].map(([, name]) => name)
  for (const { page, text, environment, arguments: given, unknown, image } of found) {
    expect({ page, text, unknown }).toEqual({ page, text, unknown: [] })
    expect(image, text).toMatch(IMAGE)
    const [first = '-'] = given
    if (!first.startsWith('-')) expect(commands, text).toContain(first)
    const flags = first.startsWith('-') ? given : []
    const config = await load({ environment, flags, usersFileMustExist: false })
    const variables = Object.keys(environment).filter((name) => !/USERNAME|PASSWORD/.test(name))
    const read = config.settings.filter(({ source }) => isOfEnvironment(source))
    // An option each, unless one variable has several flags.
    if (!variables.includes('MEMCACHED_EXTRA_FLAGS')) {
      expect(read.length, text).toBe(variables.length)
    }
  }
})

test('the Docker example of TLS serves TLS with the pair that the one before it makes', async () => {
  const ofPage = runs().filter(({ page }) => page === 'docs/tls.md')
  const server = ofPage.find(({ environment }) => environment.SASLCACHED_TLS !== undefined)
  const [first] = ofPage
  const folder = first?.arguments.at(-1)
  expect(first?.arguments.slice(0, 3)).toEqual(['tls', 'self-signed', '--out'])
  const { tls } = await load({ environment: server?.environment ?? {}, usersFileMustExist: false })
  expect(tls?.pairs).toMatchObject([
    { certificateFile: `${folder}/tls.crt`, keyFile: `${folder}/tls.key` },
  ])
})

test('a pod of an example is as Kubernetes has it, and its variables are options', async () => {
  const specs = blocks('yaml')
    .flatMap(({ page, text }) => parseYaml(text).map((value) => ({ page, value })))
    .map(({ page, value }) => ({ page, spec: (value as { readonly spec: PodSpec }).spec }))
  expect(specs.length).toBeGreaterThan(1)
  const pods = specs.map(
    ({ spec }): Manifest => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'example' },
      spec,
    }),
  )
  expect(await typeProblems(pods)).toBe('')
  const wrong = JSON.stringify(pods).replaceAll('mountPath', 'mountpath')
  expect(await typeProblems(JSON.parse(wrong))).toContain('mountpath')
  for (const { page, spec } of specs) {
    const mounts = spec.containers.flatMap(({ volumeMounts = [] }) => volumeMounts)
    const volumes = (spec.volumes ?? []).map(({ name }) => name)
    expect(mounts.map(({ name }) => name).sort(), page).toEqual([...volumes].sort())
    const variables = spec.containers.flatMap(({ env = [] }) => env)
    const environment = Object.fromEntries(variables.map(({ name, value = '' }) => [name, value]))
    const { settings } = await load({ environment, usersFileMustExist: false })
    expect(settings.filter(({ source }) => isOfEnvironment(source)).length, page).toBe(
      variables.length,
    )
    const files = Object.values(environment).filter((value) => value.startsWith('/'))
    const paths = mounts.map(({ mountPath }) => mountPath)
    expect(files.filter((file) => !paths.some((path) => file.startsWith(`${path}/`)))).toEqual([])
  }
})

/** As config/config.ts says where an option was set. */
function isOfEnvironment(source: string): boolean {
  return /^(?:SASLCACHED|MEMCACHED)_/.test(source)
}

const USERS = /^\[(?:users|roles|namespaces)\./m
const OPTIONS = /^\[(?:network|tls|oauth)\]$/m

/** Whole files in a block of a shell, too. */
function tomlFiles(): Block[] {
  const heredocs = blocks('sh').flatMap(({ page, text }) =>
    [...text.matchAll(/cat > \S+\.toml <<'(\w+)'\n([\s\S]*?)^\1$/gm)].map(([, , content = '']) => ({
      page,
      text: content,
    })),
  )
  return [...blocks('toml'), ...heredocs]
}

test('every users.toml of an example is taken', () => {
  const files = tomlFiles().filter(({ text }) => USERS.test(text))
  expect(files.length).toBeGreaterThan(4)
  const verifiers = hashPassword('secret')
    .map((verifier) => JSON.stringify(verifier))
    .join(', ')
  for (const { page, text } of files) {
    const { users, problems } = parseUsersFile(text.replaceAll(SOME_VERIFIER, verifiers), page)
    expect(problems).toEqual([])
    expect(users.length, page).toBeGreaterThan(0)
  }
})

test('every saslcached.toml of an example is taken', async () => {
  const files = tomlFiles().filter(({ text }) => OPTIONS.test(text))
  expect(files.length).toBeGreaterThan(2)
  for (const { page, text } of files) {
    // Tokens are taken on TLS alone, which the page has set before.
    const before = /^\[oauth\]/m.test(text) && !/^\[tls\]/m.test(text)
    const environment = before ? { SASLCACHED_TLS: 'true', SASLCACHED_TLS_CERT: 'tls.crt' } : {}
    const { settings } = await load({ toml: text, environment, usersFileMustExist: false })
    const lines = text.split('\n').filter((line) => /^\w+ =/.test(line))
    const read = settings.filter(({ source }) => source.includes('saslcached.toml:'))
    expect(read.length, page).toBe(lines.length)
  }
})
