import { expect, test } from 'vitest'
import { load, problemsOf } from './support.ts'

test.each([
  ['10.0.0.1:11212', { host: '10.0.0.1', address: '10.0.0.1', port: 11_212 }],
  ['cache-0.cache', { host: 'cache-0.cache', address: 'cache-0.cache', port: 11_211 }],
  ['[2001:db8::1]:5', { host: '2001:db8::1', address: '2001:db8::1', port: 5 }],
  ['a.example=10.0.0.1:7', { host: 'a.example', address: '10.0.0.1', port: 7 }],
  ['a=[2001:db8::1]:7', { host: 'a', address: '2001:db8::1', port: 7 }],
])('--cluster-nodes %s', async (text, node) => {
  expect((await load({ flags: ['--cluster-nodes', text] })).network.clusterNodes).toEqual([node])
})

test.each([
  'a|b:1',
  'a b:1',
  'a\tb',
  '*:1',
  'a:0',
  'a:-1',
  'a:65536',
  '=10.0.0.1:1',
  'a=',
  'a=b:1',
  'a:1=10.0.0.1:1',
  'notls:a:1',
  'tag[x]:a:1',
  'mtls:10.0.0.1',
  'ä:1',
])('%j is no node', async (text) => {
  expect(await problemsOf({ flags: ['--cluster-nodes', text] })).toEqual([
    `--cluster-nodes: ${JSON.stringify(text)} is not a node: write host:port, [IPv6]:port or name=address:port`,
  ])
})

test('a list of the file, and one of several uses', async () => {
  const toml = '[network]\ncluster_nodes = ["a:1", "b:1"]\n'
  const hosts = async (given: object): Promise<string[]> =>
    (await load(given)).network.clusterNodes.map(({ host }) => host)
  expect(await hosts({ toml })).toEqual(['a', 'b'])
  const flags = ['--cluster-nodes', 'c,d', '--cluster-nodes', 'e']
  expect(await hosts({ toml, flags })).toEqual(['c', 'd', 'e'])
})

test('a node twice, and more than 256 nodes, are refused', async () => {
  expect(await problemsOf({ flags: ['--cluster-nodes', 'a:1,A:1,a:2'] })).toEqual([
    '--cluster-nodes: has the node A with port 1 twice',
  ])
  const most = Array.from({ length: 256 }, (_, index) => `n${index}`).join()
  expect((await load({ flags: ['--cluster-nodes', most] })).network.clusterNodes).toHaveLength(256)
  expect(await problemsOf({ flags: ['--cluster-nodes', `${most},x`] })).toEqual([
    '--cluster-nodes: has 257 nodes; 256 are the most',
  ])
})
