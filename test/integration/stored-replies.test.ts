/**
 * Values that leave from where they are stored: readers that stop, leave or are many get the bytes that
 * they asked for or none, and hold up nobody's sets, while what they read is overwritten, deleted, flushed
 * and evicted by two threads.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { versionOf } from '../support/versioned-value.ts'
import { randomOf, seedOfRun } from '../unit/storage/model.ts'

const KIB = 1024

let server: TestServer

beforeAll(async () => {
  server = await startSaslcached({ flags: ['-m', '64', '-I', '2m', '-t', '2'] })
})

afterAll(async () => {
  await server.stop()
})

/** Asks, counts the values in the answers, and looks at every byte of them. */
class Reader {
  readonly socket: Socket
  values = 0
  private bytes: Buffer = Buffer.alloc(0)
  private ended = 0
  private wake: () => void = () => undefined

  constructor() {
    this.socket = connect(server.port, server.host)
    this.socket.on('error', () => undefined)
    onTestFinished(() => {
      this.socket.destroy()
    })
  }

  ask(...keys: string[]): void {
    this.socket.write(`get ${keys.join(' ')}\r\n`)
  }

  /** Something of an answer is here, and no more is taken. */
  async beginAndStop(): Promise<void> {
    await once(this.socket, 'readable')
  }

  goOn(): void {
    this.socket.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk])
      while (this.takeLine());
      this.wake()
    })
  }

  /** So many answers have come in whole. */
  async answers(count: number): Promise<void> {
    while (this.ended < count) {
      if (this.socket.destroyed) throw new Error('the connection has ended')
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
  }

  private takeLine(): boolean {
    const end = this.bytes.indexOf('\r\n')
    if (end < 0) return false
    const line = this.bytes.toString('latin1', 0, end)
    if (line === 'END') {
      this.ended++
      this.bytes = this.bytes.subarray(end + 2)
      return true
    }
    const words = line.split(' ')
    if (words[0] !== 'VALUE') throw new Error(`this is no line of an answer: ${line.slice(0, 80)}`)
    const length = Number(words[3])
    if (this.bytes.length < end + 2 + length + 2) return false
    const value = this.bytes.subarray(end + 2, end + 2 + length)
    if (!value.equals(versionOf(value.readUInt32LE(), length))) {
      throw new Error(`the value of ${words[1]} is not as it was stored`)
    }
    if (this.bytes.toString('latin1', end + 2 + length, end + 4 + length) !== '\r\n') {
      throw new Error(`the value of ${words[1]} has no end`)
    }
    this.bytes = this.bytes.subarray(end + 4 + length)
    this.values++
    return true
  }
}

async function store(client: TextClient, key: string, value: Buffer): Promise<string> {
  client.socket.write(`set ${key} 0 0 ${value.length}\r\n`)
  client.socket.write(value)
  return await client.ask('\r\n')
}

/** Puts more into the store than there is room for. */
async function churn(client: TextClient): Promise<void> {
  for (let number = 0; number < 75; number++) {
    const stored = await store(client, `churn${number}`, versionOf(number, 1000 * KIB))
    expect(stored).toBe('STORED\r\n')
  }
}

test('who stops reading gets the values that were there, or none, when their memory was used anew', async () => {
  const writer = new TextClient(server)
  const readers: Reader[] = []
  for (const [index, end] of ['set', 'delete', 'flush', 'evict'].entries()) {
    const keys = [0, 1, 2].map((number) => `${end}${number}`)
    for (const key of keys) {
      expect(await store(writer, key, versionOf(index, 1900 * KIB))).toBe('STORED\r\n')
    }
    const reader = new Reader()
    reader.ask(...keys)
    await reader.beginAndStop()
    readers.push(reader)
    if (end === 'set') {
      for (const key of keys) await store(writer, key, versionOf(100, 1900 * KIB))
    }
    if (end === 'delete') for (const key of keys) await writer.ask(`delete ${key}\r\n`)
    if (end === 'flush') await writer.ask('flush_all\r\n')
    await churn(writer)
  }
  for (const reader of readers) {
    reader.goOn()
    await reader.answers(1)
    expect(reader.values).toBeGreaterThan(0)
  }
})

test('many who do not read hold up no sets, and leave nothing behind when they reset', async () => {
  const writer = new TextClient(server)
  const readers: Reader[] = []
  for (let number = 0; number < 30; number++) {
    await store(writer, `many${number}`, versionOf(number, 1000 * KIB))
    const reader = new Reader()
    const key = `many${number}`
    reader.ask(key, key, key, key)
    await reader.beginAndStop()
    readers.push(reader)
  }
  await churn(writer)
  for (const reader of readers.splice(0, 25)) reader.socket.resetAndDestroy()
  await churn(writer)
  for (const reader of readers) reader.goOn()
  for (const reader of readers) await reader.answers(1)
  const reader = new Reader()
  reader.goOn()
  reader.ask(...Array.from({ length: 75 }, (_, number) => `churn${number}`))
  await reader.answers(1)
  expect(reader.values).toBeGreaterThan(30)
})

test('what many clients read while they evict each other is right to the byte', async () => {
  const seed = seedOfRun()
  const clients = Array.from({ length: 6 }, async (_, index) => {
    const random = randomOf(seed + index)
    const writer = new TextClient(server)
    let reader = new Reader()
    reader.goOn()
    let asked = 0
    for (let step = 0; step < 60; step++) {
      const value = versionOf(step * 8 + index, 5 * KIB + random.below(400 * KIB))
      await store(writer, `key${random.below(150)}`, value)
      reader.ask(...Array.from({ length: 4 }, () => `key${random.below(150)}`))
      asked++
      if (random.below(10) === 0) {
        reader.socket.resetAndDestroy()
        reader = new Reader()
        reader.goOn()
        asked = 0
      }
    }
    await reader.answers(asked)
  })
  await Promise.all(clients)
})
