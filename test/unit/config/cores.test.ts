import { expect, test } from 'vitest'
import { availableCores, cpuQuota } from '../../../src/config/cores.ts'

function filesystem(files: Readonly<Record<string, string>>): (path: string) => string | undefined {
  return (path) => files[path]
}

test('a container with half a processor has half a processor', () => {
  const read = filesystem({
    '/proc/self/cgroup': '0::/\n',
    '/sys/fs/cgroup/cpu.max': '50000 100000\n',
  })
  expect(cpuQuota(read)).toBe(0.5)
})

test('the tightest quota of all groups above holds', () => {
  const read = filesystem({
    '/proc/self/cgroup': '0::/kubepods/pod1/box\n',
    '/sys/fs/cgroup/kubepods/pod1/box/cpu.max': 'max 100000\n',
    '/sys/fs/cgroup/kubepods/pod1/cpu.max': '300000 100000\n',
    '/sys/fs/cgroup/kubepods/cpu.max': '600000 100000\n',
  })
  expect(cpuQuota(read)).toBe(3)
})

test('the first version of control groups is read where the second does not rule the processor', () => {
  const read = filesystem({
    '/proc/self/cgroup': '4:cpu,cpuacct:/docker/1\n1:name=systemd:/x\n0::/\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '200000\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
  })
  expect(cpuQuota(read)).toBe(2)
})

test.each([
  ['no control group', {}],
  ['no limit', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' }],
  [
    'no limit of the first version',
    {
      '/proc/self/cgroup': '4:cpu:/\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    },
  ],
])('there is no quota with %s', (_, files) => {
  expect(cpuQuota(filesystem(files))).toBeUndefined()
})

test('this machine has a whole number of processors, at least one', () => {
  const cores = availableCores()
  expect(Number.isInteger(cores) && cores >= 1).toBe(true)
})
