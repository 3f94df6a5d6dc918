import { chmodSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { configuredUsers } from '../../../src/config/credentials.ts'
import { loadNetwork } from '../../../src/config/load.ts'
import { OPTIONS } from '../../../src/config/options.ts'
import { DEFAULT_ITERATIONS } from '../../../src/credential/verifier.ts'
import { MECHANISM_NAMES } from '../../../src/sasl/mechanisms.ts'
import { load, makeDirectory, problemsOf } from './support.ts'

test('with nothing given, the defaults are in force', async () => {
  const config = await load({})
  expect(config).toMatchObject({
    network: {
      listen: [{ host: '*', port: 11_211 }],
      unixSocket: undefined,
      unixMask: 0o700,
      unixGroup: undefined,
      clusterNodes: [],
      backlog: 1024,
      protocol: 'auto',
      portFile: undefined,
    },
    memory: {
      limitBytes: 67_108_864,
      limitBytesMax: 1_073_741_824,
      itemBytesMax: 1_048_576,
      evicts: true,
      casEnabled: true,
    },
    auth: {
      required: true,
      sources: [],
      mechanisms: ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'],
      iterations: 4096,
      flushEnabled: true,
      dumpEnabled: true,
      shutdownEnabled: false,
    },
    limits: {
      connectionsMax: 1024,
      unauthenticatedConnectionsMax: 256,
      loginTimeoutMs: 10_000,
      loginAttemptsMax: 5,
      preLoginRequestBytesMax: 65_536,
      keyDerivationsMax: 8,
      derivationQueueMax: 4096,
      requestsPerTurnMax: 500,
      idleTimeoutMs: 0,
      stalledWriteTimeoutMs: 60_000,
      sendBufferBytesMax: 262_144,
      drainTimeoutMs: 5000,
    },
    process: { threads: 4, daemonize: false, pidFile: undefined, runAsUser: undefined },
    log: { level: 'info', verbosity: 0, format: 'auto' },
    file: undefined,
    notices: [],
  })
  expect(config.settings.every((setting) => setting.source === 'default')).toBe(true)
})

test('the default of iterations is what credentials take by themselves', () => {
  expect(OPTIONS.scram_iterations.default).toBe(DEFAULT_ITERATIONS)
})

test('a flag wins over a variable, a variable over the file, the file over the default', async () => {
  const toml = '[limits]\nconn_limit = 11\n'
  const environment = { SASLCACHED_CONN_LIMIT: '12' }
  const flags = ['-c', '13']
  const limitOf = async (given: Parameters<typeof load>[0]): Promise<[number, string]> => {
    const config = await load(given)
    const setting = config.settings.find(({ name }) => name === 'conn_limit')
    return [config.limits.connectionsMax, setting?.source.replace(/^.*\//, '') ?? '']
  }
  expect(await limitOf({})).toEqual([1024, 'default'])
  expect(await limitOf({ toml })).toEqual([11, 'saslcached.toml:2'])
  expect(await limitOf({ toml, environment })).toEqual([12, 'SASLCACHED_CONN_LIMIT'])
  expect(await limitOf({ toml, environment, flags })).toEqual([13, '-c'])
})

test('a variable of ours wins over one of the images in use', async () => {
  const environment = { MEMCACHED_CACHE_SIZE: '100', SASLCACHED_MEMORY_LIMIT_MIB: '200' }
  expect((await load({ environment })).memory.limitBytes).toBe(200 * 1024 * 1024)
})

test('the variables of the images in use are read', async () => {
  const config = await load({
    environment: {
      MEMCACHED_PORT_NUMBER: '11300',
      MEMCACHED_LISTEN_ADDRESS: '10.0.0.1',
      MEMCACHED_CACHE_SIZE: '128',
      MEMCACHED_MAX_ITEM_SIZE: '2097152',
      MEMCACHED_MAX_CONNECTIONS: '2000',
      MEMCACHED_THREADS: '3',
    },
  })
  expect(config.network.listen).toEqual([{ host: '10.0.0.1', port: 11_300 }])
  expect(config.memory).toMatchObject({ limitBytes: 134_217_728, itemBytesMax: 2_097_152 })
  expect(config.limits.connectionsMax).toBe(2000)
  expect(config.process.threads).toBe(3)
})

test('a variable that is set to nothing counts as not set', async () => {
  const environment = {
    SASLCACHED_PORT: '',
    SASLCACHED_USERNAME: '',
    MEMCACHED_PASSWORD: '',
    SASLCACHED_CONFIG: '',
  }
  const config = await load({ environment })
  expect(config.network.listen).toEqual([{ host: '*', port: 11_211 }])
  expect(config.auth.sources).toEqual([])
})

test("Kubernetes' and Docker's variables about services are nobody's mistake", async () => {
  const config = await load({
    environment: {
      SASLCACHED_PORT: 'tcp://10.96.0.7:11211',
      SASLCACHED_SERVICE_HOST: '10.96.0.7',
      SASLCACHED_SERVICE_PORT: '11211',
      SASLCACHED_SERVICE_PORT_BINARY: '11211',
      SASLCACHED_PORT_11211_TCP: 'tcp://10.96.0.7:11211',
      SASLCACHED_PORT_11211_TCP_PROTO: 'tcp',
      SASLCACHED_PORT_11211_TCP_PORT: '11211',
      SASLCACHED_PORT_11211_TCP_ADDR: '10.96.0.7',
      SASLCACHED_METRICS_PORT: 'tcp://10.96.0.8:9150',
    },
  })
  expect(config.network.listen).toEqual([{ host: '*', port: 11_211 }])
})

test('every problem of every source is reported at once, with its source and what is allowed', async () => {
  const problems = await problemsOf({
    toml: '# a comment\n[network]\nport = 70000\nlisten = "x"\n\n[limits]\nconn_limits = 5\n',
    environment: {
      SASLCACHED_MEMORY_LIMIT_MIB: 'lots',
      SASLCACHED_VERBOES: '1',
      MEMCACHED_THREADS: '0',
      MEMCACHED_USERNAME: 'alice',
    },
    flags: ['-c', '0', '-t', '0', '-B', 'http', '-U', '11211', '-l', 'fo_o,b:a:r'],
  })
  expect(problems).toEqual([
    'saslcached.toml:3: port = 70000 is not a whole number from -1 to 65535',
    'saslcached.toml:4: listen = "x" is not a list of addresses',
    'saslcached.toml:7: conn_limits is not an option; did you mean conn_limit?',
    'SASLCACHED_MEMORY_LIMIT_MIB: "lots" is not a whole number from 1 to 65536',
    'MEMCACHED_THREADS: "0" is not a whole number from 1 to 256, or auto',
    'SASLCACHED_VERBOES: is not a variable that is read here; did you mean SASLCACHED_VERBOSE?',
    '-c: "0" is not a whole number from 1 to 1000000',
    '-t: "0" is not a whole number from 1 to 256, or auto',
    '-B: "http" is not a memcached dialect; use auto, binary or ascii',
    '-U: "11211" cannot be served: UDP has no login and lends itself to amplification; use 0',
    '-l: "b:a:r" is not an address: write host, host:port or [IPv6]:port',
    'MEMCACHED_USERNAME: is set without MEMCACHED_PASSWORD or MEMCACHED_PASSWORD_FILE',
  ])
})

test('every variable that docs/client.md has is known, and means nothing to a server', async () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/client.md'), 'utf8')
  const names = [...new Set<string>(page.match(/\bSASLCACHED_[A-Z_]+/g))]
  expect(names).toEqual(expect.arrayContaining(['SASLCACHED_SERVER', 'SASLCACHED_PROFILE']))
  const ofUsers = ['SASLCACHED_USERNAME', 'SASLCACHED_PASSWORD', 'SASLCACHED_PASSWORD_FILE']
  const environment = Object.fromEntries(
    names.filter((name) => !ofUsers.includes(name)).map((name) => [name, 'prod']),
  )
  const { settings } = await load({ environment })
  expect(settings.every(({ source }) => source === 'default')).toBe(true)
})

test('the highest limit is four times -m and at least 1 GiB, within what costs no larger alignment', async () => {
  for (const [flags, mib] of [
    [['-m', '200'], 1024],
    [['-m', '500'], 2000],
    [['-m', '10000'], 16384],
    [['-m', '16385'], 32768],
    [['-m', '64', '--memory-limit-max', '64'], 64],
  ] as const) {
    expect((await load({ flags })).memory.limitBytesMax, flags.join(' ')).toBe(mib * 1024 * 1024)
  }
  expect(await problemsOf({ flags: ['-m', '64', '--memory-limit-max', '63'] })).toEqual([
    '--memory-limit-max: 63 MiB is less than -m 64',
  ])
})

test('an item of more than half of the memory is refused, whichever of the two was set', async () => {
  expect(await problemsOf({ flags: ['-I', '33m'] })).toEqual([
    '-I: 33m is more than half of the memory of 64 MiB; it takes -m 66',
  ])
  expect(await problemsOf({ flags: ['-m', '1'] })).toEqual([
    '-m: 1 MiB is less than twice the largest item of 1m; lower -I as well',
  ])
  expect((await load({ flags: ['-m', '2'] })).memory.itemBytesMax).toBe(1024 * 1024)
  expect((await load({ flags: ['-I', '32M'] })).memory.itemBytesMax).toBe(32 * 1024 * 1024)
})

test.each([
  ['1k', 1024],
  ['1024', 1024],
  ['512K', 524_288],
  ['1024m', 1_073_741_824],
  ['1g', 1_073_741_824],
  [' 1m', 1_048_576],
  ['1m\r\n', 1_048_576],
  ['+0001m', 1_048_576],
])('-I %s is %i bytes', async (text, bytes) => {
  expect((await load({ flags: ['-m', '4096', '-I', text] })).memory.itemBytesMax).toBe(bytes)
})

test.each(['1023', '0', '1025m', '2g', '1.5m', '1mb', 'm', '-1k', '1 m', '0x400'])(
  '-I %j is refused',
  async (text) => {
    expect(await problemsOf({ flags: ['-m', '4096', '-I', text] })).toEqual([
      `-I: ${JSON.stringify(text)} is not a size from 1k to 1024m (bytes, or with suffix k, m or g)`,
    ])
  },
)

test('an equals sign behind a short flag is explained, because memcached takes it for 0', async () => {
  expect(await problemsOf({ flags: ['-m', '=64'] })).toEqual([
    '-m: "=64" is not a whole number from 1 to 65536; write -m 64, without the equals sign',
  ])
})

test('-p -1 lets the system pick a port, and MEMCACHED_PORT_FILENAME names the file for it', async () => {
  const environment = { MEMCACHED_PORT_FILENAME: '/run/ports' }
  const { network } = await load({ flags: ['-p', '-1'], environment })
  expect(network).toMatchObject({ listen: [{ host: '*', port: 0 }], portFile: '/run/ports' })
})

test('-p 0 without a Unix socket leaves nothing to listen on', async () => {
  expect(await problemsOf({ flags: ['-p', '0'] })).toEqual([
    '-p: 0 turns TCP off, and there is no Unix socket to listen on instead',
  ])
})

test('-p 0 leaves an address with a port of its own alone', async () => {
  const { network } = await load({ flags: ['-p', '0', '-l', 'localhost,127.0.0.1:5'] })
  expect(network.listen).toEqual([{ host: '127.0.0.1', port: 5 }])
})

test('a Unix socket turns TCP off', async () => {
  const config = await load({ flags: ['-s', '/run/cache.sock', '-a', '0770', '-l', '10.0.0.1'] })
  expect(config.network).toMatchObject({
    listen: [],
    unixSocket: '/run/cache.sock',
    unixMask: 0o770,
  })
  expect(config.notices).toEqual(['-l has no effect: -s turns TCP off'])
})

test('--unix-group takes a Unix socket, and a mask that lets the group in', async () => {
  const group = ['--unix-group', 'www-data']
  const { network } = await load({ flags: [...group, '-s', '/run/cache.sock', '-a', '720'] })
  expect(network.unixGroup).toBe('www-data')
  const socketOfAUser = ['--listen-as', 'monitor=/run/monitor.sock', '-a', '770']
  expect((await load({ flags: [...group, ...socketOfAUser] })).network.unixGroup).toBe('www-data')
  expect(await problemsOf({ flags: group })).toEqual([
    '--unix-group: takes a Unix socket: -s PATH or --listen-as USER=PATH',
  ])
  expect(await problemsOf({ flags: [...group, '-s', '/run/cache.sock', '-a', '757'] })).toEqual([
    '--unix-group: gives the group nothing while -a is 757: add -a 770',
  ])
  expect(await problemsOf({ flags: ['--unix-group', 'a\nb', '-s', '/run/cache.sock'] })).toEqual([
    expect.stringContaining('has a control character in it'),
  ])
})

test('a path that no socket can have is refused', async () => {
  const path = `/${'x'.repeat(107)}`
  expect(await problemsOf({ flags: ['-s', path] })).toEqual([
    `-s: "${path}" is longer than 107 bytes, which no socket can be`,
  ])
  expect((await load({ flags: ['-s', path.slice(0, 107)] })).network.unixSocket).toHaveLength(107)
})

test('-l joins its uses and splits them at commas', async () => {
  const flags = ['-p', '5', '-l', '10.0.0.1,[::1]:7', '-l', 'cache.example:8']
  expect((await load({ flags })).network.listen).toEqual([
    { host: '10.0.0.1', port: 5 },
    { host: '::1', port: 7 },
    { host: 'cache.example', port: 8 },
  ])
})

test('-l on the command line replaces the list of the file', async () => {
  const toml = '[network]\nlisten = ["10.0.0.9"]\n'
  const { network } = await load({ toml, flags: ['-l', '10.0.0.1'] })
  expect(network.listen).toEqual([{ host: '10.0.0.1', port: 11_211 }])
})

test('an address that is listed twice is refused, except where the system picks the port', async () => {
  expect(await problemsOf({ flags: ['-l', 'LOCALHOST', '-l', 'localhost:11211'] })).toEqual([
    '-l: "localhost:11211" is listed twice',
  ])
  expect(await problemsOf({ flags: ['-l', '127.0.0.1,*', '-l', '[0::0],::,::1,0.0.0.0'] })).toEqual(
    [
      '-l: "*" cannot be listened on beside "127.0.0.1:11211": one is a part of the other',
      '-l: "[0::0]" cannot be listened on beside "*:11211": one is a part of the other',
      '-l: "::" cannot be listened on beside "*:11211": one is a part of the other',
      '-l: "::1" cannot be listened on beside "*:11211": one is a part of the other',
      '-l: "0.0.0.0" cannot be listened on beside "127.0.0.1:11211": one is a part of the other',
    ],
  )
  expect((await load({ flags: ['-l', '0.0.0.0,::'] })).network.listen).toHaveLength(2)
  const { network } = await load({ flags: ['-p', '-1', '-l', 'localhost,localhost'] })
  expect(network.listen).toHaveLength(2)
})

test('--no-auth listens on the loopback interface unless -l says otherwise', async () => {
  const alone = await load({ flags: ['--no-auth', 'true'] })
  expect(alone.auth.required).toBe(false)
  expect(alone.network.listen).toEqual([
    { host: '127.0.0.1', port: 11_211 },
    { host: '::1', port: 11_211, isSecond: true },
  ])
  const open = await load({ flags: ['--no-auth', 'true', '-l', '*'] })
  expect(open.network.listen).toEqual([{ host: '*', port: 11_211 }])
})

test('--no-auth with users says that they are not asked for', async () => {
  const directory = makeDirectory({ 'users.toml': '' })
  expect((await load({ directory, flags: ['--no-auth', 'true'] })).notices).toEqual([
    '--no-auth: the users that are configured are not asked for',
  ])
})

test('verbosity adds up, ends at three and sets the level unless one is set', async () => {
  const levelOf = async (flags: readonly string[]): Promise<[string, number]> => {
    const { log } = await load({ flags })
    return [log.level, log.verbosity]
  }
  expect(await levelOf(['-v', '1'])).toEqual(['debug', 1])
  expect(await levelOf(['-v', '1', '-v', '1'])).toEqual(['trace', 2])
  expect(await levelOf(['-v', '1', '-v', '1', '-v', '1', '-v', '1'])).toEqual(['trace', 3])
  expect(await levelOf(['-v', '1', '--log-level', 'warn'])).toEqual(['warn', 1])
})

test('in the background there is an output where a log was asked for, and an audit where it is', async () => {
  const kept = async (flags: readonly string[]): Promise<boolean> =>
    (await load({ flags })).process.keepsOutput
  const audit = ['--audit-log', '-']
  expect(await kept(audit)).toBe(true)
  expect(await kept(['-d', 'true'])).toBe(false)
  expect(await kept(['-d', 'true', '-v', '1', ...audit])).toBe(true)
  expect(await kept(['-d', 'true', '--log-level', 'error', ...audit])).toBe(true)
  expect(await problemsOf({ flags: ['-d', 'true', ...audit] })).toEqual([
    '--audit-log: - is standard output, which -d leaves behind without -v or --log-level: name a file',
  ])
})

test('a verbosity that is written as a number is from 0 to 3, as others are within their bounds', async () => {
  const environment = { SASLCACHED_VERBOSE: '9' }
  expect(await problemsOf({ toml: '[log]\nverbose = 4\n', environment })).toEqual([
    'saslcached.toml:2: verbose = 4 is not a whole number from 0 to 3',
    'SASLCACHED_VERBOSE: "9" is not a whole number from 0 to 3',
  ])
  const { log } = await load({ environment: { SASLCACHED_VERBOSE: '3' } })
  expect(log.verbosity).toBe(3)
})

test('a mechanism is taken in any case, once, in the given order; an unknown one is refused', async () => {
  const { auth } = await load({ flags: ['--mechanisms', 'plain,scram-sha-256,PLAIN'] })
  expect(auth.mechanisms).toEqual(['PLAIN', 'SCRAM-SHA-256'])
  expect(await problemsOf({ flags: ['--mechanisms', 'PLAIN,LOGIN'] })).toEqual([
    `--mechanisms: "PLAIN,LOGIN" has a mechanism that is not one of ${MECHANISM_NAMES.join(', ')}`,
  ])
  // Wherever it stands, and also where something else wins.
  const unknown = `"LOGIN" has a mechanism that is not one of ${MECHANISM_NAMES.join(', ')}`
  expect(
    await problemsOf({
      toml: '[authentication]\nmechanisms = ["login"]\n',
      environment: { SASLCACHED_MECHANISMS: 'login' },
      flags: ['--mechanisms', 'PLAIN'],
    }),
  ).toEqual([`saslcached.toml:2: ${unknown}`, `SASLCACHED_MECHANISMS: ${unknown}`])
  expect(await problemsOf({ toml: '[authentication]\nmechanisms = []\n' })).toEqual([
    'saslcached.toml:2: is empty; nobody could log in',
  ])
})

test('connections before login are a quarter of all, at least one, and never more than all', async () => {
  const { limits } = await load({ flags: ['-c', '3'] })
  expect(limits.unauthenticatedConnectionsMax).toBe(1)
  expect(await problemsOf({ flags: ['-c', '10', '--prelogin-conn-limit', '11'] })).toEqual([
    '--prelogin-conn-limit: 11 is more than the 10 connections that there may be',
  ])
})

test('the number of cores decides what is automatic', async () => {
  const { limits, process } = await load({ flags: ['-t', 'auto'] })
  expect([limits.keyDerivationsMax, process.threads]).toEqual([8, 4])
})

test('-o idle_timeout sets the idle timeout; comma lists and repeats are joined', async () => {
  const config = await load({ flags: ['-o', 'modern,idle_timeout=20', '-o', 'hashpower=20'] })
  expect(config.limits.idleTimeoutMs).toBe(20_000)
  expect(config.settings.find(({ name }) => name === 'idle_timeout_seconds')).toMatchObject({
    value: '20',
    source: '-o idle_timeout',
  })
  expect(config.notices).toEqual(['-o hashpower has no effect: the index sizes itself'])
})

test('-o no_modern lets clients wait for a place, as memcached does with it', async () => {
  const { limits, notices } = await load({ flags: ['-o', 'no_modern'] })
  expect([limits.waitsForPlace, notices]).toEqual([true, []])
  expect((await load({ flags: ['-o', 'no_modern,maxconns_fast'] })).limits.waitsForPlace).toBe(
    false,
  )
})

test('an unknown, an empty, an unavailable and a valueless suboption of -o are refused', async () => {
  const flags = [
    '-o',
    'idle_timeot=1,,',
    '-o',
    'ext_path=/x:1G,idle_timeout,zzzzzzzz',
    '-o',
    'idle_timeout=x',
  ]
  expect(await problemsOf({ flags })).toEqual([
    '-o idle_timeot: is not a known suboption; did you mean idle_timeout?',
    '-o: has an empty suboption',
    '-o ext_path: is not available: items are kept in memory only; give it more with -m',
    '-o idle_timeout: needs a value: idle_timeout=<sec>',
    '-o zzzzzzzz: is not a known suboption',
    '-o idle_timeout: "x" is not a number of seconds from 1 to 2147483647, or 0 for none',
  ])
})

test('a file that --config names must exist; the one looked for by default need not', async () => {
  const directory = makeDirectory()
  expect(await problemsOf({ directory, configFile: join(directory, 'none.toml') })).toEqual([
    'none.toml: cannot be read: no such file',
  ])
  expect(await problemsOf({ directory, configFile: directory })).toEqual([
    `${directory}: cannot be read: it is a directory`,
  ])
})

test('SASLCACHED_CONFIG names the file, and --config wins over it', async () => {
  const directory = makeDirectory({
    'a.toml': '[network]\nport = 1\n',
    'b.toml': '[network]\nport = 2\n',
  })
  const environment = { SASLCACHED_CONFIG: join(directory, 'a.toml') }
  const fromVariable = await load({ directory, environment })
  expect(fromVariable.network.listen).toEqual([{ host: '*', port: 1 }])
  expect(fromVariable.file).toBe(join(directory, 'a.toml'))
  const configFile = join(directory, 'b.toml')
  const fromFlag = await load({ directory, environment, configFile })
  expect(fromFlag.network.listen).toEqual([{ host: '*', port: 2 }])
})

test('a relative path in the file belongs to the directory of the file', async () => {
  const directory = makeDirectory({
    'etc/my.toml': '[authentication]\nusers_file = "people.toml"\n[process]\npidfile = "../pid"\n',
    'etc/people.toml': '',
  })
  const config = await load({ directory, configFile: join(directory, 'etc/my.toml') })
  expect(config.auth.sources).toEqual([
    { kind: 'users-file', path: join(directory, 'etc/people.toml') },
  ])
  expect(config.process.pidFile).toBe(join(directory, 'pid'))
})

test('users.toml beside the configuration file is found; without one there are no users', async () => {
  const directory = makeDirectory({ 'etc/my.toml': '', 'etc/users.toml': '', 'users.toml': '' })
  const path = join(directory, 'users.toml')
  const byDefault = await load({ directory })
  expect(byDefault.auth).toMatchObject({ usersFile: path, sources: [{ kind: 'users-file', path }] })
  const beside = await load({ directory, configFile: join(directory, 'etc/my.toml') })
  expect(beside.auth.usersFile).toBe(join(directory, 'etc/users.toml'))
  const none = makeDirectory()
  expect((await load({ directory: none })).auth).toMatchObject({
    usersFile: join(none, 'users.toml'),
    sources: [],
  })
})

test('a users file that is named must exist, unless it is about to be made', async () => {
  const directory = makeDirectory()
  const flags = ['--users-file', join(directory, 'none.toml')]
  expect(await problemsOf({ directory, flags })).toEqual([
    '--users-file: none.toml cannot be read: no such file',
  ])
  const { auth } = await load({ directory, flags, usersFileMustExist: false })
  expect(auth).toMatchObject({ usersFile: join(directory, 'none.toml'), sources: [] })
})

test.skipIf(process.getuid?.() === 0)(
  'an unreadable users file is not taken for none',
  async () => {
    const directory = makeDirectory({ 'users.toml': '' })
    chmodSync(join(directory, 'users.toml'), 0)
    expect(await problemsOf({ directory })).toEqual([
      'users.toml: cannot be read: permission denied',
    ])
  },
)

test('a users file that cannot be followed is not taken for none', async () => {
  const directory = makeDirectory()
  symlinkSync('users.toml', join(directory, 'users.toml'))
  expect(await problemsOf({ directory })).toEqual([
    'users.toml: cannot be read: too many symbolic links',
  ])
})

test("memcached's password files are sources of their own", async () => {
  const directory = makeDirectory({ auth: '', pwdb: '' })
  const environment = { MEMCACHED_SASL_PWDB: join(directory, 'pwdb') }
  const { auth } = await load({ directory, environment, flags: ['-Y', join(directory, 'auth')] })
  expect(auth.sources).toEqual([
    { kind: 'authfile', path: join(directory, 'auth') },
    { kind: 'pwdb', path: join(directory, 'pwdb') },
  ])
  const missing = { MEMCACHED_SASL_PWDB: join(directory, 'none') }
  expect(await problemsOf({ directory, environment: missing, flags: ['-Y', directory] })).toEqual([
    `-Y: ${directory} cannot be read: it is a directory`,
    'MEMCACHED_SASL_PWDB: none cannot be read: no such file',
  ])
})

test.each(['SASLCACHED', 'MEMCACHED'])('%s_USERNAME and _PASSWORD make a user', async (prefix) => {
  const environment = { [`${prefix}_USERNAME`]: 'alice', [`${prefix}_PASSWORD`]: 'pa:ss wörd ' }
  const config = await load({ environment })
  expect(configuredUsers(config)).toEqual({
    files: [],
    inlineUsers: [
      { name: 'alice', password: 'pa:ss wörd ', origin: `${prefix}_USERNAME, ${prefix}_PASSWORD` },
    ],
  })
})

test.each([
  ['secret', 'secret'],
  ['secret\n', 'secret'],
  ['secret\r\n', 'secret'],
  [' se cret ', ' se cret '],
])('a password file of %j holds the password %j', async (text, password) => {
  const directory = makeDirectory({ password: text })
  const environment = {
    SASLCACHED_USERNAME: 'alice',
    SASLCACHED_PASSWORD_FILE: join(directory, 'password'),
  }
  const users = configuredUsers(await load({ directory, environment }))
  expect(users.inlineUsers[0]?.password).toBe(password)
})

test.each(['secret\n\n', 'secret\r', 'secret\nsecond\n'])(
  'a password file of %j has more than one line and is refused',
  async (text) => {
    const directory = makeDirectory({ password: text })
    const SASLCACHED_PASSWORD_FILE = join(directory, 'password')
    const environment = { SASLCACHED_USERNAME: 'alice', SASLCACHED_PASSWORD_FILE }
    expect(await problemsOf({ directory, environment })).toEqual([
      'SASLCACHED_PASSWORD_FILE: password: has a line end in the password; a password is one line',
    ])
  },
)

test('a name and a password out of an environment file with CR LF are refused, not taken with the CR', async () => {
  const environment = { MEMCACHED_USERNAME: 'alice\r', MEMCACHED_PASSWORD: 'hunter2\r' }
  expect(await problemsOf({ environment })).toEqual([
    'MEMCACHED_PASSWORD: has a line end in the password; a password is one line',
    'MEMCACHED_USERNAME: has a line end in it, which no name has',
  ])
})

test('half a user, two passwords, and a password file that is of no use are refused', async () => {
  const directory = makeDirectory({ empty: '\n', long: 'x'.repeat(1025), huge: 'x'.repeat(5000) })
  const of = (environment: Readonly<Record<string, string>>): Promise<string[]> =>
    problemsOf({ directory, environment })
  const SASLCACHED_USERNAME = 'alice'
  expect(await of({ SASLCACHED_PASSWORD: 'hunter2' })).toEqual([
    'SASLCACHED_PASSWORD: is set without SASLCACHED_USERNAME',
  ])
  expect(await of({ SASLCACHED_USERNAME })).toEqual([
    'SASLCACHED_USERNAME: is set without SASLCACHED_PASSWORD or SASLCACHED_PASSWORD_FILE',
  ])
  expect(
    await of({
      SASLCACHED_USERNAME,
      SASLCACHED_PASSWORD: 'hunter2',
      SASLCACHED_PASSWORD_FILE: 'x',
    }),
  ).toEqual(['SASLCACHED_PASSWORD_FILE: is set together with SASLCACHED_PASSWORD; set one'])
  expect(await of({ SASLCACHED_USERNAME: 'x'.repeat(1025), SASLCACHED_PASSWORD: 'x' })).toEqual([
    'SASLCACHED_USERNAME: is longer than 1024 bytes',
  ])
  expect(await of({ SASLCACHED_USERNAME, SASLCACHED_PASSWORD: 'ä'.repeat(513) })).toEqual([
    'SASLCACHED_PASSWORD: has a password of more than 1024 bytes',
  ])
  const ofFile = (name: string): Promise<string[]> =>
    of({ SASLCACHED_USERNAME, SASLCACHED_PASSWORD_FILE: join(directory, name) })
  expect(await ofFile('empty')).toEqual(['SASLCACHED_PASSWORD_FILE: empty: has no password in it'])
  expect(await ofFile('long')).toEqual([
    'SASLCACHED_PASSWORD_FILE: long: has a password of more than 1024 bytes',
  ])
  expect(await ofFile('huge')).toEqual([
    'SASLCACHED_PASSWORD_FILE: huge: is longer than 1026 bytes',
  ])
  expect(await ofFile('none')).toEqual([
    'SASLCACHED_PASSWORD_FILE: none: cannot be read: no such file',
  ])
})

test('a user of ours takes the place of one for another image, and says so', async () => {
  const config = await load({
    environment: {
      SASLCACHED_USERNAME: 'alice',
      SASLCACHED_PASSWORD: 'a',
      MEMCACHED_USERNAME: 'bob',
      MEMCACHED_PASSWORD: 'b',
    },
  })
  expect(configuredUsers(config).inlineUsers.map(({ name }) => name)).toEqual(['alice'])
  expect(config.notices).toEqual([
    'MEMCACHED_USERNAME and MEMCACHED_PASSWORD are not used: SASLCACHED_USERNAME takes their place',
  ])
})

test("MEMCACHED_PASSWORD alone is the password of root, as in Bitnami's image", async () => {
  const config = await load({ environment: { MEMCACHED_PASSWORD: 'hunter2' } })
  expect(configuredUsers(config).inlineUsers.map(({ name }) => name)).toEqual(['root'])
  expect(config.notices).toEqual([
    "MEMCACHED_USERNAME is not set: the user is root, as in Bitnami's image",
  ])
  expect(await problemsOf({ environment: { SASLCACHED_PASSWORD: 'hunter2' } })).toEqual([
    'SASLCACHED_PASSWORD: is set without SASLCACHED_USERNAME',
  ])
})

test('a configuration cannot be changed, nor give away a password by being printed', async () => {
  const environment = { SASLCACHED_USERNAME: 'alice', SASLCACHED_PASSWORD: 'hunter2' }
  const config = await load({ environment })
  expect(() => {
    ;(config.limits as { connectionsMax: number }).connectionsMax = 1
  }).toThrow(TypeError)
  const shown = [
    JSON.stringify(config),
    inspect(config, { depth: 10, showHidden: true }),
    String(config.auth.sources[0]?.kind === 'inline' && config.auth.sources[0].password),
  ].join()
  expect(shown).toContain('alice')
  expect(shown).not.toContain('hunter2')
})

test('no problem repeats a password, whichever variable it was put in', async () => {
  const directory = makeDirectory({ password: 'hunter2\nhunter2'.repeat(200) })
  const problems = await problemsOf({
    directory,
    environment: {
      SASLCACHED_PASSWORD: 'hunter2',
      SASLCACHED_PASSWRD: 'hunter2',
      SASLCACHED_PASSWORD_FILE: join(directory, 'password'),
    },
  })
  expect(problems.join()).not.toContain('hunter2')
  expect(problems).toHaveLength(3)
})

test('the health check finds the address also when the rest of the configuration is broken', async () => {
  const directory = makeDirectory({
    'saslcached.toml': '[network]\nport = 4711\nlisten_backlog = "x"\n[nonsense]\n',
  })
  const { network, problems } = await loadNetwork({
    flags: { uses: [], problems: [], notices: [] },
    environment: { SASLCACHED_USERNAME: 'half', SASLCACHED_THREADS: '-4' },
    directory,
  })
  expect(network.listen).toEqual([{ host: '*', port: 4711 }])
  expect(problems).toHaveLength(3)
})
