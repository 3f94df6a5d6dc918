import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readVersion } from '../../../src/config/version.ts'
import { FakeTerminal, makeDirectory, run } from './support.ts'

/** The settings that --print-config shows as not being the default. */
async function settingsOf(argv: readonly string[]): Promise<string[]> {
  const { exitCode, out, err } = await run([...argv, '--print-config'])
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
  return out
    .split('\n')
    .filter((line) => line.includes(' = ') && !/# default(: .*)?$/.test(line))
    .map((line) => line.replace(/ +# /, ' # '))
}

test.each([
  [['-m64'], ['memory_limit_mib = 64 # -m']],
  [['-m', '64'], ['memory_limit_mib = 64 # -m']],
  [['--memory-limit=64'], ['memory_limit_mib = 64 # --memory-limit']],
  [['--memory-limit', '64'], ['memory_limit_mib = 64 # --memory-limit']],
  [['-vvv'], ['verbose = 3 # -v']],
  [['-v', '-v', '--verbose'], ['verbose = 3 # --verbose']],
  [
    ['-vvm', '64'],
    ['memory_limit_mib = 64 # -m', 'verbose = 2 # -v'],
  ],
  [['-vvm64'], ['memory_limit_mib = 64 # -m', 'verbose = 2 # -v']],
  [
    ['-Mdm64'],
    ['memory_limit_mib = 64 # -m', 'disable_evictions = true # -M', 'daemon = true # -d'],
  ],
  [['-p', '-1'], ['port = -1 # -p']],
  [['-p-1'], ['port = -1 # -p']],
  [['-l', 'a,b', '-lc', '--listen=d'], ['listen = ["a", "b", "c", "d"] # --listen']],
  [['-m', '64', '-m', '128'], ['memory_limit_mib = 128 # -m']],
  [
    ['-SXWF'],
    ['disable_flush_all = true # -F', 'disable_dumping = true # -X', 'disable_watch = true # -W'],
  ],
  [['-D::'], ['prefix_delimiter = ":" # -D']],
  [
    ['-o', 'watcher_logbuf_size=1,worker_logbuf_size=2', '-otrack_sizes'],
    [
      'watcher_logbuf_kib = 1 # -o watcher_logbuf_size',
      'worker_logbuf_kib = 2 # -o worker_logbuf_size',
      'track_sizes = true # -o track_sizes',
    ],
  ],
  [
    ['-oidle_timeout=5', '-o', 'no_maxconns_fast'],
    ['wait_for_place = true # -o no_maxconns_fast', 'idle_timeout_seconds = 5 # -o idle_timeout'],
  ],
  [['serve', '-m', '64'], ['memory_limit_mib = 64 # -m']],
  // What compose files for memcached's own image have as their command.
  [['memcached', '-m', '64'], ['memory_limit_mib = 64 # -m']],
  [
    ['-m', '64', 'memcached', '-C'],
    ['memory_limit_mib = 64 # -m', 'disable_cas = true # -C'],
  ],
])('%j is understood as memcached does', async (argv, settings) => {
  expect(await settingsOf(argv)).toEqual(settings)
})

/** An argument that nobody understood is not repeated: it may be a password. */
const NO_COMMAND =
  'command line: has an argument too many, and no command: there are serve, memcached, health, user, tls, stats, top, get, set, delete, dump, watch, flush, ping, bench, hash-password'

test.each([
  [['--mem', '64'], ['--mem: is not an option; did you mean --memory-limit?']],
  [['--thread=4'], ['--thread: is not an option; did you mean --threads?']],
  [['--conn-limti', '4'], ['--conn-limti: is not an option; did you mean --conn-limit?']],
  [['-q'], ['-q: is not an option; --help lists all']],
  [['-vqm64'], ['-q: is not an option; --help lists all']],
  [['--daemon=yes'], ['--daemon: takes no value']],
  [['--password-fiel', 'x'], ['--password-fiel: is not an option; --help lists all']],
  [['hunter2'], [NO_COMMAND]],
  [['frobnicate'], [NO_COMMAND]],
  [['hash-pasword'], ['hash-pasword: is not a command; did you mean hash-password?']],
  [['--no-such'], ['--no-such: is not an option; did you mean --no-auth?']],
  [['-m', '64', '--', 'hunter2'], [NO_COMMAND]],
  [['sevre'], ['sevre: is not a command; did you mean serve?']],
  [
    ['-Z'],
    [
      '-Z: needs a certificate: --tls-cert FILE and --tls-key FILE; "saslcached tls self-signed" makes both, to try',
    ],
  ],
  [
    ['-c0', '--foo', '-t', '0', '-o', 'x'],
    [
      '-o x: is not a known suboption',
      '--foo: is not an option; --help lists all',
      '-c: "0" is not a whole number from 1 to 1000000',
      '-t: "0" is not a whole number from 1 to 256, or auto',
    ],
  ],
  [['-c0', '-m'], ["command line: option '-m, --memory-limit <num>' argument missing"]],
])('%j is refused with exit code 78, all problems at once', async (argv, problems) => {
  const { exitCode, out, err } = await run(argv)
  expect({ exitCode, out }).toEqual({ exitCode: 78, out: '' })
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
  expect(err).toBe(`saslcached: ${count}\n${problems.map((line) => `  ${line}\n`).join('')}`)
})

test('flags that only tune what is not here are accepted and mentioned', async () => {
  const { exitCode, err } = await run([
    '-k',
    '-L',
    '-f',
    '1.25',
    '-n48',
    '-r',
    '-o',
    'hashpower=20',
    '--check-config',
  ])
  expect(exitCode).toBe(0)
  expect(err.split('\n')).toEqual([
    'note: -k has no effect: memory cannot be locked from here',
    'note: -L has no effect: page sizes are left to the system',
    'note: -f has no effect: there are no slabs here',
    'note: -n has no effect: there are no slabs here',
    'note: -r has no effect: the core file limit is left as it is',
    'note: -o hashpower has no effect: the index sizes itself',
    'saslcached: the configuration is good',
    '',
  ])
})

test('--check-config reads the users as well', async () => {
  const directory = makeDirectory()
  const users = join(directory, 'users.toml')
  writeFileSync(users, '[users.alice]\npassword = "in the clear"\n')
  const good = await run(['--check-config'], { directory })
  expect(good.exitCode).toBe(0)
  expect(good.err).toMatch(/^warning: .*users\.toml:[12]: /)
  writeFileSync(users, '[users.alice]\npasswort = "hunter2"\n')
  const bad = await run(['--check-config'], { directory })
  expect(bad.exitCode).toBe(78)
  expect(bad.err).toMatch(/^saslcached: the users cannot be used\n {2}.*users\.toml:\d: /)
  expect(bad.err).not.toContain('hunter2')
})

test('--check-config reads the key of the snapshot as well', async () => {
  const directory = makeDirectory()
  const key = join(directory, 'key')
  const flags = ['--snapshot', join(directory, 'snapshot'), '--snapshot-key-file', key]
  const check = () => run([...flags, '--check-config'], { directory })
  expect(await check()).toMatchObject({ exitCode: 78, err: expect.stringContaining('ENOENT') })
  writeFileSync(key, 'hunter2\n', { mode: 0o600 })
  const bad = await check()
  expect(bad.exitCode).toBe(78)
  expect(bad.err).toMatch(/^saslcached: the snapshot key .* is no key: 64 hexadecimal digits/)
  expect(bad.err).not.toContain('hunter2')
  writeFileSync(key, `${'0f'.repeat(32)}\n`, { mode: 0o600 })
  expect((await check()).exitCode).toBe(0)
})

test('--check-config holds the users of listeners against the users', async () => {
  const { exitCode, err } = await run(['--listen-as', 'monitor=127.0.0.1:11212', '--check-config'])
  expect(exitCode).toBe(78)
  expect(err).toContain('listen_as: there is no user "monitor"')
})

test('--check-config reads the keys that tokens are checked with', async () => {
  const directory = makeDirectory()
  const keys = join(directory, 'jwks.json')
  const argv = ['--oauth-issuer', 'https://id.example', '--oauth-audience', 'cache']
  argv.push('--oauth-jwks-file', keys, '--check-config')
  const missing = await run(argv)
  expect([missing.exitCode, missing.err]).toEqual([
    78,
    'warning: no token will be taken: no listener speaks TLS\n' +
      `saslcached: the keys for tokens cannot be used\n  ${keys}: there is no such file\n`,
  ])
  writeFileSync(keys, '{"keys":[]}')
  expect((await run(argv)).err).toContain(`  ${keys}: `)
})

test.each([
  [['--audit-on-failure', 'refuse-logins'], '--audit-on-failure: takes an audit: --audit-log FILE'],
  [['--audit-keys', 'clear'], '--audit-keys: takes an audit: --audit-log FILE'],
  [['--throttle-min', '100'], '--throttle-min: 100 is longer than --throttle-max, 60'],
  [['-l', 'tls:127.0.0.1'], 'unknown prefix: there are notls:, btls: and mtls:'],
  [
    ['-Z'],
    'needs a certificate: --tls-cert FILE and --tls-key FILE; "saslcached tls self-signed" makes both, to try',
  ],
])('%j says what is missing or contradicts', async (argv, problem) => {
  const { exitCode, err } = await run([...argv, '--check-config'])
  expect([exitCode, err]).toEqual([78, expect.stringContaining(problem)])
})

test('--check-config and --print-config together do both', async () => {
  const { exitCode, out, err } = await run(['--check-config', '--print-config'])
  expect([exitCode, err]).toEqual([0, 'saslcached: the configuration is good\n'])
  expect(out).toContain('port = 11211')
})

test('--version says name and version', async () => {
  const expected = { exitCode: 0, out: `saslcached ${readVersion()}\n`, err: '' }
  expect(await run(['-V'])).toEqual(expected)
  expect(await run(['--version'])).toEqual(expected)
  expect(readVersion()).toMatch(/^\d+\.\d+\.\d+$/)
})

test('help is what it was when somebody last read it', async () => {
  const { exitCode, out, err } = await run(['--help'], { columns: 80 })
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
  await expect(out).toMatchFileSnapshot('help.txt')
  expect(await run(['-h'], { columns: 80 })).toEqual({ exitCode, out, err })
})

test.each([80, 100, 200])(
  'on a terminal of %i columns help keeps to it, and to 100',
  async (columns) => {
    const { out } = await run(['--help'], { columns })
    const usage = out.slice(0, out.indexOf('Every option'))
    expect(Math.max(...usage.split('\n').map((line) => line.length))).toBeLessThanOrEqual(
      Math.min(columns, 100),
    )
  },
)

test('users are added, changed, listed and removed', async () => {
  const file = join(makeDirectory(), 'people.toml')
  const user = (argv: readonly string[], stdin = '') =>
    run(['user', ...argv, '--file', file], { stdin })
  expect(await user(['add', 'alice'], 'hunter-1\n')).toEqual({
    exitCode: 0,
    out: '',
    err: `user "alice" was added to ${file}\n`,
  })
  expect(await user(['add', 'alice'], 'hunter-1\n')).toMatchObject({
    exitCode: 1,
    err: expect.stringMatching(/^saslcached: user "alice" exists already/),
  })
  expect(await user(['add', 'bob', '--iterations', '5000'], 'hunter-2\n')).toMatchObject({
    exitCode: 0,
  })
  expect(await user(['passwd', 'alice', '--keep-old'], 'hunter-3\n')).toMatchObject({ exitCode: 0 })
  expect((await user(['list'])).out).toMatch(
    /^alice {2}SCRAM-SHA-.* \(4096\) {2}2 passwords\nbob {4}SCRAM-SHA-.* \(5000\)\n$/,
  )
  expect(await user(['remove', 'alice'])).toMatchObject({ exitCode: 0 })
  expect(await user(['remove', 'alice'])).toMatchObject({ exitCode: 1 })
  expect((await user(['list'])).out).toMatch(/^bob {2}\S/)
  expect(readFileSync(file, 'utf8')).not.toContain('hunter-')
})

test('a user is added from a terminal', async () => {
  const file = join(makeDirectory(), 'users.toml')
  const stdin = new FakeTerminal('secret\r', 'secret\r')
  const { exitCode, err } = await run(['user', 'add', 'alice', '--file', file], { stdin })
  expect(exitCode).toBe(0)
  expect(err).toBe(`Password for "alice": \nThe same again: \nuser "alice" was added to ${file}\n`)
})

test.each([
  ['a user that exists', ['add', 'alice'], /exists already/],
  ['a folder that is missing', ['add', 'bob', '--file', '/nonexistent/u'], /no such directory/],
  ['a namespace that is not stated', ['add', 'bob', '--namespace', 'shop'], /shop/],
  ['a user that is not there', ['passwd', 'bob'], /bob/],
])('no password is asked for in vain: %s', async (_, argv, why) => {
  const directory = makeDirectory()
  const added = await run(['user', 'add', 'alice'], { directory, stdin: 'x' })
  expect(added.exitCode).toBe(0)
  const before = readFileSync(join(directory, 'users.toml'), 'utf8')
  for (const stdin of [new FakeTerminal('secret\r', 'secret\r'), '']) {
    const { exitCode, err } = await run(['user', ...argv], { directory, stdin })
    expect(exitCode).toBe(1)
    expect(err).toMatch(why)
    expect(err).not.toMatch(/Password for|New password|on stdin/)
  }
  expect(readFileSync(join(directory, 'users.toml'), 'utf8')).toBe(before)
})

test('the variables of the client commands keep nobody from editing users', async () => {
  const directory = makeDirectory()
  const environment = {
    SASLCACHED_SERVER: 'cache:11211',
    SASLCACHED_PROFILE: 'prod',
    SASLCACHED_USERNAME: 'alice',
  }
  const given = { directory, environment, stdin: 'x' }
  expect(await run(['user', 'add', 'bob'], given)).toMatchObject({ exitCode: 0 })
  expect((await run(['user', 'list'], given)).out).toMatch(/^bob /)
})

test('a new name is one that people can type, and its limits are said', async () => {
  const file = join(makeDirectory(), 'users.toml')
  const add = (name: string) => run(['user', 'add', name, '--file', file], { stdin: 'x' })
  for (const name of ['al\nice', 'al\u0007ice', 'al\u0085ice']) {
    expect(await add(name)).toMatchObject({
      exitCode: 1,
      err: 'saslcached: the name contains a control character\n',
    })
  }
  const { exitCode, err } = await add('al ice')
  expect(exitCode).toBe(0)
  expect(err).toContain('the name has a blank')
  expect((await add('alice')).err).not.toContain('blank')
})

test('users are kept where the server looks for them', async () => {
  const directory = makeDirectory()
  await run(['user', 'add', 'alice'], { directory, stdin: 'x' })
  expect(readFileSync(join(directory, 'users.toml'), 'utf8')).toContain('[users.alice]')
  const elsewhere = join(directory, 'other.toml')
  const environment = { SASLCACHED_USERS_FILE: elsewhere }
  await run(['user', 'add', 'bob'], { directory, environment, stdin: 'x' })
  expect(readFileSync(elsewhere, 'utf8')).toContain('[users.bob]')
})

test('where the users cannot be written, another place is suggested', async () => {
  const { exitCode, err } = await run(['user', 'add', 'alice'], { stdin: 'x' })
  expect(exitCode).toBe(1)
  expect(err).toContain('; name another file with --file, and serve it with --users-file')
})

test('hash-password prints verifiers, or an entry that the server can use', async () => {
  const bare = await run(['hash-password'], { stdin: 'secret\n' })
  expect(bare.out.split('\n').map((line) => line.split('$')[0])).toEqual([
    'SCRAM-SHA-256',
    'SCRAM-SHA-512',
    'SCRAM-SHA-1',
    '',
  ])
  const directory = makeDirectory()
  const entry = await run(['hash-password', 'al ice', '--iterations', '4097'], { stdin: 'secret' })
  writeFileSync(join(directory, 'users.toml'), entry.out)
  expect((await run(['user', 'list'], { directory })).out).toMatch(/^"al ice" {2}.*\(4097\)\n$/)
})

test.each([
  [['user', 'add', 'alice', 'hunter2']],
  [['user', 'passwd', 'alice', 'hunter2']],
  [['hash-password', 'alice', 'hunter2']],
])('%j: a password on the command line is refused with the reason', async (argv) => {
  const { exitCode, out, err } = await run(argv, { stdin: 'x' })
  expect({ exitCode, out }).toEqual({ exitCode: 78, out: '' })
  expect(err).toMatch(
    /^saslcached: 1 problem\n {2}command line: has an argument too many; a password is asked for or read from stdin/,
  )
  expect(err).not.toContain('hunter2')
})

const ASKED = 'it is asked for, or read from stdin'
const ASKED_ELSEWHERE =
  '"saslcached user add" and "saslcached user passwd" ask for it, or read it from stdin'

test.each([
  [['user', 'add', 'alice', '--password', 'hunter2'], '--password', ASKED],
  [['user', 'add', 'alice', '--pasword=hunter2'], '--pasword', ASKED],
  [['user', 'passwd', 'alice', '--password=hunter2'], '--password', ASKED],
  [['user', 'passwd', 'alice', '--new-password', 'hunter2'], '--new-password', ASKED],
  [['hash-password', '--password', 'hunter2'], '--password', ASKED],
  [['user', 'set', 'alice', '--passwd', 'hunter2'], '--passwd', ASKED_ELSEWHERE],
  [['user', 'check', 'alice', '--password', 'hunter2'], '--password', ASKED_ELSEWHERE],
  [['user', 'list', '--password=hunter2'], '--password', ASKED_ELSEWHERE],
  [['tls', 'self-signed', '--passphrase', 'hunter2'], '--passphrase', ASKED_ELSEWHERE],
  [['health', '--password=hunter2'], '--password', ASKED_ELSEWHERE],
  [['--secret', 'hunter2'], '--secret', ASKED_ELSEWHERE],
  [['serve', '--password', 'hunter2'], '--password', ASKED_ELSEWHERE],
])('%j: the password has been seen, and is to be changed', async (argv, flag, instead) => {
  const { exitCode, out, err } = await run(argv, { stdin: 'x' })
  expect({ exitCode, out }).toEqual({ exitCode: 78, out: '' })
  expect(err).toBe(
    `saslcached: 1 problem\n  ${flag}: a password is taken from no command line, because everybody on this machine can read it there (this one has been seen: change it); ${instead}\n`,
  )
})

test.each([
  [['user', 'add', 'alice', '-p', 'hunter2']],
  [['user', 'add', 'alice', '-phunter2']],
  [['hash-password', '-p', 'hunter2']],
  [['hash-password', '-x', 'hunter2']],
])('%j: nothing of it is repeated', async (argv) => {
  const { exitCode, out, err } = await run(argv, { stdin: 'x' })
  expect({ exitCode, out }).toEqual({ exitCode: 78, out: '' })
  expect(err).not.toContain('hunter2')
})

test.each([
  [['user', 'add'], "command line: missing required argument 'name'"],
  [['user', 'ad', 'x'], "command line: unknown command 'ad' (Did you mean add?)"],
  [['user', 'list', 'x'], 'command line: has an argument too many'],
  [
    ['user', 'add', 'x', '--iterations', '10'],
    '--iterations: "10" is not a whole number from 4096 to 10000000',
  ],
  [['user', 'passwd', 'x', '--no-password'], '--no-password: is not an option; --help lists all'],
  [['user', 'remove', 'x', '--no-auth'], '--no-auth: is not an option of "saslcached user remove"'],
  [['user', 'list', 'x', 'y'], 'command line: has an argument too many'],
  [['-m', '0', '-m', '0'], '-m: "0" is not a whole number from 1 to 65536'],
  [['health', 'a', 'b'], 'command line: has an argument too many'],
  [['health', 'a:b:c'], 'health: "a:b:c" is not an address: write host, host:port or [IPv6]:port'],
])('%j is refused', async (argv, problem) => {
  expect(await run(argv, { stdin: 'x' })).toEqual({
    exitCode: 78,
    out: '',
    err: `saslcached: 1 problem\n  ${problem}\n`,
  })
})

test('a password file that others may read is warned of, since the commands of a client refuse it', async () => {
  const file = join(makeDirectory(), 'password')
  writeFileSync(file, 'secret\n', { mode: 0o644 })
  const environment = { SASLCACHED_USERNAME: 'alice', SASLCACHED_PASSWORD_FILE: file }
  expect(await run(['--check-config'], { environment })).toEqual({
    exitCode: 0,
    out: '',
    err:
      `warning: SASLCACHED_USERNAME, SASLCACHED_PASSWORD_FILE: the file can be read or written by others (mode 0644): ` +
      `chmod 600 ${file}; until then "saslcached stats" and the like refuse it\nsaslcached: the configuration is good\n`,
  })
  chmodSync(file, 0o600)
  expect((await run(['--check-config'], { environment })).err).not.toContain('warning')
})

test('a user name or a password that cannot be is refused before anything is written', async () => {
  const directory = makeDirectory()
  const long = 'x'.repeat(1025)
  expect(await run(['user', 'add', long], { directory, stdin: 'x' })).toMatchObject({ exitCode: 1 })
  expect(await run(['user', 'add', ''], { directory, stdin: 'x' })).toMatchObject({ exitCode: 1 })
  expect(await run(['user', 'add', 'a'], { directory, stdin: long })).toMatchObject({ exitCode: 1 })
  expect(await run(['user', 'list'], { directory })).toMatchObject({ exitCode: 1 })
})

test('"saslcached user" alone shows its help and fails', async () => {
  const { exitCode, out, err } = await run(['user'])
  expect({ exitCode, out }).toEqual({ exitCode: 78, out: '' })
  expect(err).toMatch(/^Usage: saslcached user /)
})

test('health speaks TLS to an address if it is told to, and says how where it was not', async () => {
  const firstBytes: (number | undefined)[] = []
  const listener = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', ([first]) => {
      firstBytes.push(first)
      socket.end()
    })
  })
  onTestFinished(() => void listener.close())
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = `127.0.0.1:${(listener.address() as AddressInfo).port}`
  const hint = `if it speaks TLS, write btls:${address}, or give --tls`
  const plain = await run(['health', address])
  expect(plain).toMatchObject({ exitCode: 1, err: expect.stringContaining(hint) })
  for (const argv of [
    ['health', '--tls', address],
    ['health', `btls:${address}`],
  ]) {
    const { exitCode, err } = await run(argv)
    expect(exitCode).toBe(1)
    expect(err).not.toContain('--tls')
  }
  await run(['health', '--tls', `notls:${address}`])
  // A request of the binary protocol begins with 0x80, a handshake with 0x16.
  expect(firstBytes).toEqual([0x80, 0x16, 0x16, 0x80])
})
