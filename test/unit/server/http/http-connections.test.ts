import { expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import { HttpConnections } from '../../../../src/server/http/http-connections.ts'

/** The names of those that were closed, in order. */
function openPlaces(max: number, perSiteMax: number) {
  const places = new HttpConnections<{ destroy(): void }>({ max, perSiteMax })
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
    admit: (name: string, source: string) => places.admit(of(name), new Peer(source, source)),
    served: (name: string, source: string) => {
      const isAdmitted = places.admit(of(name), new Peer(source, source))
      places.asked(of(name))
      return isAdmitted
    },
    asked: (name: string) => places.asked(of(name)),
    answered: (name: string) => places.answered(of(name)),
    remove: (name: string) => places.remove(of(name)),
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

test('a source has no more than its own limit, and others have the rest', () => {
  const { places, served, admit } = openPlaces(3, 2)
  expect([served('a', '1'), served('b', '1'), admit('c', '1')]).toEqual([true, true, false])
  expect(admit('d', '2')).toBe(true)
  expect(places.count).toBe(3)
})

test('who owns a /48 has the places of one, from however many of its /64s', () => {
  const { served, admit } = openPlaces(4, 2)
  const own = ['a', 'b', 'c', 'd'].map((name) => served(name, `2001:db8:7:${name}::1`))
  expect(own).toEqual([true, true, false, false])
  expect(admit('e', '192.0.2.1')).toBe(true)
  expect(admit('f', '2001:db8:8:a::1')).toBe(true)
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

test('a full source closes an idle one of its own, not of others', () => {
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
