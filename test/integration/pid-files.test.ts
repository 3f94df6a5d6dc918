/** What a server writes for others to find it: its pid and its ports; and as a daemon, which is found by them. */
import { spawnSync } from 'node:child_process'
import {
  chownSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { requestFrame } from '../support/binary-frames.ts'
import {
  connect,
  EXIT_OS,
  expectServed,
  isRoot,
  run,
  serve,
  stop,
  temporary,
  until,
  untilStarted,
  warnings,
} from '../support/server-process.ts'

const STAT = 0x10

test('a pid file or a port file that cannot be written is warned of, and the server serves', async () => {
  const server = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', '-P', '/no/such/directory/pid'], {
    environment: { MEMCACHED_PORT_FILENAME: '/dev/null/port' },
  })
  await untilStarted(server)
  for (const path of ['/no/such/directory/pid', '/dev/null/port']) {
    expect(warnings(server)).toContainEqual(expect.stringContaining(path))
  }
  await stop(server)
})

test('a pid file replaces a symbolic link, and does not follow it', async () => {
  const directory = temporary()
  const victim = join(directory, 'victim')
  writeFileSync(victim, 'precious')
  const pidFile = join(directory, 'pid')
  const portFile = join(directory, 'port')
  for (const link of [pidFile, portFile]) symlinkSync(victim, link)
  const server = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', '-P', pidFile], {
    environment: { MEMCACHED_PORT_FILENAME: portFile },
  })
  await untilStarted(server)
  expect(readFileSync(victim, 'utf8')).toBe('precious')
  for (const file of [pidFile, portFile]) expect(lstatSync(file).isFile()).toBe(true)
  expect(readFileSync(pidFile, 'utf8')).toBe(`${server.pid}\n`)
  expect(readdirSync(directory).sort()).toEqual(['pid', 'port', 'victim'])
  await stop(server)
  expect(existsSync(pidFile)).toBe(false)
  expect(readFileSync(victim, 'utf8')).toBe('precious')
})

test('a device is not replaced by a pid file', async () => {
  const directory = temporary()
  const fifo = join(directory, 'pid')
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0)
  const server = await serve(['--no-auth', '-P', fifo])
  await untilStarted(server)
  expect(warnings(server)).toContainEqual(expect.stringContaining('something else than a file'))
  await stop(server)
  expect(statSync(fifo).isFIFO()).toBe(true)
})

test('a pid file that another server has written meanwhile stays when the first one ends', async () => {
  const pidFile = join(temporary(), 'pid')
  const first = await serve(['--no-auth', '-P', pidFile])
  await untilStarted(first)
  const second = await serve(['--no-auth', '-P', pidFile])
  await untilStarted(second)
  await stop(first)
  expect(readFileSync(pidFile, 'utf8')).toBe(`${second.pid}\n`)
  await stop(second)
  expect(existsSync(pidFile)).toBe(false)
})

test('a file with the pid of another in the place of ours stays', async () => {
  const pidFile = join(temporary(), 'pid')
  const server = await serve(['--no-auth', '-P', pidFile])
  await untilStarted(server)
  writeFileSync(pidFile, '1\n')
  await stop(server)
  expect(readFileSync(pidFile, 'utf8')).toBe('1\n')
})

test.runIf(isRoot)(
  'after -u a pid file in a directory of root is emptied, one in a directory of the user removed',
  async () => {
    const ofRoot = temporary()
    const ofUser = temporary()
    chownSync(ofUser, 65534, 65534)
    for (const directory of [ofRoot, ofUser]) {
      const server = await serve(['--no-auth', '-u', 'nobody', '-P', join(directory, 'pid')])
      await untilStarted(server)
      await stop(server)
    }
    expect(readFileSync(join(ofRoot, 'pid'), 'utf8')).toBe('')
    expect(readdirSync(ofUser)).toEqual([])
  },
)

