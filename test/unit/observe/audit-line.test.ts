import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type AuditEvent, auditLine } from '../../../src/observe/audit-line.ts'

const HEAD = { run: 'r', sequence: 7, time: new Date(0) }

test('a line has the head, and the fields of its event in their order', () => {
  const event: AuditEvent = {
    event: 'login',
    reason: 'wrong-password',
    peer: '192.0.2.1:5',
    outcome: 'failure',
    user: 'alice',
    mechanism: 'PLAIN',
    tls: undefined,
  }
  expect(auditLine(HEAD, event)).toBe(
    '{"time":"1970-01-01T00:00:00.000Z","run":"r","seq":7,"event":"login","outcome":"failure",' +
      '"user":"alice","peer":"192.0.2.1:5","mechanism":"PLAIN","reason":"wrong-password"}\n',
  )
})

test('nothing gets in that has no field of that name', () => {
  const more = { event: 'refused', user: 'alice', value: 'hunter2', password: 'hunter2', seq: 1 }
  const line = auditLine(HEAD, more as unknown as AuditEvent)
  expect(JSON.parse(line)).toEqual({
    time: '1970-01-01T00:00:00.000Z',
    run: 'r',
    seq: 7,
    event: 'refused',
    user: 'alice',
  })
})

test.each([
  'a\nb',
  'a\r\n{"event":"login"}',
  '\u001b[2J\u0007',
  '\u2028\u2029\u202e\ufeff',
  '\u0085\u009b31m',
  '\ud800',
  '\u{e0001}',
  '"\\',
])('%j in a name neither ends the line nor drives a terminal', (name) => {
  const line = auditLine(HEAD, { event: 'login', user: name })
  expect(line).toMatch(/^[\P{C}]+\n$/u)
  expect(line).not.toMatch(/[\p{Zl}\p{Zp}]/u)
  expect(JSON.parse(line)).toMatchObject({ event: 'login', user: name })
})

test('whatever a name is, the line gives it back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }), (name) => {
      const line = auditLine(HEAD, { event: 'reload', added: [name] })
      expect(line.indexOf('\n')).toBe(line.length - 1)
      expect(line).toMatch(/^[\P{C}]+\n$/u)
      expect(JSON.parse(line)).toMatchObject({ added: [name] })
    }),
  )
})

test('long names and lists are cut', () => {
  const line = auditLine(HEAD, {
    event: 'reload',
    added: Array.from({ length: 10_000 }, (_, index) => `u${index}`),
    removed: ['x'.repeat(100_000)],
  })
  expect(line.length).toBeLessThan(5000)
  expect(JSON.parse(line).added.slice(-2)).toEqual(['u199', 'and 9800 more'])
})
