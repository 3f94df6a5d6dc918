/** How many connections the users of one namespace may have while there are others. */
import { expect, test } from 'vitest'
import {
  createNamespacePlaces,
  NamespacePlaces,
} from '../../../../src/server/admission/namespace-places.ts'

const CONNECTIONS_MAX = 1024

/** Of two workers, with so many namespaces. */
function placesWith(namespaceCount: number, connectionsMax = CONNECTIONS_MAX): NamespacePlaces[] {
  const memory = createNamespacePlaces()
  const options = { memory, connectionsMax, namespaceCount: () => namespaceCount }
  return [new NamespacePlaces(options), new NamespacePlaces(options)]
}

/** How many it is given, at most so many. */
function takeAll([first, second]: NamespacePlaces[], namespace: number, most = 2000): number {
  let taken = 0
  while (taken < most && (taken % 2 === 0 ? first : second)?.take(namespace)) taken++
  return taken
}

test('where there is one namespace it has as many as log in', () => {
  expect(takeAll(placesWith(1), 0)).toBe(2000)
})

test('who takes all that it can leaves the users of each other namespace their share', () => {
  const places = placesWith(4)
  // Three quarters, and its own share of the last.
  expect(takeAll(places, 1)).toBe(CONNECTIONS_MAX * 0.75 + CONNECTIONS_MAX / 16)
  for (const namespace of [0, 2, 3]) expect(takeAll(places, namespace)).toBe(CONNECTIONS_MAX / 16)
})

test('with few places each has one of its own, and no more than half are kept for others', () => {
  const places = placesWith(65, 130)
  expect(takeAll(places, 1)).toBe(66)
  for (let id = 2; id < 65; id++) expect(takeAll(places, id)).toBe(1)
  for (const connectionsMax of [129, 100, 65, 10]) {
    expect(takeAll(placesWith(65, connectionsMax), 1)).toBe(connectionsMax)
  }
})

test('together they never have more than there are', () => {
  for (const [namespaceCount, connectionsMax] of [
    [2, 5],
    [3, 100],
    [65, 1024],
    [65, 100],
  ] as const) {
    const places = placesWith(namespaceCount, connectionsMax)
    let taken = 0
    for (let id = 0; id < namespaceCount; id++) taken += takeAll(places, id)
    expect(taken).toBeLessThanOrEqual(connectionsMax)
  }
})

test('a place that is given back is there for others, and for who gave it back', () => {
  const places = placesWith(2)
  expect(takeAll(places, 1)).toBe(768 + 128)
  expect(takeAll(places, 0)).toBe(128)
  expect(places[1]?.take(0)).toBe(false)
  // Whatever others have within their share.
  places[0]?.giveBack(1)
  expect(places[1]?.take(1)).toBe(true)
  places[0]?.giveBack(1)
  expect(places[1]?.take(0)).toBe(true)
  expect(places[1]?.take(1)).toBe(false)
  places[0]?.giveBack(0)
  expect(places[1]?.take(1)).toBe(true)
})

test('a place of its own that is given back is there for nobody else', () => {
  const places = placesWith(2)
  expect(takeAll(places, 1)).toBe(768 + 128)
  expect(takeAll(places, 0)).toBe(128)
  places[0]?.giveBack(0)
  expect(places[1]?.take(1)).toBe(false)
  expect(places[1]?.take(0)).toBe(true)
})
