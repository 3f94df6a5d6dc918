/**
 * What Kubernetes is given, looked at without a cluster: YAML as the cluster's own parser takes it, fields and
 * their types by kubernetes-types, and what a pod must not be able to do.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { runProgram } from './program.ts'

const MODULES = join(import.meta.dirname, '..', '..', 'node_modules')

export interface Container {
  readonly name: string
  readonly image: string
  readonly args?: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value?: string }[]
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly resources?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
  readonly [probe: `${string}Probe`]: unknown
}

export interface PodSpec {
  readonly containers: readonly Container[]
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly volumes?: readonly { readonly name: string }[]
  readonly [field: string]: unknown
}

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> }
  readonly data?: Readonly<Record<string, string>>
  // biome-ignore lint/suspicious/noExplicitAny: of every kind, which the test that looks at it knows.
  readonly spec?: any
}

/** As YAML 1.1, where 0440 is octal: Kubernetes and Helm parse that. Throws on a key that is there twice. */
export function parseYaml(text: string): readonly unknown[] {
  return parseAllDocuments(text, { version: '1.1', uniqueKeys: true, strict: true }).flatMap(
    (document) => {
      const [problem] = [...document.errors, ...document.warnings]
      if (problem !== undefined) throw problem
      const value: unknown = document.toJS()
      return value === null ? [] : [value]
    },
  )
}

/** Where kubernetes-types has the kinds of an API group. Those of the Prometheus operator it has not. */
const TYPES: Readonly<Record<string, string>> = {
  v1: 'core/v1',
  'apps/v1': 'apps/v1',
  'networking.k8s.io/v1': 'networking/v1',
  'policy/v1': 'policy/v1',
}

/** What the compiler says of fields that are unknown, lacking, or of another type; empty if all is well. */
export async function typeProblems(manifests: readonly Manifest[]): Promise<string> {
  const sources = manifests.flatMap(({ apiVersion, kind }, index) => {
    const module = TYPES[apiVersion]
    if (module === undefined) return []
    const path = JSON.stringify(join(MODULES, 'kubernetes-types', module))
    const literal = JSON.stringify(manifests[index], undefined, 2)
    return [
      `import type { ${kind} as Kind${index} } from ${path}`,
      `export const manifest${index}: Kind${index} = ${literal}`,
    ]
  })
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-manifests-'))
  try {
    const file = join(folder, 'manifests.ts')
    writeFileSync(file, sources.join('\n'))
    const flags = ['--noEmit', '--strict', '--module', 'esnext', '--moduleResolution', 'bundler']
    const tsc = join(MODULES, 'typescript', 'bin', 'tsc')
    const command = [process.execPath, tsc, ...flags, '--types', '', file]
    const { stdout, stderr } = await runProgram(command, { directory: folder })
    return stdout + stderr
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What a pod of the standard `restricted` has, and a read-only root: the ones that this pod lacks. */
export function lacksOfPod(pod: PodSpec): string[] {
  const context = pod.securityContext ?? {}
  const lacks = [
    context.runAsNonRoot === true || 'runAsNonRoot',
    Number(context.runAsUser) > 0 || 'runAsUser',
    (context.seccompProfile as { type?: string } | undefined)?.type === 'RuntimeDefault' ||
      'seccompProfile',
    pod.automountServiceAccountToken === false || 'automountServiceAccountToken',
    Number(pod.terminationGracePeriodSeconds) >= 30 || 'terminationGracePeriodSeconds',
    ...['hostNetwork', 'hostPID', 'hostIPC'].map((name) => pod[name] === undefined || name),
    ...pod.containers.flatMap(lacksOfContainer),
  ]
  return lacks.filter((lack) => lack !== true)
}

function lacksOfContainer(container: Container): (string | true)[] {
  const context = container.securityContext ?? {}
  const dropped = (context.capabilities as { drop?: readonly string[] } | undefined)?.drop
  return [
    context.allowPrivilegeEscalation === false || 'allowPrivilegeEscalation',
    context.readOnlyRootFilesystem === true || 'readOnlyRootFilesystem',
    String(dropped) === 'ALL' || 'capabilities',
    container.resources?.limits?.memory !== undefined || 'resources.limits.memory',
    container.resources?.requests?.memory !== undefined || 'resources.requests.memory',
    ...(['startupProbe', 'readinessProbe', 'livenessProbe'] as const).map(
      (probe) => container[probe] !== undefined || probe,
    ),
  ]
}

/** MiB of a quantity like 1408Mi. */
export function mebibytesOf(quantity: unknown): number {
  const digits = /^(\d+)Mi$/.exec(String(quantity))?.[1]
  if (digits === undefined) throw new Error(`${quantity} is no quantity in Mi`)
  return Number(digits)
}
