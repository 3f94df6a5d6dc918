/** All metrics with labels, as the main thread reads them from the memory of two workers. */
import { expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import { userPrincipal } from '../../../../src/credential/principal.ts'
import { counterLane } from '../../../../src/observe/counters.ts'
import type { MetricFamily } from '../../../../src/observe/metric-family.ts'
import { METRIC_LIST } from '../../../../src/observe/metrics.ts'
import { HISTOGRAM_SLOTS, observe } from '../../../../src/observe/power-histogram.ts'
import { sharedLane } from '../../../../src/observe/shared-lanes.ts'
import { metricFamilies } from '../../../../src/server/main/metric-families.ts'
import { EventCounters } from '../../../../src/server/worker/event-counters.ts'
import { LoopMeasures } from '../../../../src/server/worker/loop-measures.ts'
import { createMeasureMemory } from '../../../../src/server/worker/measure-memory.ts'
import type { SharedMemory } from '../../../../src/server/worker/worker-messages.ts'
import { manualShared } from '../../../support/manual-worker.ts'

const PEER = Peer.at('192.0.2.1', 5)
const BINARY_GET = 1
const META_SET = 32 + 23

function twoWorkers(takesTimes = true): SharedMemory {
  return { ...manualShared(2), measures: createMeasureMemory(2, takesTimes) }
}

const SOURCES = {
  namespaces: () => [],
  datedCertificates: () => [],
  residentBytes: () => 1234,
}

function familiesOf(shared: SharedMemory): readonly MetricFamily[] {
  return metricFamilies({ ...SOURCES, shared })
}

/** The samples of a family as `label=value,... -> value`. */
function valuesOf(shared: SharedMemory, name: string): Record<string, number> {
  const family = familiesOf(shared).find((each) => each.name === name)
  expect([name, family?.name]).toEqual([name, name])
  return Object.fromEntries(
    (family?.samples() ?? []).map((sample) => [
      Object.entries(sample.labels)
        .map((pair) => pair.join('='))
        .join(','),
      'value' in sample ? sample.value : sample.count,
    ]),
  )
}

test('a family has a name of its own, a help, and the same labels in all samples', () => {
  const shared = twoWorkers()
  new LoopMeasures(shared.measures.loops, 0, 100).tick(5)
  const families = familiesOf(shared)
  const names = [...families, ...METRIC_LIST].map(({ name }) => name)
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
  for (const { name, help, samples } of families) {
    expect(name).toMatch(/^[a-z][a-z0-9_]*[a-z0-9]$/)
    expect(name).not.toMatch(/_(total|bucket|sum|count|info)$/)
    expect([name, help]).toEqual([name, expect.stringMatching(/^[A-Z].*\.$/)])
    const labelNames = samples().map(({ labels }) => Object.keys(labels).join())
    expect([name, new Set(labelNames).size]).toEqual([name, Math.min(1, labelNames.length)])
  }
})

test('requests and their times are summed up over the workers', () => {
  const shared = twoWorkers()
  const { requests, latencies } = shared.measures
  for (const worker of [0, 1]) {
    sharedLane(requests, worker)[BINARY_GET]! += worker + 1
    sharedLane(requests, worker)[META_SET]! += 10
    if (latencies === undefined) continue
    observe(sharedLane(latencies, worker), META_SET * HISTOGRAM_SLOTS, 5, 10)
  }
  expect(valuesOf(shared, 'requests')).toEqual({
    'dialect=binary,verb=get': 3,
    'dialect=meta,verb=ms': 20,
  })
  expect(valuesOf(shared, 'request_duration_seconds')).toEqual({ 'dialect=meta,verb=ms': 20 })
})

test('without histograms there is no family of times', () => {
  const names = familiesOf(twoWorkers(false)).map(({ name }) => name)
  expect(names).not.toContain('request_duration_seconds')
  expect(names).toContain('requests')
})

test('logins are told by mechanism and reason, whatever clients call a mechanism', () => {
  const shared = twoWorkers()
  const workers = [0, 1].map((index) => new EventCounters(shared.measures.events, index))
  const principal = userPrincipal('shop')
  const nobody = { user: '', unknownUser: 'x', peer: PEER, succeeded: false } as const
  for (const worker of workers) {
    worker.login({ succeeded: true, principal, peer: PEER, mechanism: 'SCRAM-SHA-256-PLUS' })
    worker.login({ ...nobody, mechanism: 'PLAIN', reason: 'wrong-password' })
    worker.login({ ...nobody, mechanism: 'PLAIN\n"} 1', reason: 'unknown-mechanism' })
  }
  workers[1]?.login({ succeeded: true, principal, peer: PEER, mechanism: 'listener' })
  expect(valuesOf(shared, 'logins')).toEqual({
    'mechanism=SCRAM-SHA-256-PLUS': 2,
    'mechanism=listener': 1,
  })
  expect(valuesOf(shared, 'login_failures')).toEqual({
    'mechanism=PLAIN,reason=wrong-password': 2,
    'mechanism=other,reason=unknown-mechanism': 2,
  })
})

test('refusals and handshakes are told by what came of them', () => {
  const shared = twoWorkers()
  const worker = new EventCounters(shared.measures.events, 1)
  const refusal = { principal: undefined, peer: PEER, command: 'set', key: undefined }
  for (const lack of ['right', 'key', 'option', 'key'] as const)
    worker.refusal({ ...refusal, lack })
  worker.handshake('TLSv1.3', true)
  worker.handshake('TLSv1.9', false)
  worker.handshakeFailed('not-finished')
  worker.handshakeFailed('ERR_SSL_OF_TOMORROW')
  expect(valuesOf(shared, 'denied_commands')).toEqual({
    'lacks=right': 1,
    'lacks=key': 2,
    'lacks=option': 1,
  })
  expect(valuesOf(shared, 'tls_handshakes')).toEqual({
    'version=TLSv1.3,resumed=true': 1,
    'version=other,resumed=false': 1,
  })
  expect(valuesOf(shared, 'tls_handshake_failures')).toEqual({
    'reason=not-finished': 1,
    'reason=other': 1,
  })
})

test('a namespace is told of with its quota, and its counts go on where statistics are reset', () => {
  const shared = twoWorkers()
  const memory = manualShared(2)
  counterLane(memory.counters, 0).fill(2)
  counterLane(memory.counters, 1).fill(3)
  const { store, counters, prefixes } = memory
  const tenant = { name: 'shop', id: 1, store, counters, prefixes }
  const families = metricFamilies({ ...SOURCES, shared, namespaces: () => [tenant] })
  const read = (name: string): unknown =>
    families
      .find((family) => family.name === name)
      ?.samples()
      .map((sample) => [sample.labels.namespace, 'value' in sample && sample.value])
  expect(read('namespace_hits')).toEqual([
    ['default', 0],
    ['shop', 5],
  ])
  expect(read('namespace_quota_bytes')).toEqual([
    ['default', 8 * 1024 * 1024],
    ['shop', 8 * 1024 * 1024],
  ])
  expect(read('namespace_used_bytes')).toEqual([
    ['default', 0],
    ['shop', 0],
  ])
})

test('what a timer is late is the lag of its loop, and what it is early is none', () => {
  const shared = twoWorkers()
  const loop = new LoopMeasures(shared.measures.loops, 1, 100)
  for (const nowMs of [50, 150, 250, 349, 549]) loop.tick(nowMs)
  const family = familiesOf(shared).find(({ name }) => name === 'event_loop_lag_seconds')
  expect(family?.samples()).toMatchObject([{ labels: { worker: '1' }, count: 4, sum: 0.1 }])
})

test('the heap of a worker is looked at with its ticks', () => {
  const shared = twoWorkers()
  new LoopMeasures(shared.measures.loops, 0, 100).tick(50)
  expect(valuesOf(shared, 'heap_used_bytes')['worker=0']).toBeGreaterThan(100_000)
  expect(valuesOf(shared, 'heap_used_bytes')['worker=1']).toBe(0)
})

test('collections are counted by kind, and one of an unknown kind is not', () => {
  const shared = twoWorkers()
  const loop = new LoopMeasures(shared.measures.loops, 0, 100)
  for (const kind of [1, 2, 4, 8, 16, 32]) loop.collected(kind, 500)
  expect(valuesOf(shared, 'gc_collections')).toMatchObject({
    'worker=0,kind=minor': 2,
    'worker=0,kind=major': 1,
    'worker=0,kind=incremental': 1,
    'worker=0,kind=weak_callbacks': 1,
    'worker=1,kind=minor': 0,
  })
  expect(valuesOf(shared, 'gc_seconds')['worker=0,kind=minor']).toBe(1)
})

test('memory that the threads share is told by its use', () => {
  const shared = twoWorkers()
  const values = valuesOf(shared, 'shared_memory_bytes')
  expect(Object.keys(values)).toEqual([
    'use=counters',
    'use=prefixes',
    'use=watch',
    'use=connections',
    'use=throttle',
    'use=audit',
  ])
  expect(values['use=prefixes']).toBe(shared.prefixes.buffer.byteLength)
  expect(values['use=audit']).toBe(0)
  expect(valuesOf(shared, 'resident_bytes')).toEqual({ '': 1234 })
})

test('the end of a certificate is told by its name, and of two of one name the first', () => {
  const dated = (role: 'chain' | 'ca' | 'crl', name: string, validToMs: number) => ({
    role,
    name,
    validToMs,
    file: `/etc/${name}`,
    what: 'one',
  })
  let certificates = [
    dated('chain', 'cache.example', 9_000),
    dated('chain', 'cache.example', 7_000),
    dated('chain', '"\\\n', 8_000),
    dated('ca', 'clients.pem', 6_000),
    dated('crl', 'clients.pem', 5_000),
  ]
  const family = metricFamilies({
    ...SOURCES,
    shared: twoWorkers(),
    datedCertificates: () => certificates,
  }).find(({ name }) => name === 'tls_certificate_not_after_seconds')
  expect(family?.samples()).toEqual([
    { labels: { role: 'chain', certificate: 'cache.example' }, value: 7 },
    { labels: { role: 'chain', certificate: '"\\\n' }, value: 8 },
    { labels: { role: 'ca', certificate: 'clients.pem' }, value: 6 },
    { labels: { role: 'crl', certificate: 'clients.pem' }, value: 5 },
  ])
  certificates = [dated('chain', 'cache.example', 99_000)]
  expect(family?.samples()).toEqual([
    { labels: { role: 'chain', certificate: 'cache.example' }, value: 99 },
  ])
})
