/** Views of a cluster by the real library, which are made while a cluster has trouble, again and again. */
import { expect, test } from 'vitest'
import { clusterMaker } from '../../../src/remote/cluster-client.ts'

test('views of other seeds share the classes of the library', () => {
  const make = clusterMaker({
    seeds: [{ host: '192.0.2.1', port: 1 }],
    user: 'gate',
    password: 'a secret',
    tls: undefined,
    timeoutMs: 1000,
    connections: 1,
    missesOnFailure: false,
    near: undefined,
  })
  const [one, other] = [1, 2].map((port) => make([{ host: '192.0.2.1', port }]))
  expect(one).not.toBe(other)
  expect(one?.constructor).toBe(other?.constructor)
})
