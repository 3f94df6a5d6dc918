/**
 * What Debian's Prometheus makes of the metrics of a server on which everything has happened that alerts and
 * panels ask for: the names, the lint, the scrape, the alerts of memcached_exporter's mixin, our own rules,
 * and each panel of the dashboard.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../support/free-port.js'
import { parseYaml } from '../support/manifests.ts'
import { hasPrerequisites, inheritedEnvironment, runProgram } from '../support/program.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { TestTls, TlsTunnel } from '../support/tls.ts'

const PROMETHEUS = { packages: 'prometheus', probe: ['prometheus', '--version'] }
const HAS_PROMETHEUS = hasPrerequisites('Prometheus', [PROMETHEUS])
const CONFIG = join(import.meta.dirname, '..', '..', 'config')
const RULES = join(CONFIG, 'prometheus', 'saslcached.rules.yaml')
const DASHBOARD = readFileSync(join(CONFIG, 'grafana', 'saslcached.json'), 'utf8')
const JOB = 'saslcached'
const USERS: readonly string[] = ['alice', 'q"u\\o']
const POLLING = { timeout: 60_000, interval: 20 }

/** The alerts of memcached-mixin (grafana/jsonnet-libs), which people have for memcached_exporter. */
const MIXIN = [
  { alert: 'MemcachedDown', expr: 'memcached_up == 0' },
  {
    alert: 'MemcachedConnectionLimitApproaching',
    expr: '(memcached_current_connections / memcached_max_connections * 100) > 80',
  },
  {
    alert: 'MemcachedConnectionLimitApproaching',
    expr: '(memcached_current_connections / memcached_max_connections * 100) > 95',
    labels: { severity: 'critical' },
  },
  {
    alert: 'MemcachedOutOfMemoryErrors',
    expr: 'sum without (slab) (rate(memcached_slab_items_outofmemory_total[5m])) > 0',
  },
]
/** What the panels of the mixin's dashboard show, without the labels that its variables select by. */
const MIXIN_PANELS: readonly string[] = [
  'memcached_commands_total{command="get", status="hit"}',
  'memcached_current_connections / memcached_max_connections',
  'sum by(command, status) (rate(memcached_commands_total[1m]))',
  'rate(memcached_items_evicted_total[1m])',
  'rate(memcached_items_total[1m])',
  'rate(memcached_process_user_cpu_seconds_total[1m]) + rate(memcached_process_system_cpu_seconds_total[1m])',
  'memcached_current_bytes',
  'memcached_current_items',
  'rate(memcached_connections_total[1m])',
  'rate(memcached_read_bytes_total[1m])',
  'rate(memcached_written_bytes_total[1m])',
  'count by (job, instance, version) (memcached_version)',
  'max by (job, instance) (memcached_uptime_seconds)',
]

let tls: TestTls
let server: TestServer
let tunnel: TlsTunnel
let metricsAddress: string
let prometheus: Prometheus | undefined

beforeAll(async () => {
  metricsAddress = `127.0.0.1:${await freePort()}`
  // First: it looks for what to scrape after five seconds.
  if (HAS_PROMETHEUS) prometheus = await startPrometheus()
  tls = new TestTls()
  server = await startSaslcached({
    users: USERS.map((name) => ({ name, password: 'right' })),
    usersFileEnd: '[users.reader]\npassword = "right"\nrights = ["read"]\n',
    flags: [...tls.server.flags, '--http', metricsAddress, '--histograms'],
  })
  tunnel = await TlsTunnel.to(server.port)
})

afterAll(async () => {
  await prometheus?.end()
  tunnel.close()
  await server.stop()
  tls.remove()
})

/** Makes every counter rise that is only there when it has counted, and is done when they have. */
async function use(): Promise<void> {
  for (const user of [...USERS, 'reader']) {
    const client = await logIn(`${user} right`)
    client.send('set k 0 0 1\r\nx\r\nget k\r\nget none\r\n')
    await client.until(user === 'reader' ? 'END\r\n' : 'END\r\nEND\r\n')
    // When this is answered, the turns before it have been counted.
    client.send('mn\r\n')
    await client.until('MN\r\n')
  }
  await logIn('alice wrong')
  const stranger = connect(server.port, '127.0.0.1')
  stranger.on('error', () => undefined).resume()
  stranger.write('get key in the clear\r\n')
  await new Promise((resolve) => stranger.once('close', resolve))
}

async function logIn(login: string): Promise<TextClient> {
  const client = new TextClient(tunnel)
  client.send(`set auth 0 0 ${login.length}\r\n${login}\r\n`)
  expect(await client.until('\r\n')).toMatch(/^(STORED|CLIENT_ERROR .*)\r\n$/)
  return client
}

async function exposition(): Promise<string> {
  const answer = await fetch(`http://${metricsAddress}/metrics`)
  expect(answer.status).toBe(200)
  return await answer.text()
}

interface Rule {
  readonly expr: string
}

/** Of the alerts that we ship, what is asked of the server itself. */
function ruleExpressions(): readonly string[] {
  const [{ groups }] = parseYaml(readFileSync(RULES, 'utf8')) as [
    { readonly groups: readonly { readonly rules: readonly Rule[] }[] },
  ]
  return groups.flatMap(({ rules }) => rules.map(({ expr }) => expr))
}

