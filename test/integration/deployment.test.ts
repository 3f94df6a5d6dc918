/**
 * What config/ ships, given to the tools that read it: systemd-analyze, promtool, and the template engine of Helm
 * with Helm's own libraries of functions (test/support/helm/render.go; Helm itself is not packaged by Debian).
 */
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lacksOfPod, type Manifest, parseYaml, typeProblems } from '../support/manifests.ts'
import { hasPrerequisites, type ProgramResult, runProgram } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'

const CONFIG = join(import.meta.dirname, '..', '..', 'config')
const COMPILER_DEADLINE_MS = 120_000
const GO = '/usr/lib/go-1.19/bin/go'
const GO_SOURCES = '/usr/share/gocode'
/** Of 10, which is a service that nothing confines. What is left is named in docs/deployment.md. */
const EXPOSURE_MAX = 1.2

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saslcached-deployment-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test("the fields of the plain manifests are Kubernetes' own", async () => {
  const directory = join(CONFIG, 'kubernetes')
  const manifests = readdirSync(directory)
    .filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
    .flatMap((file) => parseYaml(readFileSync(join(directory, file), 'utf8')) as Manifest[])
  expect(await typeProblems(manifests)).toBe('')
  // The check sees what is misspelt.
  const wrong = JSON.stringify(manifests).replaceAll('Filesystem', 'FileSystem')
  expect(await typeProblems(JSON.parse(wrong))).toContain('readOnlyRootFileSystem')
})

const SYSTEMD = { packages: 'systemd', probe: ['systemd-analyze', '--version'] }

describe.runIf(hasPrerequisites('systemd', [SYSTEMD]))('systemd', () => {
  /** As an administrator has it, but for the program, which is none that a test may install. */
  function installedUnit(): string {
    const path = join(folder, 'saslcached.service')
    const unit = readFileSync(join(CONFIG, 'systemd', 'saslcached.service'), 'utf8')
    writeFileSync(path, unit.replace(/^ExecStart=saslcached$/m, 'ExecStart=/bin/true'))
    return path
  }

  test('takes the units without a word', async () => {
    const socket = join(folder, 'saslcached.socket')
    copyFileSync(join(CONFIG, 'systemd', 'saslcached.socket'), socket)
    const command = ['systemd-analyze', 'verify', '--man=no', installedUnit(), socket]
    const verified = await runProgram(command)
    expect(verified).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
  })

  test(`finds little that the unit leaves open: an exposure of ${EXPOSURE_MAX} at most`, async () => {
    const { stdout } = await runProgram([
      'systemd-analyze',
      'security',
      '--offline=true',
      '--no-pager',
      installedUnit(),
    ])
    const exposure = /Overall exposure level for saslcached\.service: ([\d.]+)/.exec(stdout)?.[1]
    expect(Number(exposure)).toBeLessThanOrEqual(EXPOSURE_MAX)
  })

  test('would make the user', async () => {
    const file = join(CONFIG, 'systemd', 'saslcached.sysusers.conf')
    const { exitCode, stdout, stderr } = await runProgram(['systemd-sysusers', '--dry-run', file])
    expect({ exitCode, said: stdout + stderr }).toMatchObject({
      exitCode: 0,
      said: expect.not.stringMatching(/fail|ignor|invalid/i),
    })
  })
})

const PROMETHEUS = { packages: 'prometheus', probe: ['promtool', '--version'] }

describe.runIf(hasPrerequisites('promtool', [PROMETHEUS]))('promtool', () => {
  async function promtool(...words: string[]): Promise<ProgramResult> {
    return await runProgram(['promtool', ...words], { directory: join(CONFIG, 'prometheus') })
  }

  test('takes the rules and the scrape configuration', async () => {
    const rules = await promtool('check', 'rules', 'saslcached.rules.yaml')
    expect(rules).toMatchObject({ exitCode: 0, stderr: '' })
    const config = await promtool('check', 'config', '--syntax-only', 'prometheus.yaml')
    expect(config).toMatchObject({ exitCode: 0, stderr: '' })
  })

  test('sees every alert come when it should, and not when it should not', async () => {
    const tested = await promtool('test', 'rules', 'saslcached.rules.test.yaml')
    expect(tested.stdout + tested.stderr).toContain('SUCCESS')
    expect(tested.exitCode).toBe(0)
  })

  test('can read every expression of the dashboard', async () => {
    const dashboard = readFileSync(join(CONFIG, 'grafana', 'saslcached.json'), 'utf8')
    const expressions = [...dashboard.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(
      ([, quoted = '""']) => String(JSON.parse(quoted)).replaceAll('$__rate_interval', '5m'),
    )
    const file = join(folder, 'dashboard.json')
    const rules = expressions.map((expr, index) => ({ record: `panel:${index}`, expr }))
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }))
    expect(await promtool('check', 'rules', file)).toMatchObject({ exitCode: 0, stderr: '' })
    expect(expressions.length).toBeGreaterThan(30)
  })
})

const RENDERER = {
  packages: 'golang-1.19-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev',
  probe: [
    'sh',
    '-c',
    `test -x ${GO} && cd ${GO_SOURCES}/src && test -d github.com/Masterminds/sprig && test -d sigs.k8s.io/yaml`,
  ],
}

