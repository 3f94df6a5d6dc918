/**
 * The page at / in a real browser: what it shows agrees with `stats`, nothing that a client names becomes
 * markup, it loads nothing from elsewhere, fits a phone, and knows when it has lost its server.
 */

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../support/free-port.js'
import { hasPrerequisites, type Prerequisite } from '../support/program.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const BREAKER = join(import.meta.dirname, '..', 'support', 'break-worker.mjs')
const CHROMIUM_PROGRAM = '/usr/bin/chromium'
const CHROMIUM: Prerequisite = { packages: 'chromium', probe: ['test', '-x', CHROMIUM_PROGRAM] }
const BROWSER_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const PHONE = { width: 360, height: 740 }
/** The page asks every other second. */
const POLL = { timeout: 60_000, interval: 50 }
const DESKTOP = { width: 1280, height: 900 }

/** Text login has a blank behind the name. */
const HOSTILE = '<img/src=x/onerror=document.title="owned">'
const USERS = ['alice', HOSTILE].map((name) => ({ name, password: 'right' }))
const FAILURES_MAX = 3

/** A browser of its own, with what it takes to end it. */
async function launch(options: BrowserContextOptions = {}): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'saslcached-browser-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM_PROGRAM,
    headless: true,
    args: BROWSER_FLAGS,
    viewport: DESKTOP,
    ...options,
  })
  const end = async (): Promise<void> => {
    await context.close()
    rmSync(profile, { recursive: true, force: true })
  }
  return { context, end }
}

interface Browser {
  readonly context: BrowserContext
  readonly end: () => Promise<void>
}

async function start(http: string): Promise<TestServer> {
  return await startSaslcached({
    users: USERS,
    throttles: true,
    flags: [
      ...['-m', '64', '-t', '2', '--http', http],
      // Whoever is refused is so for longer than the test takes.
      ...['--throttle-failures', String(FAILURES_MAX), '--throttle-min', '600'],
      ...['--throttle-max', '600'],
    ],
  })
}

/** Where it answers over HTTP. */
async function originOf(server: TestServer): Promise<string> {
  const { address } = await server.waitForLog(({ event }) => event === 'http_listening')
  return String(address)
}

async function login(server: TestServer, name: string, password: string): Promise<TextClient> {
  const client = new TextClient(server)
  const text = `${name} ${password}`
  await client.ask(`set auth 0 0 ${Buffer.byteLength(text)}\r\n${text}\r\n`)
  return client
}

const isThere = hasPrerequisites('the page in a browser', [CHROMIUM])

