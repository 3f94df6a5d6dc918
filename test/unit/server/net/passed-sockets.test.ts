/** What LISTEN_FDS and its like say of sockets that were passed; test/integration/passed-sockets.test.ts has real ones. */
import { expect, test } from 'vitest'
import { takePassedSockets } from '../../../../src/server/net/passed-sockets.ts'

const PID = 4711

function taken(variables: Record<string, string>): unknown {
  return takePassedSockets({ LISTEN_PID: String(PID), ...variables }, PID)
}

test('they are the descriptors from 3 on, with their names', () => {
  expect(taken({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'web:web' })).toEqual([
    { fd: 3, name: 'web' },
    { fd: 4, name: 'web' },
  ])
  expect(taken({ LISTEN_FDS: '1' })).toEqual([{ fd: 3, name: 'unknown' }])
  expect(taken({ LISTEN_FDS: '1', LISTEN_FDNAMES: '' })).toEqual([{ fd: 3, name: 'unknown' }])
  expect(taken({ LISTEN_FDS: '2', LISTEN_FDNAMES: ':web' })).toEqual([
    { fd: 3, name: 'unknown' },
    { fd: 4, name: 'web' },
  ])
  expect(taken({ LISTEN_FDS: '0', LISTEN_FDNAMES: '' })).toEqual([])
})

test('there are none where they are for another process, whatever is said of them', () => {
  for (const pid of ['1', '', '4711 ', '04711', '4711.0']) {
    expect(taken({ LISTEN_PID: pid, LISTEN_FDS: 'x' }), pid).toEqual([])
  }
  expect(takePassedSockets({ LISTEN_FDS: '1' }, PID)).toEqual([])
})

test('nobody who is started later finds the variables, for whomever they are', () => {
  for (const pid of [PID, 1]) {
    const environment = {
      LISTEN_PID: String(pid),
      LISTEN_FDS: '1',
      LISTEN_FDNAMES: 'web',
      LISTEN_PIDFDID: '7',
      HOME: '/',
    }
    takePassedSockets(environment, PID)
    expect(environment).toEqual({ HOME: '/' })
  }
})

test.each(['', '-1', '1.5', '0x1', '129', '99999999999', '1 '])(
  '%j is no number of them',
  (text) => {
    expect(() => taken({ LISTEN_FDS: text })).toThrow(
      `LISTEN_FDS is ${JSON.stringify(text)}, which is no number of sockets from 0 to 128`,
    )
  },
)

test('there are as many names as sockets', () => {
  expect(() => taken({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'web' })).toThrow(
    'LISTEN_FDNAMES has 1 names for 2 sockets',
  )
})