describe.runIf(hasPrerequisites('the Helm chart', [RENDERER]))('the Helm chart', () => {
  let program: string
  beforeAll(async () => {
    program = join(folder, 'render')
    const source = join(import.meta.dirname, '..', 'support', 'helm', 'render.go')
    const environment = {
      GOPATH: GO_SOURCES,
      GO111MODULE: 'off',
      GOCACHE: join(folder, 'cache'),
      GOENV: 'off',
      GOFLAGS: '',
    }
    const deadlineMs = COMPILER_DEADLINE_MS
    const built = await runProgram([GO, 'build', '-o', program, source], {
      environment,
      deadlineMs,
    })
    if (built.exitCode !== 0) throw new Error(built.stderr)
  }, COMPILER_DEADLINE_MS)

  async function render(values: object): Promise<ProgramResult> {
    const chart = join(CONFIG, 'helm', 'saslcached')
    return await runProgram([program, chart, 'shop'], { input: JSON.stringify(values) })
  }

  async function rendered(values: object): Promise<Manifest[]> {
    const { exitCode, stdout, stderr } = await render(values)
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    return parseYaml(stdout) as Manifest[]
  }

  const SECRETS = { users: { secret: 'shop-users' }, tls: { secret: 'shop-tls' } }
  const ALL = {
    ...SECRETS,
    image: { digest: `sha256:${'0'.repeat(64)}`, pullSecrets: [{ name: 'registry' }] },
    config: {
      limits: { conn_limit: 4096, login_timeout_seconds: 2.5, throttle_allow: ['10.0.0.0/8'] },
    },
    networkPolicy: { egress: [{ ports: [{ port: 443 }] }], peers: [{ namespaceSelector: {} }] },
    metrics: { podMonitor: { enabled: true, secret: 'shop-metrics', serverName: 'shop' } },
    resources: { limits: { cpu: '2' } },
    memory: { itemsMiB: 2500 },
    snapshot: {
      enabled: true,
      keySecret: 'shop-snapshot',
      storageClass: 'fast',
      options: { snapshot_every_minutes: 5, restore: 'wait' },
    },
    nodeSelector: { disk: 'fast' },
    tolerations: [{ key: 'cache', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    podAnnotations: { note: 'x' },
  }

  test.each([
    ['what it asks for', SECRETS],
    ['all values', ALL],
    [
      'no TLS and no policy',
      { users: { secret: 'u' }, tls: { enabled: false }, networkPolicy: { enabled: false } },
    ],
  ])(
    "has Kubernetes' own fields, and a pod that may do nothing more, given %s",
    async (_, values) => {
      const manifests = await rendered(values)
      expect(await typeProblems(manifests)).toBe('')
      const set = manifests.find(({ kind }) => kind === 'StatefulSet')
      expect(lacksOfPod(set?.spec.template.spec)).toEqual([])
      expect(set?.spec.template.metadata.labels).toEqual(set?.spec.selector.matchLabels)
    },
  )

  test('hands the server a configuration that it takes', async () => {
    const map = (await rendered(ALL)).find(({ kind }) => kind === 'ConfigMap')
    const file = join(folder, 'saslcached.toml')
    writeFileSync(file, map?.data?.['saslcached.toml'] ?? '')
    const printed = await runProgram([
      SERVER_NODE,
      SERVER_PROGRAM,
      '--config',
      file,
      '--print-config',
    ])
    expect(printed).toMatchObject({ exitCode: 0, stderr: '' })
    expect(printed.stdout).toMatch(/^conn_limit = 4096/m)
    expect(printed.stdout).toMatch(/^login_timeout_seconds = 2\.5/m)
    expect(printed.stdout).toMatch(/^memory_limit_mib = 2500/m)
    expect(printed.stdout).toMatch(/^snapshot = "\/var\/lib\/saslcached\/snapshot"/m)
    expect(printed.stdout).toMatch(/^snapshot_every_minutes = 5/m)
  })

  test('is the same as the plain manifests if asked for the same', async () => {
    const names = { users: 'saslcached-users', tls: 'saslcached-tls', key: 'saslcached-snapshot' }
    const values = {
      users: { secret: names.users },
      tls: { secret: names.tls },
      snapshot: { enabled: true, keySecret: names.key },
    }
    const set = (await rendered(values)).find(({ kind }) => kind === 'StatefulSet')
    const file = join(CONFIG, 'kubernetes', 'statefulset.yaml')
    const [plain] = parseYaml(readFileSync(file, 'utf8')) as [Manifest]
    if (set === undefined) throw new Error('there is no set')
    const { volumes, ...pod } = set.spec.template.spec as { volumes: { name: string }[] }
    const [container] = plain.spec.template.spec.containers
    expect(pod).toMatchObject({
      terminationGracePeriodSeconds: plain.spec.template.spec.terminationGracePeriodSeconds,
      containers: [{ resources: container.resources, volumeMounts: container.volumeMounts }],
    })
    expect(volumes.slice(1)).toEqual(plain.spec.template.spec.volumes.slice(1))
    for (const field of ['volumeClaimTemplates', 'persistentVolumeClaimRetentionPolicy']) {
      expect(set.spec[field], field).toEqual(plain.spec[field])
    }
  })

  test('gives a pod 30 s to stop, and 30 s for each GiB that it has to write', async () => {
    const set = (await rendered(ALL)).find(({ kind }) => kind === 'StatefulSet')
    expect(set?.spec.template.spec.terminationGracePeriodSeconds).toBe(30 + 74)
  })

  test.each([
    ['a Secret with the users', { tls: { secret: 't' } }, 'users.secret'],
    ['a key for the snapshot', { ...SECRETS, snapshot: { enabled: true } }, 'snapshot.keySecret'],
    ['a certificate, or a word that there is none', { users: { secret: 'u' } }, 'tls.secret'],
    [
      'tables that it writes itself to be left alone',
      { ...SECRETS, config: { tls: {} } },
      'config.tls',
    ],
  ])('wants %s', async (_, values, place) => {
    const { exitCode, stderr } = await render(values)
    expect(exitCode).toBe(1)
    expect(stderr).toContain(place)
  })
})