describe.runIf(isThere)('the page in a browser', () => {
  let server: TestServer
  let address = ''
  let browser: Browser
  let page: Page
  /** What the browser complained of, refused or asked others for. */
  const complaints: string[] = []

  beforeAll(async () => {
    // The next one is started there.
    server = await start(`127.0.0.1:${await freePort()}`)
    address = await originOf(server)
    browser = await launch()
    page = await browser.context.newPage()
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('request', (request) => {
      const url = new URL(request.url())
      if (url.host !== address || request.method() !== 'GET') complaints.push(request.url())
    })
    await page.goto(`http://${address}/`)
    await page.waitForSelector('#main:not([hidden])')
  })

  afterAll(async () => {
    await browser?.end()
    await server?.stop()
  })

  async function textOf(selector: string): Promise<string> {
    return (await page.textContent(selector)) ?? ''
  }

  /** The text behind the name of a row, once `isIt` says that it is the one waited for. */
  async function cell(table: string, row: string, isIt: (text: string) => boolean) {
    const found = page.locator(`#${table} tr`, {
      has: page.getByRole('rowheader', { name: row, exact: true }),
    })
    const text = async (): Promise<string> => (await found.locator('td').textContent()) ?? ''
    await expect.poll(async () => isIt(await text()), POLL).toBe(true)
    return (await text()).replaceAll(/\s/gu, ' ')
  }

  test('an empty server says so', async () => {
    await expect.poll(() => textOf('#notices'), POLL).toContain('Nothing is stored yet.')
    expect(await textOf('#tiles')).toContain('ready')
    expect(await page.title()).toBe('ready – saslcached')
  })

  test('its numbers are those of stats', async () => {
    const client = await login(server, 'alice', 'right')
    for (const key of ['a', 'b', 'c']) await client.ask(`set ${key} 0 0 5\r\nvalue\r\n`)
    await client.ask('get a b c nothing\r\n', 'END\r\n')
    const stats = await client.ask('stats\r\n', 'END\r\n')
    const stat = (name: string) => new RegExp(`STAT ${name} (\\d+)`).exec(stats)?.[1]
    const gets = await cell('requests', 'get', (text) => text.startsWith('4,'))
    expect(gets).toBe(`${stat('cmd_get')}, 75 % found`)
    expect(await cell('requests', 'set, add, replace, append, prepend', Boolean)).toBe(
      stat('cmd_set'),
    )
    const open = await cell('connections', 'open', Boolean)
    expect(open).toBe(`${stat('curr_connections')} of 1 024`)
    expect(await textOf('#memory-text')).toContain('3 items')
    expect(await textOf('#namespaces tbody')).toMatch(/^default2/)
    expect(await page.locator('#segments path.fill.use-open').getAttribute('d')).not.toBe('')
  })

  test('light and dark are as the system has them, and the text can be read on both', async () => {
    const colors = async (): Promise<string[]> =>
      await page.evaluate(
        `['backgroundColor', 'color'].map((it) => getComputedStyle(document.body)[it])`,
      )
    await page.emulateMedia({ colorScheme: 'light' })
    const light = await colors()
    await page.emulateMedia({ colorScheme: 'dark' })
    const dark = await colors()
    const brightness = (color = '') => Number(/\d+/.exec(color)?.[0])
    expect(brightness(light[0])).toBeGreaterThan(brightness(light[1]) + 150)
    expect(brightness(dark[1])).toBeGreaterThan(brightness(dark[0]) + 150)
  })

  test('it fits a phone without scrolling sideways', async () => {
    await page.setViewportSize(PHONE)
    const overhang = 'document.documentElement.scrollWidth - innerWidth'
    await expect.poll(() => page.evaluate(overhang), POLL).toBe(0)
    await page.setViewportSize(DESKTOP)
  })

  test('on a phone the state of the link and the button stand beside the name', async () => {
    await page.setViewportSize(PHONE)
    const edges = `['h1', '#link', '#pause', '#facts'].map((it) => document.querySelector(it).getBoundingClientRect()).map(({ top, bottom }) => [top, bottom])`
    const [name, link, pause, facts] = await page.evaluate<[number, number][]>(edges)
    for (const [top] of [link!, pause!]) expect(top).toBeLessThan(name![1])
    expect(facts![0]).toBeGreaterThanOrEqual(pause![1])
    await page.setViewportSize(DESKTOP)
  })

  test('charts and segments are told in words, and read with the keyboard', async () => {
    const chart = page.locator('.chart svg').first()
    await expect
      .poll(() => chart.getAttribute('aria-label'), POLL)
      .toMatch(/^Lookups, now: hits \d/)
    await page.waitForSelector('.chart path.curve')
    await chart.focus()
    await page.keyboard.press('ArrowLeft')
    expect(await chart.getAttribute('aria-label')).toMatch(/^Lookups, now: |^Lookups, \d+ s ago: /)
    await page.locator('#segments').focus()
    await page.keyboard.press('ArrowRight')
    expect(await textOf('#segment-text')).toMatch(/^Segment 0 · index · 100 % live$/)
    expect(await page.locator('#segments').getAttribute('aria-label')).toMatch(/^\d+ segments: /)
  })

  test('who is throttled is named, and a name stays text', async () => {
    for (let failure = 0; failure < FAILURES_MAX; failure++) await login(server, HOSTILE, 'wrong')
    await expect.poll(() => textOf('#throttled tbody'), POLL).toContain(HOSTILE)
    expect(await textOf('#notices')).toContain('Logins are throttled')
    expect(await page.locator('img, iframe, body script').count()).toBe(0)
    expect(await page.title()).toBe('ready – saslcached')
  })

  test('nothing was refused, came from elsewhere or changed anything so far', () => {
    expect(complaints).toEqual([])
  })

  test('it says since when its server is lost, and finds the next one', async () => {
    await server.stop()
    await page.waitForSelector('[data-link="lost"]')
    expect(await textOf('#notices')).toMatch(/has not answered since \d\d:\d\d:\d\d/)
    expect(await textOf('#link-text')).toMatch(/^no answer since \d\d:\d\d:\d\d$/)
    server = await start(address)
    await page.waitForSelector('[data-link="live"]')
    expect(await textOf('#notices')).toContain('Nothing is stored yet.')
  })
})

