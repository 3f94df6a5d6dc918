/** Which server, as whom: profiles, the environment and the command line, and files that others can read. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { resolveTarget, type ServerOptions } from '../../../src/client/client-settings.ts'

type Environment = Readonly<Record<string, string>>

function home(files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-client-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  mkdirSync(join(directory, '.config', 'saslcached'), { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
  }
  return directory
}

const PLACE = '.config/saslcached/client.toml'

/** Server, user and password, or why there is none. */
async function resolved(options: ServerOptions, environment: Environment = {}): Promise<string> {
  try {
    const target = await resolveTarget(options, environment, undefined)
    const { address, login } = target
    const where = 'path' in address ? address.path : `${address.host}:${address.port}`
    return `${login?.user ?? '-'}:${login?.password?.reveal() ?? '-'} at ${where}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

test('without anything it is the memcached of this machine', async () => {
  expect(await resolved({})).toBe('-:- at 127.0.0.1:11211')
})

test.each([
  ['cache.example', '-:- at cache.example:11211'],
  ['[::1]:1', '-:- at ::1:1'],
  ['/run/cache.sock', '-:- at /run/cache.sock'],
  ['tcp://x', 'the server "tcp://x" is not a URL: write host:port, or the path of a Unix socket'],
  ['alice:hunter2@x', /^(?!.*hunter2)the server is not an address/],
  ['btls:x', /prefixes are for -l/],
  ['*', /not the address of one server/],
  ['x:y', /not a whole number/],
])('--server %s', async (server, expected) => {
  expect(await resolved({ server })).toMatch(expected)
})

test('a password behind the name of --user is refused, and not repeated', async () => {
  expect(await resolved({ user: 'alice:hunter2' })).toMatch(/^(?!.*hunter2)--user takes a name/)
})

test('the command line wins over a named profile, that over the environment, that over the default', async () => {
  const HOME = home({
    [PLACE]:
      '[default]\nserver = "d:1"\nuser = "dora"\npassword_file = "../../dora"\n[test]\nserver = "t:1"\nuser = "tom"\npassword_file = "../../tom"\n',
    dora: 'd-secret\n',
    tom: 't-secret',
  })
  const environment = {
    HOME,
    SASLCACHED_SERVER: 'e:1',
    SASLCACHED_USERNAME: 'eve',
    SASLCACHED_PASSWORD: 'e-secret',
  }
  expect(await resolved({}, { HOME })).toBe('dora:d-secret at d:1')
  expect(await resolved({}, environment)).toBe('eve:e-secret at e:1')
  expect(await resolved({ profile: 'test' }, environment)).toBe('tom:t-secret at t:1')
  const named = { ...environment, SASLCACHED_PROFILE: 'test' }
  expect(await resolved({}, named)).toBe('tom:t-secret at t:1')
  const passwordFile = join(HOME, 'dora')
  expect(await resolved({ server: 's', user: 'sue', passwordFile }, named)).toBe(
    'sue:d-secret at s:11211',
  )
})

test('the file of profiles is where XDG_CONFIG_HOME or --config says', async () => {
  const HOME = home({ [PLACE]: '[a]\nserver = "h:1"\n', 'other.toml': '[a]\nserver = "o:1"\n' })
  mkdirSync(join(HOME, 'xdg', 'saslcached'), { recursive: true })
  writeFileSync(join(HOME, 'xdg', 'saslcached', 'client.toml'), '[a]\nserver = "x:1"\n', {
    mode: 0o600,
  })
  expect(await resolved({ profile: 'a' }, { HOME })).toBe('-:- at h:1')
  const XDG_CONFIG_HOME = join(HOME, 'xdg')
  expect(await resolved({ profile: 'a' }, { HOME, XDG_CONFIG_HOME })).toBe('-:- at x:1')
  const config = join(HOME, 'other.toml')
  expect(await resolved({ profile: 'a', config }, { HOME })).toBe('-:- at o:1')
  expect(await resolved({ config: join(HOME, 'none') }, { HOME })).toMatch(/^there is no .*none/)
  expect(await resolved({ profile: 'b' }, { HOME })).toMatch(/has no profile "b"; there is a$/)
})

test.each([
  ['[default]\npassword = "hunter2"\n', /put it into a file of its own/],
  ['[default]\nsevrer = "x"\n', /unknown setting "sevrer"; did you mean server\?/],
  ['[default]\ntls = "yes"\n', /tls is not true or false/],
  ['[default]\nuser = ""\n', /user is not a text/],
  ['default = 1\n', /is not a table/],
  ['[default\n', /client\.toml:1: is not TOML/],
])('a file with %j is refused, and no password repeated', async (text, message) => {
  const said = await resolved({}, { HOME: home({ [PLACE]: text }) })
  expect(said).toMatch(message)
  expect(said).not.toContain('hunter2')
})

test.each([0o644, 0o640, 0o604, 0o620, 0o602])(
  'a password or a profile that others can use (mode %o) is refused, with the mode to set',
  async (mode) => {
    const HOME = home({ [PLACE]: '[default]\nserver = "d:1"\n', secret: 'hunter2' })
    const passwordFile = join(HOME, 'secret')
    chmodSync(passwordFile, mode)
    const said = await resolved({ user: 'a', passwordFile }, { HOME })
    expect(said).toContain(`(mode 0${mode.toString(8)}), so it is not used: chmod 600 `)
    chmodSync(join(HOME, PLACE), mode)
    expect(await resolved({}, { HOME })).toContain('so it is not used: chmod 600 ')
  },
)

test.each([
  ['', 'the password is empty'],
  ['two\nlines\n', 'has more than one line'],
  ['x'.repeat(1025), 'at most 1024 are allowed'],
  ['x'.repeat(2000), 'is longer than'],
])('a password file with %j is refused', async (text, message) => {
  const HOME = home({ secret: text })
  const said = await resolved({ user: 'a', passwordFile: join(HOME, 'secret') })
  expect(said).toContain(message)
})

test('without a password and without a terminal it is said where one can come from', async () => {
  expect(await resolved({ user: 'alice' })).toMatch(/give --password-file, or SASLCACHED_PASSWORD/)
  expect(await resolved({ user: 'a', passwordFile: '/nonexistent' })).toMatch(
    /^there is no password/,
  )
})

test('a file of TLS means TLS, and half a pair or an empty file is refused', async () => {
  const HOME = home({
    ca: '-----BEGIN CERTIFICATE-----\n',
    empty: '',
    key: '-----BEGIN PRIVATE KEY-----\n',
  })
  const [ca, empty, key] = ['ca', 'empty', 'key'].map((name) => join(HOME, name))
  const { tls } = await resolveTarget({ tlsCa: ca ?? '' }, {}, undefined)
  expect(tls).toMatchObject({ isVerified: true, ca: expect.stringContaining('BEGIN') })
  expect(await resolved({ tlsCa: empty ?? '' })).toMatch(/has nothing in PEM$/)
  expect(await resolved({ tlsKey: key ?? '' })).toMatch(/give --tls-cert/)
  expect(await resolved({ tlsCert: ca ?? '' })).toMatch(/give --tls-key/)
  chmodSync(key ?? '', 0o644)
  expect(await resolved({ tlsCert: ca ?? '', tlsKey: key ?? '' })).toMatch(/chmod 600/)
  expect((await resolveTarget({}, {}, undefined)).tls).toBeUndefined()
})

test.each(['0', '-1', 'abc', '3601', '1e3', ''])('--timeout %j is refused', async (timeout) => {
  expect(await resolved({ timeout })).toMatch(/^--timeout is not/)
})

test('a password shows itself to nobody who prints what holds it', async () => {
  const environment = { SASLCACHED_USERNAME: 'a', SASLCACHED_PASSWORD: 'hunter2' }
  const target = await resolveTarget({}, environment, undefined)
  expect(JSON.stringify(target) + String(target.login?.password)).not.toContain('hunter2')
})
