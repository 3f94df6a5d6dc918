import { expect, test } from 'vitest'
import { load, problemsOf } from './support.ts'

const CLUSTER = ['--store', 'cluster', '--store-nodes', 'redis-1:6379,[::1]:7000']

test('items are in this process by default', async () => {
  expect((await load({})).store).toBeUndefined()
})

test('a cluster is its nodes and how they are reached', async () => {
  const { store } = await load({ flags: CLUSTER })
  expect(store).toEqual({
    nodes: [
      { host: 'redis-1', port: 6379 },
      { host: '::1', port: 7000 },
    ],
    user: undefined,
    passwordFile: undefined,
    tls: undefined,
    timeoutMs: 1000,
    connections: 1,
    missesOnFailure: false,
    near: undefined,
  })
})

test.each([
  ['-m', '128', 'maxmemory'],
  ['-M', 'true', 'maxmemory-policy'],
  ['--eviction', 's3-fifo', 'maxmemory-policy'],
  ['--snapshot', '/tmp/items', 'save and appendonly'],
  ['-D', '/', 'prefix'],
  ['-I', '100m', '64m'],
])('%s %s cannot be had with a cluster, and who has it is said', async (flag, value, who) => {
  const problems = await problemsOf({ flags: [...CLUSTER, flag, value] })
  expect(problems.join()).toContain(who)
})

test.each([
  [['--store', 'cluster'], '--store-nodes'],
  [['--store-timeout', '2'], '--store cluster'],
  [['--on-store-failure', 'miss'], '--store cluster'],
  [['--near-cache', '8m'], '--store cluster'],
  [[...CLUSTER, '--near-cache-ttl', '1'], '--near-cache'],
  [[...CLUSTER, '--store-user', 'gate'], '--store-password-file'],
  [[...CLUSTER, '--store-tls-ca', 'ca.pem'], '--store-tls'],
  [[...CLUSTER, '--store-tls', 'true', '--store-tls-cert', 'c.pem'], '--store-tls-key'],
])('%j is refused, and what it takes is said', async (flags, remedy) => {
  expect((await problemsOf({ flags })).join()).toContain(remedy)
})