/** The end of a server's thread comes long after it was found to be stuck. */
const STUCK_POLL = { timeout: 60_000, interval: 200 }

test.runIf(isThere)(
  'a thread that is stuck is told first, by a page that goes on',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'saslcached-stuck-'))
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    const file = join(directory, 'break')
    const server = await startSaslcached({
      users: USERS,
      flags: ['-t', '2', '--http', '127.0.0.1:0'],
      environment: { NODE_OPTIONS: `--import ${BREAKER}`, BREAK_WORKER: file },
    })
    onTestFinished(() => server.signal('SIGKILL'))
    const { context, end } = await launch()
    onTestFinished(end)
    const page = await context.newPage()
    await page.goto(`http://${await originOf(server)}/`)
    await page.waitForSelector('[data-link="live"]')
    writeFileSync(file, 'hang')
    await expect
      .poll(() => page.textContent('#notices'), STUCK_POLL)
      .toMatch(/^A worker thread is stuck: no new clients are taken/)
    expect(await page.textContent('#tiles')).toMatch(/^Statenot readystuck/)
    expect(await page.title()).toBe('not ready – saslcached')
    expect(await page.getAttribute('body', 'data-link')).toBe('live')
  },
  120_000,
)

const WRITER = '[users.writer]\npassword = "right"\n'
const monitorWith = (role: string): string =>
  `[users.monitor]\npassword = "right"\nroles = ["${role}"]\n`
const HELD = 'set held 0 0 4\r\nva'

describe.runIf(isThere)('the page behind a login', () => {
  let server: TestServer
  let origin = ''
  let browser: Browser
  let page: Page
  const statuses: number[] = []

  beforeAll(async () => {
    server = await startSaslcached({
      users: [{ name: 'writer', password: 'right' }],
      usersFileEnd: monitorWith('monitor'),
      flags: ['-t', '2', '--http', '127.0.0.1:0', '--http-auth', '--drain-timeout', '60'],
    })
    origin = `http://${await originOf(server)}`
    browser = await launch({ httpCredentials: { username: 'monitor', password: 'right' } })
    page = await browser.context.newPage()
    page.on('response', (response) => statuses.push(response.status()))
    await page.goto(`${origin}/`)
    await page.waitForSelector('[data-link="live"]')
  })
  afterAll(async () => {
    await browser?.end()
    server?.signal('SIGKILL')
  })

  test('a browser asks for the password once, and shows the page', async () => {
    expect(await page.textContent('#tiles')).toContain('ready')
    const refusals = statuses.filter((status) => status === 401).length
    expect(refusals).toBeLessThanOrEqual(1)
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(5)
  })

  test('who has lost the right is told so, and the page keeps what it knew', async () => {
    // How long it has been up goes on until the page is turned away.
    const facts = async (): Promise<string | undefined> =>
      (await page.textContent('#facts'))?.replace(/ · up [^·]*/, '')
    const before = await facts()
    server.replaceUsers(`${WRITER}${monitorWith('readonly')}`)
    await page.waitForSelector('[data-link="lost"]')
    expect(await page.textContent('#notices')).toMatch(
      /^The server turned this page away at \d\d:\d\d:\d\d: this login may not see it any more\. /,
    )
    expect(await facts()).toBe(before)
    server.replaceUsers(`${WRITER}${monitorWith('monitor')}`)
    await page.waitForSelector('[data-link="live"]')
  })

  test('a server that finishes what is under way is shown as it does', async () => {
    const client = connect(server.port, '127.0.0.1')
    client.setEncoding('latin1').write('set auth 0 0 12\r\nwriter right\r\n')
    await once(client, 'data')
    // The answer to the first shows that the server has the second.
    client.write(`mn\r\n${HELD}`)
    await once(client, 'data')
    server.signal('SIGTERM')
    await expect
      .poll(() => page.textContent('#notices'), POLL)
      .toContain('The server is stopping: it finishes what is under way')
    expect(await page.textContent('#tiles')).toMatch(/^Statenot readydraining/)
    expect(await page.title()).toBe('not ready – saslcached')
    expect(await page.textContent('#notices')).not.toContain('No new connections')
    // Who is under way is counted still.
    expect(await page.textContent('#connections')).toMatch(/^open1 of /)
    client.destroy()
    await server.exited
    await page.waitForSelector('[data-link="lost"]')
  })
})
