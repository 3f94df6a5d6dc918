import { expect, test } from 'vitest'
import { Readiness } from '../../../../src/server/main/readiness.ts'

test('a server that starts is not ready, and is when nobody holds it back', () => {
  const readiness = new Readiness()
  expect(readiness.isReady).toBe(false)
  expect(readiness.reasons).toEqual(['starting'])
  readiness.raise('restoring')
  readiness.release('starting')
  expect(readiness.isReady).toBe(false)
  readiness.release('restoring')
  expect(readiness.isReady).toBe(true)
  expect(readiness.reasons).toEqual([])
})

test('reasons are told in one order, each once, and released without having been raised', () => {
  const readiness = new Readiness()
  readiness.raise('stuck')
  readiness.raise('draining')
  readiness.raise('stuck')
  readiness.release('restoring')
  expect(readiness.reasons).toEqual(['starting', 'draining', 'stuck'])
  readiness.release('stuck')
  expect(readiness.reasons).toEqual(['starting', 'draining'])
})

test('who is asked for a reason holds the server back while there is one', () => {
  const readiness = new Readiness()
  let isLost = true
  readiness.ask('store', () => isLost)
  readiness.release('starting')
  expect(readiness.isReady).toBe(false)
  expect(readiness.reasons).toEqual(['store'])
  isLost = false
  expect(readiness.isReady).toBe(true)
})
