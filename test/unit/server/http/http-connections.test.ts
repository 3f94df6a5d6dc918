import { expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import { HttpConnections } from '../../../../src/server/http/http-connections.ts'

/** The names of those that were closed, in order. */
function openPlaces(max: number, perSiteMax: number) {
  let nowMs = 0
  const options = { max, perSiteMax, nowMs: () => nowMs }
  const places = new HttpConnections<{ destroy(): void }>(options)
  const closed: string[] = []
  const connections = new Map<string, { destroy(): void }>()
  const of = (name: string): { destroy(): void } => {
    const connection = connections.get(name) ?? { destroy: () => closed.push(name) }
    connections.set(name, connection)
    return connection
  }
  return {
    closed,
    places,
    admit: (name: string, site: string) => places.admit(of(name), { site }),
    served: (name: string, site: string) => {
      const isAdmitted = places.admit(of(name), { site })
      places.asked(of(name))
      return isAdmitted
    },
    asked: (name: string) => places.asked(of(name)),
    answered: (name: string) => places.answered(of(name)),
    remove: (name: string) => places.remove(of(name)),
    pass: (milliseconds: number) => {
      nowMs += milliseconds
    },
  }
}

test('there are never more than the limit, and one that goes makes a place', () => {
  const { places, served, admit, remove, closed } = openPlaces(2, 2)
  expect([served('a', '1'), served('b', '2'), admit('c', '3')]).toEqual([true, true, false])
  expect(places.count).toBe(2)
  remove('a')
  expect(admit('c', '3')).toBe(true)
  expect({ count: places.count, closed }).toEqual({ count: 2, closed: [] })
})

test('a site has no more than its own limit, and others have the rest', () => {
  const { places, served, admit } = openPlaces(3, 2)
  expect([served('a', '1'), served('b', '1'), admit('c', '1')]).toEqual([true, true, false])
  expect(admit('d', '2')).toBe(true)
  expect(places.count).toBe(3)
})

test('who has been idle for longest gives way, and who is served does not', () => {
  const { served, asked, answered, closed } = openPlaces(3, 3)
  for (const name of ['a', 'b', 'c']) served(name, name)
  answered('b')
  answered('a')
  answered('c')
  asked('b')
  expect(served('d', 'd')).toBe(true)
  expect(closed).toEqual(['a'])
  expect(served('e', 'e')).toBe(true)
  expect(closed).toEqual(['a', 'c'])
  expect(served('f', 'f')).toBe(false)
  expect(closed).toEqual(['a', 'c'])
})

test('where nobody is idle, who has been silent for longest gives way', () => {
  const { admit, asked, answered, closed } = openPlaces(3, 3)
  for (const name of ['a', 'b', 'c']) admit(name, name)
  asked('a')
  asked('c')
  answered('c')
  for (const name of ['d', 'e', 'f']) expect(admit(name, name)).toBe(true)
  expect(closed).toEqual(['c', 'b', 'd'])
})

test('a full site closes an idle one of its own, not of others', () => {
  const { admit, answered, closed } = openPlaces(4, 2)
  for (const [name, source] of ['a1', 'b2', 'c2'].map((name) => [name, name.slice(1)] as const)) {
    admit(name, source)
  }
  answered('a1')
  answered('c2')
  expect(admit('d2', '2')).toBe(true)
  expect(closed).toEqual(['c2'])
})

test('one that was closed is counted once, whatever is told of it later', () => {
  const { places, served, admit, asked, answered, remove } = openPlaces(2, 1)
  admit('a', '1')
  for (let count = 0; count < 2; count++) remove('a')
  answered('a')
  asked('a')
  expect(places.count).toBe(0)
  expect([served('b', '1'), served('c', '1')]).toEqual([true, false])
})

test('all are closed at once, and their places are free', () => {
  const { places, admit, closed } = openPlaces(2, 2)
  admit('a', '1')
  admit('b', '1')
  places.destroyAll()
  expect({ count: places.count, closed }).toEqual({ count: 0, closed: ['a', 'b'] })
  expect([admit('c', '1'), admit('d', '1')]).toEqual([true, true])
})

/** Of 256 places, each is served somebody of one of these sites, in turn. */
function fillWithServed(sites: readonly string[]): ReturnType<typeof openPlaces> {
  const all = openPlaces(256, 64)
  for (let index = 0; index < 256; index++) {
    const site = sites[index % sites.length]!
    expect(all.served(`${site} ${index}`, site)).toBe(true)
  }
  return all
}

test('whoever reads no answers holds no place against others', () => {
  const sites = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '2001:db8:7::/48']
  const { places, closed, pass, admit, served } = fillWithServed(sites)
  pass(1001)
  expect(served('probe', '198.51.100.1')).toBe(true)
  expect(places.count).toBe(256)
  expect(closed).toEqual([`${sites[0]} 0`])
  // They come again, as fast as they like: they have the places that they had.
  for (let index = 0; index < 1000; index++) admit(`again ${index}`, sites[index % 4]!)
  expect(closed).not.toContain('probe')
})

test('nor who is through with it in less, and comes again', () => {
  const sources = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4']
  const { closed, admit } = fillWithServed(sources)
  expect(admit('probe', '198.51.100.1')).toBe(true)
  for (let index = 0; index < 1000; index++) admit(`again ${index}`, sources[index % 4]!)
  expect(closed).not.toContain('probe')
})

test('where each place is of another site, one is there for a newcomer after a second', () => {
  const sources = Array.from({ length: 256 }, (_, index) => `192.0.2.${index}`)
  const { admit, pass, closed } = fillWithServed(sources)
  expect(admit('probe', '198.51.100.1')).toBe(false)
  pass(1000)
  expect(admit('probe', '198.51.100.1')).toBe(false)
  pass(1)
  expect(admit('probe', '198.51.100.1')).toBe(true)
  expect(closed).toEqual(['192.0.2.0 0'])
})

test('of those who do not read, it is one of the site that has most', () => {
  const { served, pass, admit, closed } = openPlaces(5, 3)
  served('a', '192.0.2.1')
  served('b1', '2001:db8:1::/48')
  served('c', '192.0.2.2')
  served('b2', '2001:db8:1::/48')
  served('b3', '2001:db8:1::/48')
  pass(1001)
  expect(admit('d', '192.0.2.3')).toBe(true)
  expect(admit('e', '192.0.2.4')).toBe(true)
  expect(closed).toEqual(['b1', 'b2'])
})

test('a site that is full gets rid of its own who do not read, and keeps those that are served', () => {
  const { served, pass, admit, closed } = openPlaces(8, 2)
  served('other', '1')
  served('a', '2')
  pass(1001)
  served('b', '2')
  expect(admit('c', '2')).toBe(true)
  expect(closed).toEqual(['a'])
})

test('who asks on and on without reading is overdue from its first request', () => {
  const { served, asked, pass, admit, closed } = openPlaces(1, 1)
  served('a', '1')
  for (let count = 0; count < 3; count++) {
    pass(500)
    asked('a')
  }
  expect(admit('b', '2')).toBe(true)
  expect(closed).toEqual(['a'])
})

test('who owns a /48 has no more than who has one address', () => {
  const { places, admit } = openPlaces(256, 2)
  const networks = [1, 2, 3, 4].map((number) => new Peer(`2001:db8:7:${number}::1`, ''))
  const admitted = networks.map(({ site }, number) => admit(`connection ${number}`, site))
  expect(admitted).toEqual([true, true, true, true])
  expect(places.count).toBe(2)
})