test('each port that was bound is in the port file, for every address', async () => {
  const portFile = join(temporary(), 'port')
  const environment = { MEMCACHED_PORT_FILENAME: portFile }
  // Without -l, --no-auth is on both loopback addresses, on one port.
  const server = run(['--no-auth', '-p', '-1'], { environment })
  await untilStarted(server)
  const [, port] = /^TCP INET: (\d+)\nTCP INET6: \1\n$/.exec(readFileSync(portFile, 'utf8')) ?? []
  for (const host of ['127.0.0.1', '::1']) {
    await expectServed(await connect({ host, port: Number(port) }))
  }
  await stop(server)
})

test('-p -1 picks a port and MEMCACHED_PORT_FILENAME names it, for each address', async () => {
  const portFile = join(temporary(), 'port')
  const server = run(['--no-auth', '-l', '127.0.0.1', '-l', '::1', '-p', '-1'], {
    environment: { MEMCACHED_PORT_FILENAME: portFile },
  })
  const text = await until(
    () => (existsSync(portFile) ? readFileSync(portFile, 'utf8') : undefined),
    'the port file',
  )
  expect(text).toMatch(/^TCP INET: \d+\nTCP INET6: \d+\n$/)
  const port = Number(/INET6: (\d+)/.exec(text)?.[1])
  await expectServed(await connect({ host: '::1', port }))
  await stop(server)
})

test('-d with -P returns once it serves; the pid file names who answers', async () => {
  const directory = temporary()
  const portFile = join(directory, 'port')
  const pidFile = join(directory, 'pid')
  const first = run(['-d', '-P', pidFile, '--no-auth', '-l', '127.0.0.1', '-p', '-1'], {
    environment: { MEMCACHED_PORT_FILENAME: portFile },
  })
  expect(await first.exited).toEqual({ code: 0, signal: null })
  const pid = Number(readFileSync(pidFile, 'utf8'))
  onTestFinished(() => {
    if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
  })
  expect(pid).not.toBe(first.pid)
  const port = Number(/INET: (\d+)/.exec(readFileSync(portFile, 'utf8'))?.[1])
  const client = await connect({ host: '127.0.0.1', port })
  client.send(requestFrame({ opcode: STAT }))
  const told = await client.receive()
  expect([told.key.toString(), told.value.toString()]).toEqual(['pid', String(pid)])
  process.kill(pid, 'SIGTERM')
  await client.closed()
  await until(() => (existsSync(pidFile) ? undefined : true), 'the end of the pid file')
})

test('-d takes over the exit code and the message of a start that fails', async () => {
  const taken = await serve(['--no-auth'])
  const first = run(['-d', '--no-auth', '-l', '127.0.0.1', '-p', String(taken.port)])
  expect((await first.exited).code).toBe(EXIT_OS)
  expect(first.stderr).toContain('the address is in use')
  await stop(taken)
})

test.runIf(isRoot)(
  '-d with -P and -u: the daemon is the user, and takes its pid file away',
  async () => {
    const directory = temporary()
    // What a service manager does for a daemon of another user: a directory of its own.
    chownSync(directory, 65534, 65534)
    const pidFile = join(directory, 'pid')
    const portFile = join(directory, 'port')
    const first = run(
      ['-d', '-P', pidFile, '-u', 'nobody', '--no-auth', '-l', '127.0.0.1', '-p', '-1'],
      { environment: { MEMCACHED_PORT_FILENAME: portFile } },
    )
    expect(await first.exited).toEqual({ code: 0, signal: null })
    const pid = Number(readFileSync(pidFile, 'utf8'))
    onTestFinished(() => {
      if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
    })
    expect(statSync(`/proc/${pid}`).uid).toBe(65534)
    const port = Number(/INET: (\d+)/.exec(readFileSync(portFile, 'utf8'))?.[1])
    const client = await connect({ host: '127.0.0.1', port })
    await expectServed(client)
    process.kill(pid, 'SIGTERM')
    await client.closed()
    await until(() => (existsSync(pidFile) ? undefined : true), 'the end of the pid file')
  },
)
