import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SERVER_PROGRAM } from '../support/server.ts'
import {
  connect,
  events,
  expectServed,
  PASSWORD,
  run,
  serve,
  stop,
  temporary,
  until,
  usersFile,
} from '../support/server-process.ts'

const REFUSED = 0x20

test('without users one is made, told once, and can log in; the log never has its password', async () => {
  const server = await serve(['-vvv'])
  const text = await until(
    () => (server.stderr.includes('password  ') ? server.stderr : undefined),
    'the password',
  )
  const name = /^ {4}user {6}(\S+)$/m.exec(text)?.[1] ?? ''
  const password = /^ {4}password {2}(\S+)$/m.exec(text)?.[1] ?? ''
  expect(password.length).toBeGreaterThanOrEqual(20)
  expect(text).toContain(`node ${SERVER_PROGRAM} user add NAME`)
  const client = await connect(server)
  await client.loginPlain(name, password)
  await expectServed(client)
  await stop(server)
  expect(server.stdout).not.toContain(password)
  expect(server.stderr.split(password).length - 1).toBe(1)
})

test.each([
  ['SASLCACHED_USERNAME', 'SASLCACHED_PASSWORD'],
  ['MEMCACHED_USERNAME', 'MEMCACHED_PASSWORD'],
])('a user of %s and %s can log in', async (nameVariable, passwordVariable) => {
  const server = await serve([], {
    environment: { [nameVariable]: 'carol', [passwordVariable]: PASSWORD },
  })
  const client = await connect(server)
  expect((await client.attemptPlain('carol', 'wrong')).status).toBe(REFUSED)
  await client.loginPlain('carol', PASSWORD)
  await stop(server)
})

test('a password of SASLCACHED_PASSWORD_FILE lets its user in, without the line end', async () => {
  const file = join(temporary(), 'secret')
  writeFileSync(file, `${PASSWORD}\n`, { mode: 0o600 })
  const server = await serve([], {
    environment: { SASLCACHED_USERNAME: 'carol', SASLCACHED_PASSWORD_FILE: file },
  })
  await (await connect(server)).loginPlain('carol', PASSWORD)
  await stop(server)
})

test('a password is in no log, no command line and no printed configuration', async () => {
  const environment = { SASLCACHED_USERNAME: 'carol', SASLCACHED_PASSWORD: PASSWORD }
  const printed = run(['--print-config'], { environment })
  expect((await printed.exited).code).toBe(0)
  expect(printed.stdout.length).toBeGreaterThan(1000)
  expect(printed.stdout + printed.stderr).not.toContain(PASSWORD)

  const file = usersFile(temporary(), `[users.dave]\npassword = "${PASSWORD}"\n`)
  const server = await serve(['-vvv', '--users-file', file], { environment })
  const client = await connect(server)
  for (const user of ['carol', 'dave']) await client.loginPlain(user, PASSWORD)
  // Someone types the password into the name, or another's; neither may show.
  const wrong = `${PASSWORD}-mistyped`
  await client.attemptPlain('carol', wrong)
  await client.startSasl('SCRAM-SHA-256', `n,,n=carol,r=${PASSWORD}`)
  const commandLine = readFileSync(`/proc/${server.pid}/cmdline`, 'utf8')
  expect(commandLine).toContain('--users-file')
  expect(commandLine).not.toContain(PASSWORD)
  server.child.kill('SIGHUP')
  await until(() => (events(server).includes('credentials_reloaded') ? true : undefined), 'reload')
  await stop(server)
  expect(events(server)).toContain('login_failed')
  expect(server.stdout + server.stderr).not.toContain(PASSWORD)
})
