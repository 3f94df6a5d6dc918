/**
 * Starts and stops the servers that are compared, each on a free loopback port of its own, with one
 * password for all users. Both get the same flags wherever both have them.
 *
 * memcached checks PLAIN through Cyrus SASL, which adds the host's name to every user and looks the
 * result up in a sasldb file (Debian's build) or in a password file (a build with
 * --enable-sasl-pwdb, recognised by the variable's name in the program).
 */

import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port.js'

export const USER = 'bench'
/** With neither role nor namespace, where the others have both. */
export const PLAIN_USER = 'plain'
export const PASSWORD = 'not-a-secret-4711'

/** `bench` for a load of one user, `bench0` ... `bench9` for a load of ten. */
const USERS = [USER, ...Array.from({ length: 10 }, (_, index) => `${USER}${index}`)]

/** Cyrus SASL's own program: the only thing that writes its database. */
const SASLDB_TOOL = 'saslpasswd2'

const START_DEADLINE_MS = 30_000
const STOP_DEADLINE_MS = 5_000

/** What the benchmark cannot go on without, in the words the user is told. */
export class MissingError extends Error {}

/** @returns {string | null} what the program printed, null when there is no such program */
export function outputOf(command, ...parameters) {
  try {
    return execFileSync(command, parameters, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim()
  } catch {
    return null
  }
}

/**
 * Writes the users in every form a server may want them.
 *
 * @param {string} folder readable by the user that memcached changes to
 */
export function writeUsers(folder) {
  chmodSync(folder, 0o755)
  const lines = (names) => names.map((name) => `${name}:${PASSWORD}\n`).join('')
  const files = {
    /** `user:password` and what Cyrus makes of the user. */
    passwords: join(folder, 'passwords'),
    withHost: join(folder, 'passwords-with-host'),
    textLogin: join(folder, 'text-login'),
    namespaces: join(folder, 'users.toml'),
    cyrus: join(folder, 'cyrus'),
    cyrusWithPasswords: join(folder, 'cyrus-with-passwords'),
    sasldb: join(folder, 'sasldb2'),
  }
  writeFileSync(files.passwords, lines(USERS))
  writeFileSync(files.withHost, lines(USERS.map((name) => `${name}@${hostname()}`)))
  writeFileSync(files.textLogin, lines([USER]))
  const users = USERS.map(
    (name) =>
      `[users.${name}]\npassword = "${PASSWORD}"\nnamespace = "bench"\nroles = ["operator"]\n`,
  )
  const namespaces = '[namespaces.bench]\nmemory = "128m"\n[namespaces.other]\nmemory = "64m"\n'
  users.push(`[users.${PLAIN_USER}]\npassword = "${PASSWORD}"\n`)
  writeFileSync(files.namespaces, [namespaces, ...users].join(''), { mode: 0o600 })
  mkdirSync(files.cyrus, { recursive: true })
  mkdirSync(files.cyrusWithPasswords, { recursive: true })
  writeFileSync(
    join(files.cyrus, 'memcached.conf'),
    `mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: ${files.sasldb}\n`,
  )
  writeFileSync(join(files.cyrusWithPasswords, 'memcached.conf'), 'mech_list: plain\n')
  return files
}

function writeSasldb(files) {
  const parameters = ['-p', '-c', '-f', files.sasldb, '-a', 'memcached', '-u', hostname()]
  for (const name of USERS) {
    execFileSync(SASLDB_TOOL, [...parameters, name], {
      input: PASSWORD,
      stdio: ['pipe', 'ignore', 'inherit'],
    })
  }
  chmodSync(files.sasldb, 0o644)
}

export const MEMORY_MIB = 256

const commonFlags = ({ port, threads, connectionLimit, memoryMib = MEMORY_MIB }) => [
  '-l',
  '127.0.0.1',
  '-p',
  String(port),
  '-U',
  '0',
  '-t',
  String(threads),
  '-m',
  String(memoryMib),
  '-c',
  String(connectionLimit),
]

/** Both servers take it as memcached does. */
const tlsFlags = ({ tls }, { certificate, key }) =>
  tls ? ['-Z', '-o', `ssl_chain_cert=${certificate},ssl_key=${key},ssl_session_cache`] : []

/** A certificate of P-256, which is what most have, for the cases over TLS. */
export function writeCertificate(folder) {
  const files = { certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const words =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench'
  if (
    outputOf('openssl', ...words.split(' '), '-keyout', files.key, '-out', files.certificate) ===
    null
  ) {
    throw new MissingError(
      'No openssl here to make a certificate (Debian: apt-get install openssl).',
    )
  }
  chmodSync(files.key, 0o644)
  return files
}

/**
 * @param {string} program path or name of memcached
 * @param {ReturnType<typeof writeUsers>} files
 */
export function memcachedServer(program, files) {
  const version = outputOf(program, '-V')
  if (version === null) {
    throw new MissingError(
      `No ${program} here to compare with. Install it (Debian: apt-get install memcached), ` +
        'name one with --memcached PATH, or measure alone with --servers saslcached.',
    )
  }
  const path = program.includes('/') ? program : outputOf('which', program)
  const hasPasswordFile = path !== null && readFileSync(path).includes('MEMCACHED_SASL_PWDB')
  let hasSasldb = false
  const identity = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  return {
    name: 'memcached',
    version,
    loginNote: hasPasswordFile ? 'password file' : 'sasldb',
    /** The command line for a case. */
    command(settings) {
      const { hasLogin, dialect } = settings
      const flags = [...commonFlags(settings), ...tlsFlags(settings, files), ...identity]
      if (!hasLogin) return { words: [program, ...flags], environment: {} }
      if (dialect !== 'binary') {
        return { words: [program, ...flags, '-Y', files.textLogin], environment: {} }
      }
      if (hasPasswordFile) {
        return {
          words: [program, ...flags, '-S'],
          environment: {
            SASL_CONF_PATH: files.cyrusWithPasswords,
            MEMCACHED_SASL_PWDB: files.withHost,
          },
        }
      }
      if (!hasSasldb) {
        if (outputOf('which', SASLDB_TOOL) === null) {
          throw new MissingError(
            `memcached needs a sasldb file for its logins, and ${SASLDB_TOOL} is not here to write it ` +
              '(Debian: apt-get install sasl2-bin).',
          )
        }
        writeSasldb(files)
        hasSasldb = true
      }
      return { words: [program, ...flags, '-S'], environment: { SASL_CONF_PATH: files.cyrus } }
    },
  }
}

/**
 * @param {readonly string[]} words the command, such as node and dist/bin/saslcached.js
 * @param {readonly string[]} moreFlags flags for every start
 * @param {ReturnType<typeof writeUsers>} files
 */
export function saslcachedServer(words, moreFlags, files, label = '') {
  const version = outputOf(words[0], ...words.slice(1), '-V')
  if (version === null) {
    throw new MissingError(
      `saslcached does not start (${words.join(' ')} -V). Build it first: npm run build.`,
    )
  }
  const runtime = outputOf(words[0], '--version') ?? ''
  return {
    name: 'saslcached',
    label,
    words,
    version,
    /** `node 24.21.0`; empty where the command is no node. */
    runtime: /^v\d+\./.test(runtime) ? `node ${runtime.slice(1)}` : '',
    loginNote: 'password file',
    command(settings) {
      const flags = [
        ...commonFlags(settings),
        ...tlsFlags(settings, files),
        ...moreFlags,
        ...(settings.flags ?? []),
      ]
      if (settings.hasNamespaces) {
        return { words: [...words, ...flags, '--users-file', files.namespaces], environment: {} }
      }
      return settings.hasLogin
        ? { words: [...words, ...flags], environment: { MEMCACHED_SASL_PWDB: files.passwords } }
        : { words: [...words, ...flags, '--no-auth'], environment: {} }
    },
  }
}

function canConnect(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Starts a server and waits until it accepts connections.
 *
 * @param {ReturnType<typeof memcachedServer>} server
 * @param {any} settings what server.command takes, without the port
 * @param {readonly string[]} prefix what to start it with (taskset), may be empty
 * @param {string} logFile
 * @param {Set<import('node:child_process').ChildProcess>} children to end when the harness ends
 */
export async function startServer(server, settings, prefix, logFile, children) {
  const port = await freePort()
  const { words, environment } = server.command({ ...settings, port })
  const [command, ...parameters] = [...prefix, ...words]
  const log = openSync(logFile, 'w')
  const child = spawn(command, parameters, {
    // A machine's own authorities take a Node a tenth of a second of CPU at its start.
    env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined, ...environment },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  children.add(child)
  let ended = null
  const end = new Promise((resolve) => {
    child.on('error', (error) => {
      ended = error.message
      resolve()
    })
    child.on('exit', (code, signal) => {
      ended = `exit ${code ?? signal}`
      children.delete(child)
      resolve()
    })
  })
  const logTail = () => readFileSync(logFile, 'utf8').split('\n').slice(-12).join('\n').trim()
  const deadline = Date.now() + START_DEADLINE_MS
  while (!(await canConnect(port))) {
    if (ended !== null || Date.now() > deadline) {
      child.kill('SIGKILL')
      const why = ended ?? `no answer on port ${port} for ${START_DEADLINE_MS / 1000} s`
      throw new Error(`${server.name} did not start (${why}): ${words.join(' ')}\n${logTail()}`)
    }
    await pause(20)
  }
  return {
    port,
    pid: child.pid,
    logTail,
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
      await end
      clearTimeout(timer)
    },
  }
}
