/**
 * What config/ ships for systemd, Docker and Kubernetes, against the code: files that parse, options that exist, one version,
 * and pods that may do no more than they need. test/integration/deployment.test.ts runs the tools of each.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join, relative } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { FOREIGN_FLAGS } from '../../src/config/extended.ts'
import { loadConfig } from '../../src/config/load.ts'
import { environmentName, OPTION_NAMES, OPTIONS } from '../../src/config/options.ts'
import {
  lacksOfPod,
  type Manifest,
  mebibytesOf,
  type PodSpec,
  parseYaml,
} from '../support/manifests.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const KUBERNETES = 'config/kubernetes'
/** Variables that are no options: who the user is, and where the file of options is. */
const OTHER_VARIABLES = ['CONFIG', 'USERNAME', 'PASSWORD', 'PASSWORD_FILE'].map(
  (name) => `SASLCACHED_${name}`,
)
/** Flags of the command line that are no options, and those of other programs in comments. */
const OTHER_FLAGS = [
  '--config',
  '--help',
  '--file',
  '--from-file',
  '--from-literal',
  '--build-arg',
  '--name',
  '--out',
]

const FILES = readdirSync(join(ROOT, 'config'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
const YAML = FILES.filter((file) => extname(file) === '.yaml' && !file.includes('/templates/'))

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

function manifests(): Manifest[] {
  return YAML.filter((file) => file.startsWith(KUBERNETES) && !file.endsWith('kustomization.yaml'))
    .flatMap((file) => parseYaml(read(file)))
    .map((value) => value as Manifest)
}

function manifest(kind: string): Manifest {
  const found = manifests().find((candidate) => candidate.kind === kind)
  if (found === undefined) throw new Error(`${KUBERNETES} has no ${kind}`)
  return found
}

interface Compose {
  readonly services: Readonly<Record<string, { image: string; ports: string[] }>>
}

function composed(): Compose['services'][string] {
  const [compose] = parseYaml(read('config/compose.yaml')) as [Compose]
  const service = compose.services.saslcached
  if (service === undefined) throw new Error('the compose file has no saslcached')
  return service
}

function podTemplate(): { metadata: { labels: Record<string, string> }; spec: PodSpec } {
  return manifest('StatefulSet').spec.template
}

test('every YAML and JSON file under config parses, without a key that is there twice', () => {
  for (const file of YAML) expect(parseYaml(read(file)), file).not.toEqual([])
  for (const file of FILES.filter((name) => name.endsWith('.json'))) {
    expect(() => JSON.parse(read(file)), file).not.toThrow()
  }
  expect(YAML.length).toBeGreaterThan(8)
  expect(() => parseYaml('a: 1\na: 2')).toThrow()
})

const TEXTS = [...FILES, 'Dockerfile', 'docs/deployment.md']

test('every variable of ours under config and in docs/deployment.md is read by the server', () => {
  const known = [...OPTION_NAMES.map(environmentName), ...OTHER_VARIABLES]
  const named = TEXTS.flatMap((file) =>
    [...read(file).matchAll(/\bSASLCACHED_[A-Z_]+\b/g)].map(([name]) => ({ file, name })),
  )
  expect(named.filter(({ name }) => !known.includes(name))).toEqual([])
  expect(named.length).toBeGreaterThan(4)
})

test('every long flag under config is one of the server', () => {
  const known = [
    ...OTHER_FLAGS,
    ...OPTION_NAMES.map((name) => `--${OPTIONS[name].long}`),
    ...FOREIGN_FLAGS.map(({ long }) => `--${long}`),
  ]
  const named = FILES.filter((file) => !/grafana|prometheus|\.toml$/.test(file)).flatMap((file) =>
    [...read(file).matchAll(/(?<![\w-])--[a-z][a-z-]+/g)].map(([flag]) => ({ file, flag })),
  )
  expect(named.filter(({ flag }) => !known.includes(flag))).toEqual([])
  expect(named.length).toBeGreaterThan(4)
})

test('the server takes the configuration of the ConfigMap, and the pod has memory for it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-configmap-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const configFile = join(folder, 'saslcached.toml')
  writeFileSync(configFile, manifest('ConfigMap').data?.['saslcached.toml'] ?? '')
  const config = await loadConfig({
    flags: { uses: [], problems: [], notices: [] },
    configFile,
    environment: {},
    usersFileMustExist: false,
  })
  expect(config.tls).toBeDefined()
  const [container] = podTemplate().spec.containers
  const itemsMiB = config.memory.limitBytes / 1024 / 1024
  // The process, three bounds of 64, 32 and 64 MiB (docs/limits.md), the first of them twice for a while, and
  // what the snapshot takes (docs/operations.md).
  const besideMiB = 80 + 15 + 64 * 2 + 32 + 64 + 12 + itemsMiB / 512
  expect(mebibytesOf(container?.resources?.limits?.memory)).toBeGreaterThan(itemsMiB + besideMiB)
})

test('the pod may do nothing that it need not', () => {
  const { spec } = podTemplate()
  expect(lacksOfPod(spec)).toEqual([])
  const mounted = spec.containers.flatMap(({ volumeMounts = [] }) => volumeMounts)
  const claims = manifest('StatefulSet').spec.volumeClaimTemplates as readonly Manifest[]
  const volumes = [...(spec.volumes ?? []), ...claims.map(({ metadata }) => metadata)]
  expect(mounted.map(({ name }) => name).sort()).toEqual(volumes.map(({ name }) => name).sort())
  // The check sees what is missing.
  const text = JSON.stringify(spec)
  for (const name of ['runAsNonRoot', 'seccompProfile', 'readOnlyRootFilesystem', 'capabilities']) {
    expect(lacksOfPod(JSON.parse(text.replaceAll(name, 'other'))), name).toContain(name)
  }
})

test('service, policy and budget are about the pods of the set', () => {
  const { labels } = podTemplate().metadata
  expect(manifest('StatefulSet').spec.selector.matchLabels).toEqual(labels)
  expect(manifest('Service').spec.selector).toEqual(labels)
  expect(manifest('NetworkPolicy').spec.podSelector.matchLabels).toEqual(labels)
  expect(manifest('PodDisruptionBudget').spec.selector.matchLabels).toEqual(labels)
  expect(manifest('StatefulSet').spec.serviceName).toBe(manifest('Service').metadata.name)
})

test('the kustomization names every manifest, and no Secret is in the code base', () => {
  const text = read(`${KUBERNETES}/kustomization.yaml`)
  const named = [...text.matchAll(/^#? *- ([\w.-]+\.yaml)$/gm)].map(([, name]) => name).sort()
  const there = YAML.filter((file) => file.startsWith(KUBERNETES))
    .map((file) => relative(KUBERNETES, file))
    .filter((file) => file !== 'kustomization.yaml')
  expect(named).toEqual(there.sort())
  expect(manifests().map(({ kind }) => kind)).not.toContain('Secret')
})

test('image, chart, manifests and compose file are of the version of the package', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  const [chart] = parseYaml(read('config/helm/saslcached/Chart.yaml')) as [Record<string, string>]
  expect(read('Dockerfile')).toContain(`ARG VERSION=${version}\n`)
  expect(chart.appVersion).toBe(version)
  expect(podTemplate().spec.containers[0]?.image).toBe(`saslcached:${version}`)
  expect(composed().image).toBe(`saslcached:${version}`)
})

test('the container of the compose file may do nothing that it need not', () => {
  expect(composed()).toMatchObject({
    read_only: true,
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
    ports: [expect.stringMatching(/^127\.0\.0\.1:/)],
  })
})

test('the image is an empty one with the server, for a user who is not root', () => {
  const stages = read('Dockerfile').split(/^FROM /m)
  const image = stages.at(-1) ?? ''
  expect(image).toMatch(/^scratch\n/)
  expect(image).toMatch(/^USER 11211:11211$/m)
  expect(image).toMatch(
    /^HEALTHCHECK [^\n]*\\\n {4}CMD \["node", "\/app\/dist\/bin\/saslcached\.js", "health"\]$/m,
  )
  expect(image).not.toMatch(/^RUN /m)
  expect(image).toContain('sbom.cdx.json')
})

/** The blocks below a key, as lines without indentation and comments; a template as if TLS were on. */
function blocksOf(file: string, key: string): string[][] {
  const lines = read(file)
    .replaceAll('{{ ternary "HTTPS" "HTTP" .Values.tls.enabled }}', 'HTTPS')
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
  return lines.flatMap((line, index) => {
    const indentation = line.search(/\S/)
    if (line.trim() !== `${key}:`) return []
    const rest = lines.slice(index + 1)
    const end = rest.findIndex((each) => each.search(/\S/) <= indentation)
    return [rest.slice(0, end === -1 ? rest.length : end).map((each) => each.trim())]
  })
}

test.each([
  ['ports', 1],
  ['securityContext', 2],
  ['startupProbe', 1],
  ['readinessProbe', 1],
  ['livenessProbe', 1],
])('the pods of the chart have the %s of the plain manifests', (key, count) => {
  const blocks = blocksOf(`${KUBERNETES}/statefulset.yaml`, key)
  expect(blocksOf('config/helm/saslcached/templates/statefulset.yaml', key)).toEqual(blocks)
  expect(blocks.filter(({ length }) => length > 1)).toHaveLength(count)
})

test('image, pod and compose file have the same ports and user', () => {
  const [container] = podTemplate().spec.containers
  const ports = (container?.ports ?? []).map(({ containerPort }) => containerPort)
  expect(read('Dockerfile')).toContain(`\nEXPOSE ${ports.join(' ')}\n`)
  expect(composed().ports).toEqual([`127.0.0.1:${ports[0]}:${ports[0]}`])
  const { runAsUser, runAsGroup } = podTemplate().spec.securityContext ?? {}
  expect(read('Dockerfile')).toContain(`\nUSER ${runAsUser}:${runAsGroup}\n`)
})

const STATE = '/var/lib/saslcached'

test('what outlives a stop is on a volume, encrypted, where the image and the unit have room for it', () => {
  expect(manifest('ConfigMap').data?.['saslcached.toml']).toContain(
    `snapshot = "${STATE}/snapshot"`,
  )
  const [container] = podTemplate().spec.containers
  const mounts = container?.volumeMounts ?? []
  expect(mounts).toContainEqual({ name: 'state', mountPath: STATE })
  expect(composed()).toMatchObject({
    environment: {
      SASLCACHED_SNAPSHOT: `${STATE}/snapshot`,
      SASLCACHED_SNAPSHOT_KEY_FILE: '/run/secrets/snapshot.key',
    },
    volumes: [`state:${STATE}`],
  })
  expect(read('Dockerfile')).toContain(`-o 11211 -g 11211 $root${STATE};`)
  expect(read('config/systemd/saslcached.service')).toMatch(/^StateDirectory=saslcached$/m)
  // The server refuses a snapshot that a group may write to, which `Always` would make of it at each start.
  expect(podTemplate().spec.securityContext?.fsGroupChangePolicy).toBe('OnRootMismatch')
})

test('a stop may take 30 s, and 30 s for each GiB of items that are written', () => {
  const secondsFor = (text: string, memory: RegExp): number =>
    30 + (30 * Number(memory.exec(text)?.[1])) / 1024
  const inToml = /^memory_limit_mib = (\d+)/m
  const map = manifest('ConfigMap').data?.['saslcached.toml'] ?? ''
  const { terminationGracePeriodSeconds } = podTemplate().spec
  expect(terminationGracePeriodSeconds).toBeGreaterThanOrEqual(secondsFor(map, inToml))
  const compose = read('config/compose.yaml')
  const composeSeconds = Number(/stop_grace_period: (\d+)s$/m.exec(compose)?.[1])
  const inVariable = /SASLCACHED_MEMORY_LIMIT_MIB: "(\d+)"/
  expect(composeSeconds).toBeGreaterThanOrEqual(secondsFor(compose, inVariable))
  const unit = read('config/systemd/saslcached.service')
  const unitSeconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])
  const byDefault = secondsFor(read('config/saslcached.toml'), inToml)
  expect(unitSeconds).toBeGreaterThanOrEqual(byDefault)
})
