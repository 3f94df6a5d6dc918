/**
 * A thousand clients that lose their connection and come back at once, right after a reload has
 * dropped the memory of logins: every one of them is let in, and every wrong password among them is
 * refused. Where the machine is so busy that a client of these, all in one process, does not send its
 * login within the second that a crowd is given, it is cut and connects again, as clients do; so it does where a check has
 * waited too long, which is answered as a failure and counted as what it is. How long the slowest waited is printed, not
 * asserted: it depends on the machine, which client and server share.
 */
import { connect as connectSocket, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { parseResponses, type ResponseFrame, requestFrame } from '../support/binary-frames.ts'
import { startSaslcached, type TestServer, type User } from '../support/server.ts'

const STAT = 0x10
const SASL_AUTH = 0x21
const OK = 0x00
const REFUSED = 0x20

const CLIENT_COUNT = 1_000
/** Every so many clients, one has a wrong password. */
const WRONG_EVERY = 100
/** Of one client; so is what it is told for want of time. */
const CUTS_MAX = 50
const USERS: readonly User[] = Array.from({ length: 10 }, (_, index) => ({
  name: `service-${index}`,
  password: `the password of service ${index}`,
}))

interface Login {
  readonly socket: Socket
  readonly status: number
  /** Connections that were cut before an answer, and right passwords that were refused. */
  readonly cutCount: number
  readonly busyCount: number
  /** From the call that connects, and from the request, to the reply. */
  readonly sinceConnectMs: number
  readonly sinceRequestMs: number
}

let server: TestServer
beforeAll(async () => {
  server = await startSaslcached({ users: USERS })
})
afterAll(async () => await server?.stop())

class Cut extends Error {}

async function logIn(user: string, password: string, expected: number): Promise<Login> {
  let busyCount = 0
  for (let cutCount = 0; ; ) {
    try {
      const login = await tryToLogIn(user, password)
      const mayBeBusy = expected === OK && login.status === REFUSED
      if (!mayBeBusy || busyCount === CUTS_MAX) {
        return { ...login, cutCount, busyCount }
      }
      busyCount++
      disconnect([login])
    } catch (error) {
      if (!(error instanceof Cut) || cutCount >= CUTS_MAX) throw error
      cutCount++
    }
  }
}

function tryToLogIn(
  user: string,
  password: string,
): Promise<Omit<Login, 'cutCount' | 'busyCount'>> {
  const startedMs = performance.now()
  const frame = requestFrame({
    opcode: SASL_AUTH,
    key: 'PLAIN',
    value: `\0${user}\0${password}`,
  })
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host: server.host, port: server.port, noDelay: true })
    let sentMs = startedMs
    let received: Buffer = Buffer.alloc(0)
    socket.on('connect', () => {
      sentMs = performance.now()
      socket.write(frame)
    })
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const [reply] = parseResponses(received).frames as [ResponseFrame?]
      if (reply === undefined) return
      const nowMs = performance.now()
      const sinceConnectMs = nowMs - startedMs
      resolve({ socket, status: reply.status, sinceConnectMs, sinceRequestMs: nowMs - sentMs })
    })
    socket.on('error', (error) => {
      const isReset = 'code' in error && error.code === 'ECONNRESET'
      reject(isReset ? new Cut('reset before the login was answered') : error)
    })
    socket.on('close', () => reject(new Cut('closed before the login was answered')))
  })
}

async function storm(wrongEvery: number): Promise<readonly Login[]> {
  return await Promise.all(
    Array.from({ length: CLIENT_COUNT }, async (_, index) => {
      const { name, password } = USERS[index % USERS.length] as User
      const isWrong = index % wrongEvery === wrongEvery - 1
      const expected = isWrong ? REFUSED : OK
      const login = await logIn(name, isWrong ? `${password}, mistyped` : password, expected)
      expect([index, login.status]).toEqual([index, expected])
      return login
    }),
  )
}

function describeTimes(what: string, logins: readonly Login[]): string {
  const worst = (times: readonly number[]): string => `${Math.max(...times).toFixed(0)} ms`
  const sinceConnect = worst(logins.map(({ sinceConnectMs }) => sinceConnectMs))
  const sinceRequest = worst(logins.map(({ sinceRequestMs }) => sinceRequestMs))
  const cuts = logins.reduce((sum, { cutCount }) => sum + cutCount, 0)
  return `${what}: slowest reply ${sinceRequest} after its request, ${sinceConnect} after connecting, ${cuts} cut`
}

function disconnect(logins: readonly Pick<Login, 'socket'>[]): void {
  for (const { socket } of logins) {
    socket.removeAllListeners('close')
    socket.destroy()
  }
}

/** As the server counts failed logins. */
async function failureCounts(): Promise<{ readonly busy: number; readonly wrongPassword: number }> {
  const client = await BinaryClient.connect(server)
  const { name, password } = USERS[0] as User
  await client.loginPlain(name, password)
  const rows = new Map<string, number>()
  client.send(requestFrame({ opcode: STAT, key: 'auth' }))
  for (;;) {
    const { key, value } = await client.receive()
    if (key.length === 0) break
    rows.set(key.toString(), Number(value.toString()))
  }
  client.destroy()
  const countOf = (reason: string): number => rows.get(`login_failed_${reason}`) ?? Number.NaN
  return { busy: countOf('busy'), wrongPassword: countOf('wrong_password') }
}

test(`${CLIENT_COUNT} clients that come back at once after a reload are all answered rightly`, async () => {
  const before = await storm(Number.POSITIVE_INFINITY)
  const since = new Date().toISOString()
  server.signal('SIGHUP')
  await server.waitForLog(
    ({ event, time }) => event === 'credentials_reloaded' && String(time) > since,
  )
  disconnect(before)
  const after = await storm(WRONG_EVERY)
  disconnect(after)
  const again = await storm(WRONG_EVERY)
  disconnect(again)
  const all = [...before, ...after, ...again]
  const sum = (of: 'cutCount' | 'busyCount') => all.reduce((total, login) => total + login[of], 0)
  const failures = await failureCounts()
  // Nobody's right password was taken for a wrong one: each that was refused had waited too long.
  expect(failures.busy).toBeGreaterThanOrEqual(sum('busyCount'))
  const wrongCount = (2 * CLIENT_COUNT) / WRONG_EVERY
  expect(failures.wrongPassword).toBeLessThanOrEqual(wrongCount + sum('cutCount'))
  console.log(
    [
      describeTimes('at the start', before),
      describeTimes('after a reload', after),
      describeTimes('once more', again),
    ].join('\n'),
  )
})
