/** Clients discover the nodes of --cluster-nodes, as those of Amazon ElastiCache do. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../support/free-port.js'
import { inheritedEnvironment } from '../support/program.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const CLIENT = join(import.meta.dirname, '..', 'support', 'cluster-client.mjs')
const OLD_COMMAND = 'get AmazonElastiCache:cluster\r\n'
const END = '\n\r\nEND\r\n'
const DENIED = 'CLIENT_ERROR permission denied: this user lacks the right\r\n'

let server: TestServer
/** Where everybody is alice. */
let openPort = 0
let configFile = ''

function configure(nodes: string): void {
  writeFileSync(configFile, `[network]\ncluster_nodes = ${nodes}\n`)
}

beforeAll(async () => {
  openPort = await freePort()
  configFile = join(mkdtempSync(join(tmpdir(), 'saslcached-cluster-')), 'saslcached.toml')
  configure(`["127.0.0.1:${openPort}"]`)
  server = await startSaslcached({
    users: [{ name: 'alice', password: 'wonderland' }],
    usersFileEnd:
      '[users.writer]\npassword = "w"\nrights = ["write"]\n' +
      '[users.narrow]\npassword = "n"\nkey_prefixes = ["a:"]\n' +
      '[namespaces.shop]\nmemory = "16m"\n[users.shop]\npassword = "s"\nnamespace = "shop"\n',
    flags: ['--config', configFile, '--listen-as', `alice=127.0.0.1:${openPort}`],
  })
})
afterAll(async () => {
  rmSync(dirname(configFile), { recursive: true, force: true })
  await server.stop()
})

async function logIn(name: string, password: string, target = server): Promise<TextClient> {
  const client = new TextClient(target)
  const login = `${name} ${password}`
  expect(await client.ask(`set l 0 0 ${login.length}\r\n${login}\r\n`)).toBe('STORED\r\n')
  return client
}

/** The version and the nodes of an answer whose length is right. */
function read(answer: string, title: string): { readonly version: number; readonly nodes: string } {
  const [, length, body = ''] =
    new RegExp(`^${title} 0 (\\d+)\r\n([^]*)\r\nEND\r\n$`).exec(answer) ?? []
  expect([answer, body.length]).toEqual([answer, Number(length)])
  const [, version, nodes = ''] = /^(\d+)\n([^\n]*)\n$/.exec(body) ?? []
  return { version: Number(version), nodes }
}

async function ask(client: TextClient): Promise<{ version: number; nodes: string }> {
  return read(await client.ask('config get cluster\r\n', END), 'CONFIG cluster')
}

test('both commands tell the same nodes, in the bytes of ElastiCache', async () => {
  const client = await logIn('alice', 'wonderland')
  const { version, nodes } = await ask(client)
  expect(nodes).toBe(`127.0.0.1|127.0.0.1|${openPort}`)
  expect(version).toBeGreaterThan(1_700_000_000)
  const old = read(await client.ask(OLD_COMMAND, END), 'VALUE AmazonElastiCache:cluster')
  expect(old).toEqual({ version, nodes })
})

test('it is in its place among other requests of one write', async () => {
  const client = await logIn('alice', 'wonderland')
  client.send(`set a 0 0 1\r\n1\r\n${OLD_COMMAND}get a\r\nconfig get cluster\r\nget b a\r\nmn\r\n`)
  const answer = (await client.until('MN\r\n')).replaceAll(/\d{10}\n.*\n\r\n/g, '<nodes>')
  expect(answer).toMatch(
    /^STORED\r\nVALUE Amazon\S+ 0 \d+\r\n<nodes>END\r\nVALUE a 0 1\r\n1\r\nEND\r\nCONFIG cluster 0 \d+\r\n<nodes>END\r\nVALUE a 0 1\r\n1\r\nEND\r\nMN\r\n$/,
  )
})

test('among other keys, and for other commands, the key is one of an item', async () => {
  const client = await logIn('alice', 'wonderland')
  expect(await client.ask('get AmazonElastiCache:cluster x\r\n')).toBe('END\r\n')
  expect(await client.ask('gets  AmazonElastiCache:cluster\r\n')).toBe('END\r\n')
  expect(await client.ask('delete AmazonElastiCache:cluster\r\n')).toBe('NOT_FOUND\r\n')
})

test('before login it is told to nobody', async () => {
  const client = new TextClient(server)
  for (const command of ['config get cluster\r\n', OLD_COMMAND]) {
    expect(await client.ask(command)).toBe('CLIENT_ERROR unauthenticated\r\n')
  }
})

test('it takes the right to read, also in a namespace and with key prefixes', async () => {
  const writer = await logIn('writer', 'w')
  expect(await writer.ask('config get cluster\r\n')).toBe(DENIED)
  expect(await writer.ask(OLD_COMMAND)).toBe(DENIED)
  for (const name of ['narrow', 'shop']) {
    const client = await logIn(name, name.charAt(0))
    expect((await ask(client)).nodes).toBe(`127.0.0.1|127.0.0.1|${openPort}`)
  }
})

test.each([
  'config',
  'config get',
  'config get other',
  'config get cluster 1',
  'config set cluster 0 1',
  'config delete cluster',
])('%j is an error, as with memcached', async (line) => {
  const client = await logIn('alice', 'wonderland')
  expect(await client.ask(`${line}\r\n`)).toBe('ERROR\r\n')
})

test('without nodes it is as with memcached', async () => {
  const plain = await startSaslcached()
  onTestFinished(() => plain.stop())
  const client = new TextClient(plain)
  expect(await client.ask('config get cluster\r\n')).toBe('ERROR\r\n')
  expect(await client.ask(OLD_COMMAND)).toBe('END\r\n')
  expect(await client.ask('set AmazonElastiCache:cluster 0 0 1\r\n1\r\n')).toBe('STORED\r\n')
  expect(await client.ask(OLD_COMMAND, 'END\r\n')).toContain('\r\n1\r\n')
})

test('memcached-elasticache discovers the nodes, uses them, and sees a change at SIGHUP', async () => {
  const child = spawn(process.execPath, [CLIENT, `127.0.0.1:${openPort}`], {
    env: inheritedEnvironment(),
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let printed = ''
  let wake: () => void = () => undefined
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
    wake()
  })
  const until = async (text: string): Promise<void> => {
    while (!printed.includes(text)) {
      if (child.exitCode !== null || printed.includes('failed')) throw new Error(printed)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  await until(`discovered: 127.0.0.1:${openPort}\nread: hello\n`)

  const observer = await logIn('alice', 'wonderland')
  const { version } = await ask(observer)
  // A file that cannot be used, or has none, changes nothing.
  for (const [nodes, why] of [
    ['["a b"]', 'is not a node'],
    ['[]', 'there are no nodes in it'],
  ] as const) {
    configure(nodes)
    server.signal('SIGHUP')
    await server.waitForLog(
      ({ event, message }) => event === 'cluster_refused' && String(message).includes(why),
    )
  }
  expect(await ask(observer)).toEqual({ version, nodes: `127.0.0.1|127.0.0.1|${openPort}` })

  configure(`["127.0.0.1:${openPort}", "localhost=127.0.0.1:${openPort}"]`)
  server.signal('SIGHUP')
  await until(`discovered: 127.0.0.1:${openPort} localhost:${openPort}\nread: hello\n`)
  const after = await ask(observer)
  expect(after.nodes).toBe(`127.0.0.1|127.0.0.1|${openPort} localhost|127.0.0.1|${openPort}`)
  expect(after.version).toBeGreaterThan(version)
  child.stdin.end()
})