function panelExpressions(): readonly string[] {
  return [...DASHBOARD.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(([, quoted = '""']) =>
    String(JSON.parse(quoted))
      .replaceAll('$__rate_interval', '1m')
      .replaceAll('$job', JOB)
      .replaceAll('$instance', '.*'),
  )
}

function metricNames(expressions: readonly string[]): readonly string[] {
  const names = expressions.join('\n').match(/\b(?:memcached|saslcached)_[a-z0-9_]+/g) ?? []
  return [...new Set(names)].toSorted()
}

test('every metric that our rules and our dashboard name is one that a server has', async () => {
  await use()
  const named = metricNames([...ruleExpressions(), ...panelExpressions()])
  const variables = DASHBOARD.match(/label_values\((\w+)/g) ?? []
  const asked = [...named, ...variables.map((call) => call.slice('label_values('.length))]
  expect(asked.length).toBeGreaterThan(30)
  // What was kept from before is not shown any more.
  await expect
    .poll(async () => {
      const shown = await exposition()
      const names = new Set([...shown.matchAll(/^(\w+)[ {]/gm)].map(([, name]) => name))
      return asked.filter((name) => !names.has(name))
    }, POLLING)
    .toEqual([])
})

describe.runIf(HAS_PROMETHEUS)('Prometheus', () => {
  async function ask(path: string): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${prometheus?.port}/api/v1/${path}`)
    const { data, error } = (await answer.json()) as { data?: unknown; error?: string }
    if (error !== undefined) throw new Error(`${path}: ${error}`)
    return data
  }

  interface Targets {
    readonly activeTargets: readonly { readonly health: string; readonly lastError: string }[]
  }

  interface Sample {
    readonly metric: Readonly<Record<string, string>>
    readonly value: readonly [atSeconds: number, value: string]
  }

  async function query(expression: string): Promise<readonly Sample[]> {
    const data = await ask(`query?query=${encodeURIComponent(expression)}`)
    return (data as { result: readonly Sample[] }).result
  }

  afterAll(() => {
    expect(prometheus?.output).not.toMatch(/level=(error|warn)/)
  })

  test('its lint finds no fault but names that memcached_exporter has', async () => {
    const checked = await runProgram(['promtool', 'check', 'metrics'], {
      input: await exposition(),
    })
    const findings = checked.stderr.split('\n').filter((line) => line !== '')
    for (const finding of findings) {
      expect(finding).toMatch(/^memcached_\w+ counter metrics should have "_total" suffix$/)
    }
  })

  test('scrapes it', async () => {
    await expect
      .poll(async () => ((await ask('targets')) as Targets).activeTargets, POLLING)
      .toMatchObject([{ health: 'up', lastError: '' }])
    // Rates are those between two scrapes, and something has to happen between them.
    await use()
    await expect.poll(() => query('rate(saslcached_logins_total[1m]) > 0'), POLLING).not.toEqual([])
  })

  async function withoutData(expressions: readonly string[]): Promise<readonly string[]> {
    const found = await Promise.all(expressions.map(query))
    return expressions.filter((_, index) => found[index]?.length === 0)
  }

  test("misses no series of memcached_exporter's alerts and panels", async () => {
    const alerts = MIXIN.map(({ expr }) => expr)
    const names = metricNames([...alerts, ...MIXIN_PANELS])
    expect(names.length).toBeGreaterThan(14)
    await expect.poll(() => withoutData([...names, ...MIXIN_PANELS]), POLLING).toEqual([])
    // What the alerts compare, so that silence means that all is well.
    const compared = alerts.map((alert) => alert.replace(/ (==|>) \d+$/, ''))
    await expect.poll(() => withoutData(compared), POLLING).toEqual([])
  })

  test('has data for every panel of our dashboard', async () => {
    await expect.poll(() => withoutData(panelExpressions()), POLLING).toEqual([])
  })

  test('evaluates all rules, and none of them says that something is wrong', async () => {
    interface Evaluated {
      readonly name: string
      readonly health: string
      readonly state?: string
    }
    const rules = async (): Promise<readonly Evaluated[]> => {
      const { groups } = (await ask('rules')) as { groups: { rules: Evaluated[] }[] }
      return groups.flatMap((group) => group.rules)
    }
    await expect
      .poll(async () => (await rules()).filter(({ health }) => health !== 'ok'), POLLING)
      .toEqual([])
    expect(await rules()).toHaveLength(MIXIN.length + ruleExpressions().length)
    // Those that wait may: threads are late where other tests run.
    expect((await rules()).filter(({ state }) => state === 'firing')).toEqual([])
  })

  test('reads a label with quotes and backslashes as the name that it is', async () => {
    const users = async (): Promise<readonly (string | undefined)[]> => {
      const found = await query('saslcached_user_requests_total > 0')
      return found.map(({ metric }) => metric.user).toSorted()
    }
    await expect.poll(users, POLLING).toEqual([...USERS, 'reader'].toSorted())
  })
})

interface Prometheus {
  readonly port: number
  readonly output: string
  readonly end: () => Promise<void>
}

async function startPrometheus(): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-prometheus-'))
  const groups = [{ name: 'memcached', rules: MIXIN }]
  writeFileSync(join(directory, 'mixin.yaml'), JSON.stringify({ groups }))
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['mixin.yaml', RULES],
    scrape_configs: [{ job_name: JOB, static_configs: [{ targets: [metricsAddress] }] }],
  }
  writeFileSync(join(directory, 'prometheus.yml'), JSON.stringify(config))
  const port = await freePort()
  const program = spawn(
    'prometheus',
    [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=tsdb',
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { cwd: directory, env: inheritedEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const kill = (): boolean => program.kill('SIGKILL')
  process.once('exit', kill)
  const exited = once(program, 'exit')
  let output = ''
  program.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  return {
    port,
    get output() {
      return output
    },
    end: async () => {
      process.off('exit', kill)
      kill()
      await exited
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
