/**
 * How many processors this process may use: what the system's scheduler allows it (affinity), and no
 * more than the CPU quota of the container that it runs in, which the scheduler's mask does not show.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const CGROUP_ROOT = '/sys/fs/cgroup'

/** Reads a file whole; undefined when that is not possible. */
export type ReadText = (path: string) => string | undefined

export function availableCores(): number {
  const quota = cpuQuota(readText) ?? Number.POSITIVE_INFINITY
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(quota)))
}

/** The tightest CPU quota on the way up from our control group, in processors; undefined without. */
export function cpuQuota(read: ReadText): number | undefined {
  const quotas: number[] = []
  for (const line of (read('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    if (controllers === '') quotas.push(...quotasUpwards(CGROUP_ROOT, path, quotaOfV2, read))
    else if (controllers.split(',').includes('cpu')) {
      quotas.push(...quotasUpwards(join(CGROUP_ROOT, 'cpu'), path, quotaOfV1, read))
    }
  }
  return quotas.length === 0 ? undefined : Math.min(...quotas)
}

/** A container may see its own group as the root, whatever the path says: look all the way up. */
function* quotasUpwards(
  root: string,
  path: string,
  quotaOf: (folder: string, read: ReadText) => number | undefined,
  read: ReadText,
): Iterable<number> {
  const names = path.split('/').filter((name) => name !== '' && name !== '..')
  for (let depth = names.length; depth >= 0; depth--) {
    const quota = quotaOf(join(root, ...names.slice(0, depth)), read)
    if (quota !== undefined) yield quota
  }
}

/** `cpu.max`: "<quota> <period>" in microseconds, or "max <period>". */
function quotaOfV2(folder: string, read: ReadText): number | undefined {
  const [, quota, period] = /^(\d+) (\d+)/.exec(read(join(folder, 'cpu.max')) ?? '') ?? []
  return ratio(quota, period)
}

function quotaOfV1(folder: string, read: ReadText): number | undefined {
  return ratio(
    read(join(folder, 'cpu.cfs_quota_us'))?.trim(),
    read(join(folder, 'cpu.cfs_period_us'))?.trim(),
  )
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const processors = Number(quota) / Number(period)
  return Number.isFinite(processors) && processors > 0 ? processors : undefined
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
