/** One connection to a node: what leaves it and when, whose the replies are, and how it ends. */
import { expect, test } from 'vitest'
import { type Command, Flight } from '../../../src/remote/flight.ts'
import { NodeConnection } from '../../../src/remote/node-connection.ts'
import type { NodePipeEvents } from '../../../src/remote/node-pipe.ts'
import { ReplyError } from '../../../src/remote/reply-reader.ts'

class Bench {
  readonly written: Buffer[] = []
  readonly replies: [string, unknown][] = []
  readonly lost: unknown[] = []
  isClosed = false
  /** Whether the pipe has handed over all at once. */
  isFree = true
  events: NodePipeEvents | undefined = undefined
  readonly connection: NodeConnection

  constructor(login: readonly string[] | undefined = undefined) {
    this.connection = new NodeConnection({
      node: { host: '192.0.2.1', port: 1 },
      login,
      dial: (_, events) => {
        this.events = events
        return {
          write: (bytes) => {
            this.written.push(bytes)
            return this.isFree
          },
          close: () => {
            this.isClosed = true
          },
        }
      },
      owner: {
        heard: () => undefined,
        replied: (flight, reply) =>
          this.replies.push([
            String(flight.command.args[1]),
            Buffer.isBuffer(reply) ? reply.toString() : reply,
          ]),
        lost: (_, error) => this.lost.push(error),
      },
    })
  }

  send(key: string): void {
    const command: Command = {
      key: Buffer.from(key),
      args: ['GET', key],
      bytes: 1,
      settle: () => undefined,
    }
    this.connection.send(new Flight(command, { count: 0, bytes: 0 }, 0))
  }

  receive(text: string): void {
    this.events?.received(Buffer.from(text), text.length)
  }

  get text(): string {
    return Buffer.concat(this.written).toString()
  }
}

const get = (key: string): string => `*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`

test('what was sent in a turn leaves in one write, in its order', () => {
  const bench = new Bench()
  bench.events?.opened()
  for (const key of ['a', 'bb', 'c']) bench.send(key)
  expect(bench.written).toEqual([])
  bench.connection.flush()
  expect(bench.written).toHaveLength(1)
  expect(bench.text).toBe(get('a') + get('bb') + get('c'))
})

test('nothing leaves before the connection is open, nor before the login is answered', () => {
  const bench = new Bench(['AUTH', 'gate', 'a secret'])
  bench.send('a')
  bench.connection.flush()
  expect(bench.text).toBe('')
  bench.events?.opened()
  bench.connection.flush()
  expect(bench.text).not.toContain('GET')
  bench.receive('+OK\r\n')
  const login = '*3\r\n$4\r\nAUTH\r\n$4\r\ngate\r\n$8\r\na secret\r\n'
  expect(bench.text).toBe(login + get('a'))
})

test('a login that is refused ends the connection, and no command has left', () => {
  const bench = new Bench(['AUTH', 'a secret'])
  bench.send('a')
  bench.events?.opened()
  bench.receive('-WRONGPASS invalid username-password pair\r\n')
  expect(bench.lost).toEqual([new ReplyError('WRONGPASS invalid username-password pair')])
  expect(bench.isClosed).toBe(true)
  expect(bench.text).not.toContain('GET')
})

test('replies belong to the commands by their position', () => {
  const bench = new Bench()
  bench.events?.opened()
  for (const key of ['a', 'b', 'c']) bench.send(key)
  bench.connection.flush()
  bench.receive('$1\r\n1\r\n$-')
  bench.receive('1\r\n-OOM full\r\n')
  expect(bench.replies).toEqual([
    ['a', '1'],
    ['b', null],
    ['c', new ReplyError('OOM full')],
  ])
})

test.each([
  ['that nobody waits for', '+OK\r\n+OK\r\n'],
  ['that is malformed', '+OK\r\n?\r\n'],
])('a reply %s ends the connection', (_, text) => {
  const bench = new Bench()
  bench.events?.opened()
  bench.send('a')
  bench.connection.flush()
  bench.receive(text)
  expect(bench.replies).toEqual([['a', 'OK']])
  expect(bench.lost).toHaveLength(1)
  expect(bench.isClosed).toBe(true)
})

test('a reply that is longer than any item ends the connection before it is there, and says why', () => {
  const bench = new Bench()
  bench.events?.opened()
  bench.send('a')
  bench.connection.flush()
  bench.receive(`$${512 * 1024 * 1024}\r\n`)
  expect(bench.replies).toEqual([])
  expect(bench.lost).toEqual([new Error('a node sends more than any item may be')])
  expect(bench.isClosed).toBe(true)
})

test('a reply before the connection has asked for anything ends it', () => {
  const bench = new Bench()
  bench.receive('+OK\r\n')
  expect(bench.lost).toHaveLength(1)
})

test('of a connection that was given up no reply is taken, and nothing is written', () => {
  const bench = new Bench()
  bench.events?.opened()
  bench.send('a')
  bench.send('b')
  bench.connection.flush()
  bench.receive('$5\r\nhal')
  bench.send('c')
  bench.connection.end(new Error('given up'))
  bench.receive('ves\r\n+OK\r\n')
  bench.events?.ended(undefined)
  bench.connection.flush()
  expect(bench.replies).toEqual([])
  expect(bench.lost).toHaveLength(1)
  expect(bench.written).toHaveLength(1)
})

test('bytes that the pipe has not handed over yet are not written over', () => {
  const bench = new Bench()
  bench.events?.opened()
  bench.isFree = false
  for (const key of ['first', 'other']) {
    bench.send(key)
    bench.connection.flush()
  }
  expect(bench.text).toBe(get('first') + get('other'))
})

test('a thousand commands and long values are written as they are', () => {
  const bench = new Bench()
  bench.events?.opened()
  const keys = Array.from({ length: 1000 }, (_, index) => 'k'.repeat(index))
  for (const key of keys) bench.send(key)
  bench.connection.flush()
  expect(bench.text).toBe(keys.map(get).join(''))
  bench.receive(keys.map((key) => `$${key.length}\r\n${key}\r\n`).join(''))
  expect(bench.replies).toEqual(keys.map((key) => [key, key]))
})
